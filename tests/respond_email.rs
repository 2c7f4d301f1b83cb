//! Promise: an incident's mails reach a real mail server encrypted, thread, and can be told apart; what the server says
//! decides whether a mail is sent again.

mod common;

use common::smtp::{PASSWORD, SmtpServer, USER};
use common::targets::{Told, deliver, target};
use common::wall_us;
use gatewatch::respond::Delivery;
use gatewatch::respond::action::Kind;
use schemas::alert::Severity;
use schemas::incident::Event;

fn incident() -> Told {
    Told {
        id: "in-1".to_owned(),
        address: "203.0.113.7".to_owned(),
        severity: Severity::High,
        opened_us: wall_us() - 60_000_000,
    }
}

fn config(server: &SmtpServer, rest: &str) -> String {
    format!("email: [{{ name: soc, host: localhost, port: {}, from: gatewatch@example.com, {rest} }}]", server.port)
}

const LOGIN: &str = "user: { env: USER }, password: { env: PASSWORD }, ca: { env: CA }, to: [soc@example.org]";

fn header<'a>(mail: &'a serde_json::Value, name: &str) -> &'a str {
    let text = mail["text"].as_str().expect("a text");
    let line = text.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name}: {text}"))
}

#[tokio::test]
async fn mails_go_encrypted_behind_a_login_thread_and_keep_their_id() {
    let server = SmtpServer::start(true).await;
    let secrets = [("USER", USER), ("PASSWORD", PASSWORD), ("CA", server.certificate.as_str())];
    let email = target(&config(&server, LOGIN), &secrets);
    let incident = incident();
    for (event, attempt) in [(Event::Open, 1), (Event::Open, 2), (Event::Closed, 1)] {
        let delivery = deliver(&*email, &incident.action(event, Kind::Notify), attempt, None).await;
        assert!(
            matches!(delivery, Delivery::Delivered { ref answer, .. } if answer.contains("kept as")),
            "{delivery:?}"
        );
    }
    let mails = server.mails();
    assert_eq!(mails.len(), 3);
    for mail in &mails {
        assert_eq!((&mail["encrypted"], &mail["login"]), (&true.into(), &true.into()));
        assert_eq!((&mail["from"], &mail["to"][0]), (&"gatewatch@example.com".into(), &"soc@example.org".into()));
        assert_eq!(header(mail, "References"), "<in-1@example.com>");
        assert_eq!(header(mail, "Auto-Submitted"), "auto-generated");
        assert!(mail["text"].as_str().is_some_and(|text| text.contains("Subject: ") && text.contains("203.0.113.7")));
    }
    assert_eq!(mails[0]["text"], mails[1]["text"], "the same action is the same mail");
    assert_ne!(header(&mails[0], "Message-ID"), header(&mails[2], "Message-ID"));
    assert!(header(&mails[2], "Subject").starts_with("Over: [high] "));
}

#[tokio::test]
async fn what_the_server_says_decides() {
    let server = SmtpServer::start(true).await;
    let certificate = server.certificate.clone();
    let send = async |rest: &str, password: &str, ca: &str| {
        let email = target(&config(&server, rest), &[("USER", USER), ("PASSWORD", password), ("CA", ca)]);
        deliver(&*email, &incident().action(Event::Open, Kind::Notify), 1, None).await
    };
    let refused = send(&LOGIN.replace("soc@example.org", "nobody@example.org"), PASSWORD, &certificate).await;
    assert!(matches!(refused, Delivery::Failed { ref reason, .. } if reason.contains("550")), "{refused:?}");
    let later = send(&LOGIN.replace("soc@example.org", "later@example.org"), PASSWORD, &certificate).await;
    assert!(matches!(later, Delivery::Retry { ref reason, .. } if reason.contains("451")), "{later:?}");
    let wrong = send(LOGIN, "not-the-password", &certificate).await;
    assert!(matches!(wrong, Delivery::Failed { ref reason, .. } if reason.contains("535")), "{wrong:?}");
    assert!(!format!("{wrong:?}").contains("not-the-password"));
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate").cert.pem();
    let stranger = send(LOGIN, PASSWORD, &other).await;
    assert!(matches!(stranger, Delivery::Retry { ref reason, .. } if reason.contains("certificate")), "{stranger:?}");
    assert_eq!(server.mails(), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn without_encryption_only_where_that_was_said() {
    let server = SmtpServer::start(false).await;
    let action = incident().action(Event::Open, Kind::Notify);
    let email = target(&config(&server, "to: [soc@example.org]"), &[]);
    let delivery = deliver(&*email, &action, 1, None).await;
    assert!(!matches!(delivery, Delivery::Delivered { .. }), "the server offers no STARTTLS: {delivery:?}");
    assert_eq!(server.mails().len(), 0);
    let email = target(&config(&server, "encryption: none, to: [soc@example.org, team@example.org]"), &[]);
    let delivery = deliver(&*email, &action, 1, None).await;
    assert!(matches!(delivery, Delivery::Delivered { .. }), "{delivery:?}");
    assert_eq!(server.mails()[0]["to"], serde_json::json!(["soc@example.org", "team@example.org"]));
    assert_eq!(server.mails()[0]["encrypted"], false);
}
