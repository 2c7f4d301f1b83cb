//! A TCP relay in front of a real server that can lose an answer after the server has done its work.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub struct Relay {
    address: SocketAddr,
    losses: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Relay to `server`. The answers to requests that start with `request` can be lost.
    pub async fn start(server: SocketAddr, request: &'static str) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let losses = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&losses);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let left = Arc::clone(&left);
                // A connection that breaks is what this is for.
                tokio::spawn(async move { relay(client, server, request, &left).await });
            }
        });
        Relay { address, losses, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lose the answers to the next `count` matching requests.
    pub fn lose(&self, count: usize) {
        self.losses.store(count, Ordering::SeqCst);
    }

    pub fn losses_left(&self) -> usize {
        self.losses.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(mut client: TcpStream, server: SocketAddr, request: &str, losses: &AtomicUsize) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(server).await?;
    let (mut sent, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        // A client sends its next request only after the answer to the last, so one side speaks at a time.
        tokio::select! {
            read = client.read(&mut sent) => {
                let sent = &sent[..read?];
                if sent.is_empty() {
                    return Ok(());
                }
                upstream.write_all(sent).await?;
                if sent.starts_with(request.as_bytes()) && losses.load(Ordering::SeqCst) > 0 {
                    // The first byte of the answer proves that the work is done.
                    upstream.readable().await?;
                    losses.fetch_sub(1, Ordering::SeqCst);
                    return client.set_zero_linger();
                }
            }
            read = upstream.read(&mut answered) => {
                let answered = &answered[..read?];
                if answered.is_empty() {
                    return Ok(());
                }
                client.write_all(answered).await?;
            }
        }
    }
}
