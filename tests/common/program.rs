//! Running the built program as a user does: arguments in, exit status, standard output and standard error out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Signs what the service sends to the tests' receiver.
pub const WEBHOOK_SECRET: &str = "whsec_bm90IGEgcmVhbCBzZWNyZXQsIG9ubHkgZm9yIHRlc3Rz";

pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A command with an invented token key and nothing of the caller's settings.
pub fn gatewatch() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatewatch"));
    command.env_remove("GATEWATCH_DATA_DIR").env_remove("GATEWATCH_LOG");
    // Services of several tests run at once.
    command.env("GATEWATCH_OBSERVE_LISTEN", "127.0.0.1:0");
    command.env("GATEWATCH_TOKEN_KEY", "an invented key for tests, longer than 32 bytes");
    command.env("GATEWATCH_TEST_WEBHOOK_SECRET", WEBHOOK_SECRET);
    command.env("GATEWATCH_TEST_CROWDSEC_PASSWORD", "not-a-real-password-5f1c");
    command
}

pub fn run(arguments: &[&str]) -> Ran {
    finish(gatewatch().args(arguments), b"")
}

pub fn run_with_input(arguments: &[&str], input: &[u8]) -> Ran {
    finish(gatewatch().args(arguments), input)
}

fn finish(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is built and starts");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A program that refuses its arguments does not read its input.
        let _closed = stdin.write_all(&input).is_err();
    });
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the writer does not panic");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Rows of a query, each as a JSON object.
pub fn query(data_dir: &Path, sql: &str) -> Vec<serde_json::Value> {
    let ran = run(&["query", sql, "--format", "json", "--rows-max", "1000000", "--data-dir", path(data_dir)]);
    assert_eq!(ran.code, 0, "{sql}: {}", ran.stderr);
    ran.stdout.lines().map(|line| serde_json::from_str(line).expect("a row is a JSON object")).collect()
}

/// The one number a query answers.
pub fn number(data_dir: &Path, sql: &str) -> i64 {
    let rows = query(data_dir, sql);
    let row = rows.first().and_then(|row| row.as_object()).expect("one row");
    row.values().next().and_then(serde_json::Value::as_i64).expect("one number")
}

pub fn path(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A file of this name and content in a folder.
pub fn file(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("the file is written");
    path
}
