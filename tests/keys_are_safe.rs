//! Promise: keys are safe and tokens work. Short keys and open key files are refused; made keys are made once, private and
//! random; a lake knows its keys; a rotation in mid-attack changes nothing that is told, and old rows are found.

#![allow(clippy::unwrap_used)] // a test may panic

#[allow(dead_code)] // Each test program uses its own part.
#[path = "common/program.rs"]
mod program;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use program::{file, folder, gatewatch, number, path, query};
use tempfile::TempDir;

/// Credentials of nobody, as a header has them: `maria@example.com:fake`.
const BASIC: &str = "Basic bWFyaWFAZXhhbXBsZS5jb206ZmFrZQ==";
const KEY_ONE: &str = "1c6e5a0bd0f5a1f0e3c4f60f8ee34b8a0b64cd1a2f5a9a6c3b1d7e8f90a1b2c3";
const KEY_TWO: &str = "9b1d7e8f90a1b2c31c6e5a0bd0f5a1f0e3c4f60f8ee34b8a0b64cd1a2f5a9a6c";

/// The program without the tests' token key.
fn keyless() -> Command {
    let mut command = gatewatch();
    command.env_remove("GATEWATCH_TOKEN_KEY");
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A log-in that fails, so many seconds after 10:00, with a password and an account that are nobody's.
fn failed_login(second: u32) -> String {
    let time = format!("2026-01-05T10:{:02}:{:02}+00:00", second / 60, second % 60);
    format!(
        "{{\"time_iso8601\":\"{time}\",\"remote_addr\":\"203.0.113.{}\",\"request_method\":\"POST\",\"request_uri\":\
         \"/v1/login\",\"status\":401,\"remote_user\":\"maria@example.com\",\"http_authorization\":\"{BASIC}\",\
         \"http_user_agent\":\"python-requests/2.31\"}}\n",
        second % 200
    )
}

/// Twenty guesses within four minutes.
fn attack() -> String {
    (0..20).map(|guess| failed_login(guess * 12)).collect()
}

fn key_file(folder: &TempDir, name: &str, key: &str) -> PathBuf {
    let path = file(folder, name, key);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A configuration that reads the log into a data folder of this name.
fn config(folder: &TempDir, name: &str, log: &Path, keys: &str) -> (PathBuf, PathBuf) {
    let data = folder.path().join(name);
    let text = format!(
        "data_dir: {}\nsources:\n  - {{ name: edge, kind: nginx_json, ahead_max: 36500d, files: [{}] }}\nkeys:\n{keys}",
        data.display(),
        log.display()
    );
    (file(folder, &format!("{name}.yaml"), text), data)
}

fn ran(config: &Path) -> Output {
    let output = keyless().args(["run", "--config", path(config)]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    output
}

#[test]
fn a_rotation_in_mid_attack_gives_the_alerts_of_one_key() {
    let folder = folder();
    let log = file(&folder, "access.log", attack());
    let (one, two) = (key_file(&folder, "one.key", KEY_ONE), key_file(&folder, "two.key", KEY_TWO));
    let single = format!("  token: {{ id: k1, secret: {{ file: {} }} }}\n", one.display());
    let rotated = format!(
        "  overlap: 1h\n  token:\n    - {{ id: k1, secret: {{ file: {} }} }}\n    - {{ id: k2, secret: {{ file: {} }}, from: \
         \"2026-01-05T10:01:00Z\" }}\n",
        one.display(),
        two.display()
    );
    let told = |data: &Path| -> Vec<String> {
        let sql = "select detector, revision, state, opened, updated, observed, events, replace(entity_value, 'k2:', 'k1:') \
                   who from alerts where entity_kind = 'principal' order by detector, revision";
        query(data, sql).iter().map(|row| row.to_string()).collect()
    };
    let (single, single_data) = config(&folder, "single", &log, &single);
    ran(&single);
    let expected = told(&single_data);
    assert!(expected.iter().any(|row| row.contains("brute-force-principal")), "{expected:?}");
    let (rotated, data) = config(&folder, "rotated", &log, &rotated);
    ran(&rotated);
    assert_eq!(told(&data).len(), expected.len());
    // The name is the one the entity had when it began to look bad: the first key's here.
    assert_eq!(told(&data), expected);
    let keys = query(
        &data,
        "select substr(credential, 1, 2) k, count(*) n, count(earlier_tokens) e from events group by 1 order by 1",
    );
    let counts: Vec<String> = keys.iter().map(|row| format!("{} {} {}", row["k"], row["n"], row["e"])).collect();
    assert_eq!(counts, ["\"k1\" 5 0", "\"k2\" 15 15"]);

    // Both tokens of the secret find all rows of it; the secret itself is never shown.
    let ask = |secret: &str, domain: &str| {
        let mut child = keyless()
            .args(["token", "--config", path(&rotated), "--domain", domain])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), secret.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains("bWFy") && !text.contains("maria"), "{text}");
        text.lines().map(str::to_owned).collect::<Vec<String>>()
    };
    let tokens = ask(&format!("{BASIC}\n"), "credential");
    assert!(tokens.len() == 2 && tokens[0].starts_with("k2:") && tokens[1].starts_with("k1:"), "{tokens:?}");
    let found = format!("select count(*) from events where credential in ('{}')", tokens.join("', '"));
    assert_eq!(number(&data, &found), 20);
    let people = ask("maria@example.com", "principal");
    let found = format!("select count(*) from events where principal in ('{}')", people.join("', '"));
    assert_eq!(number(&data, &found), 20);
    // And without the secret: the rows of the overlap tie both tokens together.
    let tied = format!("select count(*) from events where array_has(earlier_tokens, 'credential={}')", tokens[1]);
    assert_eq!(number(&data, &tied), 15);
}

#[test]
fn short_keys_are_refused_wherever_they_come_from() {
    let folder = folder();
    let log = file(&folder, "access.log", attack());
    let expected = "bytes; expected at least 32, all random; `openssl rand -hex 32` makes one";
    let short = key_file(&folder, "short.key", &KEY_ONE[..62]);
    for keys in [
        format!("  token: {{ id: k1, secret: {{ file: {} }} }}\n", short.display()),
        "  token: { id: k1, secret: { env: GATEWATCH_TEST_SHORT } }\n".to_owned(),
    ] {
        let (config, _) = config(&folder, "short", &log, &keys);
        for verb in ["check", "run"] {
            let output = keyless()
                .env("GATEWATCH_TEST_SHORT", "only twenty-five bytes...")
                .args([verb, "--config", path(&config)])
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(2), "{}", said(&output));
            assert!(
                said(&output).contains("keys.token: k1: ") && said(&output).contains(expected),
                "{}",
                said(&output)
            );
            assert!(!said(&output).contains("twenty-five") && !said(&output).contains(&KEY_ONE[..20]));
        }
    }
    let replay = ["replay", path(&log), "--source", "nginx_json", "--no-lake"];
    let output = keyless().env("GATEWATCH_TOKEN_KEY", "too short").args(replay).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("GATEWATCH_TOKEN_KEY: a key of 9 bytes; expected at least 32"), "{}", said(&output));
}

