//! The repository's own rules, as a test: who may know whom, how long a file may be, that each module says what it is
//! for, and that nothing unfinished is left.

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn walk(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.expect("a directory entry can be read").path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            walk(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

fn sources(dirs: &[&str]) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for dir in dirs {
        walk(&root().join(dir), ".rs", &mut paths);
    }
    paths.sort();
    assert!(!paths.is_empty(), "no source file below {dirs:?}");
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        (name, fs::read_to_string(path).expect("a source file is readable UTF-8"))
    };
    paths.iter().map(read).collect()
}

/// A rule over every file: `broken` returns what is wrong with it.
fn check(dirs: &[&str], broken: impl Fn(&str, &str) -> Option<String>) {
    let complaints: Vec<String> = sources(dirs)
        .iter()
        .filter_map(|(name, text)| broken(name, text).map(|why| format!("{name}: {why}")))
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_module_says_what_it_is_for() {
    check(&["schemas", "detectors", "src", "benches", "tests"], |_, text| {
        (!text.starts_with("//!")).then(|| "does not open with a //! header".to_owned())
    });
}

#[test]
fn files_stay_readable() {
    check(&["schemas", "detectors", "src", "tests"], |_, text| {
        let lines = text.lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{lines} lines; split it before {FILE_LINES_MAX}"))
    });
}

#[test]
fn nothing_unfinished_is_left() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];
    check(&["schemas", "detectors", "src", "benches", "tests"], |_, text| {
        marks.iter().find(|mark| text.contains(*mark)).map(|mark| format!("contains {mark}"))
    });
}

/// Another database can take the place of SQLite in one folder.
#[test]
fn what_only_one_database_has_is_in_the_store() {
    let only_sqlite = ["INSERT OR ", "REPLACE INTO", " GLOB ", "PRAGMA", "rowid", "total_changes", "instr(", "ifnull("];
    check(&["src"], |name, text| {
        let spoken =
            only_sqlite.iter().find(|word| text.lines().any(|line| line.contains('"') && line.contains(**word)));
        spoken.filter(|_| !name.starts_with("src/store/")).map(|word| format!("says {word:?} to the database"))
    });
}

/// `schemas` knows nobody, `detectors` knows `schemas` alone, neither touches the world.
#[test]
fn the_pure_crates_stay_pure() {
    let world =
        ["std::fs::", "TcpStream", "UdpSocket", "tokio", "std::env::", "std::thread", "SystemTime", "Instant::now"];
    check(&["schemas", "detectors"], |name, text| {
        // A build script writes into the build's folder; it is no part of the crate.
        if name.contains("/examples/") || name.contains("/tests/") || name.ends_with("build.rs") {
            return None;
        }
        let production = text.split("#[cfg(test)]").next().unwrap_or(text);
        let code: Vec<&str> = production.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
        world.iter().find(|w| code.iter().any(|l| l.contains(*w))).map(|w| format!("uses {w}"))
    });
    for (manifest, banned) in
        [("schemas/Cargo.toml", vec!["detectors", "gatewatch"]), ("detectors/Cargo.toml", vec!["gatewatch"])]
    {
        let text = fs::read_to_string(root().join(manifest)).expect("the manifest is there");
        for name in banned {
            assert!(!text.contains(&format!("{name} =")), "{manifest} depends on {name}");
        }
    }
}

/// Stages never import each other; only `app`, `pipeline` and `cli` know them.
#[test]
fn stages_do_not_import_each_other() {
    let allowed: &[(&str, &[&str])] = &[
        ("ingest", &["ingest", "clock", "limits", "metric", "timed"]),
        ("lake", &["lake", "clock", "limits", "metric"]),
        ("query", &["query", "lake", "clock", "limits", "metric"]),
        ("audit", &["audit", "store", "clock", "limits", "metric", "private", "keys"]),
        ("store", &["store", "clock", "limits", "metric"]),
        ("respond", &["respond", "audit", "blocked", "store", "clock", "limits", "config", "metric", "telemetry"]),
        (
            "observe",
            &["observe", "ingest", "pipeline", "respond", "clock", "limits", "config", "metric", "telemetry", "timed"],
        ),
        ("demo", &["demo", "ingest", "clock", "limits", "metric"]),
    ];
    for (stage, may) in allowed {
        check(&[&format!("src/{stage}")], |name, text| {
            // A stage's tests may look at what another stage makes of it.
            if name.contains("/tests") {
                return None;
            }
            let uses = text.split("crate::").skip(1).filter_map(|rest| {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
                Some(rest[..end].to_owned())
            });
            let bad: Vec<String> = uses.filter(|module| !may.contains(&module.as_str())).collect();
            (!bad.is_empty()).then(|| format!("a stage of {stage} imports {bad:?}"))
        });
    }
}

/// What the documents promise a stranger can type exists.
#[test]
fn documents_name_files_that_exist() {
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "benches/README.md",
        "examples/README.md",
        "docs/audit.md",
        "docs/configuration.md",
        "docs/dashboards.md",
        "docs/install.md",
        "docs/observing.md",
        "docs/responding.md",
        "docs/backtest.md",
        "docs/inventory.md",
        "docs/measuring.md",
        "docs/sigma.md",
        "schemas/sources/README.md",
        "detectors/catalogue/README.md",
    ] {
        let text = fs::read_to_string(root().join(document)).unwrap_or_else(|_| panic!("{document} is missing"));
        let folder = root().join(document).parent().expect("a file has a folder").to_path_buf();
        for word in text.split(|c: char| c.is_whitespace() || "`()[]|,;".contains(c)) {
            let word = word.trim_end_matches(['.', ':']);
            let looks_like_ours = [
                "scripts/",
                "examples/",
                "tests/",
                "src/",
                "schemas/",
                "detectors/",
                "benches/",
                "docs/",
                "packaging/",
            ]
            .iter()
            .any(|p| word.starts_with(p));
            if looks_like_ours && !word.contains(['<', '*', '{', '$']) {
                assert!(
                    root().join(word).exists() || folder.join(word).exists(),
                    "{document} names {word}, which is not there"
                );
            }
        }
    }
}
