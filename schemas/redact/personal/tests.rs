//! Numbers of each kind, what looks the same, and how often chance makes one.

use super::*;
use crate::redact::classes::Class;

/// The classes and texts that are found in `text`.
fn found(text: &str) -> Vec<(&'static str, &str)> {
    let mut findings = Vec::new();
    find(text, &mut findings);
    findings.iter().map(|f| (f.class.name(), &text[f.start..f.end])).collect()
}

/// A generator of numbers that are the same in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + (self.next() % 10) as u8)).collect()
    }
}

/// `digits` and the check digit of Luhn.
fn with_luhn(digits: &str) -> String {
    let whole = |last: u8| format!("{digits}{last}");
    (0..10).map(whole).find(|number| check::luhn(number.as_bytes())).expect("one of ten digits is right")
}

#[test]
fn numbers_of_each_kind_are_found_whole() {
    for (class, text, number) in [
        ("card", "note=4824 9674 5462 3048 12/27", "4824 9674 5462 3048"),
        ("card", "ref=card4078146197819147", "4078146197819147"),
        ("card", "ref=4078146197819147xyz", "4078146197819147"),
        ("card", "from=4111111111111111", "4111111111111111"),
        ("card", "to: 5500005555555559", "5500005555555559"),
        ("card", "/transfers/since/4111111111111111", "4111111111111111"),
        ("card", "reference=6011111111111117&x=1", "6011111111111117"),
        ("card", "/pay/4466/8006/9582/5770", "4466/8006/9582/5770"),
        ("card", "4111.1111.1111.1111", "4111.1111.1111.1111"),
        ("card", "4111+1111+1111+1111", "4111+1111+1111+1111"),
        ("card", "3782-822463-10005", "3782-822463-10005"),
        ("card", "41 11 11 11 11 11 11 11", "41 11 11 11 11 11 11 11"),
        ("card", "/cards/4111111111111111", "4111111111111111"),
        ("card", "/pay/5500005555555559/x", "5500005555555559"),
        ("card", "pan:6011111111111117,", "6011111111111117"),
        ("card", "4111_1111_1111_1111", "4111_1111_1111_1111"),
        ("card", "4111  1111  1111  1111", "4111  1111  1111  1111"),
        ("card", "4111 - 1111 - 1111 - 1111", "4111 - 1111 - 1111 - 1111"),
        ("card", "3782,822463,10005", "3782,822463,10005"),
        ("card", "4111\u{a0}1111\u{2009}1111\u{202f}1111", "4111\u{a0}1111\u{2009}1111\u{202f}1111"),
        ("card", "4111\u{2013}1111\u{2013}1111\u{2013}1111", "4111\u{2013}1111\u{2013}1111\u{2013}1111"),
        ("card", "paid 411111 1111111111 today", "411111 1111111111"),
        ("card", "card-4111-1111-1111-1111", "4111-1111-1111-1111"),
        ("card", "4111-1111-1111-1111-12-27", "4111-1111-1111-1111"),
        ("card", "/orders/4111111111111111|12|2027|123", "4111111111111111"),
        ("card", "id=4111111111111111,12/27", "4111111111111111"),
        ("card", "x %B4111111111111111^DOE/JANE^27121011000? y", "%B4111111111111111^DOE/JANE^27121011000?"),
        ("card", "%B4111111111111111%5EDOE%2FJANE%5E27121011000", "%B4111111111111111%5EDOE%2FJANE%5E27121011000"),
        ("card", ";4111111111111111=27121011000?", ";4111111111111111=27121011000?"),
        ("card", "/orders/4111111111111111D27121011000F", "4111111111111111D27121011000F"),
        ("national_id", "900101-1234567", "900101-1234567"),
        ("iban", "DE68_6349_3180_1885_8585_41", "DE68_6349_3180_1885_8585_41"),
        ("iban", "/transfer/DE68634931801885858541", "DE68634931801885858541"),
        ("iban", "to de68 6349 3180 1885 8585 41.", "de68 6349 3180 1885 8585 41"),
        ("iban", "GB82-WEST-1234-5698-7654-32", "GB82-WEST-1234-5698-7654-32"),
        ("phone", "u=+14155555989", "+14155555989"),
        ("phone", "call +49 (0)30 901820 now", "+49 (0)30 901820"),
        ("phone", "tel:+44-20-7946-0958", "+44-20-7946-0958"),
        ("phone", "call (415) 555-2671 now", "(415) 555-2671"),
        ("phone", "q=+1+(415)+555-2671", "+1+(415)+555-2671"),
        ("phone", "q=(415)+555-2671", "(415)+555-2671"),
        ("phone", "q=ann+(415)+555-2671", "(415)+555-2671"),
        ("phone", "q=0151 23456789", "0151 23456789"),
        ("phone", "q=0171+2345678&x", "0171+2345678"),
        ("phone", "415-555-2679", "415-555-2679"),
        ("national_id", "/u/536-22-9677", "536-22-9677"),
        ("national_id", "itin 987-65-4320", "987-65-4320"),
        ("national_id", "AB123456C", "AB123456C"),
        ("national_id", "AB 12 34 56 C", "AB 12 34 56 C"),
        ("national_id", "dni 12345678Z", "12345678Z"),
        ("national_id", "X1234567L", "X1234567L"),
        ("national_id", "RSSMRA85T10A562S", "RSSMRA85T10A562S"),
        ("national_id", "111.444.777-35", "111.444.777-35"),
        ("national_id", "11.222.333/0001-81", "11.222.333/0001-81"),
        ("national_id", "2345 6789 0124", "2345 6789 0124"),
        ("national_id", "130 692 544", "130 692 544"),
        ("national_id", "756.9217.0769.85", "756.9217.0769.85"),
        ("national_id", "1 84 12 76 451 089 46", "1 84 12 76 451 089 46"),
        ("national_id", "184127645108946", "184127645108946"),
        ("national_id", "811228-9874", "811228-9874"),
        ("national_id", "11010519491231002X", "11010519491231002X"),
        ("national_id", "131052-308T", "131052-308T"),
        ("national_id", "12.345.678-5", "12.345.678-5"),
        ("national_id", "ABCPE1234F", "ABCPE1234F"),
        ("national_id", "S1234567D", "S1234567D"),
        ("health_id", "nhs 943 476 5919", "943 476 5919"),
        ("health_id", "1EG4-TE5-MK73", "1EG4-TE5-MK73"),
        ("health_id", "1EG4TE5MK73", "1EG4TE5MK73"),
        ("health_id", "MRN: 00123456", "00123456"),
        ("health_id", "npi=1234567893", "1234567893"),
        ("health_id", "AB1234563", "AB1234563"),
    ] {
        assert_eq!(found(text), [(class, number)], "in {text}");
    }
}

