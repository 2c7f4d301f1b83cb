//! Reads YAML for the configuration, and says what is wrong with it: where, at which key, and what was expected.
//!
//! Never: repeats a value, which may be a secret.

use std::path::Path;

/// Reads YAML; only `true` and `false` are a yes and a no.
pub fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true })
}

/// An error of the YAML reader as `file:line:column: key: what is wrong`.
pub fn explain(error: &serde_saphyr::Error, text: &str, path: &Path) -> String {
    let whole = error.without_snippet().to_string();
    let file = path.display();
    if text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#')) {
        return format!("{file}: holds nothing; expected keys and values");
    }
    match error.location() {
        Some(at) => {
            let (line, column) = (at.line(), at.column());
            let place = format!(" at line {line}, column {column}");
            let message = in_words(whole.strip_suffix(&place).unwrap_or(&whole));
            let key = key_before(text, line as usize, column as usize);
            let key = key.filter(|key| !message.contains(&format!("`{key}`"))).map(|key| format!("{key}: "));
            format!("{file}:{line}:{column}: {}{message}", key.unwrap_or_default())
        }
        None => format!("{file}: {whole}"),
    }
}

/// What the reader says of a value, for somebody who does not know its types.
fn in_words(message: &str) -> String {
    let text = match message {
        "invalid u8" => "expected a whole number from 0 to 255",
        "invalid u16" => "expected a whole number from 0 to 65535",
        "invalid u32" => "expected a whole number from 0 to 4294967295",
        "invalid u64" | "invalid usize" => "expected a whole number from 0 on",
        "invalid i32" | "invalid i64" => "expected a whole number",
        "invalid f64" => "expected a number",
        "expected sequence start" => "expected a list",
        "expected mapping start" => "expected keys and values",
        _ if message.starts_with("multiple YAML documents") => "a second document begins here; expected one",
        _ if message.starts_with("invalid bool") => "expected true or false",
        _ => {
            let Some(twice) = message.strip_prefix("duplicate mapping key: ") else { return message.to_owned() };
            let key = twice.split(", set DuplicateKeyPolicy").next().unwrap_or(twice);
            return format!("`{key}` is there twice; expected it once");
        }
    };
    text.to_owned()
}

/// The key whose value stands at this place.
fn key_before(text: &str, line: usize, column: usize) -> Option<&str> {
    let line = text.lines().nth(line.checked_sub(1)?)?;
    let end = line.char_indices().nth(column.checked_sub(1)?).map_or(line.len(), |(at, _)| at);
    let (before, behind) = (line[..end].trim_end(), line[end..].trim());
    // Where the value is missing, the place is that of the colon.
    let before = before.strip_suffix(':').or_else(|| (behind == ":").then_some(before))?;
    let begin = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    Some(&before[begin..]).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_by_its_key() {
        let told = |yaml: &str| {
            let error = parse::<crate::config::Config>(yaml).map(drop).expect_err(yaml);
            explain(&error, yaml, Path::new("a.yaml"))
        };
        let source =
            |more: &str| format!("data_dir: d\nsources:\n  - {{ name: a, kind: kong, files: [a.log], {more} }}\n");
        for (yaml, expected) in [
            ("data_dir: a\ndata_dir: b\n".to_owned(), "`data_dir` is there twice; expected it once"),
            ("data_dir: d\nsources:\nlake: {}\n".to_owned(), "sources: expected a list"),
            (source("trusted_hops: -1"), "trusted_hops: expected a whole number from 0"),
            (source("follow: \"yes\""), "follow: expected true or false"),
            (source("follow: yes"), "follow: expected true or false"),
            (source("folow: true"), "unknown field `folow`"),
            (source("follow: true") + "---\nlake: {}\n", "a.yaml:5:1: a second document begins here; expected one"),
            ("# nothing\n\n".to_owned(), "a.yaml: holds nothing; expected keys and values"),
        ] {
            let told = told(&yaml);
            assert!(told.starts_with("a.yaml:") && told.contains(expected), "{expected}: {told}");
        }
    }
}
