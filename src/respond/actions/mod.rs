//! The targets: one folder each, and one line each in the table below.
//!
//! Promises: names are unique over all kinds of target; a configuration that cannot work is refused before anything starts.
//! Never: talks to a target while it is being built.

use std::collections::HashSet;

use serde::Deserialize;

use super::config::{ConfigError, Resolve, SecretRef, check_target};
use common::{Make, Ready, TargetConfig};

pub mod alertmanager;
mod ask;
pub mod aws_waf;
mod case;
#[cfg(test)]
mod case_tests;
pub mod cloudflare;
pub mod common;
#[cfg(test)]
mod contract;
pub mod crowdsec;
pub mod email;
mod entries;
pub mod fastly;
pub mod haproxy;
mod hook;
pub mod jira;
pub mod keycloak;
pub mod kong;
mod list_file;
pub mod modsecurity;
pub mod nginx;
pub mod opsgenie;
pub mod pagerduty;
pub mod servicenow;
pub mod shuffle;
pub mod slack;
pub mod splunk_soar;
pub mod teams;
pub mod thehive;
pub mod tines;
pub mod webhook;
pub mod xsoar;

macro_rules! targets {
    ($($kind:ident),* $(,)?) => {
        /// The configured targets, by kind: `respond.targets.KIND`.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct TargetsConfig {
            $(pub $kind: Vec<$kind::Config>,)*
        }

        /// The names of all kinds, as the table below has them.
        pub const KINDS: &[&str] = &[$(stringify!($kind)),*];

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
    alertmanager,
    aws_waf,
    cloudflare,
    crowdsec,
    email,
    fastly,
    haproxy,
    jira,
    keycloak,
    kong,
    modsecurity,
    nginx,
    opsgenie,
    pagerduty,
    servicenow,
    shuffle,
    slack,
    splunk_soar,
    teams,
    thehive,
    tines,
    webhook,
    xsoar,
}

impl TargetsConfig {
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut names = HashSet::new();
        for (at, config) in self.all() {
            let common = config.common();
            check_target(&at, &common, config.able())?;
            config.check(&at)?;
            if !names.insert(common.name.clone()) {
                let problem = format!("`{}` names another target already", common.name);
                return Err(ConfigError::new(format!("{at}.name"), problem));
            }
        }
        Ok(())
    }

    /// What every target has, of all of them.
    pub fn commons(&self) -> Vec<common::Common> {
        self.all().into_iter().map(|(_, config)| config.common()).collect()
    }

    /// Every secret that building will ask for, so that missing ones can be told all at once.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        self.all().into_iter().flat_map(|(_, config)| config.secrets()).collect()
    }

    pub fn build(&self, resolve: Resolve) -> Result<Vec<Ready>, ConfigError> {
        self.check()?;
        let ready = |(at, config): (String, &dyn TargetConfig)| {
            let target = config.build(&Make { at, resolve })?;
            Ok(Ready { common: config.common(), target })
        };
        self.all().into_iter().map(ready).collect()
    }
}
