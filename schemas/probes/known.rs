//! Paths and parameters that only an attack asks for, by a list (`known_paths.txt`): weak spots of products, and files that nobody
//! should ask for.
//!
//! Promises: a name counts only as a whole (`/.env`, not `/v1/environments`); a text in which no name begins costs two look-ups for
//! each `/` and `.`; every line of the list is one that a test finds again.
//! Never: decides whether the request was answered; a detector does, with the status beside it.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::{EXPLOIT, SENSITIVE};

static LIST: &str = include_str!("known_paths.txt");

/// Where a name has to begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// At any segment.
    Segment,
    /// At the first segment.
    Root,
    /// Anywhere: an ending.
    Anywhere,
}

/// What has to be behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The end, or a sign that is not of the name.
    Name,
    /// Something below.
    Below,
    /// Anything.
    Open,
    /// The end of the path.
    Path,
}

struct Known {
    class: u16,
    begin: Begin,
    end: End,
}

struct List {
    paths: AhoCorasick,
    of_paths: Vec<Known>,
    /// Beginnings of parameters.
    parameters: Vec<(u16, String, End)>,
    /// Which four bytes a name begins with (three, where it has no more): a bit for each hash.
    begun: Begun,
}

static KNOWN: LazyLock<List> = LazyLock::new(|| {
    let (mut texts, mut of_paths, mut parameters) = (Vec::new(), Vec::new(), Vec::new());
    let mut begun = Begun::default();
    for (class, pattern) in lines() {
        let (pattern, end) = match pattern {
            _ if pattern.starts_with('*') => (pattern, End::Path),
            _ => match (pattern.strip_suffix('*'), pattern.ends_with('/')) {
                (Some(open), _) => (open, End::Open),
                (None, true) => (pattern, End::Below),
                (None, false) => (pattern, End::Name),
            },
        };
        let (text, begin) = match pattern.as_bytes()[0] {
            b'?' => {
                parameters.push((class, pattern[1..].to_string(), end));
                continue;
            }
            b'^' => (&pattern[1..], Begin::Root),
            b'*' => (&pattern[1..], Begin::Anywhere),
            _ => (pattern, Begin::Segment),
        };
        begun.add(text.as_bytes());
        texts.push(text.to_string());
        of_paths.push(Known { class, begin, end });
    }
    let paths = AhoCorasick::builder().ascii_case_insensitive(true).build(texts);
    List { paths: paths.expect("the list is a fixed one"), of_paths, parameters, begun }
});

/// Class and pattern of each line.
fn lines() -> impl Iterator<Item = (u16, &'static str)> {
    LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).filter_map(|line| {
        let (class, pattern, _) = columns(line)?;
        Some((if class == "exploit" { EXPLOIT } else { SENSITIVE }, pattern))
    })
}

/// Class, pattern and what it is: columns two blanks apart.
fn columns(line: &str) -> Option<(&str, &str, &str)> {
    let (class, rest) = line.split_once("  ")?;
    let (pattern, what) = rest.trim_start().split_once("  ")?;
    Some((class, pattern, what.trim_start()))
}

/// May a name of the list begin here? Asked of every path, so it is an answer out of a small table.
pub(super) fn may_begin(path: &[u8]) -> bool {
    let begun = &KNOWN.begun;
    memchr::memchr2_iter(b'/', b'.', path).any(|at| begun.has(&path[at..]))
}

/// The classes of the names in a path.
pub(super) fn of_path(path: &str) -> u16 {
    if !may_begin(path.as_bytes()) {
        return 0;
    }
    let known = &*KNOWN;
    let end = path.trim_end_matches('/').len();
    let mut classes = 0;
    for hit in known.paths.find_overlapping_iter(path) {
        let of = &known.of_paths[hit.pattern().as_usize()];
        let behind = path.as_bytes().get(hit.end());
        let ends = match of.end {
            End::Open => true,
            End::Below => behind.is_some(),
            End::Path => hit.end() >= end,
            End::Name => !behind.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
        };
        if ends && (of.begin != Begin::Root || hit.start() == 0) {
            classes |= of.class;
        }
    }
    classes
}

