//! Personal data: cards, bank accounts, e-mail addresses, telephones. What states and health services number people with
//! is in `numbers.rs`. All of it is invented; the check digits are right, as they would be in real data.

use super::Sample;
use super::digits::{iban, luhn};
use super::rng::Rng;

pub fn sample(name: String, text: String, part: String) -> Sample {
    Sample { class: "personal", name, text, parts: vec![part] }
}

/// Scheme, beginnings, and how many digits.
const CARDS: &[(&str, &[&str], usize)] = &[
    ("visa", &["4539", "4716", "4024"], 16),
    ("mastercard", &["51", "52", "55"], 16),
    ("mastercard, new", &["2221", "2500", "2719"], 16),
    ("amex", &["34", "37"], 15),
    ("discover", &["6011", "65", "644"], 16),
    ("jcb", &["3528", "3570", "3589"], 16),
    ("diners", &["36", "300", "38"], 14),
    ("unionpay", &["6212", "6226"], 16),
    ("maestro", &["5018", "6304", "6759"], 16),
    ("mir", &["2200", "2204"], 16),
    ("rupay", &["6081", "6070", "6521", "8172", "5085"], 16),
];

fn grouped(digits: &str, sizes: &[usize], between: &str) -> String {
    let mut rest = digits;
    let mut groups = Vec::new();
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (group, behind) = rest.split_at(size.min(rest.len()));
        groups.push(group);
        rest = behind;
    }
    groups.join(between)
}

