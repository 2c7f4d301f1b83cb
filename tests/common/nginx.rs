//! A real nginx as an API gateway: it answers on a few locations and writes the JSON access log that source kind
//! `nginx_json` reads.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::{Running, free_port, program};

pub struct Nginx {
    folder: TempDir,
    port: u16,
    process: Running,
}

impl Nginx {
    pub fn start() -> Nginx {
        Nginx::logging_to("access.log json")
    }

    /// With another `access_log` than a file, which `access_log` then is not.
    pub fn logging_to(access_log: &str) -> Nginx {
        Nginx::with(access_log, "master_process off;", &[], "")
    }

    /// With a wall, and with a master, because one process alone does not take a new configuration: clients are told apart by X-Forwarded-For, these files are there first, and `/wall/` is served from the
    /// disk, because what is answered by `return` is answered before anybody is denied. `{folder}` stands for the folder.
    pub fn walled(head: &str, files: &[(&str, &str)], server: &str) -> Nginx {
        let realip = "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; location /wall/ { root .; }";
        let head = format!("{head} user root; worker_processes 1;");
        Nginx::with("off", &head, files, &format!("{realip} {server}"))
    }

    /// With a log, a list of denied clients that is empty at first (`deny.conf`), clients told apart by X-Forwarded-For, and
    /// `/private/`, which asks for a password that nobody has.
    pub fn gate() -> Nginx {
        let head = "user root; worker_processes 1;";
        let files = [("deny.conf", ""), ("users", "nobody:*\n")];
        let server = "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; include {folder}/deny.conf; \
                      location /private/ { auth_basic gate; auth_basic_user_file {folder}/users; root .; }";
        Nginx::with("access.log json", head, &files, server)
    }

    fn with(access_log: &str, head: &str, files: &[(&str, &str)], server: &str) -> Nginx {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let here = folder.path().display().to_string();
        let (head, server) = (head.replace("{folder}", &here), server.replace("{folder}", &here));
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text.replace("{folder}", &here)).expect("a file");
        }
        let text = configuration(port, access_log, &head, &server);
        std::fs::write(folder.path().join("nginx.conf"), text).expect("a file");
        let process = launch(folder.path(), port);
        Nginx { folder, port, process }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `nginx` for this folder with these arguments, as a command in YAML.
    pub fn command(&self, arguments: &str) -> String {
        let (nginx, folder) = (program("nginx"), self.folder.path());
        format!("[{}, -p, {}, -c, nginx.conf, -e, error.log, {arguments}]", nginx.display(), folder.display())
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The log, which is not buffered. nginx writes a line just after the client has its answer: see `settle`.
    pub fn access_log(&self) -> PathBuf {
        self.folder.path().join("access.log")
    }

    /// Return when every request answered before has its line. One process deals with one thing after the other, so the
    /// answer to a later request is the proof.
    pub fn settle(&mut self) {
        self.process.wait_for_http(self.port, "/health");
    }

    /// How many workers there are: more than one as long as those from before a reload still answer.
    pub fn workers(&self) -> usize {
        let master = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children"));
        children.expect("nginx runs").split_whitespace().count()
    }

    pub fn stop(&mut self) {
        self.process.kill();
    }
}

impl Drop for Nginx {
    /// A master that is killed leaves its workers behind.
    fn drop(&mut self) {
        self.process.terminate();
    }
}

fn launch(folder: &Path, port: u16) -> Running {
    let mut command = Command::new(program("nginx"));
    command.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "error.log"]);
    let mut process = Running::start("nginx", &mut command, &folder.join("nginx.out"));
    process.wait_for_http(port, "/health");
    process
}

/// Without a wall one process only, so that killing it leaves nothing behind. The health check is not logged. The path says what is
/// answered, in the manner of an API: /v1/... is 200, /login is 401, /admin is 403, anything else is 404.
fn configuration(port: u16, access_log: &str, head: &str, server: &str) -> String {
    format!(
        r#"{head}
daemon off;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 256; }}
http {{
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  log_format json escape=json '{{"time_iso8601":"$time_iso8601","msec":$msec,"request_id":"$request_id",'
    '"remote_addr":"$remote_addr","remote_user":"$remote_user","host":"$host","scheme":"$scheme",'
    '"server_protocol":"$server_protocol","request_method":"$request_method","request_uri":"$request_uri",'
    '"status":$status,"request_length":$request_length,"body_bytes_sent":$body_bytes_sent,"bytes_sent":$bytes_sent,'
    '"request_time":$request_time,"upstream_response_time":"$upstream_response_time",'
    '"http_user_agent":"$http_user_agent","http_referer":"$http_referer",'
    '"http_x_forwarded_for":"$http_x_forwarded_for","http_authorization":"$http_authorization"}}';
  access_log {access_log};
  keepalive_requests 100000;
  server {{
    listen 127.0.0.1:{port};
    default_type application/json;
    location = /health {{ access_log off; return 200 '{{"ok":true}}'; }}
    location /v1/ {{ return 200 '{{"items":[]}}'; }}
    location /login {{ return 401 '{{"error":"unauthorized"}}'; }}
    location /admin {{ return 403 '{{"error":"forbidden"}}'; }}
    {server}
    location / {{ return 404 '{{"error":"not found"}}'; }}
  }}
}}
"#
    )
}
