//! Databases of addresses as a user names them: on the command line, in the configuration, right and wrong.

#[allow(dead_code)] // Each test program uses its own part.
#[path = "common/program.rs"]
mod program;

use std::fs;
use std::path::PathBuf;

use program::{path, query, run, run_with_input};
use serde_json::Value;

fn data(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas/tests/data/geo");
    path(&folder.join(name)).to_owned()
}

const LINE: &str =
    "192.0.2.7 - - [05/Jan/2026:10:00:00 +0000] \"GET /v1/orders HTTP/1.1\" 200 12 \"-\" \"curl/8.5.0\"\n";

#[test]
fn explain_and_replay_look_addresses_up() {
    let (city, asn) = (data("city.mmdb"), data("asn.mmdb"));
    let explained =
        run_with_input(&["explain", "--source", "combined", "--mmdb", &city, "--mmdb", &asn], LINE.as_bytes());
    let told: Value = serde_json::from_str(&explained.stdout).expect(&explained.stderr);
    let event = &told["event"];
    assert_eq!(
        (&event["country"], &event["asn"], &event["as_org"]),
        (&"DE".into(), &64496.into(), &"Example Carrier".into())
    );
    assert_eq!((&event["lat"], &event["lon"]), (&52.5.into(), &13.25.into()));

    let folder = tempfile::tempdir().expect("a folder");
    let (log, kept) = (folder.path().join("access.log"), folder.path().join("data"));
    fs::write(&log, LINE).expect("written");
    let ran = run(&["replay", path(&log), "--source", "combined", "--mmdb", &city, "--data-dir", path(&kept)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(query(&kept, "select country, lat from events")[0]["country"], "DE");
}

#[test]
fn a_file_that_is_no_database_is_refused_by_its_name() {
    for (name, words) in
        [("make.py", "expected a MaxMind DB (MMDB) file"), ("other.mmdb", "with none of"), ("none", "none")]
    {
        let file = data(name);
        let ran = run_with_input(&["explain", "--source", "combined", "--mmdb", &file], LINE.as_bytes());
        assert_eq!(ran.code, 2, "{name}");
        assert!(ran.stderr.contains(name) && ran.stderr.contains(words), "{}", ran.stderr);
    }
}

#[test]
fn the_configuration_is_checked_with_its_databases_and_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, kept) = (folder.path().join("access.log"), folder.path().join("data"));
    fs::write(&log, LINE).expect("written");
    let file = folder.path().join("gatewatch.yaml");
    let write = |mmdb: &str, more: &str| {
        let source = format!("{{ name: edge, kind: combined, files: [{}]{more} }}", log.display());
        let text = format!("data_dir: {}\nsources: [{source}]\nenrich: {{ mmdb: [{mmdb}] }}\n", kept.display());
        fs::write(&file, text).expect("written");
    };
    let check = || run(&["check", "--config", path(&file)]);
    write(&data("make.py"), "");
    let refused = check();
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("enrich.mmdb") && refused.stderr.contains("make.py"), "{}", refused.stderr);
    write(&data("city.mmdb"), ", trusted_hops: 1, trusted_proxies: [192.0.2.1]");
    let refused = check();
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("by network or by number, expected one of them"), "{}", refused.stderr);

    write(&data("city.mmdb"), "");
    assert_eq!(check().code, 0, "{}", check().stderr);
    let ran = run(&["run", "--config", path(&file)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(query(&kept, "select country from events")[0]["country"], "DE");
}

#[test]
fn proxies_are_told_by_network_or_by_number() {
    let ran = run_with_input(
        &["explain", "--source", "combined", "--trusted-hops", "1", "--trusted-proxy", "192.0.2.1"],
        b"",
    );
    assert_eq!(ran.code, 2);
    let line = LINE.trim_end().to_owned() + " \"192.0.2.99, 203.0.113.66\"\n";
    let ran = run_with_input(&["explain", "--source", "combined", "--trusted-hops", "1"], line.as_bytes());
    let told: Value = serde_json::from_str(&ran.stdout).expect(&ran.stderr);
    let event = &told["event"];
    assert_eq!((&event["client_ip"], &event["client_ip_source"]), (&"203.0.113.66".into(), &"forwarded".into()));
}
