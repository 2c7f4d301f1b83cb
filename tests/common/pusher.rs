//! Senders that push records: a plain HTTP client and a plain syslog client, which know whether they were answered.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// An answer: its status, and all of it as text.
pub struct Answer {
    pub status: u16,
    pub text: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next()?;
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

pub fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}

/// A POST, and the whole answer; an error when the connection ended before it.
pub fn post(port: u16, path: &str, headers: &str, body: &[u8]) -> io::Result<Answer> {
    let mut stream = connect(port)?;
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let is_whole = text.contains("\r\n\r\n");
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).filter(|_| is_whole);
    status.map(|status| Answer { status, text }).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Sends syslog over TCP, ends its side, and waits for the other end: success is the answer that all is on disk.
pub fn syslog(port: u16, bytes: &[u8]) -> io::Result<()> {
    let mut stream = connect(port)?;
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)?;
    match stream.read(&mut [0; 1])? {
        0 => Ok(()),
        _ => Err(io::Error::other("syslog says nothing")),
    }
}
