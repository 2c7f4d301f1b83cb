//! Promise: rejects come back. They are listed by source and code, opened with the key (and the log says so), and read
//! again after a mapping was fixed: each record that can be an event now is stored once, whatever is killed when.

#![allow(clippy::unwrap_used)] // a test may panic

#[allow(dead_code)] // Each test program uses its own part.
#[path = "common/program.rs"]
mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use program::{file, folder, gatewatch, number, path, query};
use serde_json::Value;
use tempfile::TempDir;

const WRONG: &str = "gateway: own\ncolumns:\n  time: { from: when, unit: epoch_s, required: true }\n  client_ip: { from: from }\n  \
                     target: { from: what }\n  status: { from: code }\n";

fn record(number: usize) -> String {
    format!(
        "{{\"at\":{},\"from\":\"192.0.2.7\",\"what\":\"/v1/things/{number}\",\"code\":200}}\n",
        1_767_607_200 + number
    )
}

struct Setup {
    folder: TempDir,
    config: PathBuf,
    data: PathBuf,
}

impl Setup {
    fn new(log: &str, keys: &str) -> Setup {
        let folder = folder();
        let log = file(&folder, "shop.log", log);
        let mapping = file(&folder, "shop.yaml", WRONG);
        let data = folder.path().join("data");
        let text = format!(
            "data_dir: {}\nsources:\n  - {{ name: shop, kind: mapping, mapping_file: {}, ahead_max: 36500d, files: [{}] }}\nkeys:\n{keys}",
            data.display(),
            mapping.display(),
            log.display()
        );
        let config = file(&folder, "gatewatch.yaml", text);
        let setup = Setup { folder, config, data };
        let ran = setup.ran(&["run"]);
        assert_eq!(ran.status.code(), Some(1), "nothing became an event: {}", said(&ran));
        setup
    }

    fn mend(&self) {
        fs::write(self.folder.path().join("shop.yaml"), WRONG.replace("from: when", "from: at")).unwrap();
    }

    /// A verb on the configuration.
    fn ran(&self, arguments: &[&str]) -> Output {
        let mut command = gatewatch();
        command.env("USER", "an-investigator").args(arguments).args(["--config", path(&self.config)]);
        command.output().unwrap()
    }

