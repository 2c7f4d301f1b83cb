//! What vouches for a line beside it, what does not, and what is nobody's client.

use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    let around = Around::of(text);
    let told = match (around.named, around.unnamed) {
        _ if around.is_nobody() => "nobody".to_owned(),
        (Found::One(address), _) | (Found::Nobody, Found::One(address))
            if !around.doubts(Some(&address.to_string())) =>
        {
            address.to_string()
        }
        _ => "doubt".to_owned(),
    };
    assert_eq!(told, expected, "{text}");
}

#[test]
fn what_shippers_say_of_themselves_is_no_client() {
    for text in [
        r#"{"log":"203.0.113.7 - - x","stream":"stdout","time":"2026-09-21T14:13:21.5Z"}"#,
        r#"{"@timestamp":"2026-09-21T14:13:21Z","message":"x","host":{"name":"web1","ip":["10.0.0.5","fe80::1"]},"agent":{"version":"8.15.1","hostname":"10.0.0.5"},"log":{"file":{"path":"/x"},"source":{"address":"10.0.0.9:514"}}}"#,
        r#"{"log":"x","kubernetes":{"pod_ip":"10.1.2.3","annotations":{"cni.projectcalico.org/podIP":"10.1.2.3/32"},"host":"10.0.0.1"}}"#,
        r#"{"MESSAGE":"x","_HOSTNAME":"10.0.0.5","PRIORITY":"6"}"#,
        r#"{"message":"x","host":"10.0.0.5","@metadata":{"ip_address":"10.0.0.6"},"fromhost-ip":"10.0.0.7","syslog_server_ip":"10.0.0.1"}"#,
        r#"{"version":"1.1","host":"10.0.0.5","short_message":"x","gl2_remote_ip":"10.0.0.6"}"#,
        r#"{"stream":{"instance":"10.0.0.5:9080","job":"nginx"},"values":[["1795773600000000000","203.0.113.9 - - x"]]}"#,
        r#"{"body":{"stringValue":"x"},"attributes":[{"key":"log.file.name","value":{"stringValue":"a.log"}},{"key":"host.ip","value":{"stringValue":"10.0.0.5"}}]}"#,
        r#"{"owner":"123456789012","logGroup":"g","logEvents":[{"id":"1","message":"203.0.113.9 x"}]}"#,
        r#"{"message":"x","path":"/var/log/nginx/access.log","level":"info","version":"1.2.3.4"}"#,
        r#"{"insertId":"a","jsonPayload":{"remote_addr":"203.0.113.66","status":401,"request_method":"GET"}}"#,
        r#"{"message":"x","source_type":"syslog","source_ip":"10.0.0.5","host":"10.0.0.5"}"#,
        r#"{"message":"x","source":"10.0.0.5","facility":"local7"}"#,
        r#"{"event":"x","source":"10.0.0.7","sourcetype":"nginx","host":"10.0.0.7"}"#,
        r#"{"MESSAGE":"x","SOURCEIP":"10.0.0.5","PROGRAM":"nginx"}"#,
        r#"{"message":"x","ident":"nginx","source_address":"10.0.0.5"}"#,
        r#"{"logStream":"10.0.0.5","logEvents":[{"id":"1","message":"x"}],"_sourcehost":"10.0.0.5"}"#,
        r#"{"message":"x","headers":{"http_host":"10.0.0.1:8080","http_user_agent":"1.2.3.4"},"url":{"domain":"10.0.0.1"}}"#,
        r#"{"body":"x","attributes":{"net.transport":"IP.UDP","net.peer.ip":"10.0.0.5","net.host.ip":"10.0.0.6"}}"#,
        r#"{"log":"{}","log_processed":{"remote_addr":"203.0.113.66","x_forwarded_for":"10.0.0.1"},"stream":"stdout"}"#,
        r#"{"stream":{"method":"GET","status":"404"},"values":[["1795773600000000000","x"]]}"#,
        // The line, however many addresses its client wrote into it, and what its client says it is.
        r#"{"log":"198.51.100.2 - - [30/Nov/2026:06:00:00 +0000] \"GET / HTTP/1.1\" 404 12 \"-\" \"curl/8,1.2.3.4,\"\n","stream":"stdout"}"#,
        r#"{"message":"x","user_agent":{"version":"120.0.0.0","os":{"version":"10.0.0.1","full":"10.0.0.1"}}}"#,
        r#"{"body":{"stringValue":"x"},"attributes":[{"key":"user_agent.original","value":{"stringValue":"1.2.3.4"}},{"key":"url.path","value":{"stringValue":"/1.2.3.4"}}]}"#,
        r#"{"body":{"stringValue":"x"},"attributes":[{"key":"net.transport","value":{"stringValue":"IP.TCP"}},{"key":"net.peer.ip","value":{"stringValue":"10.0.0.5"}}]}"#,
        r#"{"message":"x","agent":"1.2.3.4","user":"1.2.3.4","request":"1.2.3.4","path":"/1.2.3.4","user_name":"1.2.3.4"}"#,
    ] {
        check(text, "nobody");
    }
}

