//! A real CrowdSec local API, as a WAF's blocklist: own configuration, own database, one machine and one bouncer.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::process::{Running, free_port, program, run};

pub const MACHINE: &str = "gatewatch";
pub const PASSWORD: &str = "not-a-real-password-5f1c";
const BOUNCER_KEY: &str = "not-a-real-bouncer-key-77aa";

pub struct Crowdsec {
    folder: TempDir,
    port: u16,
    process: Running,
}

impl Crowdsec {
    /// Start and wait until it answers. Blocks for about a second.
    pub fn start() -> Crowdsec {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        configure(folder.path(), port);
        let cscli = |arguments: &[&str]| {
            let mut command = Command::new(program("cscli"));
            run(command.current_dir(folder.path()).args(["-c", "config.yaml"]).args(arguments))
        };
        cscli(&["machines", "add", MACHINE, "--password", PASSWORD, "-f", "local_api_credentials.yaml"]);
        cscli(&["bouncers", "add", "waf1", "-k", BOUNCER_KEY]);
        let process = launch(folder.path(), port);
        Crowdsec { folder, port, process }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Start again on the same port, with the same database.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(self.folder.path(), self.port);
    }

    /// The decisions on an address as a bouncer at the WAF reads them.
    pub async fn decisions(&self, address: &str) -> Vec<serde_json::Value> {
        super::install_crypto();
        let url = format!("{}/v1/decisions?ip={address}", self.url());
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client.get(url).header("X-Api-Key", BOUNCER_KEY).send().await.expect("LAPI answers");
        assert_eq!(answer.status(), 200);
        // An empty list is `null`.
        answer.json::<Option<Vec<serde_json::Value>>>().await.expect("a list").unwrap_or_default()
    }
}

fn launch(folder: &Path, port: u16) -> Running {
    let mut command = Command::new(program("crowdsec"));
    command.current_dir(folder).args(["-c", "config.yaml", "-no-cs"]);
    let mut process = Running::start("crowdsec", &mut command, &folder.join("crowdsec.log"));
    process.wait_for_http(port, "/health");
    process
}

fn configure(folder: &Path, port: u16) {
    let config = format!(
        "common: {{daemonize: false, log_media: stdout, log_level: info}}
config_paths: {{config_dir: ., data_dir: ./data, simulation_path: ./simulation.yaml, hub_dir: ./hub,
  index_path: ./hub/.index.json, notification_dir: ./notifications, plugin_dir: ./plugins}}
crowdsec_service: {{acquisition_path: ./acquis.yaml}}
db_config: {{type: sqlite, db_path: ./data/crowdsec.db, use_wal: true}}
api:
  client: {{credentials_path: ./local_api_credentials.yaml}}
  server: {{listen_uri: \"127.0.0.1:{port}\", profiles_path: ./profiles.yaml, trusted_ips: [127.0.0.1]}}
prometheus: {{enabled: false}}
"
    );
    // A profile is required; this one decides nothing, so that every decision seen is one that was asked for.
    let profiles = "name: none\nfilters: [\"false\"]\ndecisions: [{type: ban, duration: 4h}]\non_success: break\n";
    for name in ["data", "hub", "notifications", "plugins"] {
        std::fs::create_dir(folder.join(name)).expect("a folder");
    }
    for (name, text) in [
        ("config.yaml", config.as_str()),
        ("profiles.yaml", profiles),
        ("simulation.yaml", "simulation: false\n"),
        ("acquis.yaml", ""),
        ("local_api_credentials.yaml", ""),
    ] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
}
