//! `gatewatch run` as a child process: started on a configuration, watched through its log, stopped or killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::program;

pub struct Service {
    child: Child,
    log: Receiver<String>,
    /// What it said so far.
    pub said: Vec<String>,
}

impl Service {
    pub fn start(config: &Path) -> Service {
        Service::start_with(config, &[])
    }

    /// With more environment variables.
    pub fn start_with(config: &Path, environment: &[(&str, &str)]) -> Service {
        Service::start_in(Path::new("."), config, environment)
    }

    /// From a folder, so that the configuration may be named from there.
    pub fn start_in(folder: &Path, config: &Path, environment: &[(&str, &str)]) -> Service {
        let mut child = program::gatewatch()
            .current_dir(folder)
            .args(["run", "--config", program::path(config)])
            .env("GATEWATCH_LOG", "warn,gatewatch=debug")
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = child.stderr.take().expect("standard error is piped");
        let (sender, log) = sync_channel(100_000);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Service { child, log, said: Vec::new() }
    }

    /// Waits until a line of the log contains `words`; panics with the log after `seconds`, or when the program ends.
    pub fn wait_for(&mut self, words: &str, seconds: u64) {
        loop {
            match self.log.recv_timeout(Duration::from_secs(seconds)) {
                Ok(line) => {
                    let found = line.contains(words);
                    self.said.push(line);
                    if found {
                        return;
                    }
                }
                Err(_) => panic!("the service never said {words:?}; it said:\n{}", self.said.join("\n")),
            }
        }
    }

    /// Waits until a line of the log contains all these words, unless one did already; the line.
    #[allow(clippy::disallowed_methods, reason = "a deadline for another program")]
    pub fn line_with(&mut self, words: &[&str], seconds: u64) -> String {
        let has_all = |line: &String| words.iter().all(|word| line.contains(word));
        if let Some(line) = self.said.iter().find(|line| has_all(line)) {
            return line.clone();
        }
        let deadline = std::time::Instant::now() + Duration::from_secs(seconds);
        loop {
            match self.log.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now())) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if has_all(&line) {
                        return line;
                    }
                }
                Err(_) => panic!("the service never said {words:?}; it said:\n{}", self.said.join("\n")),
            }
        }
    }

    /// Where it answers over HTTP.
    pub fn address(&mut self) -> SocketAddr {
        let line = self.line_with(&["metrics and status: http://"], 60);
        let address = line.rsplit_once("http://").map(|(_, address)| address.trim()).expect("an address");
        address.parse().expect("an address")
    }

    /// Asks it to stop (SIGTERM), without waiting for it.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    pub fn signal(&self, name: &str) {
        let sent =
            std::process::Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// From now on it may have so many files and connections open.
    pub fn limit_open_files(&self, most: u64) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32);
        let limit = rustix::process::Rlimit { current: Some(most), maximum: Some(most) };
        rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit).expect("the limit is set");
    }

    /// Lets it run for so long and kills it with SIGKILL; what it said meanwhile is kept. The length of the run is the
    /// point of the test, not a wait for something to happen.
    #[allow(clippy::disallowed_methods, reason = "the length is measured in real time")]
    pub fn kill_after(mut self, length: Duration) -> Vec<String> {
        let deadline = std::time::Instant::now() + length;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            match self.log.recv_timeout(left) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the service ended by itself; it said:\n{}", self.said.join("\n"))
                }
            }
        }
        self.child.kill().expect("it runs, so it can be killed");
        self.child.wait().expect("it ends");
        std::mem::take(&mut self.said)
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it runs, so it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop (SIGTERM) and waits for a good end.
    pub fn stop(self) -> Vec<String> {
        self.terminate();
        self.ended()
    }

    /// Waits for a good end.
    pub fn ended(mut self) -> Vec<String> {
        let status = self.child.wait().expect("it ends");
        self.said.extend(self.log.iter());
        assert!(status.success(), "it stopped with {status}; it said:\n{}", self.said.join("\n"));
        std::mem::take(&mut self.said)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Already ended is what we want.
        let _ended = self.child.kill().is_err();
        let _ended = self.child.wait().is_err();
    }
}
