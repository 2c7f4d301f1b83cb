//! One cheap pass over a text that tells whether it can hold a secret at all. Most cannot, and are done.
//!
//! Promises: no allocation; a text that any finder of `find.rs` or `decode.rs` would report never counts as clean.
//! Never: decides that something IS a secret.

pub(crate) const AT: u16 = 1;
pub(crate) const PERCENT: u16 = 2;
pub(crate) const BACKSLASH: u16 = 4;
/// `=` or `:`, between a key and its value.
pub(crate) const PAIR: u16 = 8;
/// White space or `+`, as in `Bearer x`.
pub(crate) const SPACE: u16 = 16;
/// A control character: printed as `\\x1b`, lest it does something to a terminal or a database.
pub(crate) const CONTROL: u16 = 512;
/// `/`, between segments of a path.
pub(crate) const SLASH: u16 = 1024;
/// `<`, of an element.
pub(crate) const MARKUP: u16 = 2048;
/// `;` at the end of an HTML entity, or `#` in it.
pub(crate) const ENTITY: u16 = 4096;
/// A quote, or a `,` of a list.
pub(crate) const QUOTE: u16 = 8192;
/// An opening bracket, as in `anna[at]mail.example`.
pub(crate) const OPEN: u16 = 16384;
const DIGIT: u16 = 32;
/// Between the digits of a card number.
const SEPARATOR: u16 = 64;
/// Part of a long token.
const TOKEN: u16 = 128;
/// Neither hexadecimal (lower case) nor `-`: of ids made of those alone only long ones can hide something.
const MIXED: u16 = 256;

/// Shortest run of token characters in which a shape or base64 is looked for.
pub(crate) const RUN_MIN: u32 = 10;
/// Shortest run of hexadecimal digits that may be a text with a secret in it.
pub(crate) const HEX_MIN: u32 = 20;
/// Shortest id that is one, where a word tells that it is a secret.
pub(crate) const ID_MIN: u32 = 16;
/// Fewest digits of a number that tells of a person.
pub(super) const DIGITS_MIN: u32 = 6;
/// The same in a text of hexadecimal digits alone, where no group and no word stands: those of an account in Andorra.
const HEX_DIGITS_MIN: u32 = 10;

static TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0u16; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        let mut flags = 0;
        if b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+' | b'$') {
            flags |= TOKEN;
        }
        if !matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-') {
            flags |= MIXED;
        }
        flags |= match b {
            b'0'..=b'9' => DIGIT,
            // First bytes of digits of other alphabets, see `personal`.
            0xd9 | 0xdb | 0xe0 | 0xf0 => SEPARATOR | DIGIT,
            // And of the signs `：`, `＝` and `＠`.
            0xef => SEPARATOR | DIGIT | PAIR | AT,
            // Of languages that put no blanks between words.
            0xe3..=0xed => SEPARATOR | SPACE,
            b'-' | b'.' | b'_' | b'|' | b'*' | b'~' | 0x80.. => SEPARATOR,
            b'[' | b'(' | b'{' => OPEN,
            b'+' => SEPARATOR | SPACE,
            b' ' => SEPARATOR | SPACE,
            b'\t' => SPACE | CONTROL | SEPARATOR,
            b'\n' | b'\r' => SPACE | CONTROL,
            0..0x20 | 0x7f => CONTROL,
            b'@' => AT,
            b'%' => PERCENT,
            b'\\' => BACKSLASH,
            b'=' => PAIR,
            b':' => PAIR | SEPARATOR,
            b'/' => SLASH | SEPARATOR,
            b'<' => MARKUP,
            b';' | b'#' => ENTITY,
            b'"' | b'\'' | b'`' => QUOTE,
            b',' => QUOTE | SEPARATOR,
            _ => 0,
        };
        table[i] = flags;
        i += 1;
    }
    table
}

/// What a text is made of.
#[derive(Clone, Copy)]
pub(crate) struct Profile {
    pub(crate) flags: u16,
    /// Longest run of token characters that are not all hexadecimal.
    pub(crate) run: u32,
    /// Longest run of token characters.
    pub(crate) run_all: u32,
    /// Most digits in a row, counted over separators.
    pub(crate) digits: u32,
}

impl Profile {
    /// Without a branch per byte: in identifiers no processor can guess whether a letter or a digit comes next.
    #[inline]
    pub(crate) fn of(text: &[u8]) -> Profile {
        /// All ones when one of these flags is set, else nothing.
        fn mask(found: u16, flags: u16) -> u32 {
            0u32.wrapping_sub(u32::from(found & flags != 0))
        }
        let flags = text.iter().fold(0, |flags, &b| flags | TABLE[usize::from(b)]);
        let (mut run, mut run_flags, mut run_max, mut run_all) = (0u32, 0u16, 0u32, 0u32);
        let (mut digits, mut digits_max) = (0u32, 0u32);
        if flags & (MIXED | SEPARATOR) == 0 {
            // The usual id: one run, in which only the digits are counted.
            for &b in text {
                digits = digits.wrapping_add(1) & mask(TABLE[usize::from(b)], DIGIT);
                digits_max = digits_max.max(digits);
            }
            return Profile { flags, run: 0, run_all: text.len() as u32, digits: digits_max };
        }
        for &b in text {
            let f = TABLE[usize::from(b)];
            let in_token = mask(f, TOKEN);
            run = run.wrapping_add(1) & in_token;
            run_flags = (run_flags | f) & in_token as u16;
            run_all = run_all.max(run);
            run_max = run_max.max(run & mask(run_flags, MIXED));
            digits = digits.wrapping_add(u32::from(f & DIGIT != 0)) & mask(f, DIGIT | SEPARATOR);
            digits_max = digits_max.max(digits);
        }
        Profile { flags, run: run_max, run_all, digits: digits_max }
    }

    /// Nothing in it can be or name a secret; only numbers that tell of a person can be one, and hexadecimal ones hide one.
    #[inline]
    pub(crate) fn is_id(self) -> bool {
        self.flags & (AT | PERCENT | BACKSLASH | PAIR | SPACE | CONTROL | MARKUP | ENTITY | QUOTE | OPEN) == 0
            && self.run < RUN_MIN
    }

    /// Hexadecimal digits (lower case) and nothing else.
    #[inline]
    pub(crate) fn is_hex(self) -> bool {
        !self.has(MIXED | SEPARATOR)
    }

    /// Are there so many digits in a row that they can be a number that tells of a person?
    #[inline]
    pub(crate) fn may_be_number(self) -> bool {
        self.digits >= if self.is_hex() { HEX_DIGITS_MIN } else { DIGITS_MIN }
    }

    /// Nothing in it can be, name or hide a secret.
    #[inline]
    pub(crate) fn is_clean(self) -> bool {
        self.is_id() && !self.may_be_number() && self.run_all < ID_MIN
    }

    pub(crate) fn has(self, flags: u16) -> bool {
        self.flags & flags != 0
    }
}
