//! Every kind of target with a counterparty at its far end and a fault proxy in between.
//!
//! Promises: one entry or more for each kind; what a counterparty holds is told in lines that do not depend on when or how
//! often it was asked, so that two runs can be compared. Files have no wire: there the commands fail, hang and lie.
//! Never: lets a target reach its counterparty without the proxy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gatewatch::respond::Clock;
use serde_json::Value;

use super::edges::aws_waf::{self, AwsWaf};
use super::edges::cases::{Case, lines};
use super::edges::cloudflare::{self, Cloudflare};
use super::edges::crowdsec::Lapi;
use super::edges::dataplane::{self, Dataplane};
use super::edges::fastly::{self, Fastly};
use super::edges::hooks::{SHUFFLE_PATH, Story, TEAMS_PATH, TINES_PATH, Teams};
use super::edges::jira::Jira;
use super::edges::keycloak::Keycloak;
use super::edges::kong::Kong;
use super::edges::pagers::{self, Alertmanager, Opsgenie, Pagerduty};
use super::edges::servicenow::ServiceNow;
use super::edges::slack::{CHANNEL, Slack};
use super::edges::splunk_soar::SplunkSoar;
use super::edges::thehive::TheHive;
use super::edges::xsoar::Xsoar;
use super::edges::{Edge, Server};
use super::faults::{Fault, Proxy, Traffic, Wire};
use super::haproxy::Haproxy;
use super::receiver::{self, Receiver};
use super::smtp::SmtpServer;

/// Whom the tests keep out: two addresses and a principal.
pub const ATTACKER: &str = "203.0.113.7";
pub const SECOND: &str = "198.51.100.8";
pub const PRINCIPAL: &str = "alice";
/// Whom somebody else keeps out.
pub const STRANGER: &str = "192.0.2.200";

type Look<T> = Box<dyn Fn() -> T + Send + Sync>;

pub struct Far {
    pub kind: &'static str,
    pub name: String,
    /// The target's entry below its kind.
    yaml: String,
    /// Addresses that are secrets, by the name that the entry gives them.
    secret: Option<(String, String)>,
    line: Line,
    holds: Look<Vec<String>>,
    problems: Look<Vec<String>>,
    /// Somebody takes `ATTACKER` (or `PRINCIPAL`) out and, where others may write, puts `STRANGER` in.
    meddle: Option<Look<()>>,
    /// A bulk change stops half-way, so many times.
    halve: Option<Box<dyn Fn(usize) + Send + Sync>>,
    /// Nothing in the contract tells a message that comes twice.
    pub may_double: bool,
}

enum Line {
    Wire(Proxy),
    Commands(PathBuf),
}

/// What all of them are made with.
pub struct Making<'a> {
    pub clock: Clock,
    /// How long a black hole holds a connection.
    pub holds: Duration,
    pub traffic: Traffic,
    pub folder: &'a Path,
}

impl Far {
    /// What is held there, sorted.
    pub fn holds(&self) -> Vec<String> {
        let mut lines = (self.holds)();
        lines.sort();
        lines
    }

    pub fn problems(&self) -> Vec<String> {
        let named = |problem: String| format!("{}: {problem}", self.name);
        let own = (self.problems)().into_iter();
        own.chain(self.proxy().map(Proxy::problems).unwrap_or_default()).map(named).collect()
    }

    pub fn proxy(&self) -> Option<&Proxy> {
        match &self.line {
            Line::Wire(proxy) => Some(proxy),
            Line::Commands(_) => None,
        }
    }

    pub fn meddle(&self) {
        if let Some(meddle) = &self.meddle {
            meddle();
        }
    }

    /// Bulk changes stop half-way; false where there are none.
    pub fn halve(&self, times: usize) -> bool {
        self.halve.iter().for_each(|halve| halve(times));
        self.halve.is_some()
    }

