//! Endpoints as a list in the configuration: `GET /v1/orders/{id}`, `* /health`, `/v1/users/:id`.
//!
//! Promises: a line that is none is refused with its number, its place and what was expected.

use super::{TemplateError, Templates};
use crate::route::pattern::Pattern;

impl Templates {
    /// Reads a list; `place` is its name in errors, the line is the number of the entry. A method may be absent or `*`.
    pub fn list<S: AsRef<str>>(entries: &[S], place: &str) -> Result<Templates, TemplateError> {
        let mut templates = Templates::default();
        for (number, entry) in entries.iter().enumerate() {
            let error =
                |message| TemplateError { file: place.to_string(), line: number as u64 + 1, column: 1, message };
            let entry = entry.as_ref().trim();
            let (method, path) = split(entry).map_err(error)?;
            let pattern = Pattern::parse(path).map_err(|expected| error(format!("{entry:?}: {expected}")))?;
            let methods: &[&str] = if method.is_empty() { &[] } else { &[&method] };
            templates.add(None, pattern, methods).map_err(error)?;
        }
        Ok(templates)
    }
}

/// Method in upper case (empty for any) and path.
fn split(entry: &str) -> Result<(String, &str), String> {
    if entry.starts_with('/') {
        return Ok((String::new(), entry));
    }
    let expected = || format!("{entry:?}: expected METHOD /path/{{name}}, for example GET /v1/orders/{{id}}");
    let (method, path) = entry.split_once(char::is_whitespace).ok_or_else(expected)?;
    let any = method == "*" || method.eq_ignore_ascii_case("any");
    let fits = (2..=16).contains(&method.len()) && method.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
    if !any && !fits {
        return Err(expected());
    }
    let method = if any { String::new() } else { method.to_ascii_uppercase() };
    Ok((method, path.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::told;
    use super::*;

    #[test]
    fn a_list_is_matched() {
        let entries = [
            "GET /v1/orders/{id}",
            "post /v1/orders",
            "* /health",
            "/v1/users/:name",
            "GET /v1/orders/latest",
            "GET /files/*",
        ];
        let templates = Templates::list(&entries, "sources: shop: endpoints").expect("a list");
        for (method, path, expected) in [
            ("GET", "/v1/orders/7", "/v1/orders/{id}"),
            ("HEAD", "/v1/orders/7", "/v1/orders/{id}"),
            ("OPTIONS", "/v1/orders", "/v1/orders"),
            ("DELETE", "/v1/orders/7", "/v1/orders/{id} (undocumented)"),
            ("GET", "/v1/orders/latest", "/v1/orders/latest"),
            ("POST", "/v1/orders", "/v1/orders"),
            ("PURGE", "/health", "/health"),
            ("PUT", "/v1/users/alice/", "/v1/users/{name}"),
            ("GET", "/files/a/b/c", "/files/{rest}"),
            ("GET", "/files", "-"),
            ("GET", "/v1/orders/7/items", "-"),
        ] {
            assert_eq!(told(&templates, "any.example", method, path), (expected.to_string(), true), "{method} {path}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (entry, expected) in
            [("orders", "expected METHOD"), ("G /x", "expected METHOD"), ("GET x", "begins with /")]
        {
            let error = Templates::list(&["/ok", entry], "endpoints").expect_err("it is wrong");
            assert_eq!((error.file.as_str(), error.line), ("endpoints", 2));
            assert!(error.message.contains(expected) && error.message.contains(entry), "{error}");
        }
    }
}
