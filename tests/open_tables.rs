//! Promise: the tables are open. Another engine (the Python package `deltalake`, and DuckDB over it) counts the same rows.

#[allow(dead_code)] // Each test program uses its own part.
#[path = "common/program.rs"]
mod program;

use std::path::PathBuf;
use std::process::Command;

use program::{number, path, run};

/// A virtual environment with the readers, made by `scripts/python-readers.sh`.
#[allow(clippy::disallowed_methods, reason = "a test finds its programs through the environment")]
fn python() -> PathBuf {
    let cache = std::env::var("XDG_CACHE_HOME")
        .map_or_else(|_| PathBuf::from(std::env::var("HOME").expect("a home folder")).join(".cache"), PathBuf::from);
    let python = cache.join("gatewatch/python/bin/python");
    assert!(python.exists(), "{} is missing; run scripts/python-readers.sh", python.display());
    python
}

const COUNT: &str = "
import sys, duckdb
from deltalake import DeltaTable
root = sys.argv[1]
events = DeltaTable(root + '/events').to_pyarrow_dataset()
print(events.count_rows())
print(duckdb.sql('select count(*), count(distinct client_ip), sum(response_bytes) from events').fetchall()[0])
print(DeltaTable(root + '/alerts').to_pyarrow_dataset().count_rows())
";

#[test]
fn deltalake_and_duckdb_count_the_same_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let ran = run(&["demo", "--events", "40000", "--data-dir", path(&data)]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let lake = data.join("lake");
    let output = Command::new(python()).args(["-c", COUNT, path(&lake)]).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let events = number(&data, "select count(*) from events");
    let clients = number(&data, "select count(distinct client_ip) from events");
    let bytes = number(&data, "select sum(response_bytes) from events");
    let alerts = number(&data, "select count(*) from alerts");
    assert_eq!(events, 40_000);
    assert_eq!(said, format!("{events}\n({events}, {clients}, {bytes})\n{alerts}\n"));
}
