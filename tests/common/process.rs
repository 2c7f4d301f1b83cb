//! Programs that a test starts: found or explained, waited for without sleeping longer than needed, killed when dropped.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to answer for the first time.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The path of a program, or a panic that says how to install it.
#[allow(clippy::disallowed_methods, reason = "looks along PATH")]
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("`{name}` is not installed: run scripts/setup-test-deps.sh as root"))
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    listener.local_addr().expect("an address").port()
}

/// Run to its end; its standard output, or a panic with what it said.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A running program. Its output goes to a file, which a failure shows.
pub struct Running {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Running {
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Running {
        let out = std::fs::File::create(log).expect("a log file");
        let err = out.try_clone().expect("a second handle");
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running { child, name: name.to_owned(), log: log.to_owned() }
    }

    /// Wait until `path` is answered with 200 at this port.
    #[allow(clippy::disallowed_methods, reason = "a deadline for another program's start")]
    pub fn wait_for_http(&mut self, port: u16, path: &str) {
        let deadline = Instant::now() + READY_WITHIN;
        while http_status(port, path) != Some(200) {
            let log = || std::fs::read_to_string(&self.log).unwrap_or_default();
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                panic!("{} ended with {status}:\n{}", self.name, log());
            }
            assert!(Instant::now() < deadline, "{} does not answer on port {port}:\n{}", self.name, log());
            // The only way to wait for a program that says nothing when it is ready.
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("an id");
        kill_process(pid, signal).expect("it is there");
    }

    /// Ask it to end, and wait until it did.
    pub fn terminate(&mut self) {
        let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
        if !ended {
            self.signal(Signal::Term);
            // Fails only where it is gone already.
            let _ = self.child.wait();
        }
    }

    pub fn kill(&mut self) {
        // Both fail only where it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The status of a plain GET; `None` where nobody answers.
fn http_status(port: u16, path: &str) -> Option<u16> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}
