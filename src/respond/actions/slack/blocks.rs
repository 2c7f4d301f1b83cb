//! What a message looks like in Slack: a headline, the facts in two columns, and a link.
//!
//! Promises: `&`, `<` and `>` are quoted everywhere and nothing is parsed for names, so no text becomes a link or a mention;
//! all lengths are within Slack's limits.
//! Never: cuts through a quoted character.

use schemas::Message;
use serde_json::{Value, json};

use crate::respond::message;

const HEADLINE_CHARS_MAX: usize = 250;
/// Slack takes ten fields a section, of 2,000 characters each.
const FIELDS_MAX: usize = 10;
/// Before quoting, which makes at most five characters of one.
const FIELD_CHARS_MAX: usize = 350;

/// The body of a message, for both ways.
pub fn body(message: &Message, link: Option<&str>) -> Value {
    let headline = quoted(&message::headline(message, HEADLINE_CHARS_MAX));
    let mut blocks = vec![json!({ "type": "section", "text": text(format!("*{headline}*")) })];
    for facts in message::facts(message).chunks(FIELDS_MAX) {
        let field = |(label, value): &(&str, String)| {
            text(format!("*{}*\n{}", quoted(label), quoted(&message::shorten(value, FIELD_CHARS_MAX))))
        };
        blocks.push(json!({ "type": "section", "fields": facts.iter().map(field).collect::<Vec<_>>() }));
    }
    let links = message::links(message, link).into_iter().map(|(label, address)| {
        text(format!("<{}|{}>", address.replace(['<', '>', '|'], ""), quoted(&label.replace('|', " "))))
    });
    let links: Vec<Value> = links.take(FIELDS_MAX).collect();
    if !links.is_empty() {
        blocks.push(json!({ "type": "context", "elements": links }));
    }
    json!({ "text": headline, "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
}

/// `verbatim` keeps Slack from looking for addresses and names in it.
fn text(text: String) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

fn quoted(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::action::Kind;
    use schemas::incident::Event;

    #[test]
    fn what_a_client_chose_calls_nobody_and_fits() {
        let mut message = message::tests::message(Event::Open, Kind::Notify);
        message.incident.subject.value = format!("<!channel> <https://evil.example|here> & {}", "<".repeat(5000));
        let body = body(&message, Some("https://soc.example.com/{incident}"));
        let text = body.to_string();
        assert!(!text.contains("<!") && !text.contains("<https://evil"), "{text}");
        assert!(text.contains("&lt;!channel&gt;"));
        let sections = body["blocks"].as_array().expect("blocks");
        let fields = sections.iter().filter_map(|block| block["fields"].as_array());
        for fields in fields {
            assert!(fields.len() <= 10);
            assert!(fields.iter().all(|f| f["text"].as_str().is_some_and(|text| text.chars().count() <= 2000)));
        }
        assert!(sections[0]["text"]["text"].as_str().is_some_and(|text| text.chars().count() <= 3000));
    }
}
