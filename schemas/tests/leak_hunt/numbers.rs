//! Numbers that states and health services give people, of more than fifteen countries, with the check digits that each has.
//! Those that only a key tells from an order number stand behind a key.

use super::Sample;
use super::digits::{drawn, luhn, mod11_10, mod97, verhoeff, weighted};
use super::personal::sample;
use super::rng::Rng;

const LETTERS: &[u8] = b"ABCEHJKLMNPRSTWXYZ";

/// Mod 11 digit from `11 - sum % 11`; none where it would be ten.
fn eleven(digits: &str, weights: &[u32]) -> Option<String> {
    match (11 - weighted(digits, weights) % 11) % 11 {
        10 => None,
        check => Some(format!("{digits}{check}")),
    }
}

fn date(rng: &mut Rng) -> String {
    format!("{:02}{:02}{:02}", 50 + rng.below(45), 1 + rng.below(12), 1 + rng.below(28))
}

fn cpf(rng: &mut Rng) -> String {
    let digit = |digits: &str, from: u32| {
        let weights: Vec<u32> = (2..=from).rev().collect();
        let rest = weighted(digits, &weights) * 10 % 11 % 10;
        format!("{digits}{rest}")
    };
    digit(&digit(&rng.digits(9), 10), 11)
}

fn codice_fiscale(rng: &mut Rng) -> String {
    let name = rng.text(b"BCDFGLMNPRSTV", 6);
    let body = format!(
        "{name}{:02}{}{:02}{}{}",
        50 + rng.below(45),
        rng.text(b"ABCDEHLMPRST", 1),
        1 + rng.below(28),
        rng.text(b"ABCDEFGHIL", 1),
        rng.digits(3)
    );
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let sum: u32 = body
        .bytes()
        .enumerate()
        .map(|(i, b)| {
            let value = u32::from(if b.is_ascii_digit() { b - b'0' } else { b - b'A' });
            if i % 2 == 0 { ODD[value as usize] } else { value }
        })
        .sum();
    format!("{body}{}", char::from(b'A' + (sum % 26) as u8))
}

fn curp(rng: &mut Rng) -> String {
    let (name, day) = (rng.text(b"BCDFGLMN", 4), date(rng));
    format!("{name}{day}{}DF{}{}", rng.text(b"HM", 1), rng.text(b"BCDFGLMN", 3), "0") + &rng.digits(1)
}

fn chinese(rng: &mut Rng) -> String {
    let body = format!("11010119{}{}", date(rng), rng.digits(3));
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    format!(
        "{body}{}",
        ["1", "0", "X", "9", "8", "7", "6", "5", "4", "3", "2"][weighted(&body, &weights) as usize % 11]
    )
}

fn french(rng: &mut Rng) -> String {
    let (year, month) = (50 + rng.below(45), 1 + rng.below(12));
    let body = format!("{}{year:02}{month:02}75{}{}", 1 + rng.below(2), 100 + rng.below(20), rng.digits(3));
    format!("{body}{:02}", 97 - mod97(&body))
}

fn spanish(rng: &mut Rng) -> String {
    let digits = rng.digits(8);
    let rest = digits.parse::<usize>().expect("digits") % 23;
    format!("{digits}{}", &"TRWAGMYFPDXBNJZSQVHLCKE"[rest..=rest])
}

fn finnish(rng: &mut Rng) -> String {
    let (day, month, year, number) = (1 + rng.below(28), 1 + rng.below(12), 50 + rng.below(45), 100 + rng.below(700));
    let rest = format!("{day:02}{month:02}{year:02}{number}").parse::<usize>().expect("digits") % 31;
    format!("{day:02}{month:02}{year:02}-{number}{}", &"0123456789ABCDEFHJKLMNPRSTUVWXY"[rest..=rest])
}

fn chilean(rng: &mut Rng) -> String {
    let digits = format!("1{}", rng.digits(7));
    let check = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "K"]
        [(11 - weighted(&digits, &[3, 2, 7, 6, 5, 4, 3, 2]) as usize % 11) % 11];
    format!("{}.{}.{}-{check}", &digits[..2], &digits[2..5], &digits[5..])
}

