//! Configured templates: what an OpenAPI document or a list in the configuration says there is. Several merge into one.
//!
//! Promises: hosts and base paths are kept apart; a concrete segment beats a templated one, from left to right, so the
//! longest base path wins; HEAD falls under the GET of a path and OPTIONS under any. The work per request is bounded.
//! Never: reads a file; the caller does.

mod list;
mod openapi;
#[cfg(test)]
mod openapi_tests;
mod operations;
mod trie;

use crate::hash::FastMap;
use crate::limits::TEMPLATES_MAX;
use crate::route::pattern::Pattern;
pub use operations::Operation;
pub(super) use trie::Endpoint;
use trie::Trie;

/// The endpoints there are, by host.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    /// Of every host.
    any: Trie,
    hosts: FastMap<Box<str>, Trie>,
    /// Hosts with labels that vary, written `*`.
    wildcards: Vec<(Box<str>, Trie)>,
    count: usize,
}

/// What is wrong with an OpenAPI document or a list of endpoints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct TemplateError {
    pub file: String,
    pub line: u64,
    pub column: u64,
    pub message: String,
}

/// What the documents say of a request.
pub(super) struct Match<'t> {
    pub(super) endpoint: &'t Endpoint,
    /// The method is one of the endpoint's.
    pub(super) documented: bool,
}

impl Templates {
    /// Nothing is configured.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many templates there are, each host's counted.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Takes what `other` has as well. Of the same template the earlier one keeps its names.
    pub fn merge(&mut self, other: Templates) {
        self.count += other.count;
        self.any.merge(other.any);
        for (host, trie) in other.hosts {
            self.hosts.entry(host).or_default().merge(trie);
        }
        for (host, trie) in other.wildcards {
            self.wildcard(&host).merge(trie);
        }
    }

    /// Adds an endpoint; `host` is in lower case, with `*` for what varies, `None` for all. An empty list of methods is any.
    fn add(&mut self, host: Option<&str>, pattern: Pattern, methods: &[&str]) -> Result<(), String> {
        self.count += 1;
        if self.count > TEMPLATES_MAX {
            return Err(format!("expected at most {TEMPLATES_MAX} endpoints, each counted once per server"));
        }
        let trie = match host {
            None => &mut self.any,
            Some(host) if host.contains('*') => self.wildcard(host),
            Some(host) => self.hosts.entry(host.into()).or_default(),
        };
        pattern.spellings().into_iter().for_each(|pattern| trie.add(pattern, methods));
        Ok(())
    }

    fn wildcard(&mut self, host: &str) -> &mut Trie {
        let at = self.wildcards.iter().position(|(known, _)| **known == *host).unwrap_or_else(|| {
            self.wildcards.push((host.into(), Trie::default()));
            self.wildcards.len() - 1
        });
        &mut self.wildcards[at].1
    }

    /// What the documents say of `method` on the segments of a path: the endpoint, if one fits, and whether any document
    /// covers the host.
    pub(super) fn find<'t>(&'t self, host: Option<&str>, method: &str, path: &[&str]) -> (Option<Match<'t>>, bool) {
        let (mut best, mut covered) = (None, !self.any.is_empty());
        let mut consider = |trie: &'t Trie| {
            let found = trie.find(method, path);
            let better =
                found.as_ref().is_some_and(|f| best.as_ref().is_none_or(|b: &Match<'t>| f.documented && !b.documented));
            if better {
                best = found;
            }
        };
        match host {
            Some(host) => {
                for trie in self.of_host(host) {
                    covered = true;
                    consider(trie);
                }
            }
            // The record does not say which host: whatever fits is right.
            None => self.wildcards.iter().map(|(_, trie)| trie).for_each(&mut consider),
        }
        if host.is_none() && self.hosts.len() <= HOSTS_TRIED_MAX {
            let mut names: Vec<&str> = self.hosts.keys().map(|host| &**host).collect();
            names.sort_unstable();
            names.iter().filter_map(|name| self.hosts.get(*name)).for_each(&mut consider);
        }
        consider(&self.any);
        (best, covered)
    }

    fn of_host(&self, host: &str) -> impl Iterator<Item = &Trie> {
        let exact = self.hosts.get(host);
        let wild = self.wildcards.iter().filter(move |(pattern, _)| fits(pattern, host)).map(|(_, trie)| trie);
        exact.into_iter().chain(wild)
    }
}

/// Hosts whose documents are tried for a record that names no host; with more of them none is.
const HOSTS_TRIED_MAX: usize = 8;

/// Does a host have the form of `pattern`, in which `*` is one or more characters of a label?
fn fits(pattern: &str, host: &str) -> bool {
    let (mut patterns, mut labels) = (pattern.split('.'), host.split('.'));
    loop {
        match (patterns.next(), labels.next()) {
            (None, None) => return true,
            (Some(pattern), Some(label)) if fits_label(pattern, label) => {}
            _ => return false,
        }
    }
}

fn fits_label(pattern: &str, label: &str) -> bool {
    match (pattern.split_once('*'), pattern.rsplit_once('*')) {
        (Some((before, _)), Some((_, after))) => {
            label.len() > before.len() + after.len() && label.starts_with(before) && label.ends_with(after)
        }
        _ => pattern == label,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `METHOD /template documented` of what the documents say, or `-`; then whether a document covers the host.
    pub(super) fn told(templates: &Templates, host: &str, method: &str, path: &str) -> (String, bool) {
        let segments: Vec<&str> = path.split('/').skip(1).filter(|segment| !segment.is_empty()).collect();
        let (found, covered) = templates.find(Some(host).filter(|host| !host.is_empty()), method, &segments);
        let text = found.map_or("-".to_string(), |f| {
            format!("{}{}", f.endpoint.pattern.text, if f.documented { "" } else { " (undocumented)" })
        });
        (text, covered)
    }

    #[test]
    fn hosts_with_labels_that_vary() {
        for (pattern, host, expected) in [
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.b.example.com", false),
            ("api-*.example.com", "api-eu.example.com", true),
            ("api-*.example.com", "api-.example.com", false),
            ("api.example.com", "api.example.com", true),
        ] {
            assert_eq!(fits(pattern, host), expected, "{pattern} {host}");
        }
    }
}
