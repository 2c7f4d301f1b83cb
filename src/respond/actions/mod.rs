//! The targets: one folder each, and one line each in the table below.
//!
//! Promises: names are unique over all kinds of target, and so are the lists that they write to; a configuration that cannot work is refused before anything starts.
//! Never: talks to a target while it is being built.

use std::collections::{HashMap, HashSet};

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
        let (mut names, mut lists) = (HashSet::new(), HashMap::new());
        for (at, config) in self.all() {
            let common = config.common();
            check_target(&at, &common, config.able())?;
            config.check(&at)?;
            if !names.insert(common.name.clone()) {
                let problem = format!("`{}` names another target already", common.name);
                return Err(ConfigError::new(format!("{at}.name"), problem));
            }
            for (key, list) in config.lists() {
                if let Some(other) = lists.insert(list.clone(), common.name.clone()) {
                    let problem = format!(
                        "{list} belongs to the target `{other}` already, and each would take the other's entries for somebody \
                         else's; expected a list of its own, or one target"
                    );
                    return Err(ConfigError::new(format!("{at}.{key}"), problem));
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(yaml: &str) -> Option<(String, String)> {
        let targets: TargetsConfig = serde_saphyr::from_str(yaml).expect("targets");
        targets.check().err().map(|error| (error.at, error.problem))
    }

    #[test]
    fn two_targets_never_write_to_one_list() {
        let file = |kind: &str, name: &str, file: &str| {
            format!("{kind}: [{{ name: {name}, file: {file}, reload: {{ command: [/bin/true] }} }}]\n")
        };
        let two = |other: &str| file("nginx", "edge", "/etc/lists/blocked") + &file("modsecurity", "waf", other);
        let (at, problem) = refused(&two("/etc/lists/./blocked")).expect("one file");
        assert_eq!(at, "targets.nginx[0].file");
        let begins = "the file /etc/lists/blocked belongs to the target `waf` already";
        assert!(problem.starts_with(begins), "{problem}");
        assert_eq!(refused(&two("/etc/lists/blocked.txt")), None);

        let sets = |one: &str, other: &str| {
            let target = |name: &str, id: &str| {
                format!(
                    "{{ name: {name}, region: eu-west-1, v4: {{ name: {name}, id: {id} }}, access_key_id: {{ env: K }}, \
                         secret_access_key: {{ env: S }} }}"
                )
            };
            format!("aws_waf: [{}, {}]", target("a", one), target("b", other))
        };
        assert_eq!(refused(&sets("set-1", "set-1")).expect("one set").0, "targets.aws_waf[1].v4");
        assert_eq!(refused(&sets("set-1", "set-2")), None);
    }
}