fn turkish(rng: &mut Rng) -> String {
    let nine = format!("{}{}", 1 + rng.below(9), rng.digits(8));
    let (odd, even) =
        (weighted(&nine, &[1, 0, 1, 0, 1, 0, 1, 0, 1]) as i64, weighted(&nine, &[0, 1, 0, 1, 0, 1, 0, 1, 0]) as i64);
    let tenth = (odd * 7 - even).rem_euclid(10);
    format!("{nine}{tenth}{}", (odd + even + tenth) % 10)
}

fn singapore(rng: &mut Rng) -> String {
    let digits = rng.digits(7);
    let rest = weighted(&digits, &[2, 7, 6, 5, 4, 3, 2]) as usize % 11;
    format!("S{digits}{}", &"JZIHGFEDCBA"[rest..=rest])
}

fn swiss(rng: &mut Rng) -> String {
    let digits = format!("756{}", rng.digits(9));
    let sum = weighted(&digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]);
    format!("756.{}.{}.{}{}", &digits[3..7], &digits[7..11], &digits[11..], (10 - sum % 10) % 10)
}

fn belgian(rng: &mut Rng) -> String {
    let (day, number) = (date(rng), 100 + rng.below(800));
    let rest = 97 - format!("{day}{number}").parse::<u64>().expect("digits") % 97;
    format!("{}.{}.{}-{number}.{rest:02}", &day[..2], &day[2..4], &day[4..])
}

fn dea(rng: &mut Rng) -> String {
    let digits = rng.digits(6);
    let check = (weighted(&digits, &[1, 0, 1, 0, 1]) + 2 * weighted(&digits, &[0, 1, 0, 1, 0, 1])) % 10;
    format!("BF{digits}{check}")
}

fn kvnr(rng: &mut Rng) -> String {
    let (letter, digits) = (rng.text(LETTERS, 1), rng.digits(8));
    let number = u32::from(letter.as_bytes()[0] - b'A' + 1);
    let all = format!("{number:02}{digits}");
    let sum: u32 =
        all.bytes().enumerate().map(|(i, b)| u32::from(b - b'0') * (1 + i as u32 % 2)).map(|p| p / 10 + p % 10).sum();
    format!("{letter}{digits}{}", sum % 10)
}

fn nhs(rng: &mut Rng) -> String {
    drawn(rng, 9, |d| eleven(d, &[10, 9, 8, 7, 6, 5, 4, 3, 2]))
}

type Make = fn(&mut Rng) -> String;

