//! Promise: a lake in a bucket is a lake. Behind a real S3 API (moto): a service that is killed again and again leaves each
//! record once and the alerts of an uninterrupted run; two services that commit at the same time both get everything in;
//! other engines read the same rows; and what is wrong with the bucket is said in words.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::program::{self, Ran, run};
use common::python::python_program;
use common::s3::{BUCKET, Bucket};
use common::service::Service;
use gatewatch::demo::{Traffic, TrafficConfig};

const EVENTS: u64 = 30_000;
const KILLS: usize = 6;

/// Kong lines of the demo's traffic.
fn log_file(folder: &Path) -> PathBuf {
    let file = folder.join("kong.log");
    let mut traffic = Traffic::new(&TrafficConfig { events: EVENTS, ..TrafficConfig::default() }).unwrap();
    let mut lines = Vec::new();
    while traffic.next_line(&mut lines) {}
    fs::write(&file, lines).unwrap();
    file
}

/// A configuration that reads `file` into `uri`.
fn configure(folder: &Path, name: &str, source: &str, file: &Path, uri: &str, options: &[(&str, String)]) -> PathBuf {
    let options: String = options.iter().map(|(key, value)| format!("    {key}: \"{value}\"\n")).collect();
    let options = if options.is_empty() { String::new() } else { format!("  options:\n{options}") };
    let text = format!(
        "instance: {name}\ndata_dir: {}\nsources:\n  - name: {source}\n    kind: kong\n    ahead_max: 36500d\n    files: [{}]\n\
         lake:\n  uri: {uri}\n  checkpoint_every: 1h\n  checkpoint_rows: 1500\n{options}",
        folder.join(name).display(),
        file.display(),
    );
    let path = folder.join(format!("{name}.yaml"));
    fs::write(&path, text).unwrap();
    path
}

fn ask(config: &Path, sql: &str) -> Ran {
    run(&["query", sql, "--format", "json", "--rows-max", "1000000", "--config", program::path(config)])
}

fn answer(config: &Path, sql: &str) -> String {
    let ran = ask(config, sql);
    assert_eq!(ran.code, 0, "{sql}: {}", ran.stderr);
    ran.stdout
}

fn ran_well(config: &Path) {
    let ran = run(&["run", "--config", program::path(config)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

const COUNTS: &str =
    "select count(*) events, count(distinct \"offset\") offsets, sum(response_bytes) bytes from events";
const TELLINGS: &str = "select * from alerts order by id, revision";

/// The libraries' threads may abort the interpreter when it ends in good order; the answer is out by then.
const READ: &str = "
import os, sys
from deltalake import DeltaTable
root, endpoint = sys.argv[1:]
options = {'aws_endpoint': endpoint, 'aws_region': 'us-east-1', 'aws_access_key_id': 'not-a-real-key',
           'aws_secret_access_key': 'not-a-real-secret', 'aws_allow_http': 'true'}
events = DeltaTable(root + '/events', storage_options=options).to_pyarrow_table(columns=['offset'])
print(events.num_rows, len(set(events['offset'].to_pylist())), flush=True)
os._exit(0)
";

#[tokio::test(flavor = "multi_thread")]
async fn kills_leave_each_record_once_and_the_same_alerts() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::start(folder.path()).await;
    let file = log_file(folder.path());
    let uri = format!("s3://{BUCKET}/killed");
    let killed = configure(folder.path(), "killed", "edge", &file, &uri, &bucket.options());
    for kill in 0..KILLS {
        let mut service = Service::start(&killed);
        // Later each time, somewhere after a commit and mostly within the next one.
        (0..=kill % 3).for_each(|_| service.wait_for("checkpoint", 60));
        service.kill();
    }
    ran_well(&killed);
    let whole =
        configure(folder.path(), "whole", "edge", &file, &folder.path().join("lake").display().to_string(), &[]);
    ran_well(&whole);

    let counts = answer(&killed, COUNTS);
    assert!(counts.starts_with(&format!("{{\"events\":{EVENTS},\"offsets\":{EVENTS},")), "{counts}");
    assert_eq!(counts, answer(&whole, COUNTS));
    let tellings = answer(&killed, TELLINGS);
    assert!(tellings.lines().count() > 10, "{tellings}");
    assert_eq!(tellings, answer(&whole, TELLINGS));

    let arguments = [&uri, &bucket.endpoint()];
    let output = Command::new(python_program("python")).args(["-c", READ]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{EVENTS} {EVENTS}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_that_commit_at_once_both_get_everything_in() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::start(folder.path()).await;
    let file = log_file(folder.path());
    let uri = format!("s3://{BUCKET}/shared");
    let configs = ["east", "west"].map(|name| configure(folder.path(), name, name, &file, &uri, &bucket.options()));
    // The tables exist before the race, which is about commits.
    let empty = folder.path().join("empty.log");
    fs::write(&empty, "").unwrap();
    ran_well(&configure(folder.path(), "first", "first", &empty, &uri, &bucket.options()));
    std::thread::scope(|scope| configs.iter().for_each(|config| drop(scope.spawn(|| ran_well(config)))));
    let counts = answer(
        &configs[0],
        "select source, count(*) events, count(distinct \"offset\") offsets from events group by source order by source",
    );
    let expected =
        ["east", "west"].map(|s| format!("{{\"source\":\"{s}\",\"events\":{EVENTS},\"offsets\":{EVENTS}}}\n"));
    assert_eq!(counts, expected.concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_bucket_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::start(folder.path()).await;
    let file = log_file(folder.path());
    let missing = configure(folder.path(), "missing", "edge", &file, "s3://no-such-bucket/lake", &bucket.options());
    let ran = run(&["run", "--config", program::path(&missing)]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let said = &ran.stderr;
    assert!(said.contains("look for a table in s3://no-such-bucket/lake/"), "{said}");
    assert!(said.contains("NoSuchBucket"), "{said}");
    assert!(!ran.stderr.contains("not-a-real-secret"), "{}", ran.stderr);

    let ran = ask(
        &configure(folder.path(), "nothing", "edge", &file, &format!("s3://{BUCKET}/nothing"), &bucket.options()),
        COUNTS,
    );
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("s3://gatewatch-test/nothing"), "{}", ran.stderr);

    let mut slip = bucket.options();
    slip.push(("aws_endpiont", "x".to_owned()));
    let ran =
        run(&["check", "--config", program::path(&configure(folder.path(), "slip", "edge", &file, "s3://b/l", &slip))]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("lake: ") && ran.stderr.contains("unknown option `aws_endpiont`"), "{}", ran.stderr);
}
