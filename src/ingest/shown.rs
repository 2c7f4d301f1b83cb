//! Paths as they are shown in logs, errors and warnings.
//!
//! Promises: one line, whatever the name of a file holds: who may name files cannot write lines of the log, nor colour a
//! terminal. What is not UTF-8 is shown as well as text can.

use std::fmt::{self, Display, Write};
use std::path::Path;

/// Shows a path with escapes for what is no printable character.
pub fn shown(path: &Path) -> Shown<'_> {
    Shown(path)
}

pub struct Shown<'a>(&'a Path);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string_lossy().chars() {
            if turns(c) { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

/// Control characters, ends of lines, and what turns the direction of writing.
fn turns(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_and_stays_what_it_is() {
        let told = |name: &str| shown(Path::new(name)).to_string();
        assert_eq!(told("/var/log/größe 1.log"), "/var/log/größe 1.log");
        assert_eq!(told("a\n2026-01-01 ERROR forged\r\u{1b}[31m"), "a\\n2026-01-01 ERROR forged\\r\\u{1b}[31m");
        assert_eq!(told("a\u{202e}gol"), "a\\u{202e}gol");
    }
}
