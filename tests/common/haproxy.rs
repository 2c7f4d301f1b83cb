//! A real HAProxy that refuses by an ACL file and by a map, with its admin socket open on loopback and as a Unix socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::{Running, free_port, program};

pub struct Haproxy {
    folder: TempDir,
    port: u16,
    admin_port: u16,
    process: Running,
}

impl Haproxy {
    pub fn start() -> Haproxy {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, admin_port) = (free_port(), free_port());
        for list in ["block.acl", "block.map"] {
            std::fs::write(folder.path().join(list), "").expect("a file");
        }
        std::fs::write(folder.path().join("haproxy.cfg"), configuration(folder.path(), port, admin_port))
            .expect("a file");
        let process = launch(folder.path(), port);
        Haproxy { folder, port, admin_port, process }
    }

    /// What a reload comes to for its lists: a process that has nothing but the files.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(self.folder.path(), self.port);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn admin_port(&self) -> u16 {
        self.admin_port
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What somebody types at the admin socket.
    pub fn typed(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(self.path("admin.sock")).expect("the admin socket");
        writeln!(stream, "{command}").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    }
}

fn launch(folder: &Path, port: u16) -> Running {
    let mut command = Command::new(program("haproxy"));
    command.current_dir(folder).args(["-db", "-f", "haproxy.cfg"]);
    let mut process = Running::start("haproxy", &mut command, &folder.join("haproxy.out"));
    process.wait_for_http(port, "/health");
    process
}

fn configuration(folder: &Path, port: u16, admin_port: u16) -> String {
    let folder = folder.display();
    format!(
        "global
  stats socket unix@{folder}/admin.sock level admin
  stats socket ipv4@127.0.0.1:{admin_port} level admin
defaults
  mode http
  timeout client 10s
  timeout connect 10s
  timeout server 10s
frontend api
  bind 127.0.0.1:{port}
  monitor-uri /health
  acl listed req.hdr_ip(x-forwarded-for,-1) -f {folder}/block.acl
  acl mapped req.hdr_ip(x-forwarded-for,-1),map_ip({folder}/block.map) -m found
  http-request deny deny_status 403 if listed or mapped
  http-request return status 200 content-type text/plain string ok
"
    )
}
