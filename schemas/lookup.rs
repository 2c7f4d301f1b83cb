//! Looking for what is known: the tokens a secret has in the tables, so that its rows can be found.
//!
//! Promises: the tokens are those the normaliser would write, under every key there is, the newest first.
//! Never: keeps the secret, or returns it.

use crate::credential::{Credential, Origin};
use crate::identity::learn_principal;
use crate::redact::Scrubber;
use crate::redact::token::{Domain, Keys};

/// What stands for `secret` in the columns of its domain: one or two values per key. A credential may be given as it
/// stood in a header, with its scheme; an object's identifier has one token in a path and another one in a query.
pub fn tokens(keys: &Keys, domain: Domain, secret: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut scrubber = Scrubber::default();
    for key in keys.newest_first() {
        match domain {
            Domain::Credential => {
                found.extend(Credential::read(Origin::Authorization, secret, key, &mut scrubber).token);
            }
            Domain::Object => {
                found.push(key.token(Domain::Object, secret.as_bytes()));
                found.push(key.token(Domain::Object, format!("?{secret}").as_bytes()));
            }
            Domain::Password => {
                found.push(key.token(Domain::Password, crate::redact::canonical(secret).as_bytes()));
            }
            Domain::Principal => {
                let whole = learn_principal(secret, true, key, &mut scrubber).kept;
                let masked = learn_principal(secret, false, key, &mut scrubber);
                let differs = !masked.found.is_empty() && masked.kept != whole;
                found.push(whole);
                found.extend(differs.then_some(masked.kept));
            }
        }
    }
    found
}
