//! What every kind of target has in common: the keys of its configuration, and what it is built with.
//!
//! Promises: the common keys are written once, here, and mean the same everywhere. An error names the key from `respond`
//! down.
//! Never: resolves a secret before the target is built.

use std::sync::Arc;

use reqwest::{Client, Url};

use crate::respond::action::Kind;
use crate::respond::config::{Address, ConfigError, Resolve, Secret, SecretRef};
use crate::respond::http::{self, Transport};
use crate::respond::target::Target;
use crate::respond::when::When;

/// The configuration of a target, without what is its kind's own.
#[derive(Clone, Debug, Default)]
pub struct Common {
    pub name: String,
    pub kinds: Vec<Kind>,
    pub dry_run: Option<bool>,
    pub when: When,
    pub per_minute: Option<u32>,
}

/// How a target that speaks HTTP is reached.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    pub insecure: bool,
    pub ca: Option<SecretRef>,
    pub proxy: Option<String>,
}

/// A target that is ready, with what is said about it.
#[derive(Clone)]
pub struct Ready {
    pub common: Common,
    pub target: Arc<dyn Target>,
}

/// What each kind of target's configuration can do.
pub(super) trait TargetConfig {
    fn common(&self) -> Common;

    /// What this kind of target does.
    fn able(&self) -> &'static [Kind];

    /// Of its own keys, all that can be checked without secrets and without the world; `at` is the key it stands under.
    fn check(&self, at: &str) -> Result<(), ConfigError>;

    /// The lists that it writes to and that bear no second writer: the key that names each, and which it is, in words.
    fn lists(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Every secret that building asks for.
    fn secrets(&self) -> Vec<&SecretRef>;

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError>;
}

/// What a target is built with.
pub(super) struct Make<'a> {
    /// The key that the target stands under, from `respond` down.
    pub at: String,
    pub resolve: Resolve<'a>,
}

impl Make<'_> {
    pub fn secret(&self, key: &str, reference: &SecretRef) -> Result<Secret, ConfigError> {
        (self.resolve)(reference).map_err(|problem| ConfigError::new(format!("{}.{key}", self.at), problem))
    }

    pub fn url(&self, key: &str, address: &Address, reach: &Reach) -> Result<Url, ConfigError> {
        let text = match address {
            Address::Plain(text) => text.clone(),
            Address::Hidden(reference) => self.secret(key, reference)?.reveal().to_owned(),
        };
        http::parse_url(&text, reach.insecure, &format!("{}.{key}", self.at))
    }

    pub fn client(&self, reach: &Reach) -> Result<Client, ConfigError> {
        let ca_pem = reach.ca.as_ref().map(|reference| self.secret("ca", reference)).transpose()?;
        let ca_pem = ca_pem.map(|pem| pem.reveal().to_owned());
        Transport { ca_pem, proxy: reach.proxy.clone() }.client(&self.at)
    }
}

/// An address that stands in the configuration; one that is a secret is looked at when the target is built.
pub(super) fn check_url(at: &str, key: &str, address: &Address, reach: &Reach) -> Result<(), ConfigError> {
    match address {
        Address::Plain(text) => http::parse_url(text, reach.insecure, &format!("{at}.{key}")).map(drop),
        Address::Hidden(_) => Ok(()),
    }
}

/// The secrets among an address and the way to it.
pub(super) fn secrets_of<'a>(
    address: Option<&'a Address>,
    reach: &'a Option<SecretRef>,
) -> impl Iterator<Item = &'a SecretRef> {
    let hidden = address.and_then(|address| match address {
        Address::Hidden(reference) => Some(reference),
        Address::Plain(_) => None,
    });
    hidden.into_iter().chain(reach)
}

/// Declares a kind of target's configuration: its own keys, beside those that every target has.
macro_rules! target_config {
    ($(#[$meta:meta])* pub struct Config { $($(#[$field_meta:meta])* pub $field:ident : $type:ty,)* }
     able: $able:expr; by default: $default:expr;) => {
        $(#[$meta])*
        #[derive(Clone, Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Config {
            /// In the table `actions` and in logs.
            pub name: String,
            /// What this target takes.
            #[serde(default = "Config::kinds_by_default")]
            pub kinds: Vec<$crate::respond::action::Kind>,
            /// Over `respond.dry_run`.
            #[serde(default)]
            pub dry_run: Option<bool>,
            /// Which incidents it is told of.
            #[serde(default)]
            pub when: $crate::respond::when::When,
            /// Deliveries a minute, at most.
            #[serde(default)]
            pub per_minute: Option<u32>,
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl Config {
            pub(super) const ABLE: &'static [$crate::respond::action::Kind] = $able;

            fn kinds_by_default() -> Vec<$crate::respond::action::Kind> {
                $default.to_vec()
            }

            pub(super) fn as_common(&self) -> $crate::respond::actions::common::Common {
                $crate::respond::actions::common::Common {
                    name: self.name.clone(),
                    kinds: self.kinds.clone(),
                    dry_run: self.dry_run,
                    when: self.when.clone(),
                    per_minute: self.per_minute,
                }
            }
        }
    };
}

/// The same for a target that speaks HTTP.
macro_rules! http_target_config {
    ($(#[$meta:meta])* pub struct Config { $($(#[$field_meta:meta])* pub $field:ident : $type:ty,)* }
     able: $able:expr; by default: $default:expr;) => {
        $crate::respond::actions::common::target_config! {
            $(#[$meta])*
            pub struct Config {
                /// Allow http to another machine.
                #[serde(default)]
                pub insecure: bool,
                /// Certificates in PEM to trust besides the system's.
                #[serde(default)]
                pub ca: Option<$crate::respond::config::SecretRef>,
                /// The address of an HTTP proxy.
                #[serde(default)]
                pub proxy: Option<String>,
                $($(#[$field_meta])* pub $field: $type,)*
            }
            able: $able; by default: $default;
        }

        impl Config {
            pub(super) fn reach(&self) -> $crate::respond::actions::common::Reach {
                $crate::respond::actions::common::Reach {
                    insecure: self.insecure,
                    ca: self.ca.clone(),
                    proxy: self.proxy.clone(),
                }
            }
        }
    };
}

pub(super) use {http_target_config, target_config};
