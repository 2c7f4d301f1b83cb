//! The sources of a configuration that records are pushed to: their settings together, and opening one of them.
//!
//! Promises: what two sources ask for that cannot be had together (an address, a path) is found before anything starts,
//! and so is a certificate that cannot be read. Opening one source leaves the others alone.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::runtime::Handle;

use crate::clock;
use crate::config::{Config, Listen, SourceSection};
use crate::ingest::accept::is_loopback;
use crate::ingest::http::{HttpConfig, Hub, Route};
use crate::ingest::push::PushSource;
use crate::ingest::spool::{self, SpoolConfig, SpoolKey};
use crate::ingest::syslog::{self, Inlet, SyslogConfig};
use crate::ingest::{IngestError, Positions, ReadLimits, Source};
use crate::keys;

/// By source.
#[derive(Default)]
pub struct Pushed {
    http: HashMap<String, HttpConfig>,
    syslog: HashMap<String, SyslogConfig>,
}

impl Pushed {
    /// Builds the settings, and checks them against each other. Reads certificates; opens no port.
    pub fn build(config: &Config) -> anyhow::Result<Pushed> {
        let mut pushed = Pushed::default();
        for section in &config.sources {
            pushed.add(section).with_context(|| format!("sources: {}", section.name))?;
        }
        pushed.check_sharing()?;
        pushed.check_ports(config)?;
        Ok(pushed)
    }

    fn add(&mut self, section: &SourceSection) -> anyhow::Result<()> {
        let name = &section.name;
        if (section.http.is_some() || section.syslog.is_some()) && name.starts_with('.') {
            bail!("name: {name:?} begins with a dot; expected a name that its spool's folder can have");
        }
        if let Some(http) = &section.http {
            let built = http.build(name, &section.kind)?;
            built.tls.as_ref().map(|tls| tls.acceptor()).transpose().context("http.tls")?;
            self.http.insert(name.clone(), built);
        }
        if let Some(syslog) = &section.syslog {
            let built = syslog.build()?;
            built.tls.as_ref().map(|(_, tls)| tls.acceptor()).transpose().context("syslog.tls")?;
            self.syslog.insert(name.clone(), built);
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.http.is_empty() && self.syslog.is_empty()
    }

    /// Sources that share an address have paths of their own, and agree on what belongs to the listener.
    fn check_sharing(&self) -> anyhow::Result<()> {
        let mut by_address: BTreeMap<SocketAddr, Vec<(&String, &HttpConfig)>> = BTreeMap::new();
        for (name, config) in sorted(&self.http) {
            let others = by_address.entry(config.listen).or_default();
            for (other, theirs) in others.iter() {
                let at = format!("sources: {other} and {name} share {}", config.listen);
                if theirs.path == config.path {
                    bail!("{at}: http.path: {} is used twice; expected each source to have its own", config.path);
                }
                if theirs.tls != config.tls || theirs.connections_max != config.connections_max {
                    bail!("{at}: expected the same http.tls and http.connections_max");
                }
            }
            others.push((name, config));
        }
        Ok(())
    }

    fn check_ports(&self, config: &Config) -> anyhow::Result<()> {
        let mut taken: Vec<(&str, SocketAddr, String)> = Vec::new();
        if let Listen::At(address) = config.observe.listen()? {
            taken.push(("tcp", address, "observe.listen".to_owned()));
        }
        for (name, config) in sorted(&self.http) {
            // Sources share one.
            if !taken.iter().any(|(_, address, key)| *address == config.listen && key.ends_with(": http.listen")) {
                taken.push(("tcp", config.listen, format!("{name}: http.listen")));
            }
        }
        for (name, config) in sorted(&self.syslog) {
            taken.extend(config.udp.map(|address| ("udp", address, format!("{name}: syslog.udp"))));
            taken.extend(config.tcp.map(|address| ("tcp", address, format!("{name}: syslog.tcp"))));
            taken.extend(
                config.tls.as_ref().map(|(address, _)| ("tcp", *address, format!("{name}: syslog.tls.listen"))),
            );
        }
        for (at, (transport, address, key)) in taken.iter().enumerate() {
            let same = |other: &SocketAddr| {
                let everywhere = other.ip().is_unspecified() || address.ip().is_unspecified();
                other.port() == address.port() && (everywhere || other.ip() == address.ip())
            };
            if let Some((_, other, theirs)) = taken[..at].iter().find(|(t, other, _)| t == transport && same(other)) {
                bail!("sources: {key}: {address} is taken by {theirs} ({other}); expected another port");
            }
        }
        Ok(())
    }

    /// What is allowed, and yet should be known.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (name, config) in sorted(&self.http) {
            if config.tls.is_none() && !is_loopback(config.listen.ip()) {
                warnings.push(format!(
                    "sources: {name}: http.listen {} has no tls: token and records can be read on the way; set http.tls, or \
                     listen on loopback behind a proxy that has it",
                    config.listen
                ));
            }
        }
        for (name, config) in sorted(&self.syslog) {
            let open = config.udp.iter().chain(&config.tcp).find(|address| !is_loopback(address.ip()));
            if let Some(address) = open.filter(|_| config.allow.is_empty()) {
                warnings.push(format!(
                    "sources: {name}: syslog on {address} takes messages from everybody who can reach it, and who sends them \
                     can have others blocked; set syslog.allow, or syslog.tls with client_ca"
                ));
            }
        }
        warnings
    }

    /// Makes ready to open the sources: makes the key of the spools if there is none, and opens no port yet.
    pub fn ready(self, config: &Config, runtime: &Handle) -> anyhow::Result<Inlets> {
        let key = match self.is_empty() {
            true => None,
            false => Some(keys::spool(&config.keys, &config.data_dir)?),
        };
        let hub = Hub::new(runtime.clone(), &self.http.values().collect::<Vec<_>>());
        let folder = config.data_dir.join("spool");
        Ok(Inlets { pushed: self, hub, key, folder, runtime: runtime.clone() })
    }
}