/// Name of the number, how it is made, and the texts it stands in (`#` is the number).
const NUMBERS: &[(&str, Make, &[&str])] = &[
    (
        "ssn",
        |r| {
            format!(
                "{}{}-{}{}-{}",
                r.text(b"12345", 2),
                r.digits(1),
                1 + r.below(9),
                1 + r.below(9),
                1000 + r.below(8999)
            )
        },
        &["#", "/people/#/x", "my ssn is #", "ssn=#"],
    ),
    (
        "ssn, digits alone",
        |r| format!("{}{}{}{}", r.text(b"12345", 2), r.digits(1), 11 + r.below(88), 1000 + r.below(8999)),
        &["ssn=#", "social_security_number=#", r##"{"socialSecurityNumber":"#"}"##],
    ),
    (
        "ssn, blanks",
        |r| format!("{}{} {} {}", r.text(b"12345", 2), r.digits(1), 11 + r.below(88), 1000 + r.below(8999)),
        &["ssn: #", "social security #"],
    ),
    (
        "uk nino",
        |r| format!("{}{}{}", r.text(b"ABCEHJKLMPRSTWXY", 2).replace("BG", "AB"), r.digits(6), r.text(b"ABCD", 1)),
        &["#", "nino=#", "national_insurance_number=#"],
    ),
    (
        "german tax",
        |r| drawn(r, 10, |d| Some(mod11_10(d))),
        &["steuer_id=#", "taxId=#", "steueridentifikationsnummer=#"],
    ),
    ("french nir", french, &["nir=#", "numero_securite_sociale=#", "insee_number=#"]),
    ("italian codice fiscale", codice_fiscale, &["#", "codice_fiscale=#", "cf: #"]),
    ("spanish dni", spanish, &["dni=#", "nif=#", r##"{"dni":"#"}"##]),
    ("portuguese nif", |r| drawn(r, 8, |d| eleven(d, &[9, 8, 7, 6, 5, 4, 3, 2])), &["nif=#", "nif_number=#"]),
    (
        "dutch bsn",
        |r| {
            drawn(r, 8, |d| match weighted(d, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11 {
                10 => None,
                c => Some(format!("{d}{c}")),
            })
        },
        &["bsn=#", "burgerservicenummer=#"],
    ),
    ("belgian register", belgian, &["#", "rijksregisternummer=#", "national_number=#"]),
    (
        "polish pesel",
        |r| {
            let d = format!("{}{}", date(r), r.digits(4));
            let s = weighted(&d, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
            format!("{d}{}", (10 - s % 10) % 10)
        },
        &["pesel=#", "PESEL: #"],
    ),
    (
        "swedish personnummer",
        |r| {
            let w = luhn(&format!("{}{}", date(r), r.digits(3)));
            format!("{}-{}", &w[..6], &w[6..])
        },
        &["personnummer=#", "personal_number=#"],
    ),
    ("finnish hetu", finnish, &["#", "hetu=#", "henkilotunnus=#"]),
    (
        "danish cpr",
        |r| format!("{:02}{:02}{}-{}", 1 + r.below(28), 1 + r.below(12), 50 + r.below(45), 1000 + r.below(8999)),
        &["cpr=#", "cpr_number=#"],
    ),
    (
        "norwegian fnr",
        |r| format!("{:02}{:02}{}{}", 1 + r.below(28), 1 + r.below(12), 50 + r.below(45), 10000 + r.below(89999)),
        &["fodselsnummer=#", "fnr=#"],
    ),
    (
        "brazilian cpf",
        |r| {
            let d = cpf(r);
            format!("{}.{}.{}-{}", &d[..3], &d[3..6], &d[6..9], &d[9..])
        },
        &["#", "cpf=#"],
    ),
    ("brazilian cpf, digits alone", cpf, &["cpf=#", r##"{"cpf":"#"}"##]),
    (
        "canadian sin",
        |r| {
            let d = luhn(&format!("1{}", r.digits(7)));
            format!("{} {} {}", &d[..3], &d[3..6], &d[6..])
        },
        &["sin=#", "social_insurance_number=#"],
    ),
    (
        "indian aadhaar",
        |r| {
            let d = verhoeff(&format!("{}{}", 2 + r.below(8), r.digits(10)));
            format!("{} {} {}", &d[..4], &d[4..8], &d[8..])
        },
        &["aadhaar=#", "aadhar_number=#", "aadhaarNumber: #"],
    ),
    (
        "indian pan",
        |r| {
            format!(
                "{}P{}{}{}",
                r.text(b"ABCDEFGH", 3),
                r.text(b"ABCDEFGH", 1),
                1000 + r.below(8999),
                r.text(b"ABCDEFGH", 1)
            )
        },
        &["pan_number=#", "panNumber=#"],
    ),
    (
        "south african id",
        |r| luhn(&format!("{}{}08", date(r), 1000 + r.below(8999))),
        &["id_number=#", "sa_id_number=#", "national_id=#"],
    ),
    ("chinese id", chinese, &["#", "idcard=#", "id_card_number=#"]),
    ("korean rrn", |r| format!("{}-{}{}", date(r), 1 + r.below(2), r.digits(6)), &["#", "rrn=#"]),
    ("japanese my number", |r| r.digits(12), &["my_number=#", "mynumber=#", "kojin_bango=#"]),
    ("australian tfn", |r| r.digits(9), &["tfn=#", "tax_file_number=#"]),
    ("mexican curp", curp, &["#", "curp=#"]),
    ("chilean rut", chilean, &["#", "rut=#"]),
    ("turkish kimlik", turkish, &["tckn=#", "tc_kimlik_no=#"]),
    ("swiss ahv", swiss, &["#", "ahv=#", "ahv_number=#"]),
    ("singapore nric", singapore, &["nric=#", "#"]),
    (
        "passport",
        |r| format!("{}{}", r.text(b"CFGHJK", 2), r.digits(7)),
        &["passport=#", "passport_number=#", "passportNo=#", "reisepass_nummer=#"],
    ),
    (
        "driving licence",
        |r| format!("{}{}", r.text(LETTERS, 1), r.digits(12)),
        &["drivers_license=#", "driving_licence_number=#", "driverLicense=#"],
    ),
    // Health
    ("nhs number", nhs, &["nhs_number=#", "nhs=#", "nhsNumber: #"]),
    (
        "nhs number, grouped",
        |r| {
            let d = nhs(r);
            format!("{} {} {}", &d[..3], &d[3..6], &d[6..])
        },
        &["nhs number #", "nhs_no=#"],
    ),
    (
        "medicare mbi",
        |r| {
            format!(
                "{}{}{}{}-{}{}{}-{}{}",
                1 + r.below(9),
                r.text(b"ACDEFGHJK", 1),
                r.text(b"ACDE56789", 1),
                r.digits(1),
                r.text(b"ACDEFGH", 1),
                r.text(b"ACDE5678", 1),
                r.digits(1),
                r.text(b"ACDEFGHJK", 2),
                r.digits(2)
            )
        },
        &["#", "mbi=#", "medicare_number=#"],
    ),
    (
        "medicare mbi, no dashes",
        |r| {
            format!(
                "{}{}{}{}{}{}{}{}{}",
                1 + r.below(9),
                r.text(b"ACDEFGHJK", 1),
                r.text(b"ACDE56789", 1),
                r.digits(1),
                r.text(b"ACDEFGH", 1),
                r.text(b"ACDE5678", 1),
                r.digits(1),
                r.text(b"ACDEFGHJK", 2),
                r.digits(2)
            )
        },
        &["mbi=#", "medicare_id=#"],
    ),
    ("dea number", dea, &["dea=#", "dea_number=#"]),
    ("npi", |r| luhn(&format!("80840{}{}", 1, r.digits(8)))[5..].to_string(), &["npi=#", "provider_npi=#"]),
    ("german insurance", kvnr, &["kvnr=#", "krankenversichertennummer=#", "versichertennummer=#"]),
    (
        "australian medicare",
        |r| {
            let d = format!("{}{}", 2 + r.below(5), r.digits(7));
            format!("{d}{}1", weighted(&d, &[1, 3, 7, 9, 1, 3, 7, 9]) % 10)
        },
        &["medicare=#", "medicare_card_number=#"],
    ),
    ("ontario health card", |r| luhn(&r.digits(9)), &["health_card=#", "health_card_number=#", "ohip=#"]),
    ("record number", |r| format!("MRN{}", r.digits(8)), &["mrn=#", "medical_record_number=#", "patientMrn=#"]),
    (
        "member id",
        |r| format!("W{}", r.digits(9)),
        &["insurance_member_id=#", "health_plan_id=#", "health_insurance_number=#"],
    ),
    ("patient id", |r| r.secret(10), &["patient_id=#", "patientId=#"]),
    // Bank
    ("us account", |r| r.digits(12), &["account_number=#", "bank_account_number=#", "accountNumber=#"]),
    (
        "card code beside its card",
        |r| r.digits(10),
        &["cardnumber=#", "cc_number=#", "creditCardNumber=#", "kreditkartennummer=#"],
    ),
];

pub fn numbers() -> Vec<Sample> {
    let mut samples = Vec::new();
    for (name, make, texts) in NUMBERS {
        for text in *texts {
            let number = make(&mut Rng::of(&format!("{name} {text}")));
            samples.push(sample(format!("{name}: {text}"), text.replace('#', &number), number));
        }
    }
    samples
}
