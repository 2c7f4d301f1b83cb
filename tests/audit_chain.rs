//! Promise 5: what was done is written down, and whoever touches that is found: one byte changed, one entry removed, two
//! swapped, one doubled, the end cut off, another key. Several processes write one chain, and `kill -9` breaks none.

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::program::{self, Ran, folder, path};
use common::python::python_program;
use gatewatch::audit::verify::{Closing, Counted, Report, Verifier, Wrong};
use gatewatch::audit::{Audit, Chained, Fact, What, entries_after};
use gatewatch::clock;
use gatewatch::keys::signing::{PublicKey, SigningKey, public_file};
use gatewatch::store::Store;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What docs/audit.md says, written a second time: hashes by Python, signatures by OpenSSL.
const CHECKED_BY_OTHERS: &str = r#"
import base64, hashlib, json, os, subprocess, sys
lines, public, folder = sys.argv[1:]
previous, heads = bytes(32), 0
canonical = lambda value: json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
for line in open(lines):
    entry = json.loads(line)
    if "export" in entry:
        continue
    hashed = bytes.fromhex(entry.pop("hash"))
    assert bytes.fromhex(entry.pop("previous")) == previous, entry["n"]
    assert hashlib.sha256(b"gatewatch-audit-v1\0" + previous + canonical(entry)).digest() == hashed, entry["n"]
    if entry["what"] == "head":
        files = [os.path.join(folder, name) for name in ("signature", "message")]
        signature = base64.b64decode(entry["detail"].pop("signature"))
        for file, content in zip(files, (signature, b"gatewatch-audit-head-v1\0" + previous + canonical(entry))):
            open(file, "wb").write(content)
        check = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-sigfile", files[0], "-in", files[1]]
        subprocess.run(check, check=True, stdout=subprocess.DEVNULL)
        heads += 1
    previous = hashed
print(entry["export"]["entries"], heads)
"#;

const START_US: i64 = 1_780_000_000_000_000;
const SECOND_US: i64 = 1_000_000;
/// Names the folder in which a helper process writes.
const WHERE: &str = "GATEWATCH_TEST_AUDIT";

/// A chain in a folder of its own, with a clock that goes on by `step_us` at each look.
struct Rig {
    folder: TempDir,
    store: Store,
    audit: Audit,
    now_us: Arc<AtomicI64>,
}

