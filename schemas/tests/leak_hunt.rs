//! The project's own leak hunt: secrets that are not drawn from the redactor's tables, in every way of writing, every
//! encoding and every place of every source, and a search of all that comes out.
//!
//! What is planted is made by a generator with a printed seed. A secret has leaked when eight characters of it in a row can
//! be read in a column, a dictionary, the detail of a reject or the name of a drifted field, as they stand or behind encodings.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)] // the hunt prints what it found; data is told by the environment

mod leak_hunt {
    pub mod digits;
    pub mod encodings;
    pub mod hunt;
    pub mod known;
    pub mod mutation;
    pub mod names;
    pub mod numbers;
    pub mod ordinary;
    pub mod personal;
    pub mod places;
    pub mod rng;
    pub mod shapes;
    pub mod shapes_more;
    pub mod spellings;
    pub mod undo;

    /// One thing to plant: a text, and the parts of it that must not be seen again.
    #[derive(Clone, Debug)]
    pub struct Sample {
        pub class: &'static str,
        pub name: String,
        pub text: String,
        pub parts: Vec<String>,
    }
}

use std::collections::BTreeSet;

use leak_hunt::hunt::Hunt;
use leak_hunt::places::{How, Place};
use leak_hunt::rng::Rng;
use leak_hunt::{Sample, encodings, names, numbers, personal, shapes, shapes_more, spellings};

fn all_shapes() -> Vec<Sample> {
    let mut samples = shapes::of("shapes", shapes::SHAPES);
    samples.extend(shapes::of("shapes", shapes_more::SHAPES));
    samples
}

fn all_personal() -> Vec<Sample> {
    let wide = personal::wide();
    [personal::cards(), personal::ibans(), personal::emails(), personal::phones(), wide, numbers::numbers()].concat()
}

/// Plants each sample in `count` places, other ones for each, of those that `fits`.
fn plant(hunt: &mut Hunt, samples: &[Sample], count: usize, fits: impl Fn(&Place) -> bool) {
    let fitting: Vec<usize> = (0..hunt.places.len()).filter(|&i| fits(&hunt.places[i])).collect();
    assert!(!fitting.is_empty());
    for sample in samples {
        let mut rng = Rng::of(&sample.name);
        let chosen: BTreeSet<usize> = if count >= fitting.len() {
            fitting.iter().copied().collect()
        } else {
            // One of the query, one of the path, one of a text at least.
            let mut chosen: BTreeSet<usize> = (0..count).map(|_| *rng.pick(&fitting)).collect();
            for how in [How::Query, How::Path, How::Words] {
                let some: Vec<usize> = fitting.iter().copied().filter(|&i| hunt.places[i].how() == how).collect();
                if !some.is_empty() {
                    chosen.insert(*rng.pick(&some));
                }
            }
            chosen
        };
        for place in chosen {
            hunt.plant(sample, place);
        }
    }
}

#[test]
fn no_token_shape_gets_through() {
    let mut hunt = Hunt::new();
    let samples = all_shapes();
    assert!(samples.len() >= 150, "only {} shapes", samples.len());
    plant(&mut hunt, &samples, 12, |_| true);
    hunt.finish("shapes");
}

#[test]
fn no_named_secret_gets_through() {
    let mut hunt = Hunt::new();
    let all = names::all();
    assert!(all.len() >= 600, "only {} names", all.len());
    for form in names::FORMS {
        let samples: Vec<Sample> = all.iter().map(|name| names::sample(name, form)).collect();
        match form {
            "query" => plant(&mut hunt, &samples, 1, |p| p.how() == How::RawQuery),
            "form" => plant(&mut hunt, &samples, 1, |p| p.how() == How::RawQuery || p.how() == How::Query),
            "json" => plant(&mut hunt, &samples, 1, |p| p.how() != How::Path),
            _ => plant(&mut hunt, &samples, 1, |p| p.how() == How::Words || p.how() == How::Whole),
        }
    }
    plant(&mut hunt, &names::drawn(), 2, |p| p.how() == How::RawQuery);
    hunt.finish("names");
}

#[test]
fn no_personal_data_gets_through() {
    let mut hunt = Hunt::new();
    let samples = all_personal();
    plant(&mut hunt, &samples, 4, |_| true);
    hunt.finish("personal");
}

#[test]
fn no_spelling_hides_a_secret() {
    let mut hunt = Hunt::new();
    assert!(spellings::SPELLINGS.len() >= 30);
    plant(&mut hunt, &spellings::pairs(), 4, |p| p.how() != How::Path);
    hunt.finish("spellings");
}

#[test]
fn no_segment_behind_a_telling_word_gets_through() {
    let mut hunt = Hunt::new();
    plant(&mut hunt, &spellings::segments(), 6, |p| p.how() == How::Path);
    hunt.finish("segments");
}

