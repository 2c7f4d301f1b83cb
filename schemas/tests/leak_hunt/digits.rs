//! Check digits, computed here: Luhn, ISO 7064, Verhoeff and the weighted sums of national numbers.

use super::rng::Rng;

fn values(digits: &str) -> Vec<u32> {
    digits.chars().map(|c| c.to_digit(10).expect("a digit")).collect()
}

/// `digits` with its Luhn digit behind it.
pub fn luhn(digits: &str) -> String {
    let sum: u32 = values(digits)
        .iter()
        .rev()
        .enumerate()
        .map(|(i, &d)| if i % 2 == 0 { (2 * d) / 10 + (2 * d) % 10 } else { d })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

/// The sum of digits times weights.
pub fn weighted(digits: &str, weights: &[u32]) -> u32 {
    values(digits).iter().zip(weights).map(|(d, w)| d * w).sum()
}

/// Remainder by 97 of a text whose letters stand for two digits.
pub fn mod97(text: &str) -> u32 {
    text.chars().fold(0, |rest, c| {
        let value = c.to_digit(36).expect("a letter or digit");
        (rest * if value > 9 { 100 } else { 10 } + value) % 97
    })
}

pub fn iban(country: &str, account: &str) -> String {
    let check = 98 - mod97(&format!("{account}{country}00"));
    format!("{country}{check:02}{account}")
}

/// ISO 7064, mod 11,10: the German tax number.
pub fn mod11_10(digits: &str) -> String {
    let product = values(digits).iter().fold(10, |product, d| {
        let sum = (d + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    format!("{digits}{}", (11 - product) % 10)
}

/// The Verhoeff digit, by the dihedral group: the Indian Aadhaar.
pub fn verhoeff(digits: &str) -> String {
    let times = |a: u32, b: u32| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + (b - 5)) % 5 + 5,
        (false, true) => (a - 5 + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let permute = |digit: u32, times: usize| (0..times).fold(digit, |d, _| [1, 5, 7, 6, 2, 8, 3, 0, 9, 4][d as usize]);
    let sum = values(digits).iter().rev().enumerate().fold(0, |sum, (i, &d)| times(sum, permute(d, (i + 1) % 8)));
    let inverse = (0..10).find(|&d| times(sum, d) == 0).expect("every element has an inverse");
    format!("{digits}{inverse}")
}

/// A number that `check` completes; one it cannot complete is drawn again.
#[allow(dead_code)] // used by one of the two tests that share this file
pub fn drawn(rng: &mut Rng, length: usize, check: impl Fn(&str) -> Option<String>) -> String {
    loop {
        let digits = rng.digits(length);
        if digits.starts_with('0') {
            continue;
        }
        if let Some(whole) = check(&digits) {
            return whole;
        }
    }
}

#[test]
fn check_digits_are_those_of_the_literature() {
    assert_eq!(luhn("411111111111111"), "4111111111111111");
    assert_eq!(iban("DE", "370400440532013000"), "DE89370400440532013000");
    assert_eq!(iban("GB", "WEST12345698765432"), "GB82WEST12345698765432");
    assert_eq!(mod11_10("8609574271"), "86095742719");
    assert_eq!(verhoeff("236"), "2363");
}