#[test]
fn other_numbers_stay() {
    for text in [
        "",
        "20240101-20240201",
        "2024-01-01",
        "2024-01-01/2024-12-31",
        "01/02/2024 03/04/2024",
        "20240115T103000Z",
        "20240101-0930",
        "4006381333931",
        "978-3-16-148410-0",
        "0012345678905",
        "ts=1790000000000",
        "ts=1790000000000000",
        "1790000000000000000",
        "/orders/4111111111111111",
        "order_id=4111111111111111",
        "orderId=5500005555555559",
        "113-1234567-1234567",
        "550e8400-e29b-41d4-a716-446655440000",
        "12345678-4111-1111-1111-123456789012",
        "4111111111111111abcdef4111111111",
        "0.4111111111111111",
        "4111,1111,1111,1111,2222",
        "9-4111-1111-1111-1111",
        "4111_1111_1111_1112",
        "41,11,11,11,11,11,11,11",
        "order 411111 1111111111 1790000000",
        "/orders/4111111111111111|42|2027",
        "991301-1234567",
        "52.520008,13.404954",
        "192.168.100.200",
        "v1.2.3-20240101.123456",
        "10.0.0.1:8080",
        "q=blue+12345678",
        "a+1",
        "666-12-1234",
        "000-12-1234",
        "536-00-1234",
        "536-22-0000",
        "1-536-22-9677",
        "4111 1111 1111 1112",
        "0000000000000000",
        "AB123456E",
        "GB123456A",
        "12345678A",
        "+1",
        "+999 1234567",
        "2001:db8::1",
        "sha256:4f53cda18c2baa0c",
    ] {
        assert_eq!(found(text), [], "in {text}");
    }
}

