//! A real Alertmanager on loopback, with a receiver of what it tells.
//!
//! Promises: a free port and a folder of its own; ended when dropped.
//! Never: groups for long; what is told comes within moments.

use std::process::Command;
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use tokio::sync::mpsc;

use super::process::{Running, free_port, program};

pub struct Alertmanager {
    pub port: u16,
    client: reqwest::Client,
    /// What its receiver is told.
    pub told: mpsc::Receiver<Value>,
    _folder: tempfile::TempDir,
    _process: Running,
}

async fn keep(State(told): State<mpsc::Sender<Value>>, Json(body): Json<Value>) {
    told.send(body).await.expect("the test waits");
}

impl Alertmanager {
    pub async fn start() -> Alertmanager {
        super::install_crypto();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let (sender, told) = mpsc::channel(64);
        let router = Router::new().route("/", post(keep)).with_state(sender);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let port = free_port();
        let configuration = format!(
            "route: {{ receiver: here, group_by: [alertname, incident], group_wait: 10ms, group_interval: 200ms }}\n\
             receivers: [{{ name: here, webhook_configs: [{{ url: 'http://{address}/' }}] }}]\n"
        );
        std::fs::write(folder.path().join("am.yml"), configuration).expect("written");
        let mut command = Command::new(program("prometheus-alertmanager"));
        command.current_dir(folder.path()).args(["--config.file=am.yml", "--storage.path=am"]);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--cluster.listen-address=");
        let mut process = Running::start("alertmanager", &mut command, &folder.path().join("am.out"));
        process.wait_for_http(port, "/-/ready");
        Alertmanager { port, client: reqwest::Client::new(), told, _folder: folder, _process: process }
    }

    /// The alerts of this incident that are not over.
    pub async fn alerts(&self, incident: &str) -> Vec<Value> {
        let address = format!("http://127.0.0.1:{}/api/v2/alerts", self.port);
        let filter = format!("incident=\"{incident}\"");
        let url = url::Url::parse_with_params(&address, [("filter", filter)]).expect("an address");
        self.client.get(url).send().await.expect("it answers").json().await.expect("a list")
    }

    /// What the receiver is told next: status, and the alerts' incidents.
    pub async fn next(&mut self) -> (String, String) {
        let next = tokio::time::timeout(Duration::from_secs(30), self.told.recv()).await;
        let body = next.expect("Alertmanager tells within half a minute").expect("the receiver runs");
        assert_eq!(body["alerts"].as_array().map(Vec::len), Some(1), "{body}");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        (text(&body["status"]), text(&body["alerts"][0]["labels"]["incident"]))
    }
}
