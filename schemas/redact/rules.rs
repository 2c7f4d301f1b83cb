//! Every rule of redaction by a name: words, classes, decoders, grammars, schemes, telling words, prefixes. A test can
//! take one out and see that secrets get through, which shows that the rule is needed and tested.
//!
//! Promises: a rule is asked for only where it is about to decide something, so the switch costs nothing on texts
//! without secrets; it is one thread's own.
//! Never: takes a rule out in the product: only `testing::without` does, for the length of one call.

use std::cell::Cell;

/// Kinds of rules, and where each keeps its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Prefix,
}


const NONE: u32 = u32::MAX;

thread_local! {
    static OUT: Cell<u32> = const { Cell::new(NONE) };
}

const fn number(kind: Kind, place: u16) -> u32 {
    (kind as u32) << 16 | place as u32
}

/// Does this rule count? Always, but in a test that took it out.
#[inline]
pub(crate) fn on(kind: Kind, place: usize) -> bool {
    OUT.get() != number(kind, place as u16)
}

fn all() -> Vec<(String, u32)> {
    let mut rules = Vec::new();
    let mut add = |kind: Kind, label: &str, names: &mut dyn Iterator<Item = &str>| {
        for (place, name) in names.enumerate() {
            rules.push((format!("{label}:{name}"), number(kind, place as u16)));
        }
    };
    add(Kind::Prefix, "prefix", &mut super::classes::SHAPES.iter().map(|shape| shape.prefix));
    rules
}

/// For tests: what rules there are, and how it is without one.
#[doc(hidden)]
pub mod testing {
    /// The names of all rules.
    pub fn rules() -> Vec<String> {
        super::all().into_iter().map(|(name, _)| name).collect()
    }

    /// What `f` returns when `rule` does not count, on this thread.
    pub fn without<T>(rule: &str, f: impl FnOnce() -> T) -> T {
        struct Back(u32);
        impl Drop for Back {
            fn drop(&mut self) {
                super::OUT.set(self.0);
            }
        }
        let number = super::all().into_iter().find(|(name, _)| name == rule).map(|(_, number)| number);
        let number = number.unwrap_or_else(|| panic!("no rule is called {rule}"));
        let _back = Back(super::OUT.replace(number));
        f()
    }
}
