//! Tines: an incident starts a story through its webhook.
//!
//! Promises: what `hook` promises: the body is the message with an `id` that stays the same on each retry.
//! Never: shows the address, which is a credential, and never has it written out in the configuration.

use std::sync::Arc;

use super::common::{Common, Make, TargetConfig, http_target_config, secrets_of};
use super::hook::{Header, Hook};
use crate::respond::action::Kind;
use crate::respond::config::{ConfigError, SecretRef};
use crate::respond::target::Target;

http_target_config! {
    /// `respond.targets.tines`
    pub struct Config {
        /// Of the story's webhook action, path and secret included: `https://TENANT/webhook/PATH/SECRET`.
        pub url: SecretRef,
        #[serde(default)]
        pub header: Option<Header>,
    }
    able: &[Kind::Notify, Kind::Case, Kind::Page]; by default: Config::ABLE;
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        self.header.as_ref().map_or(Ok(()), |header| header.check(at))
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        let header = self.header.as_ref().map(|header| &header.value);
        std::iter::once(&self.url).chain(header).chain(secrets_of(None, &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        Hook::build("Tines", make, &self.url, self.header.as_ref(), &self.reach())
    }
}