fn sorted<T>(by_name: &HashMap<String, T>) -> BTreeMap<&String, &T> {
    by_name.iter().collect()
}

/// Opens the sources that records are pushed to.
pub struct Inlets {
    pushed: Pushed,
    hub: Hub,
    key: Option<SpoolKey>,
    folder: PathBuf,
    runtime: Handle,
}

impl Inlets {
    /// Opens the spool of a source and its listeners; `None` for a source that is none of these.
    pub fn open(
        &self,
        section: &SourceSection,
        positions: &Arc<dyn Positions>,
    ) -> Result<Option<Box<dyn Source>>, IngestError> {
        let (name, clock, limits) = (&section.name, clock::system(), ReadLimits::default());
        let open = |bytes_max: u64, idle_after: Duration| {
            let key = self.key.clone().expect("made ready for every source that is pushed to");
            let folder = self.folder.join(name);
            let config = SpoolConfig { folder, source: name.clone(), key, bytes_max, idle_after };
            spool::open(config, positions.as_ref(), limits.clone(), clock.clone())
        };
        if let (Some(section), Some(config)) = (&section.http, self.pushed.http.get(name)) {
            let (spool, source) = open(section.spool_max.bytes, section.idle_after.duration())?;
            let route = Route::new(name, config.clone(), limits, clock, spool);
            return Ok(Some(Box::new(PushSource::new(self.hub.attach(route)?, source))));
        }
        if let (Some(section), Some(config)) = (&section.syslog, self.pushed.syslog.get(name)) {
            let (spool, source) = open(section.spool_max.bytes, section.idle_after.duration())?;
            let inlet = Inlet { source: name.as_str().into(), config: config.clone(), limits, clock, spool };
            return Ok(Some(Box::new(PushSource::new(syslog::listen(&self.runtime, inlet)?, source))));
        }
        Ok(None)
    }
}

