//! The targets: one folder each, and one line each in the table below.
//!
//! Promises: names are unique over all kinds of target; a configuration that cannot work is refused before anything starts.
//! Never: talks to a target while it is being built.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;

use super::config::{ConfigError, Resolve, SecretRef};
use super::target::Target;

pub mod crowdsec;
pub mod webhook;

/// What each kind of target's configuration can do.
pub(super) trait TargetConfig {
    fn name(&self) -> &str;
    /// All that can be checked without secrets and without the world; `at` is the key it stands under.
    fn check(&self, at: &str) -> Result<(), ConfigError>;
    fn secrets(&self) -> Vec<&SecretRef>;
    fn build(&self, at: &str, resolve: Resolve) -> Result<Arc<dyn Target>, ConfigError>;
}

macro_rules! targets {
    ($($kind:ident),* $(,)?) => {
        /// The configured targets, by kind: `respond.targets.KIND`.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct TargetsConfig {
            $(pub $kind: Vec<$kind::Config>,)*
        }

        impl TargetsConfig {
            /// Every target with the key it stands under.
            fn all(&self) -> Vec<(String, &dyn TargetConfig)> {
                let mut all: Vec<(String, &dyn TargetConfig)> = Vec::new();
                $(for (n, config) in self.$kind.iter().enumerate() {
                    all.push((format!("targets.{}[{n}]", stringify!($kind)), config));
                })*
                all
            }
        }
    };
}

targets! {
    crowdsec,
    webhook,
}

impl TargetsConfig {
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut names = HashSet::new();
        for (at, config) in self.all() {
            config.check(&at)?;
            if !names.insert(config.name()) {
                let problem = format!("`{}` names another target already", config.name());
                return Err(ConfigError::new(format!("{at}.name"), problem));
            }
        }
        Ok(())
    }

    /// Every secret that building will ask for, so that missing ones can be told all at once.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        self.all().into_iter().flat_map(|(_, config)| config.secrets()).collect()
    }

    pub fn build(&self, resolve: Resolve) -> Result<Vec<Arc<dyn Target>>, ConfigError> {
        self.check()?;
        self.all().into_iter().map(|(at, config)| config.build(&at, resolve)).collect()
    }
}
