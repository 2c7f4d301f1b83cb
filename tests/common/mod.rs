//! What the tests share: real counterparties on loopback, started with their own configuration and stopped when dropped.
//!
//! Promises: free ports, temporary folders; a missing program fails the test with the command that installs it.
//! Never: skips a test, uses a packaged service or touches one that runs.

// Each test program uses its own part of this.
#![allow(dead_code)]

pub mod alertmanager;
pub mod alerts;
pub mod crowdsec;
pub mod edges;
pub mod far;
pub mod faults;
pub mod gateway;
pub mod hands;
pub mod haproxy;
pub mod http;
pub mod kafka;
pub mod keycloak;
pub mod moto;
pub mod nginx;
pub mod orders;
pub mod process;
pub mod program;
pub mod prometheus;
pub mod proxy;
pub mod pusher;
pub mod python;
pub mod receiver;
pub mod s3;
pub mod service;
pub mod smtp;
pub mod targets;
pub mod wall;

use std::sync::{Arc, Once};

/// Paths that somebody asks for who looks for holes; none of them is there.
pub const HOLES: [&str; 16] = [
    "wp-login.php",
    "old-admin",
    "backup.zip",
    ".env",
    ".git/config",
    "phpmyadmin",
    "server-status",
    "actuator/env",
    "config.json",
    "admin.php",
    "shell.php",
    "test.cgi",
    "console",
    "manager/html",
    "dump.sql",
    "id_rsa",
];

/// Micros of the real clock: the counterparties have no other.
pub fn wall_clock() -> Arc<dyn Fn() -> i64 + Send + Sync> {
    Arc::new(wall_us)
}

#[allow(clippy::disallowed_methods, reason = "real programs on the other side live in real time")]
pub fn wall_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_micros()).expect("before the year 292,000")
}

/// The TLS library's choice of cryptography, once per process.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that somebody was first, with the same choice.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}
