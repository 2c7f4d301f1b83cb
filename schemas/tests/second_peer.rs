//! A user name like a second client hides nobody in a log whose lines begin with the client, and frames nobody in one whose
//! lines begin with what a client may write.

use schemas::{Keys, Lane, Normaliser, RawBatch, SourceConfig, event_json};

/// Both can be read as the true peer with an odd user, and as an odd list with the framed one behind it, or the other way round.
const ODD_USER: &str =
    "203.0.113.66 - 198.51.100.77 - - [21/Sep/2026:14:13:20 +0000] \"GET /.env HTTP/1.1\" 404 5 \"-\" \"x\"";

fn normaliser() -> Normaliser {
    Normaliser::new(&SourceConfig::new("combined"), &Keys::new("k1", b"fake")).expect("a built-in kind")
}

fn lane() -> Lane {
    Lane::new("test", 0)
}

fn line(before: &str) -> String {
    format!("{before}192.0.2.9 - anna [21/Sep/2026:14:13:20 +0000] \"GET /v1/orders HTTP/1.1\" 200 5 \"-\" \"x\"")
}

/// Client and source of each event of lines from `offset` on, and the last state.
fn told(normaliser: &mut Normaliser, lines: &[String], offset: usize) -> (Vec<String>, Option<Vec<u8>>) {
    let mut raw = RawBatch::new();
    lines.iter().enumerate().for_each(|(i, line)| raw.push((offset + i) as i64, 0, line.as_bytes()));
    let normalised = normaliser.normalise(&lane(), &raw);
    assert!(normalised.rejects.is_empty(), "{:?}", normalised.rejects);
    let client = |row| {
        let event = event_json(&normalised.events, row);
        format!(
            "{} {}",
            event["client_ip"].as_str().unwrap_or("none"),
            event["client_ip_source"].as_str().unwrap_or("")
        )
    };
    ((0..normalised.events.num_rows()).map(client).collect(), normalised.state)
}

/// What becomes of the odd user behind other lines.
fn behind(lines: &[String]) -> String {
    let mut all = lines.to_vec();
    all.push(ODD_USER.to_string());
    told(&mut normaliser(), &all, 0).0.pop().expect("an event")
}

fn times(count: usize, line: &str) -> Vec<String> {
    vec![line.to_string(); count]
}

#[test]
fn a_user_like_a_second_client_hides_nobody_once_the_lane_is_known() {
    assert_eq!(behind(&[]), "203.0.113.66 unproven");
    assert_eq!(behind(&times(99, &line(""))), "203.0.113.66 unproven");
    assert_eq!(behind(&times(100, &line(""))), "203.0.113.66 peer");
    // Also where each line is in the envelope of a container runtime.
    let wrapped = |line: &str| format!("2026-09-21T14:13:21.000000000Z stdout F {line}");
    let mut lines: Vec<String> = times(100, &wrapped(&line("")));
    lines.push(wrapped(ODD_USER));
    assert_eq!(told(&mut normaliser(), &lines, 0).0.pop().as_deref(), Some("203.0.113.66 peer"));
}

#[test]
fn where_a_list_or_a_host_stands_first_nobody_is_framed_however_long_it_was_not_there() {
    for before in
        ["- ", "shop.example ", "shop.example:443 ", "198.51.100.9 ", "198.51.100.9, 198.51.100.10 ", "\"-\" "]
    {
        assert_eq!(behind(&times(200, &line(before))), "203.0.113.66 unproven", "{before}");
        // One is enough, before a thousand that do not have it and behind them.
        let mut lines = times(1, &line(before));
        lines.extend(times(1_000, &line("")));
        assert_eq!(behind(&lines), "203.0.113.66 unproven", "{before}");
        lines.reverse();
        assert_eq!(behind(&lines), "203.0.113.66 unproven", "{before}");
    }
    // Lines that can be read in two ways say nothing.
    assert_eq!(behind(&times(200, ODD_USER)), "203.0.113.66 unproven");
}

#[test]
fn what_is_known_of_a_lane_depends_on_no_cut_and_no_restart() {
    let mut lines = times(60, &line(""));
    lines.push(ODD_USER.to_string());
    lines.extend(times(60, &line("")));
    lines.push(ODD_USER.to_string());
    lines.extend(times(3, &line("- ")));
    lines.push(ODD_USER.to_string());
    let (whole, _) = told(&mut normaliser(), &lines, 0);
    assert_eq!(
        (&*whole[60], &*whole[121], &*whole[125]),
        ("203.0.113.66 unproven", "203.0.113.66 peer", "203.0.113.66 unproven")
    );
    for at_once in [1, 7, 50] {
        let (mut one, mut found, mut state) = (normaliser(), Vec::new(), None);
        for (i, some) in lines.chunks(at_once).enumerate() {
            let (clients, changed) = told(&mut one, some, i * at_once);
            found.extend(clients);
            state = changed.or(state);
            one = normaliser();
            one.restore(&lane(), &state.clone().expect("a state")).expect("restored");
        }
        assert_eq!(found, whole, "{at_once} at once");
    }
}

#[test]
fn a_file_that_comes_in_the_place_of_another_says_anew_what_it_begins_with() {
    for before in ["", "- "] {
        let mut one = normaliser();
        told(&mut one, &times(200, &line(before)), 0);
        let mut next = normaliser();
        next.restore(&lane(), &one.state_of(&lane()).expect("a state")).expect("restored");
        assert_eq!(told(&mut next, &[ODD_USER.to_owned()], 0).0, ["203.0.113.66 unproven"], "{before:?}");
        assert_eq!(told(&mut next, &times(100, &line("")), 1).0.len(), 100);
        assert_eq!(told(&mut next, &[ODD_USER.to_owned()], 101).0, ["203.0.113.66 peer"], "{before:?}");
    }
}

/// Whatever else is odd in such a line.
#[test]
fn commas_and_bad_numbers_neither_hide_nor_frame() {
    let odd = |user: &str, end: &str| {
        format!("203.0.113.66 - {user} [21/Sep/2026:14:13:20 +0000] \"GET /.env HTTP/1.1\" {end}")
    };
    for end in ["404 5 \"-\" \"x\"", "404 5", "4O4 5 \"-\" \"x\"", "404 5kB \"-\" \"x\""] {
        for user in
            ["198.51.100.77 - -", "a, 198.51.100.77 b c", ",198.51.100.77 b c", "a,::1 b c", "-, 198.51.100.77 - -"]
        {
            for (before, expected) in [("", "203.0.113.66 peer"), ("- ", "203.0.113.66 unproven")] {
                let mut lines = times(150, &line(before));
                lines.push(odd(user, end));
                let found = told(&mut normaliser(), &lines, 0).0.pop().expect("an event");
                // Behind a list nobody is proven: who it names is no matter.
                let is_held = found == expected || (!before.is_empty() && found.ends_with(" unproven"));
                assert!(is_held, "{before:?} {user} {end}: {found}");
            }
        }
    }
    // A list that begins like a client that has no address.
    let mut lines = times(150, &line("- "));
    lines.push(line("unix: x "));
    assert_eq!(told(&mut normaliser(), &lines, 0).0.pop().as_deref(), Some("192.0.2.9 unproven"));
}
