//! Commands a person can copy: the program as it was called, and words quoted for a shell.
//!
//! Never: runs a command.

use std::ffi::OsStr;

/// How the program was called: with its folder if that was typed, else by its name.
pub fn program() -> String {
    called_as(&std::env::args_os().next().unwrap_or_default())
}

fn called_as(typed: &OsStr) -> String {
    match typed.to_str() {
        Some(path) if path.contains('/') => quoted(path),
        _ => "gatewatch".to_owned(),
    }
}

/// A text as one word of a shell command.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-@:,+=".contains(c);
    let is_plain = !text.is_empty() && text.chars().all(plain);
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_named_as_it_was_called() {
        for (typed, named) in [
            ("bin/gatewatch", "bin/gatewatch"),
            ("/opt/my tools/gatewatch", "'/opt/my tools/gatewatch'"),
            ("gatewatch", "gatewatch"),
            ("gw", "gatewatch"),
            ("", "gatewatch"),
        ] {
            assert_eq!(called_as(OsStr::new(typed)), named);
        }
    }

    #[test]
    fn only_what_a_shell_would_change_is_quoted() {
        for (text, word) in [
            ("./demo-lake", "./demo-lake"),
            ("access.log.1", "access.log.1"),
            ("/srv/my data", "'/srv/my data'"),
            ("it's", r"'it'\''s'"),
            ("~", "'~'"),
            ("$HOME", "'$HOME'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(text), word);
        }
    }
}
