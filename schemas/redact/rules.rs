//! Every rule of redaction by a name: words, endings, prefixes, decoders, grammars, schemes, telling words. A test can take
//! one out and see that secrets get through, which shows that the rule is needed and tested.
//!
//! Promises: a rule is asked for only where it is about to decide something, so the switch costs nothing on texts
//! without secrets; it is one thread's own.
//! Never: takes a rule out in the product: only `testing::without` does, for the length of one call.

use std::cell::Cell;

/// Kinds of rules. The names of a kind stand in its own table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Prefix,
    Word,
    Ending,
    Scheme,
    Telling,
    Vendor,
    Fixed,
}

/// Rules that are code: decoders and grammars.
macro_rules! fixed {
    ($($constant:ident $name:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Place { $($constant),* }
        $(pub(crate) const $constant: usize = Place::$constant as usize;)*
        static FIXED: &[&str] = &[$($name),*];
    };
}

fixed! {
    PERCENT "decode:percent";
    PERCENT_U "decode:percent-u";
    ENTITY_NUMBER "decode:entity-number";
    ENTITY_NAME "decode:entity-name";
    ESCAPE_X "decode:escape-x";
    ESCAPE_U "decode:escape-u";
    ESCAPE_OCTAL "decode:escape-octal";
    ESCAPE_CHAR "decode:escape-character";
    NUL "decode:utf16-in-text";
    QUOTED "decode:quoted-printable";
    BASE64 "decode:base64";
    BASE64_LINES "decode:base64-lines";
    BASE32 "decode:base32";
    HEX "decode:hex";
    HEX_PAIRS "decode:hex-pairs";
    UTF16 "decode:utf16";
    GZIP "decode:gzip";
    ZLIB "decode:zlib";
    DEFLATE "decode:deflate";
    PAIR "grammar:pair";
    NAME_VALUE "grammar:name-value";
    LIST "grammar:list";
    TABLE "grammar:table";
    ELEMENT "grammar:element";
    FLAG "grammar:flag";
    JWK "grammar:jwk";
    SEGMENT "grammar:segment";
    BOT "grammar:bot";
    USERINFO "grammar:userinfo";
    DSN "grammar:dsn";
    EMAIL "grammar:email";
    SPELLED "grammar:spelled-address";
    FOLD "decode:look-alikes";
    VENDOR "finder:vendor";
    PERSONAL "finder:personal";
    PEM "grammar:pem";
    KEY_LINES "grammar:key-lines";
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

/// Does this decoder or grammar count?
#[inline]
pub(crate) fn has(place: usize) -> bool {
    on(Kind::Fixed, place)
}

/// Did a test take a rule out? Then nothing that was remembered holds.
#[inline]
pub(crate) fn any_out() -> bool {
    OUT.get() != NONE
}

fn all() -> Vec<(String, u32)> {
    let mut rules = Vec::new();
    let mut add = |kind: Kind, label: &str, names: &mut dyn Iterator<Item = &str>| {
        for (place, name) in names.enumerate() {
            rules.push((format!("{label}{name}"), number(kind, place as u16)));
        }
    };
    add(Kind::Prefix, "prefix:", &mut super::shapes::SHAPES.iter().map(|shape| shape.prefix));
    add(Kind::Word, "word:", &mut super::words::all().iter().copied());
    add(Kind::Ending, "ending:", &mut super::names::ENDINGS.iter().map(|(ending, _)| *ending));
    add(Kind::Scheme, "scheme:", &mut super::schemes::SCHEMES.iter().map(|scheme| scheme.word));
    add(Kind::Telling, "telling:", &mut super::segments::TELLING.iter().map(|(word, _)| *word));
    add(Kind::Fixed, "", &mut FIXED.iter().copied());
    let vendors = super::vendor::names();
    rules.extend(vendors.map(|(place, name)| (format!("vendor:{name}"), number(Kind::Vendor, place as u16))));
    rules
}

/// For tests: what rules there are, and how it is without one.
#[doc(hidden)]
pub mod testing {
    /// The names of all rules.
    pub fn rules() -> Vec<String> {
        super::all().into_iter().map(|(name, _)| name).collect()
    }

    /// Invented keys that the rules of others fit, from which the table of vendors' shapes is made.
    pub fn upstream_keys() -> impl Iterator<Item = &'static str> {
        include_str!(concat!(env!("OUT_DIR"), "/vendor_keys.txt")).lines()
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
