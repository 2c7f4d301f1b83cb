//! A real Prometheus with our alert rules, and what the tests read of those and of the dashboard.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::{Running, free_port, program};
use super::wall_us;

pub const RULES: &str = "packaging/prometheus/gatewatch.rules.yml";
const DASHBOARD: &str = "packaging/grafana/gatewatch.json";

/// A file of the repository.
pub fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The expressions of the rules, as one text a rule: its name, and what stands below `expr`.
pub fn rules() -> Vec<(String, String)> {
    let text = text(RULES);
    let rules = text.split("- alert: ").skip(1).map(|rule| {
        let (name, rest) = rule.split_once('\n').expect("a rule has more than a name");
        let expr = rest.split_once("expr:").expect("an expression").1;
        let end = expr.find("labels: {").expect("labels follow");
        (name.to_owned(), expr[..end].to_owned())
    });
    rules.collect()
}

pub fn dashboard() -> Value {
    serde_json::from_str(&text(DASHBOARD)).expect("the dashboard is JSON")
}

/// The queries of the dashboard, each with the title of its panel.
pub fn queries() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().expect("a title").to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let query = move |target: Value| (title.clone(), target["expr"].as_str().expect("a query").to_owned());
        targets.into_iter().map(query).collect::<Vec<_>>()
    };
    let restarts = dashboard["annotations"]["list"].as_array().expect("annotations").iter();
    let restarts = restarts.filter_map(|a| a["expr"].as_str()).map(|expr| ("Restarts".to_owned(), expr.to_owned()));
    panels.iter().flat_map(of_panel).chain(restarts).collect()
}

/// Grafana's variables as Grafana would fill them in.
pub fn filled_in(query: &str) -> String {
    query.replace("$__rate_interval", "10s").replace("$instance", ".*").replace("$source", ".*")
}

pub struct Prometheus {
    process: Running,
    port: u16,
    folder: PathBuf,
    every: &'static str,
    client: reqwest::Client,
}

impl Prometheus {
    /// With these rules, scraping and evaluating so often; it scrapes nothing yet.
    pub fn start(folder: &Path, rules: &str, every: &'static str) -> Prometheus {
        fs::write(folder.join("rules.yml"), rules).expect("written");
        configure(folder, every, "[]");
        let port = free_port();
        let mut command = Command::new(program("prometheus"));
        command.current_dir(folder).args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"]);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut process = Running::start("prometheus", &mut command, &folder.join("prometheus.out"));
        process.wait_for_http(port, "/-/ready");
        Prometheus { process, port, folder: folder.to_owned(), every, client: reqwest::Client::new() }
    }

    /// From now on it scrapes these services, each with the name of its instance, as a job of this name.
    pub fn scrape(&self, job: &str, services: &[(&str, u16)]) {
        let target =
            |(name, port): &(&str, u16)| format!("{{ targets: ['127.0.0.1:{port}'], labels: {{ instance: {name} }} }}");
        let targets: Vec<String> = services.iter().map(target).collect();
        let targets = targets.join(", ");
        configure(&self.folder, self.every, &format!("[{{ job_name: {job}, static_configs: [{targets}] }}]"));
        self.process.signal(rustix::process::Signal::Hup);
    }

    pub async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let address = format!("http://127.0.0.1:{}{path}", self.port);
        let url = url::Url::parse_with_params(&address, parameters).expect("an address");
        self.client.get(url).send().await.expect("Prometheus answers").json().await.expect("JSON")
    }

    /// The result of a query; a query that is none fails the test.
    pub async fn ask(&self, query: &str) -> Vec<Value> {
        let answer = self.get("/api/v1/query", &[("query", query)]).await;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until the query has a result.
    pub async fn wait_for(&self, query: &str, seconds: i64) -> Vec<Value> {
        let deadline = wall_us() + seconds * 1_000_000;
        loop {
            let result = self.ask(query).await;
            if !result.is_empty() {
                return result;
            }
            assert!(wall_us() < deadline, "after {seconds} s {query} has no result");
            // Scrapes and evaluations come at their own pace.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn configure(folder: &Path, every: &str, jobs: &str) {
    let configuration = format!(
        "global: {{ scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: {every} }}\n\
         rule_files: [rules.yml]\nscrape_configs: {jobs}\n"
    );
    fs::write(folder.join("prometheus.yml"), configuration).expect("written");
}