    pub fn spoil(&self, fault: Fault, times: usize) {
        match &self.line {
            Line::Wire(proxy) => proxy.spoil(fault, times),
            Line::Commands(folder) => {
                let mode = match fault {
                    Fault::Status(_) | Fault::Reset => "fail",
                    Fault::BlackHole | Fault::Drip => "hang",
                    Fault::Lost | Fault::Covered | Fault::CutShort => "lost",
                    Fault::Busy(_) | Fault::Trickle | Fault::Twice => "",
                };
                let calls = std::fs::read_to_string(folder.join("calls")).expect("a number");
                let first: usize = calls.trim().parse().expect("a number");
                // After none, one, two and so on that went well.
                let faulty: Vec<String> = (1..=times).map(|n| (first + n * (n + 1) / 2 - 1).to_string()).collect();
                std::fs::write(folder.join("faulty"), faulty.join("\n")).expect("written");
                std::fs::write(folder.join("mode"), mode).expect("written");
            }
        }
    }

    pub fn heal(&self) {
        match &self.line {
            Line::Wire(proxy) => proxy.heal(),
            Line::Commands(folder) => std::fs::write(folder.join("mode"), "").expect("written"),
        }
    }
}

/// The `targets` of a configuration over all of these, and its secrets.
pub fn configuration(fars: &[Far]) -> (String, BTreeMap<String, String>) {
    let mut kinds: BTreeMap<&str, String> = BTreeMap::new();
    let mut secrets = BTreeMap::from([("webhook".to_owned(), receiver::SECRET.to_owned())]);
    for far in fars {
        *kinds.entry(far.kind).or_default() += &format!("    - {{ name: {}, {} }}\n", far.name, far.yaml);
        secrets.extend(far.secret.clone());
    }
    secrets.insert("integration".to_owned(), pagers::INTEGRATION_KEY.to_owned());
    for name in ["token", "key", "secret", "password"] {
        secrets.insert(name.to_owned(), format!("not-a-real-{name}"));
    }
    let kinds: Vec<String> = kinds.into_iter().map(|(kind, list)| format!("  {kind}:\n{list}")).collect();
    (format!("targets:\n{}", kinds.concat()), secrets)
}

