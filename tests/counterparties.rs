//! The programs that other tests stand on do what those tests believe of them.

mod common;

use common::nginx::Nginx;

#[tokio::test]
async fn nginx_writes_the_log_that_the_source_reads() {
    common::install_crypto();
    let mut nginx = Nginx::start();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    for (path, status) in [("/v1/orders/7?page=2", 200), ("/login", 401), ("/admin", 403), ("/wp-login.php", 404)] {
        let request = client.get(format!("{}{path}", nginx.url())).header("User-Agent", "a \"quoted\"\tagent");
        let request =
            request.header("Authorization", "Bearer not-a-real-token").header("X-Forwarded-For", "203.0.113.7");
        assert_eq!(request.send().await.expect("nginx answers").status(), status, "{path}");
    }
    nginx.settle();
    let log = std::fs::read_to_string(nginx.access_log()).expect("a log");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("each line is one JSON object")).collect();
    let seen: Vec<(&str, u64)> = lines
        .iter()
        .map(|line| (line["request_uri"].as_str().expect("a URI"), line["status"].as_u64().expect("a status")))
        .collect();
    assert_eq!(seen, [("/v1/orders/7?page=2", 200), ("/login", 401), ("/admin", 403), ("/wp-login.php", 404)]);
    let first = &lines[0];
    assert_eq!(first["remote_addr"], "127.0.0.1");
    assert_eq!(first["request_method"], "GET");
    assert_eq!(first["http_user_agent"], "a \"quoted\"\tagent");
    assert_eq!(first["http_authorization"], "Bearer not-a-real-token");
    assert_eq!(first["http_x_forwarded_for"], "203.0.113.7");
    assert!(first["msec"].is_f64() && first["body_bytes_sent"].is_u64() && first["request_time"].is_f64(), "{first}");
    assert_eq!(first["request_id"].as_str().expect("an id").len(), 32);
}