/// What is encoded: one of each kind of finding.
fn payloads() -> Vec<(&'static str, Sample)> {
    let mut rng = Rng::of("payloads");
    let make = |name: &'static str, text: &str, secret: String| {
        let sample =
            Sample { class: "encodings", name: name.into(), text: text.replace('#', &secret), parts: vec![secret] };
        (name, sample)
    };
    let mut all = vec![
        make("pair", "password=#", rng.secret(16)),
        make("pair in a query", "a=1&client_secret=#&b=2", rng.secret(24)),
        make("json", r##"{"user":"bob","api_key":"#"}"##, rng.secret(20)),
        make("bearer", "Authorization: Bearer #", rng.secret(32)),
        make("userinfo", "postgres://bob:#@db.example/x", rng.secret(16)),
        make("e-mail", "#@mail.example", rng.text(b"bcdfghklm", 12)),
        make("github", "ghp_#", rng.secret(36)),
        make("stripe", "sk_live_#", rng.secret(24)),
    ];
    let card = personal::cards().swap_remove(1);
    all.push(("card", Sample { class: "encodings", ..card }));
    let iban = personal::ibans().swap_remove(0);
    all.push(("iban", Sample { class: "encodings", ..iban }));
    let phone = personal::phones().swap_remove(0);
    all.push(("phone", Sample { class: "encodings", ..phone }));
    all
}

#[test]
fn no_encoding_hides_a_secret() {
    let mut hunt = Hunt::new();
    assert!(encodings::ENCODINGS.len() >= 30);
    for (encoding, encode) in encodings::ENCODINGS {
        for (payload, sample) in payloads() {
            let sample = Sample { name: format!("{encoding}, {payload}"), text: encode(&sample.text), ..sample };
            plant(&mut hunt, &[sample], 3, |_| true);
        }
    }
    hunt.finish("encodings");
}

/// One of each kind in each place of each source.
#[test]
fn no_place_lets_a_secret_through() {
    let mut hunt = Hunt::new();
    for (_, mut sample) in payloads() {
        sample.class = "places";
        plant(&mut hunt, &[sample], usize::MAX, |_| true);
    }
    hunt.finish("places");
}

/// Each rule of the redactor is there for something that the hunt plants.
#[test]
fn without_any_one_rule_something_gets_through() {
    let all = names::all();
    let mut samples = [all_shapes(), all_personal(), spellings::pairs(), spellings::segments()].concat();
    for (encoding, encode) in encodings::ENCODINGS {
        for (payload, sample) in payloads() {
            samples.push(Sample { name: format!("{encoding}, {payload}"), text: encode(&sample.text), ..sample });
        }
    }
    // One form for each name, another one for the next.
    samples.extend(all.iter().enumerate().map(|(i, name)| names::sample(name, names::FORMS[i % names::FORMS.len()])));
    samples.extend(names::drawn());
    samples.extend(schemas::redact::testing::upstream_keys().map(|key| Sample {
        class: "vendors",
        name: String::new(),
        text: key.to_owned(),
        parts: vec![key.to_owned()],
    }));
    let count = samples.len();
    let (unneeded, rules) = leak_hunt::mutation::unneeded(samples);
    println!("{rules} rules, {count} samples; rules without which nothing gets through: {}", unneeded.len());
    assert!(unneeded.is_empty(), "{} of {rules} rules are needed by no sample: {unneeded:#?}", unneeded.len());
}

/// Records through which secrets once got, looked at by this hunt's own search.
#[test]
#[ignore = "needs GATEWATCH_REFERENCE, the folder of the reference data"]
fn what_once_got_through_is_held() {
    let root = std::env::var_os("GATEWATCH_REFERENCE").expect("GATEWATCH_REFERENCE names the folder of the data");
    let path = std::path::PathBuf::from(root).join("leak-cases/cases.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut leaked = Vec::new();
    let mut count = 0;
    for line in text.lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("a case is JSON");
        let decode = |key: &str| {
            let bytes = data_encoding::BASE64.decode(case[key].as_str().expect("a text").as_bytes()).expect("base64");
            String::from_utf8(bytes).expect("UTF-8")
        };
        count += 1;
        let kind = case["source"].as_str().expect("a case has a source");
        if let Some(column) = leak_hunt::hunt::reveals(kind, &decode("line_b64"), &[decode("secret_b64")]) {
            leaked.push(format!("{}: {column}", case["id"]));
        }
    }
    assert!(leaked.is_empty(), "{} of {count} leak:\n{}", leaked.len(), leaked.join("\n"));
    println!("{count} of {count} leak cases held");
}

/// The search itself: it finds what is there, in each encoding, and nothing where there is nothing.
#[test]
fn the_search_finds_what_is_there() {
    use leak_hunt::undo::{Needles, Undo};
    let mut undo = Undo::default();
    let mut blind = Vec::new();
    for (encoding, encode) in encodings::ENCODINGS {
        for (payload, sample) in payloads() {
            let text = format!("x/{}", encode(&sample.text));
            if !undo.reveals(&text, &Needles::new(&sample.parts)) {
                blind.push(format!("{encoding}, {payload}"));
            }
        }
    }
    assert!(blind.is_empty(), "the search is blind for {blind:#?}");
    let (_, sample) = payloads().swap_remove(0);
    assert!(!undo.reveals("password=[REDACTED:password]", &Needles::new(&sample.parts)));
}