impl Rig {
    async fn new(step_us: i64) -> Rig {
        let folder = folder();
        let store = Store::open(&folder.path().join("state.db")).await.expect("opens");
        let now_us = Arc::new(AtomicI64::new(START_US));
        let at = now_us.clone();
        let clock: clock::Clock = Arc::new(move || at.fetch_add(step_us, Ordering::Relaxed));
        let audit = Audit::new(store.clone(), "main", &folder.path().join("keys"), clock).expect("a key is made");
        Rig { folder, store, audit, now_us }
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    async fn steps(&self, count: usize) {
        for step in 0..count {
            self.audit.note(&[step_entry(step)]).await.expect("written");
        }
    }

    async fn entries(&self) -> Vec<Chained> {
        entries_after(&self.store, "main", 0, u32::MAX).await.expect("read")
    }

    fn public(&self) -> Vec<PublicKey> {
        PublicKey::read_all(&public_file(&self.keys())).expect("listed")
    }

    /// The lines of an export of everything.
    async fn export(&self) -> Vec<String> {
        self.audit.sign(false).await.expect("signed");
        let mut counted = Counted::default();
        let entries = self.entries().await;
        entries.iter().for_each(|entry| counted.add(entry));
        let key = SigningKey::read(&self.keys()).expect("readable").expect("there");
        let mut lines: Vec<String> = entries.iter().map(|entry| entry.line().expect("canonical")).collect();
        lines.push(Closing::sign(&counted, START_US, &key).line());
        lines
    }
}

fn step_entry(step: usize) -> Fact {
    let detail = json!({ "step": "sent", "target": "waf", "number": step, "answer": "202 \"accepted\"\n" });
    Fact::new(What::ActionStep, "gatewatch", &format!("act-{step}"), detail)
}

fn check(lines: &[String], keys: &[PublicKey]) -> Report {
    let mut verifier = Verifier::new(keys.to_vec());
    lines.iter().zip(1..).for_each(|(line, number)| verifier.take_line(number, line));
    verifier.finish_export()
}

fn findings(report: &Report) -> Vec<(i64, Wrong)> {
    report.findings.iter().map(|finding| (finding.n, finding.wrong.clone())).collect()
}

#[tokio::test]
async fn what_was_touched_is_named() {
    let rig = Rig::new(7 * SECOND_US).await;
    rig.steps(60).await;
    let (lines, keys) = (rig.export().await, rig.public());
    let good = check(&lines, &keys);
    assert_eq!(findings(&good), []);
    let count = lines.len() as i64 - 1;
    let heads = lines.iter().filter(|line| line.contains(r#""what":"head""#)).count();
    assert!(heads > 5 && good.entries == count as u64, "{heads} heads, {good:?}");
    assert_eq!((good.first, good.last, good.signed.as_ref().map(|signed| signed.0)), (1, count, Some(count)));

    // Entry 20 is on line 20.
    let step = |n: i64| lines[n as usize - 1].contains("action_step");
    let n = (20..30).find(|n| step(*n) && step(n + 1) && step(n + 2)).expect("three in a row");
    let at = n as usize - 1;
    let mut changed = lines.clone();
    changed[at] = changed[at].replace("waf", "wag");
    assert_eq!(findings(&check(&changed, &keys)), [(n, Wrong::Changed)]);

    let mut removed = lines.clone();
    removed.remove(at);
    let left_out = Wrong::Closing { first: 1, last: count };
    assert_eq!(findings(&check(&removed, &keys)), [(n, Wrong::Missing { to: n }), (count, left_out)]);

    let mut swapped = lines.clone();
    swapped.swap(at, at + 1);
    assert_eq!(findings(&check(&swapped, &keys)), [(n, Wrong::Moved { after: n + 1 })]);
    let mut swapped = lines.clone();
    swapped.swap(0, 1);
    assert_eq!(findings(&check(&swapped, &keys)), [(1, Wrong::Moved { after: 2 })]);

    let mut doubled = lines.clone();
    doubled.insert(at, doubled[at].clone());
    let found = findings(&check(&doubled, &keys));
    assert_eq!(found, [(n, Wrong::Doubled), (count, Wrong::Closing { first: 1, last: count })]);

    let cut = check(&lines[..at], &keys);
    assert_eq!(findings(&cut), [(n - 1, Wrong::NotClosed)]);
    assert!(cut.signed.as_ref().is_some_and(|signed| signed.0 < n), "{cut:?}");
    let mut without_last = lines.clone();
    without_last.remove(lines.len() - 2);
    assert_eq!(findings(&check(&without_last, &keys)), [(count - 1, Wrong::Closing { first: 1, last: count })]);

    let other = SigningKey::read_or_make(&rig.folder.path().join("other")).expect("made").public().clone();
    let wrong_key = findings(&check(&lines, &[other]));
    let unknown = Wrong::Key(keys[0].id());
    assert_eq!(wrong_key.iter().filter(|(_, wrong)| *wrong == unknown).count(), heads);
    assert_eq!(wrong_key.last(), Some(&(count, Wrong::ClosingBroken)));
}

/// Whoever can write the state store but has no key: they give what they changed the right hashes.
#[tokio::test]
async fn a_chain_made_anew_without_the_key_is_found() {
    let rig = Rig::new(7 * SECOND_US).await;
    rig.steps(40).await;
    let (lines, keys) = (rig.export().await, rig.public());
    let mut entries = rig.entries().await;
    let at = (10..).find(|at| entries[*at].entry.what == "action_step").expect("a step");
    let n = entries[at].entry.n;
    entries[at].entry.detail.insert("answer".to_owned(), "never sent".into());
    entries[at] = entries[at].entry.clone().chain(entries[at].previous).expect("chained");
    let again = |entries: &[Chained]| -> Vec<String> {
        let lines = lines.last().cloned();
        entries.iter().map(|one| one.line().expect("canonical")).chain(lines).collect()
    };
    // The one alone: the next one follows another.
    assert_eq!(findings(&check(&again(&entries), &keys)), [(n, Wrong::Replaced)]);
    // And everything after it: the heads do not fit.
    for next in at + 1..entries.len() {
        entries[next] = entries[next].entry.clone().chain(entries[next - 1].hash).expect("chained");
    }
    let found = findings(&check(&again(&entries), &keys));
    let broken: Vec<i64> =
        entries.iter().filter(|one| one.entry.n > n && one.entry.what == "head").map(|one| one.entry.n).collect();
    let named: Vec<i64> = found.iter().filter(|(_, wrong)| *wrong == Wrong::Signature).map(|(n, _)| *n).collect();
    assert!(!broken.is_empty() && broken == named, "{broken:?} {found:?}");
}

#[tokio::test]
async fn a_new_key_is_named_by_the_old_one() {
    let rig = Rig::new(SECOND_US).await;
    rig.steps(10).await;
    let old = rig.public();
    let new = rig.audit.rotate().await.expect("rotated");
    rig.steps(10).await;
    let lines = rig.export().await;
    assert_eq!(rig.public(), [new.clone(), old[0].clone()]);
    let heads =
        |key: &PublicKey| lines.iter().filter(|line| line.contains(&format!(r#""key":"{}""#, key.id()))).count();
    assert!(heads(&old[0]) >= 2 && heads(&new) >= 2, "{lines:?}");
    // Whoever has the old public key alone, and whoever has the list.
    assert_eq!(findings(&check(&lines, &old)), []);
    assert_eq!(findings(&check(&lines, &rig.public())), []);
    // The new one alone does not vouch for what was before it.
    assert!(!check(&lines, &[new]).is_good());
}

#[tokio::test]
async fn entries_stand_or_fall_with_their_transaction_and_time_never_goes_back() {
    let rig = Rig::new(0).await;
    rig.steps(1).await;
    let mut tx = rig.store.begin().await.expect("begins");
    rig.audit.append(&mut tx, &[step_entry(2), step_entry(3)]).await.expect("appended");
    drop(tx);
    rig.now_us.store(START_US - 3600 * SECOND_US, Ordering::Relaxed);
    rig.steps(2).await;
    let entries = rig.entries().await;
    let what: Vec<(i64, &str, &str)> =
        entries.iter().map(|one| (one.entry.n, one.entry.what.as_str(), one.entry.about.as_str())).collect();
    let expected =
        [(1, "action_step", "act-0"), (2, "head", ""), (3, "action_step", "act-0"), (4, "action_step", "act-1")];
    assert_eq!(what, expected);
    assert!(entries.iter().all(|one| one.entry.time_us == START_US));

    // More than a head's worth in one transaction; a detail that is too long; one that cannot be.
    let many: Vec<Fact> = (0..600).map(step_entry).collect();
    rig.audit.note(&many).await.expect("written");
    let long = Fact::new(What::Query, "ann", "", json!({ "sql": "x".repeat(100_000) }));
    rig.audit.note(&[long]).await.expect("written");
    let entries = rig.entries().await;
    assert_eq!(entries.iter().filter(|one| one.entry.what == "head").count(), 3);
    let detail = &entries.last().expect("one").entry.detail;
    assert_eq!(detail.get("too_long_bytes"), Some(&json!(100_010)));
    for detail in [json!({ "share": 0.5 }), json!([1]), json!("text")] {
        assert!(rig.audit.note(&[Fact::new(What::Plan, "gatewatch", "", detail)]).await.is_err());
    }
    let mut verifier = Verifier::new(rig.public());
    rig.entries().await.iter().for_each(|one| verifier.take(one));
    assert_eq!(findings(&verifier.finish()), []);
}

#[tokio::test]
async fn what_is_in_the_lake_leaves_the_state_store_and_the_rest_goes_on() {
    let rig = Rig::new(SECOND_US).await;
    rig.audit.note(&[Fact::new(What::Start, "gatewatch", "", json!({}))]).await.expect("written");
    rig.steps(100).await;
    rig.now_us.fetch_add(40 * 86_400 * SECOND_US, Ordering::Relaxed);
    rig.audit.note(&[Fact::new(What::Start, "gatewatch", "", json!({}))]).await.expect("written");
    rig.steps(100).await;
    let before = rig.entries().await;
    let kept_from = before.iter().rfind(|one| one.entry.what == "start").expect("a start").entry.n;
    assert_eq!(rig.audit.forget(50).await.expect("forgotten"), 50, "what the lake does not have stays");
    assert_eq!(rig.audit.forget(i64::MAX).await.expect("forgotten"), kept_from as u64 - 51);
    rig.steps(5).await;
    let entries = rig.entries().await;
    assert_eq!(entries[0].entry.n, kept_from);
    // What is left verifies from where it begins, and so does an export of it.
    let mut verifier = Verifier::new(rig.public());
    entries.iter().for_each(|one| verifier.take(one));
    let report = verifier.finish();
    assert_eq!((findings(&report), report.first), (vec![], kept_from));
    assert!(report.signed.is_some_and(|signed| signed.0 > kept_from));
    assert_eq!(findings(&check(&rig.export().await, &rig.public())), []);
}

/// The end of a chain that lies in a store may wait for its head, but not for longer than heads are apart.
#[tokio::test]
async fn heads_that_were_cut_off_are_missed() {
    let rig = Rig::new(0).await;
    rig.steps(900).await;
    let entries = rig.entries().await;
    let with = |entries: &[Chained]| {
        let mut verifier = Verifier::new(rig.public());
        entries.iter().for_each(|one| verifier.take(one));
        verifier.finish()
    };
    assert_eq!(findings(&with(&entries)), []);
    let cut = with(&entries[..700]);
    assert!(cut.is_good() && cut.signed.as_ref().is_some_and(|signed| signed.0 > 440), "says how far: {cut:?}");
    let mut made_anew: Vec<Chained> = entries[..2].to_vec();
    for n in 3..400 {
        let last = made_anew.last().expect("one").clone();
        let mut entry = entries[2].entry.clone();
        entry.n = n;
        made_anew.push(entry.chain(last.hash).expect("chained"));
    }
    assert_eq!(findings(&with(&made_anew)), [(399, Wrong::Tail { signed: 2 })]);
    assert_eq!(findings(&with(&entries[..1])), [(1, Wrong::NothingSigned)]);
}

/// What the helper processes below do. Without their folder in the environment it does nothing.
#[tokio::test]
#[ignore = "a helper of the tests below"]
#[allow(clippy::disallowed_methods, reason = "how its parent tells it where")]
async fn helper_appends() {
    let Ok(text) = std::env::var(WHERE) else { return };
    let (count, folder) = text.split_once(':').expect("a count and a folder");
    let count: usize = count.parse().expect("a count");
    let store = Store::open(&Path::new(folder).join("state.db")).await.expect("opens");
    let keys = Path::new(folder).join("keys");
    let audit = Audit::new(store, "main", &keys, clock::system()).expect("the key");
    for step in 0..count {
        audit.note(&[step_entry(step), step_entry(step)]).await.expect("its turn comes");
        println!("wrote {step}");
    }
}

fn helper(folder: &Path, count: usize) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--ignored", "--exact", "helper_appends", "--nocapture"]);
    command.env(WHERE, format!("{count}:{}", path(folder))).stdout(Stdio::piped());
    command.spawn().expect("starts")
}

async fn whole(folder: &Path) -> (Report, Vec<Chained>) {
    let store = Store::open(&folder.join("state.db")).await.expect("opens");
    let entries = entries_after(&store, "main", 0, u32::MAX).await.expect("read");
    let keys = PublicKey::read_all(&public_file(&folder.join("keys"))).expect("listed");
    let mut verifier = Verifier::new(keys);
    entries.iter().for_each(|one| verifier.take(one));
    (verifier.finish(), entries)
}

#[tokio::test]
async fn processes_that_append_at_once_keep_one_chain() {
    let folder = folder();
    let children: Vec<Child> = (0..3).map(|_| helper(folder.path(), 60)).collect();
    for child in children {
        let output = child.wait_with_output().expect("ends");
        assert!(output.status.success(), "{output:?}");
    }
    let (report, entries) = whole(folder.path()).await;
    assert_eq!(findings(&report), []);
    assert_eq!((report.first, report.last, report.entries), (1, entries.len() as i64, entries.len() as u64));
    assert_eq!(entries.iter().filter(|one| one.entry.what == "action_step").count(), 3 * 60 * 2);
}

#[tokio::test]
async fn a_kill_leaves_a_chain_that_verifies() {
    let folder = folder();
    let mut told = 0;
    for lines in [1, 7, 20, 33] {
        let mut child = helper(folder.path(), 1_000_000);
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let said = out.lines().map_while(Result::ok).filter(|line| line.contains("wrote ")).take(lines).count();
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert_eq!(said, lines);
        told += said;
        let (report, entries) = whole(folder.path()).await;
        assert_eq!(findings(&report), []);
        let steps = entries.iter().filter(|one| one.entry.what == "action_step").count();
        // What was said to be written is there, and both of a transaction or none.
        assert!(steps >= 2 * told && steps % 2 == 0, "{steps} steps, {told} told");
    }
}

/// What can be done to an export with one move.
#[derive(Clone, Debug)]
enum Mutation {
    Byte { at: usize, to: u8 },
    ByteRemoved { at: usize },
    ByteAdded { at: usize, byte: u8 },
    Removed(usize),
    Doubled { line: usize, to: usize },
    Moved { line: usize, to: usize },
    Swapped(usize, usize),
    Cut(usize),
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let any = any::<usize>;
    let printable = 32u8..127;
    prop_oneof![
        (any(), printable.clone()).prop_map(|(at, to)| Mutation::Byte { at, to }),
        any().prop_map(|at| Mutation::ByteRemoved { at }),
        (any(), printable).prop_map(|(at, byte)| Mutation::ByteAdded { at, byte }),
        any().prop_map(Mutation::Removed),
        (any(), any()).prop_map(|(line, to)| Mutation::Doubled { line, to }),
        (any(), any()).prop_map(|(line, to)| Mutation::Moved { line, to }),
        (any(), any()).prop_map(|(one, other)| Mutation::Swapped(one, other)),
        any().prop_map(Mutation::Cut),
    ]
}

fn mutate(lines: &[String], mutation: &Mutation) -> Vec<String> {
    let count = lines.len();
    let mut lines = lines.to_vec();
    let bytes = |change: &dyn Fn(&mut Vec<u8>)| -> Vec<String> {
        let mut all = lines.join("\n").into_bytes();
        change(&mut all);
        String::from_utf8_lossy(&all).split('\n').map(str::to_owned).collect()
    };
    match *mutation {
        Mutation::Byte { at, to } => {
            return bytes(&|all| {
                let at = at % all.len();
                all[at] = to;
            });
        }
        Mutation::ByteRemoved { at } => {
            return bytes(&|all| {
                all.remove(at % all.len());
            });
        }
        Mutation::ByteAdded { at, byte } => return bytes(&|all| all.insert(at % all.len(), byte)),
        Mutation::Removed(line) => drop(lines.remove(line % count)),
        Mutation::Doubled { line, to } => lines.insert(to % (count + 1), lines[line % count].clone()),
        Mutation::Moved { line, to } => {
            let line = lines.remove(line % count);
            lines.insert(to % count, line);
        }
        Mutation::Swapped(one, other) => lines.swap(one % count, other % count),
        Mutation::Cut(from) => lines.truncate(from % count),
    }
    lines
}

#[test]
fn any_one_mutation_of_an_export_is_found() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (lines, keys) = runtime.block_on(async {
        let rig = Rig::new(9 * SECOND_US).await;
        rig.steps(24).await;
        rig.audit.rotate().await.expect("rotated");
        rig.steps(12).await;
        (rig.export().await, rig.public())
    });
    assert!(check(&lines, &keys).is_good());
    let config = ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(mutation in mutations())| {
        let mutated = mutate(&lines, &mutation);
        prop_assert_eq!(mutated == lines, check(&mutated, &keys).is_good(), "{:?}", mutation);
    });
}

/// A service over one file, which ends by itself.
struct Service {
    folder: TempDir,
    config: PathBuf,
}

impl Service {
    fn new() -> Service {
        let folder = folder();
        let line = |n: u32| {
            format!(
                "203.0.113.7 - - [10/Jun/2026:10:00:{:02} +0000] \"GET /v1/orders/{n} HTTP/1.1\" 200 512 \"-\" \"curl/8.5\"",
                n % 60
            )
        };
        let log: String = (0..200).map(|n| line(n) + "\n").collect();
        program::file(&folder, "access.log", log);
        let service = Service { config: folder.path().join("gatewatch.yaml"), folder };
        service.configure("10s");
        service
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn configure(&self, every: &str) {
        let (data, log) = (self.data(), self.folder.path().join("access.log"));
        let text = format!(
            "data_dir: {}\nlake: {{ checkpoint_every: {every} }}\nsources:\n  - name: edge\n    kind: combined\n    files: [{}]\n",
            data.display(),
            log.display()
        );
        std::fs::write(&self.config, text).expect("written");
    }

    fn verb(&self, arguments: &[&str]) -> Ran {
        let config = ["--config", path(&self.config)];
        program::run(&[arguments, &config].concat())
    }
}

#[test]
fn a_service_writes_what_happens_and_any_machine_can_check_it() {
    let service = Service::new();
    let ran = service.verb(&["run"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // A question is an entry, without the secrets in it.
    let secret = concat!("AKIA", "FAKE0FAKE0FAKE0F");
    let sql = format!("select count(*) from events where user_agent <> '{secret}'");
    assert_eq!(service.verb(&["query", &sql]).code, 0);
    assert_eq!(service.verb(&["query", "select nothing from nowhere"]).code, 2);
    service.configure("20s");
    assert_eq!(service.verb(&["run"]).code, 0);

    let shown = service.verb(&["audit", "show", "--format", "json"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let rows: Vec<Value> = shown.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let what: Vec<&str> = rows.iter().filter_map(|row| row["what"].as_str()).filter(|what| *what != "head").collect();
    assert_eq!(what, ["start", "stop", "query", "query", "start", "configuration", "stop"]);
    let detail = |what: &str| -> Value {
        let row = rows.iter().find(|row| row["what"] == what).expect("one");
        serde_json::from_str(row["detail"].as_str().expect("a text")).expect("JSON")
    };
    assert_eq!(detail("configuration")["changed"], json!(["lake"]));
    assert_eq!((&detail("stop")["events"], &detail("start")["after_crash"]), (&json!(200), &json!(false)));
    assert_eq!(detail("query")["rows"], json!(1));
    assert!(
        !shown.stdout.contains(secret) && detail("query")["sql"].as_str().is_some_and(|sql| sql.contains("count(*)"))
    );
    assert!(rows.iter().any(|row| row["who"].as_str().is_some_and(|who| who.contains("uid"))), "{}", shown.stdout);

    let export = service.folder.path().join("audit.jsonl");
    let exported = service.verb(&["audit", "export", "--out", path(&export)]);
    assert_eq!(exported.code, 0, "{}", exported.stderr);
    let public = service.folder.path().join("kept.pub");
    std::fs::copy(service.data().join("keys/audit.pub"), &public).expect("copied");
    let verify = |file: &Path| program::run(&["audit", "verify", "--file", path(file), "--public-key", path(&public)]);
    let good = verify(&export);
    assert_eq!(good.code, 0, "{}{}", good.stdout, good.stderr);
    let text = std::fs::read_to_string(&export).expect("readable");
    let arguments = ["-c", CHECKED_BY_OTHERS, path(&export), path(&public), path(service.folder.path())];
    let others = Command::new(python_program("python")).args(arguments).output().expect("python runs");
    let (entries, heads) = (text.lines().count() - 1, text.matches(r#""what":"head""#).count());
    assert_eq!(String::from_utf8_lossy(&others.stdout), format!("{entries} {heads}\n"), "{others:?}");
    std::fs::write(&export, text.replace("\"events\":200", "\"events\":100")).expect("written");
    let bad = verify(&export);
    assert!(bad.code == 1 && bad.stdout.contains(" was changed"), "{}{}", bad.stdout, bad.stderr);
    std::fs::write(&export, &text[..text.len() - 1]).expect("written");
    assert_eq!(verify(&export).code, 1, "the last byte is gone");

    // Where it lies: in the lake and the state store, and both agree.
    let lies = service.verb(&["audit", "verify", "--signed-within", "1h"]);
    assert_eq!(lies.code, 0, "{}{}", lies.stdout, lies.stderr);
    let count = program::number(&service.data(), "select count(*) from audit where what <> 'head'");
    assert_eq!(count, 7, "all of the two runs is in the lake, each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_store_that_was_touched_or_lost_is_found() {
    let service = Service::new();
    assert_eq!(service.verb(&["run"]).code, 0);
    let state = service.data().join("state.db");
    let store = Store::open(&state).await.expect("opens");
    sqlx::query("UPDATE audit SET actor = 'nobody' WHERE what = 'stop'").execute(store.pool()).await.expect("changes");
    store.close().await;
    let found = service.verb(&["audit", "verify"]);
    assert!(found.code == 1 && found.stdout.contains("is another one in the state store"), "{}", found.stdout);

    for side in ["state.db", "state.db-wal", "state.db-shm"] {
        let _gone = std::fs::remove_file(service.data().join(side));
    }
    let again = service.verb(&["run"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let whole = service.verb(&["audit", "verify"]);
    assert_eq!(whole.code, 0, "{}{}", whole.stdout, whole.stderr);
    let starts = program::query(&service.data(), "select n, detail from audit where what = 'start' order by n");
    assert_eq!(starts.len(), 2);
    assert!(starts[1]["detail"].as_str().is_some_and(|detail| detail.contains("\"state_store_lost\":true")));
}
