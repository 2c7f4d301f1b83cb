//! Late rows whose time no running window holds: out of a backlog, say. They are a stream of their own, in a window of their
//! own beside that of the rows in time, so what happened in them is found as if they had come alone.
//!
//! Promises: only entities with such rows have one; it goes when none came for the length of the window.
//! Never: moves the time of anything else.

use serde::{Deserialize, Serialize};

use super::PaneSpec;
use super::panes::{Held, Sliding};

/// A window of late rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Late<W> {
    pub window: W,
    /// The latest pane that a row fell into.
    pub newest: u32,
    /// Where the latest row stood.
    pub touched: i64,
}

/// Which window a row belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// It is no earlier than all before it, or than anything that happened meanwhile.
    Now,
    /// It is late, and the running window holds its time.
    Window,
    /// It is later than that.
    Late,
}

/// `pane` is that of the row's time, `running` that of its place.
#[inline]
pub(crate) fn belongs(pane: u32, running: u32, panes: PaneSpec) -> Belongs {
    if pane == running {
        Belongs::Now
    } else if u64::from(pane) + u64::from(panes.span) > u64::from(running) {
        Belongs::Window
    } else {
        Belongs::Late
    }
}

impl<W: Default> Late<W> {
    pub fn of(slot: &mut Option<Box<Late<W>>>, place: i64) -> &mut Late<W> {
        let late = slot.get_or_insert_default();
        late.touched = place;
        late
    }
}

impl<W: Sliding> Late<W> {
    /// Adds a row, and says what the best window with it holds; nothing when it is older than the window.
    pub fn add(&mut self, pane: u32, span: u32, item: W::Item, enough: u64) -> Option<Held> {
        if pane >= self.newest {
            self.newest = pane;
            self.window.add(pane, span, item);
            let value = self.window.value(pane, span, enough);
            return Some(Held { value, events: self.window.events(), end: pane });
        }
        let holds = u64::from(pane) + u64::from(span) > u64::from(self.newest);
        holds.then(|| self.window.add_late((pane, self.newest), span, item, enough))
    }
}

/// Lets go of a window into which nothing came for `length_us`.
pub(crate) fn forget<W>(late: &mut Option<Box<Late<W>>>, time: i64, length_us: i64) {
    late.take_if(|late| late.touched.saturating_add(length_us) <= time);
}
