//! A mail server on loopback, written in Python: with STARTTLS and a login, or without either.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::{Running, free_port};
use super::python::python_program;
use super::wall_us;

/// What the server takes for a login; visibly not a real one.
pub const USER: &str = "gatewatch";
pub const PASSWORD: &str = "not-a-real-password";

pub struct SmtpServer {
    pub port: u16,
    /// The certificate in PEM, where it has one.
    pub certificate: String,
    folder: tempfile::TempDir,
    _process: Running,
}

impl SmtpServer {
    pub async fn start(with_tls: bool) -> SmtpServer {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/smtp_server.py");
        let mails = folder.path().join("mails");
        std::fs::create_dir(&mails).expect("a folder");
        let mut command = Command::new(python_program("python"));
        command.arg(script).arg(port.to_string()).arg(&mails);
        let mut certificate = String::new();
        if with_tls {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
            certificate = made.cert.pem();
            let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
            std::fs::write(&cert, &certificate).expect("written");
            std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
            command.args([cert, key]);
        }
        let log = folder.path().join("smtp.out");
        let process = Running::start("the mail server", &mut command, &log);
        let server = SmtpServer { port, certificate, folder, _process: process };
        server.wait(&log).await;
        server
    }

    async fn wait(&self, log: &Path) {
        let deadline = wall_us() + 30_000_000;
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            let said = || std::fs::read_to_string(log).unwrap_or_default();
            assert!(wall_us() < deadline, "the mail server does not answer on port {}:\n{}", self.port, said());
            // The only way to wait for a program that says nothing when it is ready.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it took in, in order.
    pub fn mails(&self) -> Vec<Value> {
        let entries = std::fs::read_dir(self.folder.path().join("mails")).expect("the folder is there");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
        paths.sort();
        let read = |path: &PathBuf| {
            serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("the server writes JSON")
        };
        paths.iter().map(read).collect()
    }
}