#[test]
fn key_files_that_others_can_read_are_refused_with_the_cure() {
    let folder = folder();
    let log = file(&folder, "access.log", attack());
    let key = key_file(&folder, "token.key", KEY_ONE);
    let keys = format!("  token: {{ id: k1, secret: {{ file: {} }} }}\n", key.display());
    let (configured, _) = config(&folder, "configured", &log, &keys);
    let (made, data) = config(&folder, "made", &log, "  seal_rejects: true\n");
    ran(&made);
    for (config, key) in
        [(&configured, &key), (&made, &data.join("keys/token.key")), (&made, &data.join("keys/seal.key"))]
    {
        for mode in [0o640, 0o604] {
            fs::set_permissions(key, fs::Permissions::from_mode(mode)).unwrap();
            for verb in ["check", "run"] {
                let output = keyless().args([verb, "--config", path(config)]).output().unwrap();
                assert_eq!(output.status.code(), Some(2), "{verb} {mode:o}: {}", said(&output));
                assert!(said(&output).contains(&format!("chmod 600 {}", key.display())), "{}", said(&output));
            }
        }
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(keyless().args(["check", "--config", path(config)]).output().unwrap().status.success());
    }
}

#[test]
fn six_processes_that_start_together_make_one_key() {
    let folder = folder();
    let data = folder.path().join("data");
    let logs: Vec<PathBuf> = (0..6).map(|n| file(&folder, &format!("{n}.log"), failed_login(n))).collect();
    let children: Vec<_> = logs
        .iter()
        .map(|log| {
            let arguments = ["replay", path(log), "--source", "nginx_json", "--data-dir", path(&data)];
            keyless().args(arguments).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    let names: BTreeSet<String> =
        fs::read_dir(data.join("keys")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["seal.key".to_owned(), "token.key".to_owned()]));
    assert_eq!(number(&data, "select count(*) from events"), 6);
    assert_eq!(number(&data, "select count(distinct credential) from events"), 1);
}

/// Paths that others than the owner can use.
fn open_paths(path: &Path, found: &mut Vec<String>) {
    let mode = fs::symlink_metadata(path).unwrap().mode();
    if mode & 0o077 != 0 {
        found.push(format!("{} {:o}", path.display(), mode & 0o777));
    }
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| open_paths(&entry.unwrap().path(), found));
    }
}

