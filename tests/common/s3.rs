//! A server of the S3 API (moto) with one bucket, in memory.

use std::path::Path;
use std::process::Command;

use super::process::{Running, free_port};
use super::python::python_program;

pub const BUCKET: &str = "gatewatch-test";

pub struct Bucket {
    port: u16,
    server: Running,
}

impl Bucket {
    /// Starts the server; its log goes below `folder`.
    pub async fn start(folder: &Path) -> Bucket {
        super::install_crypto();
        let port = free_port();
        let mut command = Command::new(python_program("moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut server = Running::start("moto_server", &mut command, &folder.join("moto.log"));
        server.wait_for_http(port, "/moto-api/");
        let bucket = Bucket { port, server };
        let made =
            reqwest::Client::new().put(format!("{}/{BUCKET}", bucket.endpoint())).send().await.expect("an answer");
        assert!(made.status().is_success(), "creating the bucket: {}", made.status());
        bucket
    }

    /// From now on it takes connections and answers nothing.
    pub fn hang(&self) {
        self.server.signal(rustix::process::Signal::Stop);
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The storage options that lead here; the credentials are invented.
    pub fn options(&self) -> Vec<(&'static str, String)> {
        vec![
            ("aws_endpoint", self.endpoint()),
            ("aws_region", "us-east-1".to_owned()),
            ("aws_access_key_id", "not-a-real-key".to_owned()),
            ("aws_secret_access_key", "not-a-real-secret".to_owned()),
            ("aws_allow_http", "true".to_owned()),
        ]
    }
}