/// The classes of one parameter of a query, in small letters.
pub(super) fn of_parameter(parameter: &str) -> u16 {
    let begins = |(_, text, end): &&(u16, String, End)| {
        parameter.strip_prefix(text.as_str()).is_some_and(|behind| {
            *end == End::Open || !behind.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
    };
    KNOWN.parameters.iter().filter(begins).fold(0, |all, (class, ..)| all | class)
}

/// How names begin.
struct Begun([u64; 1 << 10]);

impl Default for Begun {
    fn default() -> Begun {
        Begun([0; 1 << 10])
    }
}

impl Begun {
    fn place(begin: [u8; 4]) -> usize {
        // Letters in one case; other signs fall on each other, which costs a search and no more.
        (u32::from_le_bytes(begin.map(|b| b | 0x20)).wrapping_mul(0x9e37_79b1) >> 16) as usize
    }

    fn add(&mut self, text: &[u8]) {
        let place = match text {
            [a, b, c, d, ..] => Begun::place([*a, *b, *c, *d]),
            [a, b, c] => Begun::place([*a, *b, *c, 0]),
            _ => unreachable!("a name of the list has two signs behind its first"),
        };
        self.0[place >> 6] |= 1 << (place & 63);
    }

    fn has(&self, text: &[u8]) -> bool {
        let is_set = |begin| {
            let place = Begun::place(begin);
            self.0[place >> 6] >> (place & 63) & 1 == 1
        };
        match text {
            [a, b, c, d, ..] => is_set([*a, *b, *c, *d]) || is_set([*a, *b, *c, 0]),
            [a, b, c] => is_set([*a, *b, *c, 0]),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_one_and_is_found_again() {
        let mut seen = std::collections::HashSet::new();
        let (mut exploits, mut files) = (0, 0);
        for line in LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let Some((class, pattern, what)) = columns(line) else { panic!("{line}: expected three columns") };
            assert!(matches!(class, "exploit" | "sensitive") && !what.is_empty(), "{line}");
            assert!(seen.insert(pattern) && pattern.to_lowercase() == pattern && line.len() <= 150, "{line}");
            let (text, wild) = (pattern.trim_start_matches(['^', '*', '?']), pattern[1..].find('*'));
            assert!(text.len() > 3 && wild.is_none_or(|at| at + 2 == pattern.len()), "{line}");
            assert!(pattern.starts_with(['/', '^', '*', '?']), "{line}");
            // `redact/form.rs` looks once at all paths that differ in numbers.
            assert!(
                !text.split('/').any(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())),
                "{line}"
            );
            let expected = if class == "exploit" { EXPLOIT } else { SENSITIVE };
            let text = text.trim_end_matches('*');
            let found = match pattern.as_bytes()[0] {
                b'?' => of_parameter(&format!("{text}=1").replace("==", "=")) | of_parameter(text),
                b'*' => of_path(&format!("/files/x{text}")),
                b'^' => of_path(&format!("{text}x")) | of_path(text),
                _ => of_path(&format!("/app{}x", text.to_uppercase())) | of_path(&format!("/app{text}")),
            };
            assert!(found & expected != 0, "{line}");
            *(if class == "exploit" { &mut exploits } else { &mut files }) += 1;
        }
        assert!(exploits >= 200 && files >= 200, "{exploits} {files}");
    }

    #[test]
    fn what_an_api_may_have_is_none() {
        for path in [
            "/v1/environments",
            "/v1/env",
            "/api/env/7",
            "/api/backup-policies",
            "/api/backups/7",
            "/git/repositories",
            "/v1/git",
            "/v1/config",
            "/api/configurations/web.configuration",
            "/v1/credentials",
            "/v1/secrets/7",
            "/v1/users/sign_in",
            "/v1/shells",
            "/api/shell",
            "/v1/console",
            "/v1/scripts",
            "/api/script",
            "/actuator/health",
            "/actuator/info",
            "/actuator/prometheus",
            "/health",
            "/v1/status",
            "/v1/dump-trucks",
            "/v1/sql",
            "/v1/reports/sqlserver",
            "/.well-known/openid-configuration",
            "/.well-known/acme-challenge/x",
            "/.well-known/security.txt",
            "/api/jolokia-agents",
            "/v1/uploads/user",
            "/api/v1/license",
            "/app.envelope",
            "/docs/environment",
            "/swagger.json",
            "/openapi.yaml",
            "/robots.txt",
            "/sitemap.xml",
            "/favicon.ico",
            "/autodiscover/autodiscover.json",
            "/wp-content/uploads/2024/a.jpg",
            "/wp-login.php",
        ] {
            assert_eq!(of_path(path), 0, "{path}");
        }
        for parameter in ["s=captcha", "type=raw", "class=module", "lang=en", "method=post", "option=com"] {
            assert_eq!(of_parameter(parameter), 0, "{parameter}");
        }
    }

    #[test]
    fn a_name_counts_as_a_whole() {
        for (path, class) in [
            ("/.env", SENSITIVE),
            ("/api/.env/7", SENSITIVE),
            ("//.ENV", SENSITIVE),
            ("/.env.production", SENSITIVE),
            ("/.git/config", SENSITIVE),
            ("/a/.git", SENSITIVE),
            ("/dump.sql", SENSITIVE),
            ("/dump.sql/", SENSITIVE),
            ("/dump.sqlx", 0),
            ("/.environment", 0),
            ("/.gitea", 0),
            ("/env", SENSITIVE),
            ("/_ignition/execute-solution", EXPLOIT),
            ("/x/_ignition/execute-solutions", 0),
        ] {
            assert_eq!(of_path(path), class, "{path}");
        }
    }
}