impl Making<'_> {
    async fn proxy(&self, wire: Wire, server: SocketAddr) -> Proxy {
        Proxy::start(wire, server, Arc::clone(&self.clock), self.holds, Arc::clone(&self.traffic)).await
    }

    /// A counterparty that speaks HTTP; `{url}` in the entry stands for the proxy before it.
    async fn edge<E: Edge>(
        &self,
        kind: &'static str,
        yaml: &str,
        edge: E,
        holds: impl Fn(&mut E) -> Vec<String> + Send + Sync + 'static,
    ) -> (Far, Arc<Server<E>>) {
        let server = Arc::new(Server::start(edge).await);
        let proxy = self.proxy(Wire::Http, server.address()).await;
        let (held, checked) = (Arc::clone(&server), Arc::clone(&server));
        let far = Far {
            kind,
            name: kind.to_owned(),
            yaml: yaml.replace("{url}", &format!("http://{}", proxy.address())),
            secret: None,
            line: Line::Wire(proxy),
            holds: Box::new(move || held.edge(&holds)),
            problems: Box::new(move || checked.problems()),
            meddle: None,
            halve: None,
            may_double: false,
        };
        (far, server)
    }

    /// One whose address is its credential.
    async fn hook<E: Edge>(
        &self,
        kind: &'static str,
        path: &str,
        edge: E,
        holds: impl Fn(&mut E) -> Vec<String> + Send + Sync + 'static,
    ) -> Far {
        let yaml = format!("url: {{ env: {kind} }}, kinds: [notify]");
        let (far, _) = self.edge(kind, &yaml, edge, holds).await;
        let address = far.proxy().expect("a wire").address();
        Far { secret: Some((kind.to_owned(), format!("http://{address}{path}"))), ..far }
    }

    pub async fn all(&self) -> Vec<Far> {
        let mut fars = self.walls().await;
        fars.extend(self.gateways().await);
        fars.extend(self.files());
        fars.extend(self.cases().await);
        fars.extend(self.messengers().await);
        fars
    }

    async fn walls(&self) -> Vec<Far> {
        let ours = |text: &str| if text.starts_with("gatewatch") { "ours" } else { "another's" };
        let yaml = format!(
            "url: '{{url}}/client/v4', account_id: {}, list_id: {}, token: {{ env: token }}",
            cloudflare::ACCOUNT,
            cloudflare::LIST
        );
        let mut edge = Cloudflare::new();
        (edge.looks, edge.in_background) = (0, true);
        let holds = move |edge: &mut Cloudflare| {
            edge.finish();
            edge.items.iter().map(|item| format!("{} {}", item.ip, ours(&item.comment))).collect()
        };
        let (far, server) = self.edge("cloudflare", &yaml, edge, holds).await;
        let (meddled, halved) = (Arc::clone(&server), server);
        let meddle = move || {
            meddled.edge(|edge| {
                edge.items.retain(|item| item.ip != ATTACKER);
                edge.put(STRANGER, "of A. Example");
            });
        };
        let halve = move |times: usize| halved.edge(|edge| edge.breaks = times);
        let cloudflare = Far { meddle: Some(Box::new(meddle)), halve: Some(Box::new(halve)), ..far };

        let yaml = format!(
            "url: '{{url}}', service_id: {}, acl_id: {}, token: {{ env: token }}",
            fastly::SERVICE,
            fastly::ACL
        );
        let holds = move |edge: &mut Fastly| {
            edge.entries.iter().map(|entry| format!("{} {}", entry.ip, ours(&entry.comment))).collect()
        };
        let (far, server) = self.edge("fastly", &yaml, Fastly::default(), holds).await;
        let (meddled, halved) = (Arc::clone(&server), server);
        let meddle = move || {
            meddled.edge(|edge| {
                edge.entries.retain(|entry| entry.ip != ATTACKER);
                edge.put(STRANGER, None, false, "of A. Example");
            });
        };
        let halve = move |times: usize| halved.edge(|edge| edge.breaks = times);
        let fastly = Far { meddle: Some(Box::new(meddle)), halve: Some(Box::new(halve)), ..far };

        let yaml = format!(
            "region: eu-central-1, url: '{{url}}', v4: {{ name: four, id: {} }}, access_key_id: {{ env: key }}, \
             secret_access_key: {{ env: secret }}",
            aws_waf::SET
        );
        let (far, server) = self.edge("aws_waf", &yaml, AwsWaf::default(), |edge| edge.addresses.clone()).await;
        let meddle = move || {
            server.edge(|edge| {
                edge.change(|addresses| {
                    addresses.retain(|address| *address != format!("{ATTACKER}/32"));
                    addresses.push(format!("{STRANGER}/32"));
                });
            });
        };
        let aws_waf = Far { meddle: Some(Box::new(meddle)), ..far };

        let yaml = "url: '{url}', machine_id: gatewatch, password: { env: password }";
        let edge = Lapi::new(Arc::clone(&self.clock));
        let (far, server) = self.edge("crowdsec", yaml, edge, |edge| edge.lines()).await;
        let meddle = move || {
            server.edge(|edge| {
                edge.remove(ATTACKER);
                edge.add(STRANGER);
            });
        };
        let crowdsec = Far { meddle: Some(Box::new(meddle)), ..far };

        let yaml = format!("url: '{{url}}', map: {}, user: gatewatch, password: {{ env: password }}", dataplane::MAP);
        let entry = move |(key, value): &(String, String)| format!("{key} {}", ours(value));
        let holds = move |edge: &mut Dataplane| {
            let kept = edge.on_disk.iter().filter(|entry| entry.1.starts_with("gatewatch")).map(entry);
            let kept = kept.map(|line| format!("on disk {line}"));
            edge.entries.iter().map(entry).chain(kept).collect()
        };
        let (far, server) = self.edge("haproxy", &yaml, Dataplane::default(), holds).await;
        let meddle = move || {
            server.edge(|edge| {
                edge.entries.retain(|(key, _)| key != ATTACKER);
                edge.entries.push((STRANGER.to_owned(), "office".to_owned()));
            });
        };
        let dataplane = Far { meddle: Some(Box::new(meddle)), ..far };
        vec![cloudflare, fastly, aws_waf, crowdsec, dataplane, self.admin_socket().await]
    }

    /// A real HAProxy's admin socket.
    async fn admin_socket(&self) -> Far {
        let haproxy = tokio::task::spawn_blocking(Haproxy::start).await.expect("HAProxy starts");
        let haproxy = Arc::new(haproxy);
        let map = haproxy.path("block.map");
        let proxy = self.proxy(Wire::Line, ([127, 0, 0, 1], haproxy.admin_port()).into()).await;
        let (shown, meddled) = (Arc::clone(&haproxy), haproxy);
        let show = format!("show map {}", map.display());
        let holds = move || {
            let line = |line: &str| {
                let mut words = line.split_ascii_whitespace().skip(1);
                let (key, value) = (words.next()?, words.next()?);
                Some(format!("{key} {}", if value.starts_with("gatewatch") { "ours" } else { "another's" }))
            };
            shown.typed(&show).lines().filter_map(line).collect()
        };
        let named = map.display().to_string();
        let meddle = move || {
            meddled.typed(&format!("del map {named} {ATTACKER}"));
            meddled.typed(&format!("add map {named} {STRANGER} office"));
        };
        Far {
            kind: "haproxy",
            name: "haproxy_socket".to_owned(),
            yaml: format!("socket: '{}', map: {}", proxy.address(), map.display()),
            secret: None,
            line: Line::Wire(proxy),
            holds: Box::new(holds),
            problems: Box::new(Vec::new),
            meddle: Some(Box::new(meddle)),
            halve: None,
            may_double: false,
        }
    }

    async fn gateways(&self) -> Vec<Far> {
        let edge =
            Kong { consumers: vec![("11111111-1111-4111-8111-111111111111", PRINCIPAL, None)], ..Kong::default() };
        let holds = |edge: &mut Kong| {
            edge.plugins.iter().map(|plugin| format!("{} {}", plugin["name"], plugin["consumer"]["id"])).collect()
        };
        let (far, server) = self.edge("kong", "url: '{url}', token: { env: token }", edge, holds).await;
        let meddle = move || {
            server.edge(|edge| edge.plugins.retain(|plugin| plugin["name"] != "request-termination"));
        };
        let kong = Far { meddle: Some(Box::new(meddle)), ..far };

        let yaml = "url: '{url}', realm: shop, client_id: gatewatch, client_secret: { env: secret }, disable: true";
        let holds = |edge: &mut Keycloak| {
            let user = |user: &Value| format!("{} enabled {}", user["username"], user["enabled"]);
            let sessions = format!("{} sessions", edge.sessions);
            edge.users.iter().map(user).chain([sessions]).collect()
        };
        let (keycloak, _) = self.edge("keycloak", yaml, Keycloak::new(), holds).await;
        vec![kong, keycloak]
    }

    fn files(&self) -> Vec<Far> {
        ["nginx", "modsecurity"].map(|kind| self.file(kind)).into()
    }

    /// A list in a file, with commands that do what they are told.
    fn file(&self, kind: &'static str) -> Far {
        let folder = self.folder.join(kind);
        std::fs::create_dir(&folder).expect("a folder");
        for (name, text) in [("list", ""), ("loaded", ""), ("calls", "0"), ("faulty", ""), ("mode", ""), ("run", RUN)] {
            std::fs::write(folder.join(name), text).expect("written");
        }
        let path = |name: &str| folder.join(name).display().to_string();
        let (run, list, loaded) = (path("run"), folder.join("list"), folder.join("loaded"));
        let holds = move || {
            let text = std::fs::read_to_string(&loaded).expect("what was loaded");
            let line = |line: &str| match line.strip_prefix("deny ") {
                Some(rest) => rest.split(';').next().map(str::to_owned),
                None => Some(line.to_owned()).filter(|line| !line.starts_with('#')),
            };
            text.lines().filter_map(line).collect()
        };
        let yaml = format!(
            "file: {}, test: [/bin/sh, {run}, test], reload: {{ command: [/bin/sh, {run}, reload] }}",
            list.display()
        );
        let meddle = move || {
            let text = std::fs::read_to_string(&list).expect("the list");
            let mut kept: Vec<&str> = Vec::new();
            for line in text.lines() {
                if !line.contains(ATTACKER) {
                    kept.push(line);
                }
            }
            std::fs::write(&list, kept.join("\n")).expect("changed");
        };
        Far {
            kind,
            name: kind.to_owned(),
            yaml,
            secret: None,
            line: Line::Commands(folder),
            holds: Box::new(holds),
            problems: Box::new(Vec::new),
            meddle: Some(Box::new(meddle)),
            halve: None,
            may_double: false,
        }
    }

    async fn cases(&self) -> Vec<Far> {
        let token = "url: '{url}', token: { env: token }";
        let none = |_: &Value| String::new();
        let (jira, _) = self
            .edge(
                "jira",
                "url: '{url}', token: { env: token }, edition: data_center, project: SEC",
                Jira::default(),
                move |edge| lines(&edge.issues, none),
            )
            .await;
        let observable = |part: &Value| format!("{} {}", part["dataType"], part["data"]);
        let holds = move |edge: &mut TheHive| lines(&edge.alerts, observable);
        let (thehive, _) = self.edge("thehive", token, TheHive::default(), holds).await;
        let holds = move |edge: &mut ServiceNow| lines(&edge.records, none);
        let (servicenow, _) = self.edge("servicenow", token, ServiceNow::default(), holds).await;
        let artifact = |part: &Value| part["source_data_identifier"].to_string();
        let holds = move |edge: &mut SplunkSoar| lines(&edge.containers, artifact);
        let (splunk_soar, _) = self.edge("splunk_soar", token, SplunkSoar::default(), holds).await;
        // Each change of its own raises the version: a detail that was written twice is no second effect.
        let holds = move |edge: &mut Xsoar| {
            let plain: Vec<Case> = edge.incidents.iter().map(|one| Case { version: 0, ..one.clone() }).collect();
            lines(&plain, none)
        };
        let yaml = "url: '{url}', key: { env: key }, key_id: 7";
        let (xsoar, _) = self.edge("xsoar", yaml, Xsoar::default(), holds).await;
        vec![jira, thehive, servicenow, splunk_soar, xsoar]
    }

    async fn messengers(&self) -> Vec<Far> {
        let clock = || Arc::clone(&self.clock);
        let edge = Alertmanager::new(clock());
        let holds = |edge: &mut Alertmanager| pagers::lines(&edge.pages);
        let (alertmanager, _) = self.edge("alertmanager", "url: '{url}'", edge, holds).await;
        let holds = |edge: &mut Pagerduty| pagers::lines(&edge.pages);
        let (pagerduty, _) = self
            .edge("pagerduty", "url: '{url}', routing_key: { env: integration }", Pagerduty::default(), holds)
            .await;
        let holds = |edge: &mut Opsgenie| pagers::lines(&edge.pages);
        let (opsgenie, _) =
            self.edge("opsgenie", "url: '{url}', api_key: { env: key }", Opsgenie::default(), holds).await;
        let yaml = format!("url: '{{url}}/api', token: {{ env: token }}, channel: {CHANNEL}");
        let (slack, _) = self.edge("slack", &yaml, Slack::new(clock()), |edge| edge.lines()).await;
        let teams = self.hook("teams", TEAMS_PATH, Teams::default(), |edge| edge.cards.clone()).await;
        let teams = Far { may_double: true, ..teams };
        let tines = self.hook("tines", TINES_PATH, Story::tines(), |edge| edge.lines()).await;
        let shuffle = self.hook("shuffle", SHUFFLE_PATH, Story::shuffle(), |edge| edge.lines()).await;
        let (webhook, email) = (self.webhook().await, self.email().await);
        vec![alertmanager, pagerduty, opsgenie, slack, teams, tines, shuffle, webhook, email]
    }

    async fn webhook(&self) -> Far {
        let receiver = Arc::new(Receiver::start(&[receiver::SECRET], Arc::clone(&self.clock)).await);
        let url = url::Url::parse(&receiver.url()).expect("an address");
        let server = url.socket_addrs(|| None).expect("loopback")[0];
        let proxy = self.proxy(Wire::Http, server).await;
        let (held, checked) = (Arc::clone(&receiver), receiver);
        let line = |effect: receiver::Effect| format!("{} {}", effect.id, effect.body["type"]);
        Far {
            kind: "webhook",
            name: "webhook".to_owned(),
            yaml: format!(
                "url: 'http://{}{}', secrets: [{{ env: webhook }}], kinds: [case]",
                proxy.address(),
                url.path()
            ),
            secret: None,
            line: Line::Wire(proxy),
            holds: Box::new(move || held.effects().into_iter().map(line).collect()),
            problems: Box::new(move || checked.violations()),
            meddle: None,
            halve: None,
            may_double: false,
        }
    }

    /// A mailbox keeps each mail once: it has a Message-ID.
    async fn email(&self) -> Far {
        let server = Arc::new(SmtpServer::start(false).await);
        let proxy = self.proxy(Wire::Smtp, ([127, 0, 0, 1], server.port).into()).await;
        let id = |mail: &Value| {
            let text = mail["text"].as_str().expect("a text");
            let header = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
            format!("{} {}", header("Message-ID: "), header("Subject: "))
        };
        let (held, checked) = (Arc::clone(&server), server);
        let holds = move || {
            let mut ids: Vec<String> = held.mails().iter().map(id).collect();
            ids.sort();
            ids.dedup();
            ids
        };
        let problems = move || {
            let mails = checked.mails();
            // What is done about the attacker is looked up at each attempt; that line may differ.
            let head =
                |mail: &Value| mail["text"].as_str().and_then(|text| text.split("\r\n\r\n").next().map(str::to_owned));
            let differ = |mail: &&Value| mails.iter().any(|other| id(other) == id(mail) && head(other) != head(mail));
            mails.iter().filter(differ).map(|mail| format!("two mails under one id: {mail}")).collect()
        };
        Far {
            kind: "email",
            name: "email".to_owned(),
            yaml: format!(
                "host: 127.0.0.1, port: {}, encryption: none, from: gatewatch@example.com, to: [soc@example.org]",
                proxy.address().port()
            ),
            secret: None,
            line: Line::Wire(proxy),
            holds: Box::new(holds),
            problems: Box::new(problems),
            meddle: None,
            halve: None,
            may_double: false,
        }
    }
}

/// Tests and reloads; the calls whose numbers stand in `faulty` go wrong as `mode` says.
const RUN: &str = r#"cd "${0%/*}" || exit 3
read -r n < calls
echo $((n + 1)) > calls.new && mv calls.new calls
mode=; read -r mode < mode
wrong=; [ -n "$mode" ] && grep -qx "$n" faulty && wrong=$mode
case $wrong in
  fail) echo "told to fail" >&2; exit 1 ;;
  hang) exec sleep 60 ;;
esac
[ "$1" = reload ] && cp list loaded.new && mv loaded.new loaded
[ "$wrong" = lost ] && { echo "told to fail" >&2; exit 1; }
exit 0
"#;