#[test]
fn everything_below_the_data_folder_is_private_whatever_the_umask() {
    let folder = folder();
    let log = file(&folder, "access.log", format!("{}broken\n", attack()));
    let (config, data) = config(&folder, "data", &log, "  seal_rejects: true\n");
    let script = "umask 000; exec \"$0\" \"$@\"";
    let shell = |arguments: &[&str]| {
        let output = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_gatewatch")])
            .args(arguments)
            .env_remove("GATEWATCH_TOKEN_KEY")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
    };
    shell(&["run", "--config", path(&config)]);
    let replayed = folder.path().join("replayed");
    shell(&["replay", path(&log), "--source", "nginx_json", "--data-dir", path(&replayed)]);
    let demo = folder.path().join("demo");
    shell(&["demo", "--events", "40000", "--data-dir", path(&demo)]);
    for data in [&data, &replayed, &demo] {
        let mut open = Vec::new();
        open_paths(data, &mut open);
        assert!(data.join("lake/events").is_dir() && open.is_empty(), "{open:#?}");
    }
    // An earlier version left them open.
    for part in ["", "lake", "keys", "state.db"] {
        let part = data.join(part);
        let mode = if part.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&part, fs::Permissions::from_mode(mode)).unwrap();
    }
    shell(&["run", "--config", path(&config)]);
    let mut open = Vec::new();
    open_paths(&data, &mut open);
    assert!(open.is_empty(), "{open:#?}");
}

#[test]
fn a_lake_knows_the_keys_it_was_written_with() {
    let folder = folder();
    let log = file(&folder, "access.log", attack());
    let (one, two) = (key_file(&folder, "one.key", KEY_ONE), key_file(&folder, "two.key", KEY_TWO));
    let key = |id: &str, file: &Path| format!("{{ id: {id}, secret: {{ file: {} }} }}", file.display());
    let write = |keys: &str| config(&folder, "data", &log, keys).0;
    ran(&write(&format!("  token: {}\n", key("k1", &one))));
    ran(&write(&format!("  token: {}\n", key("k1", &one))));

    let output =
        keyless().args(["run", "--config", path(&write(&format!("  token: {}\n", key("k1", &two))))]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("the token key `k1` is not the one of that name"), "{}", said(&output));

    let rotation = format!(
        "  token: [{}, {{ id: k2, secret: {{ file: {} }}, from: 2026-06-01T00:00:00Z }}]\n",
        key("k1", &one),
        two.display()
    );
    let output = ran(&write(&rotation));
    assert!(said(&output).contains("a token key is new in this lake: a rotation"), "{}", said(&output));

    let three = key_file(&folder, "three.key", &KEY_ONE.replace('1', "7"));
    let output = ran(&write(&format!("  token: {}\n", key("k3", &three))));
    assert!(said(&output).contains("none of the token keys has written to this lake before"), "{}", said(&output));
}

#[test]
fn keys_that_share_a_backup_with_the_lake_are_warned_of() {
    let folder = folder();
    let log = file(&folder, "access.log", attack());
    let check = |config: &Path| {
        let output = keyless().args(["check", "--config", path(config)]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    let (beside, _) = config(&folder, "beside", &log, "  seal_rejects: true\n");
    assert!(check(&beside).contains("a backup of it holds both") && check(&beside).contains("set keys.dir"));
    assert!(said(&ran(&beside)).contains("a backup of it holds both"));
    let elsewhere = tempfile::tempdir().unwrap();
    let (apart, data) =
        config(&folder, "apart", &log, &format!("  dir: {}\n", elsewhere.path().join("keys").display()));
    assert!(!check(&apart).contains("a backup of it holds both"));
    assert!(!said(&ran(&apart)).contains("a backup of it holds both"));
    assert!(elsewhere.path().join("keys/token.key").exists() && !data.join("keys").exists());
}

#[test]
fn keys_that_cannot_be_one_after_the_other_are_refused() {
    let folder = folder();
    let log = file(&folder, "access.log", attack());
    let key = |id: &str, more: &str| format!("{{ id: {id}, secret: {{ env: GATEWATCH_TEST_KEY }}{more} }}");
    for (keys, words) in [
        (format!("  token: [{}, {}]\n", key("k1", ""), key("k2", "")), "two keys count from the same time"),
        (
            format!("  token: [{}, {}]\n", key("k1", ""), key("k1", ", from: 2026-06-01T00:00:00Z")),
            "\"k1\" is used twice",
        ),
        (format!("  token: {}\n", key("k1", ", from: tomorrow")), "\"tomorrow\"; expected an RFC 3339 time"),
        (format!("  token: {}\n", key("'k 1'", "")), "id \"k 1\": expected 1 to 32 letters"),
        (format!("  seal: {}\n", key("s1", ", from: 2026-06-01T00:00:00Z")), "the first key seals"),
        ("  token: k1\n".to_owned(), "a key {id, secret} or a list of keys"),
        (
            "  token: { id: k1, secret: c0ffee }\n".to_owned(),
            "expected {env: NAME} or {file: PATH}, not the secret itself",
        ),
    ] {
        let (config, _) = config(&folder, "wrong", &log, &keys);
        let output =
            keyless().env("GATEWATCH_TEST_KEY", KEY_ONE).args(["check", "--config", path(&config)]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{keys}: {}", said(&output));
        assert!(said(&output).contains(words), "{keys}: {}", said(&output));
        assert!(!said(&output).contains("c0ffee"), "a secret is repeated: {}", said(&output));
    }
}
