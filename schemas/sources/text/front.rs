//! What stands before the client in the lines of a lane: nothing, or something that a client may have written.
//!
//! `203.0.113.66 - 198.51.100.77 - - [..` is a client and a user name like a client, or a list like a client and the client. One
//! line does not say which; the lines of a lane do, for a gateway writes all of them alike. Where a list or a host stands first, it
//! is `-`, a name or another address in ordinary lines, which no line without it can look like, whatever its user is called.
//! Promises: nothing is known before `LINES` lines have begun with the client and none otherwise; one that begins otherwise is
//! never forgotten; the same lines in the same order say the same, however they are cut into batches.
//! Never: believes a line that can be read in two ways.

use serde::{Deserialize, Serialize};

/// Lines that begin with the client, and none that does not, before a lane is known to have nothing before it. Where something
/// does stand there, whoever wants to pass for another must be alone in the lane for so long from its first line on.
const LINES: u8 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Front {
    /// So many lines began with the client, and none otherwise.
    Nothing(u8),
    Something,
}

impl Default for Front {
    fn default() -> Front {
        Front::Nothing(0)
    }
}

impl Front {
    /// A line without doubt begins with the client, or does not.
    pub(super) fn observe(&mut self, begins_with_client: bool) {
        *self = match *self {
            Front::Nothing(lines) if begins_with_client => Front::Nothing(lines.saturating_add(1).min(LINES)),
            _ => Front::Something,
        };
    }

    pub(crate) fn is_nothing(self) -> bool {
        self == Front::Nothing(LINES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_lines_say_it_and_one_takes_it_back_for_ever() {
        let mut front = Front::default();
        for _ in 0..99 {
            front.observe(true);
        }
        assert!(!front.is_nothing());
        front.observe(true);
        assert!(front.is_nothing());
        let saved = serde_json::to_string(&front).expect("JSON");
        assert_eq!(serde_json::from_str::<Front>(&saved).ok(), Some(front));
        front.observe(false);
        (0..1_000).for_each(|_| front.observe(true));
        assert_eq!((front, front.is_nothing()), (Front::Something, false));
    }
}
