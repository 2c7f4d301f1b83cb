//! A plain HTTP client for the service's own routes, and a receiver that keeps what it is sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// One request over one connection.
pub fn request(address: SocketAddr, method: &str, path: &str) -> Answer {
    send(address, method, path, &[], b"")
}

/// With these headers and a body.
pub fn send(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    if !body.is_empty() || method == "POST" {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).expect("sent");
    // A body that is refused may be cut off; the answer is what counts.
    let _cut_off = stream.write_all(body).is_err();
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).expect("text");
    assert!(read.is_ok() || text.contains("\r\n\r\n"), "{method} {path}: {read:?}");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    // Answers here are whole or in chunks; of chunks only the first line of each is not content.
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        unchunked(body)
    } else {
        body.to_owned()
    };
    Answer { status, head: head.to_owned(), body }
}

fn unchunked(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
        body.push_str(&rest[..size]);
        text = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    body
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path)
}

/// Asks until the answer is as wanted; panics with the last one after half a minute.
pub fn until(address: SocketAddr, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    until_answer(|| get(address, path), wanted)
}

/// Asks until `counted` has stayed the same from one of the `attempts` to the next: what was under way is counted by then.
pub fn until_settled(
    address: SocketAddr,
    path: &str,
    attempts: impl Fn(&serde_json::Value) -> Option<u64>,
    counted: impl Fn(&serde_json::Value) -> Option<u64>,
) -> serde_json::Value {
    let mut last = get(address, path).json();
    loop {
        let next = until(address, path, |answer| attempts(&answer.json()) > attempts(&last)).json();
        if counted(&next) == counted(&last) {
            return next;
        }
        last = next;
    }
}

/// `until` for any question.
#[allow(clippy::disallowed_methods, reason = "a deadline for another program")]
pub fn until_answer(ask: impl Fn() -> Answer, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let answer = ask();
        if wanted(&answer) {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "it stays {}: {}", answer.status, answer.body);
        // The only way to wait for what another program will answer.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Takes what is posted to it, answers 200, and hands over path and body of each request.
pub fn collector() -> (SocketAddr, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = listener.local_addr().expect("an address");
    let (sender, received) = sync_channel(1_000);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || take_all(stream, |request| sender.send(request).is_ok()));
        }
    });
    (address, received)
}

fn take_all(mut stream: TcpStream, mut hand_over: impl FnMut((String, Vec<u8>)) -> bool) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        let head_end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = head_end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let whole = end + 4 + length.unwrap_or(0);
            if bytes.len() >= whole {
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let body = bytes[end + 4..whole].to_vec();
                bytes.drain(..whole);
                let gone = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err();
                if gone || !hand_over((path, body)) {
                    return;
                }
                continue;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}
