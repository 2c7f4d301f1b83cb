//! The gateway's own route, where it logs one: `GET /pets/{petId}`, `/pets/:id`, `ANY /pets/<id>`.
//!
//! Promises: only a route that the end of the path agrees with is used (before it may stand a stage or a base path), or one
//! without a path beside it; and only one that says more than the path by itself: not `/`, not `/{proxy+}`, not `$default`,
//! not the name of a route.
//! Never: shows a route that redaction would change.

use crate::hash::{self, FastMap};
use crate::limits::ROUTES_MAX;
use crate::redact::{Found, Scrubber};

use super::pattern::{Pattern, matches_bits};

/// Segments that may stand before a route: a stage, a base path.
const PREFIX_SEGMENTS_MAX: usize = 3;

/// The routes that were seen, taken apart.
pub(super) struct Routes {
    known: FastMap<Box<str>, Option<Pattern>>,
}

impl Default for Routes {
    fn default() -> Routes {
        Routes { known: hash::map() }
    }
}

impl Routes {
    /// The template a gateway means by `route`, and how many segments of `path` stand before it.
    pub(super) fn find(&mut self, route: &str, path: &[&str], scrubber: &mut Scrubber) -> Option<(&Pattern, usize)> {
        let pattern = self.alone(route, scrubber).filter(|pattern| !pattern.has_tail)?;
        let before = path.len().checked_sub(pattern.segments.len())?;
        let fits = |(bits, segment): (&Vec<_>, &&str)| matches_bits(bits, segment, |_, _| {});
        let may_precede = if pattern.has_param() { PREFIX_SEGMENTS_MAX } else { 0 };
        let agrees = before <= may_precede && pattern.segments.iter().zip(&path[before..]).all(fits);
        agrees.then_some((pattern, before))
    }

    /// The template a gateway means by `route`, of a request whose path it does not log.
    pub(super) fn alone(&mut self, route: &str, scrubber: &mut Scrubber) -> Option<&Pattern> {
        if !self.known.contains_key(route) {
            if self.known.len() >= ROUTES_MAX {
                self.known.clear();
            }
            self.known.insert(route.into(), read(route, scrubber));
        }
        self.known.get(route)?.as_ref()
    }
}

fn read(route: &str, scrubber: &mut Scrubber) -> Option<Pattern> {
    let path = match route.split_once(' ') {
        Some((method, path)) if method.bytes().all(|b| b.is_ascii_alphabetic() || b == b'*') => path.trim_start(),
        _ => route,
    };
    let pattern = Pattern::parse(path).ok()?;
    // A name in braces is no name to redaction: the route as it was logged tells more.
    let mut is_clean = |text: &str| scrubber.scrub(text, &mut String::new(), &mut Found::default()) == text;
    let clean = is_clean(&pattern.text) && is_clean(route);
    (clean && pattern.has_literal()).then_some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(route: &str, path: &str, expected: Option<&str>) {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let mut routes = Routes::default();
        let found =
            routes.find(route, &segments, &mut Scrubber::default()).map(|(pattern, _)| pattern.text.to_string());
        assert_eq!(found.as_deref(), expected, "{route} of {path}");
    }

    #[test]
    fn templates_are_used_and_catch_alls_are_not() {
        check("/pets/{petId}", "/pets/fluffy", Some("/pets/{petId}"));
        check("GET /pets/{petId}", "/pets/fluffy", Some("/pets/{petId}"));
        check("ANY /pets/:id/toys", "/pets/7/toys", Some("/pets/{id}/toys"));
        check("/pets/<id>", "/prod/v1/pets/7", Some("/pets/{id}"));
        check("/pets", "/pets", Some("/pets"));
        for route in
            ["/", "/*", "$default", "/{proxy+}", "ANY /{proxy+}", "/{x}", "pets-route", "~/pets/(?<id>[0-9]+)$"]
        {
            check(route, "/pets", None);
        }
        check("/pets", "/pets/7", None);
        check("/pets", "/v1/pets", None);
        check("/pets/{petId}", "/owners/7", None);
        check("/pets/{petId}", "/a/b/c/d/pets/7", None);
    }

    #[test]
    fn without_a_path_the_route_says_what_was_asked() {
        let mut routes = Routes::default();
        for (route, expected) in [
            ("GET /a/{id}", Some("/a/{id}")),
            ("ANY /files/{proxy+}", Some("/files/{proxy}")),
            ("/pets", Some("/pets")),
            ("$default", None),
            ("$connect", None),
            ("send", None),
            ("ANY /{proxy+}", None),
        ] {
            let found = routes.alone(route, &mut Scrubber::default()).map(|pattern| pattern.text.to_string());
            assert_eq!(found.as_deref(), expected, "{route}");
        }
    }
}
