//! Promise: the inventory names every endpoint that was answered, and none that somebody only guessed; with OpenAPI documents it says
//! which are in none, which are deprecated, whose they are and which nobody asks for; the document it writes of the rest is one.

#[allow(dead_code)] // Each test program uses its own part.
#[path = "common/program.rs"]
mod program;

use std::fs;
use std::path::Path;

use program::{file, folder, path, run};
use serde_json::{Value, json};

fn record(n: u32, request: &str, status: u16, more: Value) -> String {
    let (method, uri) = request.split_once(' ').expect("a method and a path");
    let mut record = json!({"msec": 1_790_000_000 + n, "remote_addr": format!("203.0.113.{}", n % 5), "request_method": method,
        "request_uri": uri, "status": status, "host": "api.shop.example"});
    let more = more.as_object().expect("an object").clone();
    record.as_object_mut().expect("an object").extend(more);
    record.to_string() + "\n"
}

fn inventory(data: &Path, more: &[&str]) -> Vec<Value> {
    let ran = run(&[&["inventory", "--data-dir", path(data), "--format", "json"], more].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

fn names(endpoints: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    endpoints.iter().map(|one| format!("{} {}", text(&one["method"]), text(&one["path"]))).collect()
}

const SHOP: &str = "openapi: 3.1.0
paths:
  /v1/orders/{orderId}:
    x-owner: orders
    get: { deprecated: true, x-risk-class: high }
  /v1/reports:
    get: {}
";

#[test]
fn endpoints_are_what_was_answered_and_documents_say_more() {
    let folder = folder();
    let bearer = |token: &str| json!({"http_authorization": format!("Bearer {token}"), "remote_user": "anna"});
    let mut log = String::new();
    for n in 0..20 {
        log += &record(n, &format!("GET /v1/orders/{}", 1000 + n), 200, bearer("fake-token-1"));
    }
    log += &record(20, "GET /v1/orders/1001", 403, json!({}));
    log += &record(21, "POST /v1/orders", 201, bearer("fake-token-1"));
    log += &record(22, "POST /v1/orders", 500, bearer("fake-token-1"));
    log += &record(23, "GET /v1/status?email=anna@shop.example", 200, json!({}));
    for (n, guess) in ["/admin", "/old/login", "/v2/orders"].iter().enumerate() {
        log += &record(30 + n as u32, &format!("GET {guess}"), 404, json!({}));
    }
    let (log, shop) = (file(&folder, "shop.log", log), file(&folder, "shop.yaml", SHOP));
    let data = folder.path().join("data");
    let replay = ["replay", path(&log), "--source", "nginx_json", "--data-dir", path(&data), "--openapi", path(&shop)];
    let ran = run(&[&replay[..], &["--no-catalogue"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);

    let all = inventory(&data, &["--openapi", path(&shop)]);
    assert_eq!(names(&all), ["POST /v1/orders", "GET /v1/orders/{orderId}", "GET /v1/reports", "GET /v1/status"]);
    let [post, order, reports, status] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(
        json!([order["requests"], order["answered"], order["refused"], order["documented"], order["deprecated"]]),
        json!([21, 20, 1, true, true])
    );
    assert_eq!(json!([order["owner"], order["risk"], order["statuses"]]), json!(["orders", "high", [200, 403]]));
    assert_eq!(
        json!([order["first_seen"], order["last_seen"]]),
        json!(["2026-09-21T14:13:20.000000Z", "2026-09-21T14:13:40.000000Z"])
    );
    assert_eq!(json!([order["authentication"], order["anonymous"], order["addresses"]]), json!([["bearer"], 0, 5]));
    assert_eq!(json!([reports["documented"], reports["first_seen"], reports["requests"]]), json!([true, null, 0]));
    assert_eq!(json!([post["documented"], post["failed"], post["answered"]]), json!([false, 1, 1]));
    assert_eq!(
        json!([status["anonymous"], status["sensitive"], status["hosts"]]),
        json!([1, ["email"], ["api.shop.example"]])
    );

    // What was only guessed is there when it is asked for.
    assert!(names(&inventory(&data, &["--all"])).contains(&"GET /admin".to_owned()));
    assert_eq!(
        names(&inventory(&data, &["--openapi", path(&shop), "--undocumented"])),
        ["POST /v1/orders", "GET /v1/status"]
    );
    assert_eq!(names(&inventory(&data, &["--from", "2026-09-21T14:13:43Z"])), ["GET /v1/status"]);

    // The skeleton is a document, and with it nothing is undocumented any more.
    let ran = run(&["inventory", "--data-dir", path(&data), "--openapi", path(&shop), "--format", "openapi"]);
    let skeleton = folder.path().join("rest.json");
    fs::write(&skeleton, &ran.stdout).expect("written");
    let document: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(document["paths"]["/v1/status"]["get"]["x-requests"], 1);
    let rest = inventory(&data, &["--openapi", path(&shop), "--openapi", path(&skeleton), "--undocumented"]);
    assert_eq!(rest, [Value::Null; 0]);

    let ran = run(&["inventory", "--data-dir", path(&data), "--openapi", path(&shop)]);
    let line = ran.stdout.lines().find(|line| line.starts_with("GET /v1/orders/{orderId}")).expect("a line of it");
    assert!(line.contains("deprecated") && line.ends_with("orders  high"), "{}", ran.stdout);
    assert!(ran.stderr.contains("4 endpoints: 2 in none of"), "{}", ran.stderr);
}

#[test]
fn what_is_wrong_is_said() {
    let folder = folder();
    let (old, data) = (file(&folder, "old.yaml", "openapi: 2.0\npaths: {}\n"), folder.path().join("data"));
    let ran = run(&["inventory", "--data-dir", path(&data), "--openapi", path(&old)]);
    assert_eq!(
        (ran.code, ran.stderr.contains("old.yaml:1:1: openapi: expected a version 3.x")),
        (2, true),
        "{}",
        ran.stderr
    );
    let ran = run(&["inventory", "--data-dir", path(&data)]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}