#[test]
fn an_address_under_any_other_name_may_be_the_clients() {
    for name in [
        "remote_addr",
        "ip",
        "client_ip",
        "_client_ip",
        "CLIENT_IP",
        "remoteAddress",
        "visitor",
        "addr",
        "who",
        "source_ip",
    ] {
        check(&format!(r#"{{"message":"x","{name}":"203.0.113.66"}}"#), "203.0.113.66");
    }
    for text in [
        r#"{"message":"x","req":{"ip":"203.0.113.66"}}"#,
        r#"{"message":"x","source":{"ip":"203.0.113.66","port":1}}"#,
        r#"{"message":"x","client":{"address":"203.0.113.66:4711"},"remote_addr":"203.0.113.66"}"#,
        r#"{"message":"x","fields":{"network.peer.address":"203.0.113.66"}}"#,
        r#"{"body":{"stringValue":"x"},"attributes":[{"key":"client.address","value":{"stringValue":"203.0.113.66"}}]}"#,
        r#"{"textPayload":"x","labels":{"remote_ip":"203.0.113.66"}}"#,
        r#"{"message":"x","metadata":{"ip":"203.0.113.66"}}"#,
        r#"{"message":"x","gateway":{"clientIp":"203.0.113.66"},"service":{"remoteAddr":"203.0.113.66"}}"#,
        r#"{"message":"x","aws":{"sourceIPAddress":"203.0.113.66"},"server":{"remoteaddr":"203.0.113.66"}}"#,
        r#"{"message":"x","remoteAddress":"/203.0.113.66:4711"}"#,
        r#"{"message":"x","peer":"tcp://203.0.113.66:4711","from":"[client 203.0.113.66:443]"}"#,
        r#"{"message":"x","client":"203.0.113.66#4711","connection":"203.0.113.66:4711->10.0.0.1:443"}"#,
        r#"{"message":"x","net.peer.ip":"203.0.113.66"}"#,
    ] {
        check(text, "203.0.113.66");
    }
}

#[test]
fn where_the_named_client_is_the_lines_the_rest_is_of_the_same_request() {
    for text in [
        r#"{"message":"x","clientip":"203.0.113.66","verb":"GET","response":"404","xff":"10.0.0.1"}"#,
        r#"{"message":"x","attributes":{"network":{"client":{"ip":"203.0.113.66"}},"http":{"method":"GET","status_code":404}}}"#,
        r#"{"event":{"original":"x"},"source":{"address":"203.0.113.66"},"http":{"request":{"method":"GET"},"response":{"status_code":404}}}"#,
        r#"{"message":"x","remote_addr":"203.0.113.66","who":"10.0.0.1"}"#,
        r#"{"message":"x","clientip":"203.0.113.66","params":{"ip":"1.2.3.4","client":"1.2.3.4"}}"#,
        r#"{"log":"x","remote":"203.0.113.66","host":"-","method":"GET","path":"/","code":"404"}"#,
        r#"{"message":"x","client":"203.0.113.66","request":"GET / HTTP/1.1","size":5,"status":404,"method":"GET","source_type":"file"}"#,
    ] {
        check(text, "203.0.113.66");
        assert!(Around::of(text).doubts(Some("203.0.113.67")), "{text}");
    }
}

#[test]
fn what_a_client_says_is_no_input_of_a_collector() {
    let text = r#"{"body":"x","attributes":{"net.peer.ip":"198.51.100.66","http.user_agent":"IP.TCP"}}"#;
    assert!(Around::of(text).doubts(Some("203.0.113.66")));
    // Parsers that call the client a host.
    let parsed = r#"{"log":"x","host":"203.0.113.66","method":"GET","path":"/","code":"404"}"#;
    assert!(!Around::of(parsed).doubts(Some("203.0.113.66")) && Around::of(parsed).doubts(Some("203.0.113.67")));
}

#[test]
fn long_names_over_many_objects_take_no_longer() {
    let many: String = (0..30_000).map(|n| format!("\"{n}\":{{}},")).collect();
    let text = format!("{{\"message\":\"x\",\"{}\":{{{many}\"ip\":\"203.0.113.66\"}}}}", "n".repeat(500_000));
    // A look at the whole name for each object would take minutes.
    check(&text, "203.0.113.66");
}

#[test]
fn two_addresses_a_header_or_a_request_vouch_for_nobody() {
    for text in [
        r#"{"message":"x","ip":"203.0.113.66","remote":"203.0.113.67"}"#,
        r#"{"message":"x","x_forwarded_for":"198.51.100.9"}"#,
        r#"{"message":"x","headers":{"x-real-ip":"198.51.100.9"}}"#,
        r#"{"message":"x","ips":"203.0.113.66, 10.0.0.1"}"#,
        r#"{"message":"x","ips":["203.0.113.66","10.0.0.1"]}"#,
        r#"{"method":"POST","url":"/login","statusCode":401,"body":"x"}"#,
        r#"{"event":{"original":"x","method":"POST","status":401}}"#,
        r#"{"log":{"ip":"203.0.113.66"},"message":"x","req":{"ip":"203.0.113.67"}}"#,
        r#"{"log":"x","http":{"request":{"method":"POST"},"response":{"status_code":401}}}"#,
        r#"{"message":"x","method":"POST","http_status_code":401}"#,
        r#"{"message":"x","method":"POST","code":401}"#,
        r#"{"message":"x","who":"203.0.113.66","method":"POST","response_code":401}"#,
        r#"{"message":"x","metadata":{"ip":"203.0.113.66","clientIp":"203.0.113.67"}}"#,
        // Where the address comes from, an application's log does not say.
        r#"{"message":"x","ip":"203.0.113.66","method":"POST","url":"/login"}"#,
        r#"{"message":"x","req":{"method":"POST","url":"/l","query":{"ip":"203.0.113.66"}}}"#,
        r#"{"message":"x","remote_addr":"203.0.113.66","headers":{"x-real-ip":"203.0.113.66"}}"#,
    ] {
        check(text, "doubt");
    }
}
