//! HAProxy: an ACL or a map that a frontend denies by, changed at run time over the admin socket or the Data Plane API.
//!
//! Promises: over the socket the file of the list is written first and the running process is told next, so that the block
//! begins at once and a reload keeps it; over the Data Plane API that is asked to do both. What is read back is what the
//! running process knows, not what the file says.
//! Never: reloads HAProxy; touches another list, or an entry of a map without our mark.

mod dataplane;
mod socket;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;

use self::dataplane::Dataplane;
use self::socket::{List, Socket, Way};
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use super::list_file::{Form, ListFile, check_path, in_words};
use crate::respond::action::Kind;
use crate::respond::config::{Address, ConfigError, SecretRef};
use crate::respond::target::Target;

http_target_config! {
    /// `respond.targets.haproxy`
    pub struct Config {
        /// The admin socket: the path of a Unix socket, or an address and port.
        #[serde(default)]
        pub socket: Option<String>,
        /// The list as HAProxy's configuration spells it, after `-f`.
        #[serde(default)]
        pub acl: Option<String>,
        /// The map as HAProxy's configuration spells it; over the Data Plane API its name there.
        #[serde(default)]
        pub map: Option<String>,
        /// The file of that list, where the spelling is not its absolute path.
        #[serde(default)]
        pub file: Option<PathBuf>,
        /// Of the Data Plane API, in place of a socket, such as `https://haproxy.example.com:5555`.
        #[serde(default)]
        pub url: Option<Address>,
        #[serde(default)]
        pub user: Option<String>,
        #[serde(default)]
        pub password: Option<SecretRef>,
    }
    able: &[Kind::Block]; by default: Config::ABLE;
}

impl Config {
    /// The list, and how it is named at HAProxy.
    fn list(&self, at: &str) -> Result<(List, String), ConfigError> {
        let (list, key, name) = match (&self.acl, &self.map) {
            (Some(name), None) => (List::Acl, "acl", name),
            (None, Some(name)) => (List::Map, "map", name),
            _ => return Err(ConfigError::new(format!("{at}.acl"), "name one list: `acl` or `map`")),
        };
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || ";\\\"'<".contains(c)) {
            let problem =
                format!("`{name}` cannot stand in a command; expected the name as HAProxy's `show {key}` says it");
            return Err(ConfigError::new(format!("{at}.{key}"), problem));
        }
        Ok((list, name.clone()))
    }

    fn way(&self, at: &str, socket: &str) -> Result<Way, ConfigError> {
        if socket.starts_with('/') {
            return Ok(Way::Unix(PathBuf::from(socket)));
        }
        let address: std::net::SocketAddr = socket.parse().map_err(|_| {
            let problem = format!("`{socket}` is neither an absolute path nor an address with a port");
            ConfigError::new(format!("{at}.socket"), problem)
        })?;
        if !address.ip().is_loopback() && !self.insecure {
            let problem =
                "whoever reads this socket's network may take HAProxy over; use a path, or set insecure: true";
            return Err(ConfigError::new(format!("{at}.socket"), problem));
        }
        Ok(Way::Tcp(address))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.file.clone().unwrap_or_else(|| PathBuf::from(name))
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
        let (list, name) = self.list(at)?;
        match (&self.socket, &self.url) {
            (Some(socket), None) => {
                check_path(at, "file", &self.file(&name))?;
                self.way(at, socket).map(drop)
            }
            (None, Some(url)) => {
                if list == List::Acl {
                    return Err(ConfigError::new(format!("{at}.acl"), "over the Data Plane API name a `map`"));
                }
                if self.user.is_none() || self.password.is_none() {
                    return Err(ConfigError::new(
                        format!("{at}.user"),
                        "the Data Plane API asks for `user` and `password`",
                    ));
                }
                check_url(at, "url", url, &self.reach())
            }
            _ => Err(ConfigError::new(format!("{at}.socket"), "one of `socket` and `url`")),
        }
    }

    fn lists(&self) -> Vec<(&'static str, String)> {
        let Some(name) = self.acl.as_ref().or(self.map.as_ref()) else { return Vec::new() };
        match &self.url {
            None => vec![("file", in_words(&self.file(name)))],
            Some(Address::Plain(url)) => vec![("map", format!("the map {name} at {}", url.trim_end_matches('/')))],
            Some(Address::Hidden(_)) => Vec::new(),
        }
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        self.password.iter().chain(secrets_of(self.url.as_ref(), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        self.check(&make.at)?;
        let (list, name) = self.list(&make.at)?;
        if let Some(socket) = &self.socket {
            let form = if list == List::Acl { Form::Plain } else { Form::Map };
            let file = ListFile { path: self.file(&name), form };
            let way = self.way(&make.at, socket)?;
            return Ok(Arc::new(Socket { way, list, name, file, writing: Mutex::new(()) }));
        }
        let reach = self.reach();
        let url = self.url.as_ref().expect("checked: a socket or a url");
        let password = self.password.as_ref().expect("checked: a url comes with a password");
        Ok(Arc::new(Dataplane {
            base: make.url("url", url, &reach)?,
            client: make.client(&reach)?,
            user: self.user.clone().unwrap_or_default(),
            password: make.secret("password", password)?,
            map: name,
            writing: Mutex::new(()),
        }))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        for (text, at) in [
            ("socket: /run/haproxy.sock", "acl"),
            ("socket: /run/haproxy.sock, acl: /etc/block.acl, map: /etc/block.map", "acl"),
            ("socket: /run/haproxy.sock, acl: './block.acl'", "file"),
            ("socket: /run/haproxy.sock, acl: 'a; clear acl b', file: /etc/a", "acl"),
            ("socket: haproxy.sock, acl: /etc/block.acl", "socket"),
            ("socket: '192.0.2.1:9999', acl: /etc/block.acl", "socket"),
            ("acl: /etc/block.acl", "socket"),
            ("url: 'https://haproxy.example.com', acl: /etc/block.acl", "acl"),
            ("url: 'https://haproxy.example.com', map: block.map", "user"),
        ] {
            let text = format!("haproxy: [{{ name: edge, {text} }}]");
            let config: crate::respond::actions::TargetsConfig = serde_saphyr::from_str(&text).expect(&text);
            assert_eq!(config.check().expect_err(&text).at, format!("targets.haproxy[0].{at}"), "{text}");
        }
    }
}
