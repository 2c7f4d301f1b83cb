//! What of a number stays readable when it is masked: as much as tells two apart for a person who knows them.
//!
//! Promises: never more than four characters at the end and the country of an account.
//! Never: masks a kind of number without such a form.

use super::super::classes::Class;

/// Writes the mask of `secret`; false, and nothing is written, when its class has none.
pub(crate) fn mask(class: Class, secret: &str, out: &mut String) -> bool {
    match class {
        Class::CARD => {
            out.push_str("****-");
            push_last(secret, 4, out);
        }
        Class::IBAN => {
            out.extend(secret.chars().take(2).map(|c| c.to_ascii_uppercase()));
            out.push_str("**-****-");
            push_last(secret, 4, out);
        }
        Class::PHONE => {
            out.push_str(if secret.starts_with('+') { "+**-**" } else { "**-**" });
            push_last(secret, 2, out);
        }
        Class::NATIONAL_ID if is_social_security(secret) => {
            out.push_str("***-**-");
            push_last(secret, 4, out);
        }
        _ => return false,
    }
    true
}

fn push_last(secret: &str, count: usize, out: &mut String) {
    let signs = || secret.chars().filter(char::is_ascii_alphanumeric);
    out.extend(signs().skip(signs().count().saturating_sub(count)));
}

fn is_social_security(secret: &str) -> bool {
    let bytes = secret.as_bytes();
    bytes.len() == 11 && bytes[3] == bytes[6] && bytes.iter().filter(|b| b.is_ascii_digit()).count() == 9
}
