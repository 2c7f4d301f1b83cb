//! The short cuts that keep hostile lines cheap change nothing that is found.

use proptest::prelude::*;

use super::*;

const FORMS: &[&str] = &[
    r#"<client:address> <:ident> <user:text> [<time:clf>] "<request:text>" <status:status> <bytes:count>"#,
    r#"<peer:client> <:hex> <id:id> "<agent:phrase>" <took:duration>"#,
    "<client:address> <port:count> [<start:datetime>] <rest:any>",
    "<host:hostname> <user:name>  <via:hops> <last:word>: <rest:any>",
];

/// What such lines are made of, and what makes them look like something else.
fn lines() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "192.0.2.1",
        "2001:db8::1",
        "192.0.2.1:80",
        "-",
        " ",
        "  ",
        "\t",
        "\"",
        "\\",
        "[",
        "]",
        "01/Mar/2026:12:00:00 +0000",
        "2026-03-01 12:00:00",
        "GET /a HTTP/1.1",
        "200",
        "12ms",
        "anna",
        "a,",
        "beef",
        "é",
        ":",
        ",",
    ]);
    let whole = prop::sample::select(vec![
        r#"192.0.2.1 - anna [01/Mar/2026:12:00:00 +0000] "GET /a HTTP/1.1" 200 5"#,
        r#"192.0.2.1:80 beef id7 "an agent" 12ms"#,
        "192.0.2.1 5 [2026-03-01 12:00:00] and more",
    ]);
    let tokens = || prop::collection::vec(token.clone(), 0..12).prop_map(|tokens| tokens.concat());
    (tokens(), prop::option::of(whole), tokens())
        .prop_map(|(before, whole, after)| format!("{before}{}{after}", whole.unwrap_or_default()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_was_found_before_changes_no_end(line in lines()) {
        for form in FORMS {
            let form = Form::parse(form).expect("a form");
            for (i, part) in form.parts.iter().enumerate() {
                if matches!(part, Part::Field(field) if field.class.is_free()) {
                    continue;
                }
                let (next, mut memo) = (form.parts.get(i + 1), Memo::default());
                for at in (0..line.len()).filter(|at| line.is_char_boundary(*at)) {
                    let alone = strict_end(part, &line, at as u32, next);
                    prop_assert_eq!(memo.strict_end(part, &line, at as u32, next), alone, "{} at {}", part, at);
                }
            }
        }
    }

    #[test]
    fn a_line_that_is_passed_over_fits_in_no_way(line in lines()) {
        for form in FORMS {
            let form = Form::parse(form).expect("a form");
            let bare = bare_quotes(&line);
            let fits = forward(&form, &line, &bare).is_some_and(|mut places| backward(&form, &line, &bare, &mut places));
            if fits {
                prop_assert!(has_literals(&form, &line) && begins(&form, &line), "{:?} fits", line);
            }
            prop_assert_eq!(every(&form, &line, &mut Vec::new()), fits);
        }
    }
}

#[test]
fn the_lines_of_these_properties_fit_sometimes() {
    let fits = |form: &str, line: &str| every(&Form::parse(form).expect("a form"), line, &mut Vec::new());
    assert!(fits(FORMS[0], r#"192.0.2.1 - anna "[" [01/Mar/2026:12:00:00 +0000] "GET /a HTTP/1.1" 200 5"#));
    assert!(fits(FORMS[1], r#"192.0.2.1:80 beef id7 "an agent" 12ms"#));
    assert!(fits(FORMS[2], "192.0.2.1 5 [2026-03-01 12:00:00] and more"));
}

#[test]
fn a_run_is_looked_through_once() {
    let bytes = [b' '; 1_000];
    let (mut run, mut looked) = (Run::default(), 0);
    for at in 0..bytes.len() {
        let find = || {
            looked += 1;
            end_of_blanks(&bytes, at)
        };
        assert_eq!(run.end(at, find), bytes.len());
    }
    assert_eq!(looked, 1);
}