/// Groupings: its name, and the text made of a number.
fn groupings(number: &str) -> Vec<(&'static str, String)> {
    let sizes: &[usize] = match number.len() {
        15 => &[4, 6, 5],
        14 => &[4, 6, 4],
        _ => &[4],
    };
    let by = |between: &str| grouped(number, sizes, between);
    vec![
        ("bare", number.to_string()),
        ("blanks", by(" ")),
        ("dashes", by("-")),
        ("dots", by(".")),
        ("slashes", by("/")),
        ("underscores", by("_")),
        ("two blanks", by("  ")),
        ("commas", by(",")),
        ("colons", by(":")),
        ("bars", by("|")),
        ("tabs", by("\t")),
        ("stars", by("*")),
        ("commas and blanks", by(", ")),
        ("dashes amid blanks", by(" - ")),
        ("en dashes", by("\u{2013}")),
        ("thin spaces", by("\u{2009}")),
        ("hyphens of unicode", by("\u{2011}")),
        ("two by two, dashes", grouped(number, &[2], "-")),
        ("one by one", grouped(number, &[1], " ")),
        ("threes", grouped(number, &[3], " ")),
        ("fives", grouped(number, &[5], "-")),
        ("four and the rest", grouped(number, &[4, 15], " ")),
        ("six and the rest, dash", grouped(number, &[6, 13], "-")),
        ("behind a word and a dash", format!("card-{}", by("-"))),
        ("behind a word and an underscore", format!("card_{number}_x")),
        ("behind two letters", format!("cc{number}")),
        ("before its expiry, dashes", format!("{}-12-27", by("-"))),
        ("before its expiry, commas", format!("{number},12/2027,123")),
        ("before its expiry, colons", format!("{number}:1227:123")),
        ("track, escaped", format!("%25B{number}%5EDOE%2FJANE%5E27121011000%3F")),
        ("track two, bare", format!("{number}=27121011000123400")),
        ("chip", format!("{number}D27121011000123F")),
        ("in a list of cards", format!("{number},4111111111111111")),
        ("json", format!(r#"{{"cards":["{number}"]}}"#)),
        ("no-break spaces", by("\u{a0}")),
        ("fours", grouped(number, &[4], " ")),
        ("eights", grouped(number, &[8], " ")),
        ("six and the rest", grouped(number, &[6, 10], " ")),
        ("pairs", grouped(number, &[2], " ")),
        ("before its expiry", format!("{} 12/27", by(" "))),
        ("before its expiry and code", format!("{number}|12|2027|123")),
        ("behind letters", format!("card{number}")),
        ("between letters", format!("pan{number}x")),
        ("in a sentence", format!("charged {} today", by(" "))),
        ("track", format!("%B{number}^DOE/JANE^27121011000")),
        ("track two", format!(";{number}=27121011000?")),
        ("behind where it comes from", format!("from={number}")),
        ("behind where it goes", format!("/to/{number}")),
        ("behind a reference", format!("reference={number}")),
        ("behind a short reference, in JSON", format!(r#"{{"ref":"{number}"}}"#)),
        ("behind words of time", format!("since:{number}")),
    ]
}

pub fn cards() -> Vec<Sample> {
    let mut samples = Vec::new();
    for (scheme, beginnings, length) in CARDS {
        let mut rng = Rng::of(scheme);
        let count = groupings("4111111111111111").len();
        for which in 0..count {
            let begin = *rng.pick(beginnings);
            let number = luhn(&format!("{begin}{}", rng.digits(length - 1 - begin.len())));
            let (grouping, text) = groupings(&number).swap_remove(which);
            samples.push(sample(format!("card {scheme}, {grouping}"), text, number[..length - 4].to_string()));
        }
    }
    samples
}

/// Country, and its account number: `d` digits, `A` letters.
const IBANS: &[(&str, &str)] = &[
    ("DE", "dddddddddddddddddd"),
    ("GB", "AAAAdddddddddddddd"),
    ("FR", "ddddddddddAddddddddddAd"),
    ("ES", "dddddddddddddddddddd"),
    ("IT", "Adddddddddddddddddddddd"),
    ("NL", "AAAAdddddddddd"),
    ("CH", "ddddddddddddddddd"),
    ("AT", "dddddddddddddddd"),
    ("BE", "dddddddddddd"),
    ("PL", "dddddddddddddddddddddddd"),
    ("SE", "dddddddddddddddddddd"),
    ("PT", "ddddddddddddddddddddd"),
    ("TR", "dddddddddddddddddddddd"),
    ("SA", "dddddddddddddddddddd"),
];

pub fn ibans() -> Vec<Sample> {
    let mut samples = Vec::new();
    for (country, shape) in IBANS {
        let mut rng = Rng::of(country);
        let mut one = || {
            let account: String = shape
                .chars()
                .map(|c| if c == 'A' { rng.text(b"ABCDEFGHKLMNPRST", 1) } else { rng.digits(1) })
                .collect();
            iban(country, &account)
        };
        let forms: [(&str, Form); 10] = [
            ("no-break spaces", |n| grouped(n, &[4], "\u{a0}")),
            ("underscores", |n| grouped(n, &[4], "_")),
            ("two blanks", |n| grouped(n, &[4], "  ")),
            ("bare", str::to_string),
            ("groups", |n| grouped(n, &[4], " ")),
            ("dashes", |n| grouped(n, &[4], "-")),
            ("small letters", str::to_lowercase),
            ("in a sentence", |n| format!("please pay to {n} soon")),
            ("key", |n| format!("iban={n}")),
            ("two to a text", |n| format!("{n}/{n}")),
        ];
        for (form, make) in forms {
            let number = one();
            samples.push(sample(format!("iban {country}, {form}"), make(&number), number[4..].to_string()));
        }
    }
    samples
}

pub fn emails() -> Vec<Sample> {
    let mut rng = Rng::of("e-mail");
    let forms: [(&str, &str); 33] = [
        ("plain", "#L@#D.example"),
        ("plus", "#L+shop@#D.example"),
        ("two labels", "#L.#K@mail.#D.example"),
        ("capitals", "#LUPPER@#D.EXAMPLE"),
        ("percent", "#L%40#D.example"),
        ("name before it", "Ann Vee <#L@#D.example>"),
        ("mailto", "mailto:#L@#D.example?subject=x"),
        ("quoted", "\"#L #K\"@#D.example"),
        ("apostrophe", "o'#L@#D.example"),
        ("underscores", "#L_#K_9@#D.example"),
        ("digits", "#L1984@#D.example"),
        ("address literal", "#L@[192.0.2.17]"),
        ("address literal, six", "#L@[IPv6:2001:db8::17]"),
        ("quoted, in a sentence", "write to \"#L #K\"@#D.example today"),
        ("international domain", "#L@müller-#D.example"),
        ("international name", "jörg.#L@#D.example"),
        ("punycode", "#L@xn--mller-kva-#D.example"),
        ("long top level", "#L@#D.photography"),
        ("country", "#L@#D.co.uk"),
        ("in a path", "/users/#L@#D.example/orders"),
        ("list", "#L@#D.example,#K@#D.example"),
        ("json", r##"{"email":"#L@#D.example"}"##),
        ("key", "user=#L@#D.example"),
        ("blank before it", "to #L@#D.example now"),
        ("entity", "#L&#64;#D.example"),
        ("dashes", "#L-#K@#D-x.example"),
        ("sign in brackets", "#L[at]#D.example"),
        ("sign in brackets, spaced", "write to #L [AT] #D.example now"),
        ("signs in parentheses", "#L(at)#D(dot)example"),
        ("signs in braces", "/users/#L{at}#D{dot}co{dot}uk"),
        ("key, a host alone", "email=#L@localhost"),
        ("key, a host alone, escaped", "a=1&user_email=#L%40localhost&b=2"),
        ("json key, an address", r##"{"mail":"#L@192.0.2.7"}"##),
    ];
    let mut samples = Vec::new();
    for (name, form) in forms {
        let mut word = || rng.text(b"bcdfghklmnprst", 9);
        let (l, k, d) = (word(), word(), word());
        let text = form.replace("#LUPPER", &l.to_uppercase()).replace("#L", &l).replace("#K", &k).replace("#D", &d);
        samples.push(sample(format!("e-mail, {name}"), text, l));
    }
    samples
}

/// Country, its calling code, and a mobile number: `d` any digit, `n` one from 2 to 9.
const PHONES: &[(&str, &str, &str)] = &[
    ("US", "1", "415ndddddd"),
    ("GB", "44", "7412dddddd"),
    ("DE", "49", "151nddddddd"),
    ("FR", "33", "612dddddd"),
    ("IT", "39", "347ddddddd"),
    ("ES", "34", "612dddddd"),
    ("BR", "55", "119nddddddd"),
    ("IN", "91", "98dddddddd"),
    ("JP", "81", "90nddddddd"),
    ("AU", "61", "412dddddd"),
    ("MX", "52", "55ndddddnd"),
    ("CN", "86", "138dddddddd"),
    ("KR", "82", "10nddddddd"),
    ("NL", "31", "612dddddd"),
    ("PL", "48", "601dddddd"),
    ("CH", "41", "79nddddnd"),
    ("SE", "46", "70nddddnd"),
    ("TR", "90", "532ndddddd"),
    ("ZA", "27", "82ndddddd"),
];

/// How a number is written down.
type Form = fn(&str) -> String;

pub fn phones() -> Vec<Sample> {
    let mut samples = Vec::new();
    for (country, code, shape) in PHONES {
        let mut rng = Rng::of(&format!("phone {country}"));
        let mut add = |form: &str, make: &dyn Fn(&str) -> String| {
            let digit = |c: char, rng: &mut Rng| match c {
                'd' => rng.digits(1),
                // Not a code of three digits as 411 or 911.
                'n' => rng.text(b"2356", 1),
                c => c.to_string(),
            };
            let mut national: String = shape.chars().map(|c| digit(c, &mut rng)).collect();
            if *country == "US" {
                national.replace_range(4..6, "64");
            }
            samples.push(sample(format!("phone {country}, {form}"), make(&national), national));
        };
        let trunk = if ["US", "ES", "PL", "MX", "CN", "IT"].contains(country) { "" } else { "0" };
        add("international", &|n| format!("+{code}{n}"));
        add("blanks", &|n| format!("+{code} {} {} {}", &n[..3], &n[3..6], &n[6..]));
        add("dashes", &|n| format!("+{code}-{}-{}-{}", &n[..3], &n[3..6], &n[6..]));
        add("brackets", &|n| format!("+{code} ({}) {}-{}", &n[..3], &n[3..6], &n[6..]));
        add("telephone url", &|n| format!("tel:+{code}{n}"));
        add("key, two zeros", &|n| format!("phone=00{code}{n}"));
        add("key, no plus", &|n| format!("msisdn={code}{n}"));
        add("key, national", &|n| format!("mobile={trunk}{n}"));
        add("json key, national", &|n| format!(r#"{{"phoneNumber":"{trunk}{n}"}}"#));
        add("in a sentence", &|n| format!("call me at +{code}{n} please"));
        add("two zeros", &|n| format!("call me at 00{code}{n} please"));
        add("two zeros, in a path", &|n| format!("/customers/00{code}{n}"));
        add("two zeros, blanks", &|n| format!("00{code} {} {} {}", &n[..3], &n[3..6], &n[6..]));
        add("two zeros, apart", &|n| format!("tel 00 {code} {} {}", &n[..3], &n[3..]));
        add("two zeros, dashes", &|n| format!("x=00{code}-{}-{}", &n[..3], &n[3..]));
        if *country == "US" {
            add("national, brackets", &|n| format!("({}) {}-{}", &n[..3], &n[3..6], &n[6..]));
            add("national, dashes", &|n| format!("{}-{}-{}", &n[..3], &n[3..6], &n[6..]));
        }
    }
    samples
}

/// Digits and letters of other alphabets: those that are as wide as a character of Chinese, and those of Arabic and Hindi.
pub fn wide() -> Vec<Sample> {
    let mut samples = Vec::new();
    let alphabets: [(&str, Alphabet); 4] = [
        ("wide", |c| char::from_u32(u32::from(c) + 0xfee0)),
        ("arabic", |c| char::from_u32(c.to_digit(10)? + 0x660)),
        ("persian", |c| char::from_u32(c.to_digit(10)? + 0x6f0)),
        ("hindi", |c| char::from_u32(c.to_digit(10)? + 0x966)),
    ];
    for (alphabet, letter) in alphabets {
        let mut rng = Rng::of(&format!("wide {alphabet}"));
        let write = |text: &str| -> String {
            text.chars().map(|c| if c.is_ascii_graphic() { letter(c).unwrap_or(c) } else { c }).collect()
        };
        let card = luhn(&format!("4539{}", rng.digits(11)));
        let account = iban("DE", &rng.digits(18));
        let digits = rng.digits(6);
        let numbers = [
            ("card", grouped(&card, &[4], " "), card[..4].to_string()),
            ("card, in one", card.clone(), card[..12].to_string()),
            ("iban", account.clone(), account[4..20].to_string()),
            ("phone", format!("+49 151 2{digits}1"), digits.clone()),
            ("social security", format!("536-22-{}", &rng.digits(3).replace('0', "1")) + "7", "536-22-".to_string()),
        ];
        for (kind, number, part) in numbers {
            for form in ["q=#", "/me/#", "paid by # today"] {
                let text = form.replace('#', &write(&number));
                samples.push(sample(format!("{kind}, {alphabet}, {form}"), text, write(&part)));
            }
        }
    }
    samples
}

/// How a sign of ASCII is written.
type Alphabet = fn(char) -> Option<char>;