    fn list(&self) -> Vec<Value> {
        let output = self.ran(&["rejects", "list", "--format", "json"]);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn replay(&self, more: &[&str]) -> String {
        let output = self.ran(&[&["rejects", "replay"], more].concat());
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn rejects_are_listed_opened_replayed_once_and_told_apart() {
    let log: String = (0..5).map(record).chain(["no JSON, secret=fake-of-nobody\n".to_owned()]).collect();
    let setup = Setup::new(&log, "  overlap: 1d\n");
    let list = setup.list();
    assert_eq!(list.len(), 2, "{list:?}");
    let line = &list[0];
    assert_eq!((&line["source"], &line["code"]), (&"shop".into(), &"missing_field".into()));
    assert_eq!((&line["open"], &line["sealed"], &line["replayed"]), (&5.into(), &5.into(), &0.into()));
    assert_eq!(line["newest"].as_array().unwrap().len(), 3);
    assert!(line["detail"].as_str().unwrap().contains("time"), "{line}");
    let position = line["newest"][0].as_str().unwrap();
    assert!(position.starts_with("shop/0/"), "{position}");

    let opened = setup.ran(&["rejects", "open", "shop/0/2", "shop/0/5"]);
    assert!(opened.status.success(), "{}", said(&opened));
    assert_eq!(String::from_utf8_lossy(&opened.stdout), record(2) + "no JSON, secret=fake-of-nobody\n");
    for word in ["a sealed reject is opened", "an-investigator", "shop/0/2", "shop/0/5", "missing_field"] {
        assert!(said(&opened).contains(word), "{word}: {}", said(&opened));
    }
    assert!(!said(&opened).contains("fake-of-nobody"));
    let none = setup.ran(&["rejects", "show", "shop/0/99"]);
    assert_eq!((none.status.code(), said(&none).contains("shop/0/99: there is no reject there")), (Some(2), true));

    let same = setup.replay(&[]);
    assert!(same.contains("shop missing_field: 5 still refused (missing_field 5)"), "{same}");
    setup.mend();
    let dry = setup.replay(&["--dry-run"]);
    assert!(dry.contains("shop missing_field: 5 rejects would become 5 events\n"), "{dry}");
    assert_eq!(number(&setup.data, "select count(*) from events"), 0);
    let done = setup.replay(&["--code", "missing_field"]);
    assert!(done.contains("shop missing_field: 5 rejects became 5 events and are stored"), "{done}");
    assert!(done.contains("detection does not judge replayed events"), "{done}");
    assert!(setup.replay(&["--code", "missing_field"]).contains("no open rejects"));
    assert!(setup.replay(&[]).contains("shop invalid_json: 1 still refused (invalid_json 1)"));

    let events =
        query(&setup.data, "select source, \"partition\", \"offset\", late, path from events order by \"offset\"");
    let seen: Vec<(i64, &str)> =
        events.iter().map(|e| (e["offset"].as_i64().unwrap(), e["path"].as_str().unwrap())).collect();
    let expected = ["/v1/things/0", "/v1/things/1", "/v1/things/2", "/v1/things/3", "/v1/things/4"];
    assert_eq!(seen, (0..).zip(expected).collect::<Vec<_>>());
    assert!(events.iter().all(|e| e["late"] == true && e["source"] == "shop" && e["partition"] == 0));
    let kept = "select count(*) from events e join rejects r on e.\"offset\" = r.\"offset\" and e.observed_time = r.observed_time \
                where r.code = 'missing_field'";
    assert_eq!(number(&setup.data, kept), 5);
    let open = query(&setup.data, "select code, count(*) n from rejects_open group by 1");
    assert_eq!(open, [serde_json::json!({ "code": "invalid_json", "n": 1 })]);
    assert_eq!(
        number(&setup.data, "select count(*) from rejects where code = 'replayed' and detail = 'missing_field'"),
        5
    );
    let after = setup.list();
    let line = after.iter().find(|line| line["code"] == "missing_field").unwrap();
    assert_eq!((&line["open"], &line["replayed"]), (&0.into(), &5.into()));
    let again = setup.ran(&["run"]);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(number(&setup.data, "select count(*) from events"), 5);
}

#[test]
fn a_replay_that_is_killed_again_and_again_stores_each_once() {
    const RECORDS: usize = 9_000;
    let log: String = (0..RECORDS).map(record).collect();
    let setup = Setup::new(&log, "  overlap: 1d\n");
    setup.mend();
    for length in [150, 250, 350, 450, 600, 800] {
        let mut child = gatewatch()
            .args(["rejects", "replay", "--config", path(&setup.config)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        killed_after(&mut child, Duration::from_millis(length));
    }
    setup.replay(&[]);
    assert!(setup.replay(&[]).contains("no open rejects"));
    each_once(&setup.data, RECORDS as i64);
    assert_eq!(number(&setup.data, "select count(*) from rejects where code = 'replayed'"), RECORDS as i64);
}

/// The length of the run is the point of the test, not a wait for something to happen.
#[allow(clippy::disallowed_methods, reason = "a kill comes at a moment of real time")]
fn killed_after(child: &mut std::process::Child, length: Duration) {
    std::thread::sleep(length);
    // It may have ended by itself.
    let _ended = child.kill().is_err();
    child.wait().unwrap();
}

fn each_once(data: &Path, records: i64) {
    assert_eq!(number(data, "select count(*) from events"), records);
    assert_eq!(number(data, "select count(distinct \"offset\") from events"), records);
    assert_eq!(number(data, "select count(*) from rejects_open"), 0);
}

#[test]
fn two_replays_at_once_store_each_once() {
    const RECORDS: usize = 6_000;
    let log: String = (0..RECORDS).map(record).collect();
    let setup = Setup::new(&log, "  overlap: 1d\n");
    setup.mend();
    let start = || {
        let arguments = ["rejects", "replay", "--config", path(&setup.config)];
        gatewatch().args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let both = [start(), start()];
    for child in both {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() || said(&output).contains("fenced"), "{}", said(&output));
    }
    setup.replay(&[]);
    each_once(&setup.data, RECORDS as i64);
}

#[test]
fn elements_of_a_batch_come_back_on_their_own() {
    let element = |number: usize, time: &str| {
        format!("{{\"{time}\":{},\"from\":\"192.0.2.7\",\"what\":\"/{number}\",\"code\":200}}", 1_767_607_200 + number)
    };
    let log = format!("[{},{},{}]\n", element(0, "when"), element(1, "at"), element(2, "at"));
    let folder = folder();
    let mapping = |from: &str| format!("batch: true\n{}", WRONG.replace("from: when", &format!("from: {from}")));
    let yaml = file(&folder, "shop.yaml", mapping("when"));
    let log = file(&folder, "shop.log", log);
    let data = folder.path().join("data");
    let ran = program::run(&[
        "replay",
        path(&log),
        "--source",
        "mapping",
        "--mapping",
        path(&yaml),
        "--data-dir",
        path(&data),
    ]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let elements = query(&data, "select element, \"offset\" from rejects order by element");
    let elements: Vec<i64> = elements.iter().map(|row| row["element"].as_i64().unwrap()).collect();
    assert_eq!(elements, [1, 2]);
    fs::write(&yaml, mapping("[when, at]").replace("unit: epoch_s", "unit: [epoch_s, epoch_s]")).unwrap();
    let replay = ["rejects", "replay", "--data-dir", path(&data), "--kind", "mapping", "--mapping", path(&yaml)];
    for _ in 0..2 {
        let ran = program::run(&replay);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    assert_eq!(number(&data, "select count(*) from events"), 3);
    assert_eq!(number(&data, "select count(*) from rejects_open"), 0);
    let ran = program::run(&["rejects", "replay", "--data-dir", path(&data)]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("Expected --config FILE, or --kind with one of combined, "), "{}", ran.stderr);
}

#[test]
fn what_was_kept_without_bytes_or_under_a_lost_key_is_said_with_the_cure() {
    let setup = Setup::new(&record(0), "  seal_rejects: false\n");
    assert_eq!(number(&setup.data, "select count(*) from rejects where sealed is not null"), 0);
    setup.mend();
    let told = setup.replay(&[]);
    assert!(told.contains("shop missing_field: 1 without their bytes"), "{told}");
    assert!(told.contains("keys.seal, or keys.seal_rejects: true, keeps those that come from now on"), "{told}");
    let opened = setup.ran(&["rejects", "open", "shop/0/0"]);
    assert_eq!(opened.status.code(), Some(2));
    assert!(said(&opened).contains("its bytes were not kept"), "{}", said(&opened));

    let lost = Setup::new(&record(0), "  overlap: 1d\n");
    lost.mend();
    fs::remove_file(lost.data.join("keys/seal.key")).unwrap();
    let told = lost.replay(&[]);
    assert!(told.contains("1 sealed with a key that is not there"), "{told}");
    let opened = lost.ran(&["rejects", "open", "shop/0/0"]);
    assert!(said(&opened).contains("which is not there"), "{}", said(&opened));
}

#[test]
fn rejects_sealed_under_an_older_key_stay_readable() {
    let keys = folder();
    let key = |name: &str, byte: &str| {
        let path = file(&keys, name, byte.repeat(32));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        format!("{{ id: {name}, secret: {{ file: {} }} }}", path.display())
    };
    let (one, two) = (key("s1", "0a"), key("s2", "0b"));
    let setup = Setup::new(&record(0), &format!("  seal: {one}\n"));
    let rotate = |from: &str, to: &str| {
        let text = fs::read_to_string(&setup.config).unwrap().replace(from, to);
        fs::write(&setup.config, text).unwrap();
    };
    rotate(&one, &format!("[{two}, {one}]"));
    fs::write(setup.folder.path().join("shop.log"), record(0) + &record(1)).unwrap();
    assert_eq!(setup.ran(&["run"]).status.code(), Some(1), "nothing became an event");
    let opened = setup.ran(&["rejects", "open", "shop/0/0", "shop/0/1"]);
    assert_eq!(String::from_utf8_lossy(&opened.stdout), record(0) + &record(1), "{}", said(&opened));
    assert!(said(&opened).contains("s1") && said(&opened).contains("s2"), "{}", said(&opened));
    rotate(&format!("[{two}, {one}]"), &two);
    let opened = setup.ran(&["rejects", "open", "shop/0/0"]);
    assert!(said(&opened).contains("it was sealed with the key `s1`, which is not there"), "{}", said(&opened));
}

/// The list of the mapping has as many fields as the file, in another order.
const W3C: &str = "gateway: own\nw3c:\n  fields: \"code from what at\"\ncolumns:\n  \
                   time: { from: when, unit: epoch_s, required: true }\n  client_ip: { from: from }\n  \
                   target: { from: what }\n  status: { from: code }\n";

#[test]
fn a_w3c_line_comes_back_by_the_fields_of_its_file_and_with_the_place_of_its_client() {
    let geo = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/tests/data/geo/city.mmdb");
    for (head, became) in [("#Fields: at from what code\n", 1), ("", 0)] {
        let folder = folder();
        let log = file(&folder, "shop.log", format!("{head}1767607200 192.0.2.7 /v1/things/1 404\n"));
        let mapping = file(&folder, "shop.yaml", W3C);
        let data = folder.path().join("data");
        let text = format!(
            "data_dir: {}\nsources:\n  - {{ name: shop, kind: mapping, mapping_file: {}, ahead_max: 36500d, files: [{}] }}\n\
             keys:\n  overlap: 1d\nenrich:\n  mmdb: [{}]\n",
            data.display(),
            mapping.display(),
            log.display(),
            geo.display()
        );
        let config = file(&folder, "gatewatch.yaml", text);
        assert_eq!(program::run(&["run", "--config", path(&config)]).code, 1, "nothing became an event");
        fs::write(&mapping, W3C.replace("from: when", "from: at")).unwrap();
        let replayed = program::run(&["rejects", "replay", "--config", path(&config)]);
        assert_eq!(replayed.code, 0, "{}", replayed.stderr);
        assert_eq!(number(&data, "select count(*) from rejects_open"), 1 - became, "{}", replayed.stdout);
        let events = query(&data, "select status, path, client_ip, country from events");
        let expected =
            serde_json::json!({ "status": 404, "path": "/v1/things/1", "client_ip": "192.0.2.7", "country": "DE" });
        assert_eq!(events, vec![expected; became as usize]);
    }
}
