//! A mail: headers that thread and tell, and a message as plain text.
//!
//! Promises: the same action gives the same mail, byte for byte; the subject is one line, whatever a client chose.
//! Never: says more than the message does.

use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use schemas::Message;

use crate::respond::action::Action;
use crate::respond::message;

const SUBJECT_CHARS_MAX: usize = 200;

/// Mail programs that answer by themselves leave such mails alone (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(AutoSubmitted::name(), "auto-generated".to_owned())
    }
}

/// The mail as it goes over the wire.
pub fn write(
    action: &Action,
    message: &Message,
    from: &Mailbox,
    to: &[Mailbox],
    link: Option<&str>,
) -> Result<Vec<u8>, String> {
    let id = |id: &str| format!("<{id}@{}>", from.email.domain());
    let thread = id(&message.incident.id);
    let mut builder: MessageBuilder = lettre::Message::builder()
        .from(from.clone())
        .subject(subject(message))
        .message_id(Some(id(&action.id)))
        .in_reply_to(thread.clone())
        .references(thread)
        .date(time(action.created_us))
        .header(AutoSubmitted)
        .header(ContentType::TEXT_PLAIN);
    for mailbox in to {
        builder = builder.to(mailbox.clone());
    }
    let mut text = format!("{}\n\n", message::headline(message, SUBJECT_CHARS_MAX));
    for (label, value) in message::facts(message) {
        text.push_str(&format!("{label}: {value}\n"));
    }
    for (label, address) in message::links(message, link) {
        text.push_str(&format!("\n{label}:\n{address}\n"));
    }
    text.push_str("\nSent by Gatewatch. Answers to this mail are not read by it.\n");
    let mail = builder.body(text).map_err(|error| format!("the mail could not be written: {error}"))?;
    Ok(mail.formatted())
}

/// Mail readers decode what looks like an encoded word (RFC 2047), wherever it came from: it is broken up so that it is shown as
/// it was written.
fn subject(message: &Message) -> String {
    message::headline(message, SUBJECT_CHARS_MAX).replace("=?", "= ?").replace("?=", "? =")
}

fn time(us: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(us).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::action::Kind;
    use crate::respond::message::tests::{action, message};
    use schemas::incident::Event;

    fn mail(event: Event, subject: &str) -> String {
        let mut message = message(event, Kind::Notify);
        message.incident.subject.value = subject.to_owned();
        let (from, to) =
            ("Gatewatch <soc@example.com>".parse().expect("valid"), "a@example.org".parse().expect("valid"));
        let link = Some("https://soc.example.com/{incident}");
        let mail = write(&action(event, Kind::Notify), &message, &from, &[to], link).expect("a mail");
        String::from_utf8(mail).expect("ASCII")
    }

    #[test]
    fn the_mails_of_an_incident_thread_and_each_has_its_own_id() {
        let open = mail(Event::Open, "203.0.113.7");
        assert_eq!(open, mail(Event::Open, "203.0.113.7"), "byte for byte");
        for line in [
            "Subject: [high] Many refused logins from one address: client_ip 203.0.113.7\r\n",
            "Message-ID: <ac-notify-0@example.com>\r\n",
            "In-Reply-To: <in-0123456789abcdef@example.com>\r\n",
            "References: <in-0123456789abcdef@example.com>\r\n",
            "Date: Mon, 02 Mar 2026 10:00:10 +0000\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "From: Gatewatch <soc@example.com>\r\n",
            "To: a@example.org\r\n",
            "https://soc.example.com/in-0123456789abcdef\r\n",
        ] {
            assert!(open.contains(line), "{line}: {open}");
        }
        let closed = mail(Event::Closed, "203.0.113.7");
        assert!(closed.contains("Message-ID: <ac-notify-1@example.com>\r\n"));
        assert!(closed.contains("References: <in-0123456789abcdef@example.com>\r\n"));
    }

    #[test]
    fn a_name_that_is_written_as_an_encoded_word_is_shown_as_it_is() {
        let mail = mail(Event::Open, "=?utf-8?B?QWxsIGNsZWFy?=").replace("\r\n ", " ");
        assert!(mail.contains("client_ip = ?utf-8?B?QWxsIGNsZWFy? =\r\n"), "{mail}");
    }

    #[test]
    fn a_client_adds_no_header() {
        let mail = mail(Event::Open, "x\r\nBcc: evil@example.net\r\n\r\nbody");
        let head = mail.split("\r\n\r\n").next().expect("a head");
        assert!(!head.contains("\r\nBcc:"), "{head}");
    }
}