#[test]
fn chance_makes_few_cards() {
    let mut chance = Chance(11);
    let mut count = |prefix: &str| {
        let share = (0..100_000).filter(|_| !found(&format!("{prefix}{}", chance.digits(16))).is_empty()).count();
        share as f64 / 100_000.0
    };
    for prefix in ["/v1/orders/", "/items/", "id=", "order=", "?trace_id="] {
        assert!(count(prefix) < 0.01, "{prefix}");
    }
    // Where nothing says what it is, a number that may be a card is one: 24 % of the numbers are issued, a tenth is right.
    assert!(count("/pay/") < 0.03);
}

#[test]
fn every_issued_range_is_found() {
    let mut chance = Chance(12);
    for (first, length) in [
        ("4", 16),
        ("51", 16),
        ("55", 16),
        ("2221", 16),
        ("2720", 16),
        ("34", 15),
        ("37", 15),
        ("6011", 16),
        ("65", 16),
        ("3528", 16),
        ("62", 16),
        ("62", 19),
        ("36", 14),
        ("4", 19),
        ("6759", 16),
        ("2204", 16),
    ] {
        for _ in 0..100 {
            let rest = chance.digits(length - first.len() - 1);
            let number = with_luhn(&format!("{first}{rest}"));
            assert_eq!(found(&number), [("card", &number[..])]);
        }
    }
}

#[test]
fn masks_keep_little() {
    for (class, secret, expected) in [
        (Class::CARD, "4111 1111 1111 1234", "****-1234"),
        (Class::IBAN, "de68 6349 3180 1885 8585 41", "DE**-****-8541"),
        (Class::PHONE, "+1 415 555 5989", "+**-**89"),
        (Class::PHONE, "(415) 555-2671", "**-**71"),
        (Class::NATIONAL_ID, "536-22-9677", "***-**-9677"),
    ] {
        let mut out = String::new();
        assert!(mask(class, secret, &mut out));
        assert_eq!(out, expected);
        assert_eq!(found(&out), [], "a mask is no number");
    }
    let mut out = String::new();
    assert!(
        !mask(Class::NATIONAL_ID, "AB123456C", &mut out)
            && !mask(Class::HEALTH_ID, "943 476 5919", &mut out)
            && out.is_empty()
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_searched_on_character_boundaries(text in "[0-9A-Z+ ()./ä€-]{0,120}|\\PC{0,60}") {
        let mut findings = Vec::new();
        find(&text, &mut findings);
        for finding in findings {
            proptest::prop_assert!(text.get(finding.start..finding.end).is_some_and(|t| !t.is_empty()));
        }
    }
}

/// What is not looked at for the sake of speed.
#[test]
fn no_number_is_in_an_id_that_cannot_begin_one() {
    let mut state = 11u64;
    let mut random = move |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % bound) as usize
    };
    let mut skipped = 0;
    for _ in 0..200_000 {
        let length = 1 + random(40);
        // Many digits, few letters.
        let letters = 1 + random(4) as u64;
        let mut id = String::new();
        for _ in 0..length {
            let is_letter = random(10) < letters as usize;
            id.push(char::from(if is_letter { b"abcdef"[random(6)] } else { b"0123456789"[random(10)] }));
        }
        if !may_begin_id(id.as_bytes()) {
            let mut findings = Vec::new();
            find(&id, &mut findings);
            assert!(findings.is_empty(), "{id}");
            skipped += 1;
        }
    }
    assert!(skipped > 100_000, "{skipped}");
    assert!(may_begin_id(b"4078146197819147d2712101"));
}