/// Spools of an earlier run whose source is not configured any more: what is in them waits for it.
pub fn left_over(config: &Config) -> Vec<PathBuf> {
    let folder = config.data_dir.join("spool");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let is_pushed = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        config.sources.iter().any(|s| s.name == name && (s.http.is_some() || s.syslog.is_some()))
    };
    let holds = |path: &Path| {
        let mut files = std::fs::read_dir(path).into_iter().flatten().flatten();
        files.any(|file| file.path().extension().is_some_and(|ending| ending == "seg"))
    };
    let folders = entries.flatten().map(|entry| entry.path());
    folders.filter(|path| !is_pushed(path) && holds(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds from these sources, each a flow mapping; the error in full.
    fn built(sources: &[&str]) -> Result<Pushed, String> {
        let list: String = sources.iter().map(|source| format!("  - {{ kind: kong, {source} }}\n")).collect();
        let config: Config =
            serde_saphyr::from_str(&format!("data_dir: d\nsources:\n{list}")).map_err(|error| error.to_string())?;
        Pushed::build(&config).map_err(|error| format!("{error:#}"))
    }

    #[track_caller]
    fn refused(sources: &[&str], words: &str) {
        let error = built(sources).err().expect("refused");
        assert!(error.contains(words), "{error}");
    }

    const EDGE: &str = "name: edge, http: { listen: \"127.0.0.1:8088\" }";

    #[test]
    fn sources_share_an_address_but_not_a_path_or_a_port() {
        let pushed = built(&[
            EDGE,
            "name: shop, http: { listen: \"127.0.0.1:8088\" }",
            "name: udp, syslog: { udp: \"127.0.0.1:8088\", tcp: \"127.0.0.1:5514\" }",
        ]);
        assert_eq!(pushed.expect("two paths, two transports").http.len(), 2);
        refused(
            &[EDGE, "name: shop, http: { listen: \"127.0.0.1:8088\", path: /edge }"],
            "sources: edge and shop share 127.0.0.1:8088: http.path: /edge is used twice",
        );
        refused(
            &[EDGE, "name: shop, http: { listen: \"127.0.0.1:8088\", connections_max: 1 }"],
            "expected the same http.tls and http.connections_max",
        );
        refused(
            &[EDGE, "name: shop, syslog: { tcp: \"0.0.0.0:8088\" }"],
            "sources: shop: syslog.tcp: 0.0.0.0:8088 is taken by edge: http.listen (127.0.0.1:8088)",
        );
        refused(
            &["name: a, syslog: { udp: \"127.0.0.1:1\" }", "name: b, syslog: { udp: \"127.0.0.1:1\" }"],
            "b: syslog.udp: 127.0.0.1:1 is taken by a: syslog.udp",
        );
        refused(
            &["name: edge, http: { listen: \"127.0.0.1:9477\" }"],
            "edge: http.listen: 127.0.0.1:9477 is taken by observe.listen (127.0.0.1:9477); expected another port",
        );
        refused(
            &["name: edge, syslog: { tcp: \"0.0.0.0:9477\" }"],
            "edge: syslog.tcp: 0.0.0.0:9477 is taken by observe.listen",
        );
        assert!(built(&["name: edge, syslog: { udp: \"127.0.0.1:9477\" }"]).is_ok(), "another transport");
        refused(&["name: .., syslog: { udp: \"127.0.0.1:1\" }"], "begins with a dot");
    }

    #[test]
    fn certificates_are_read_by_the_check() {
        let folder = tempfile::tempdir().expect("a folder");
        let tls = |cert: &str, key: &str| {
            let (cert, key) = (folder.path().join(cert), folder.path().join(key));
            format!(
                "name: edge, http: {{ listen: \"127.0.0.1:8088\", tls: {{ cert: {}, key: {} }} }}",
                cert.display(),
                key.display()
            )
        };
        refused(&[&tls("none.pem", "none.key")], "none.pem: expected certificates in PEM");
        std::fs::write(folder.path().join("empty.pem"), "").expect("written");
        refused(&[&tls("empty.pem", "none.key")], "empty.pem: holds no certificate");
        let pair = |name: &str| {
            let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("made");
            let path = |ending: &str| folder.path().join(format!("{name}.{ending}"));
            std::fs::write(path("pem"), made.cert.pem()).expect("written");
            std::fs::write(path("key"), made.signing_key.serialize_pem()).expect("written");
        };
        pair("one");
        pair("two");
        refused(&[&tls("one.pem", "one.pem")], "one.pem: expected a private key in PEM");
        refused(&[&tls("one.pem", "two.key")], "two.key: does not go with the certificate");
        assert!(built(&[&tls("one.pem", "one.key")]).is_ok());
    }

    #[test]
    fn who_can_be_heard_by_everybody_is_warned_of() {
        let warnings = |source: &str| built(&[source]).expect("good").warnings();
        assert_eq!(warnings(EDGE), Vec::<String>::new());
        let open = warnings("name: edge, syslog: { udp: \"0.0.0.0:5514\" }");
        assert!(open[0].contains("edge: syslog on 0.0.0.0:5514 takes messages from everybody"), "{open:?}");
        assert!(warnings("name: edge, syslog: { udp: \"0.0.0.0:5514\", allow: [192.0.2.0/24] }").is_empty());
    }
}
