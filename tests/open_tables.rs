//! Promise: the tables are open. Another engine (the Python package `deltalake`, and DuckDB over it) counts the same rows.

#[allow(dead_code)] // Each test program uses its own part.
#[path = "common/program.rs"]
mod program;
#[path = "common/python.rs"]
mod python;

use std::process::Command;

use program::{number, path, run};

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
    let output =
        Command::new(python::python_program("python")).args(["-c", COUNT, path(&lake)]).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let events = number(&data, "select count(*) from events");
    let clients = number(&data, "select count(distinct client_ip) from events");
    let bytes = number(&data, "select sum(response_bytes) from events");
    let alerts = number(&data, "select count(*) from alerts");
    assert_eq!(events, 40_000);
    assert_eq!(said, format!("{events}\n({events}, {clients}, {bytes})\n{alerts}\n"));
}
