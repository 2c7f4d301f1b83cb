//! E-mail: an incident's messages as plain text, by SMTP.
//!
//! Promises: STARTTLS unless told otherwise, and no mail where the server does not offer it; without encryption to this
//! machine only. A mail's Message-ID is made of the action's id and every mail refers to the incident's, so that mail programs
//! thread them and a mail that comes twice can be told.
//! Never: sends HTML, or keeps a connection open, not even to a server whose answer never ends: when the attempt's time is up,
//! its connection is closed.

mod mail;
mod smtp;

use std::net::IpAddr;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use lettre::message::Mailbox;
use serde::Deserialize;

use self::smtp::Failure;
use super::common::{Common, Make, TargetConfig, target_config};
use crate::respond::action::{Kind, Op, scrub};
use crate::respond::config::{ConfigError, SecretRef};
use crate::respond::message;
use crate::respond::target::{Delivery, Order, Target};

/// Mails under way at once.
const CONCURRENCY_MAX: usize = 2;
/// One mail goes to all of them.
const RECIPIENTS_MAX: usize = 50;

/// How the way to the server is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// Begins in the clear and must change over.
    #[default]
    Starttls,
    /// From the first byte.
    Tls,
    /// To this machine only.
    None,
}

impl Encryption {
    fn port(self) -> u16 {
        match self {
            Encryption::Starttls => 587,
            Encryption::Tls => 465,
            Encryption::None => 25,
        }
    }
}

target_config! {
    /// `respond.targets.email`
    pub struct Config {
        pub host: String,
        /// 587, 465 with `tls`, 25 with `none`.
        #[serde(default)]
        pub port: Option<u16>,
        #[serde(default)]
        pub encryption: Encryption,
        /// Certificates in PEM to trust besides the system's.
        #[serde(default)]
        pub ca: Option<SecretRef>,
        #[serde(default)]
        pub user: Option<SecretRef>,
        #[serde(default)]
        pub password: Option<SecretRef>,
        pub from: String,
        pub to: Vec<String>,
        /// Where people look an incident up; `{incident}` stands for its id.
        #[serde(default)]
        pub link: Option<String>,
    }
    able: &[Kind::Notify, Kind::Case, Kind::Page]; by default: &[Kind::Notify];
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn mailbox(at: &str, key: &str, text: &str) -> Result<Mailbox, ConfigError> {
    let expected = format!("`{text}` is no address; expected soc@example.com or SOC <soc@example.com>");
    text.parse().map_err(|_| ConfigError::new(format!("{at}.{key}"), expected))
}

impl Config {
    fn recipients(&self, at: &str) -> Result<Vec<Mailbox>, ConfigError> {
        let recipients = self.to.iter().enumerate();
        recipients.map(|(n, text)| mailbox(at, &format!("to[{n}]"), text)).collect()
    }
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        let wrong = |key: &str, problem: &str| Err(ConfigError::new(format!("{at}.{key}"), problem));
        if self.host.is_empty() || self.host.contains(['/', ' ']) {
            return wrong("host", "expected the name or address of a mail server, such as smtp.example.com");
        }
        if self.port == Some(0) {
            return wrong("port", "1 to 65535");
        }
        if self.encryption == Encryption::None && !is_local(&self.host) {
            return wrong("encryption", "none would send alerts in the clear; it is for a server on this machine only");
        }
        if self.user.is_some() != self.password.is_some() {
            return wrong("user", "user and password go together");
        }
        if self.to.is_empty() || self.to.len() > RECIPIENTS_MAX {
            return wrong("to", "between 1 and 50 addresses; give a list's address for more");
        }
        mailbox(at, "from", &self.from)?;
        self.recipients(at)?;
        message::check_link(at, self.link.as_deref())
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        self.user.iter().chain(&self.password).chain(&self.ca).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let ca = self.ca.as_ref().map(|reference| make.secret("ca", reference)).transpose()?;
        let tls = smtp::connector(ca.as_ref());
        let login = match (&self.user, &self.password) {
            (Some(user), Some(password)) => Some((make.secret("user", user)?, make.secret("password", password)?)),
            _ => None,
        };
        let route = smtp::Route {
            host: self.host.clone(),
            port: self.port.unwrap_or(self.encryption.port()),
            encryption: self.encryption,
            tls: tls.map_err(|problem| ConfigError::new(format!("{}.ca", make.at), problem))?,
            login,
        };
        let (from, to) = (mailbox(&make.at, "from", &self.from)?, self.recipients(&make.at)?);
        Ok(Arc::new(Email { route, from, to, link: self.link.clone() }))
    }
}

pub struct Email {
    route: smtp::Route,
    from: Mailbox,
    to: Vec<Mailbox>,
    link: Option<String>,
}

impl Target for Email {
    fn concurrency_max(&self) -> Option<usize> {
        Some(CONCURRENCY_MAX)
    }

    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        self.send(order).boxed()
    }
}

impl Email {
    async fn send(&self, order: Order<'_>) -> Delivery {
        if order.action.op == Op::Revert {
            return Delivery::failed("a message cannot be taken back");
        }
        let written = message::read(order.action)
            .and_then(|message| mail::write(order.action, &message, &self.from, &self.to, self.link.as_deref()));
        let mail = match written {
            Ok(mail) => mail,
            Err(problem) => return Delivery::failed(problem),
        };
        let address = |mailbox: &Mailbox| mailbox.email.to_string();
        let to: Vec<String> = self.to.iter().map(address).collect();
        match self.route.send(&address(&self.from), &to, &mail).await {
            Ok(said) => Delivery::delivered(scrub(&said), None),
            Err(Failure::Final(said)) => {
                Delivery::Failed { reason: format!("the mail server refused the mail: {said}"), answer: said }
            }
            Err(Failure::Passing(said)) => {
                Delivery::Retry { after: None, reason: format!("the mail could not be sent: {said}"), answer: said }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_cannot_work_is_refused_by_its_key() {
        for (rest, at) in [
            ("host: mail.example.com, from: soc, to: [a@example.com]", "from"),
            ("host: mail.example.com, from: soc@example.com, to: []", "to"),
            ("host: mail.example.com, from: soc@example.com, to: [a@example.com, b]", "to[1]"),
            ("host: mail.example.com, encryption: none, from: soc@example.com, to: [a@example.com]", "encryption"),
            ("host: 'https://x', from: soc@example.com, to: [a@example.com]", "host"),
            ("host: m, user: { env: X }, from: soc@example.com, to: [a@example.com]", "user"),
        ] {
            let text = format!("email: [{{ name: soc, {rest} }}]");
            let config: crate::respond::actions::TargetsConfig = serde_saphyr::from_str(&text).expect(rest);
            assert_eq!(config.check().expect_err(rest).at, format!("targets.email[0].{at}"), "{rest}");
        }
        for host in ["localhost", "127.0.0.1", "::1"] {
            assert!(super::is_local(host), "{host}");
        }
        assert!(!super::is_local("127.0.0.1.example.com"));
    }
}
