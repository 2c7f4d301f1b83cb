//! HAProxy's admin socket: one command per connection, in one line; an empty answer says that it was done.
//!
//! Promises: an entry stands in the running list once, because the list is looked at before (an ACL takes the same entry
//! twice); answers are bounded.
//! Never: sends text from outside in a command; what is sent is an address, our mark and the configured name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;

use crate::respond::action::{Op, scrub};
use crate::respond::actions::ask::{settle, undone};
use crate::respond::actions::entries::{Entry, Mark, in_force};
use crate::respond::actions::list_file::{ENTRIES_MAX, ListFile, Listed};
use crate::respond::scope::Scope;
use crate::respond::target::{Delivery, InForce, Order, ReadBack, Target, Unread};

/// Orders of one call; each costs one command.
const ORDERS_MAX: usize = 200;
/// Bytes of an answer; a list that is longer cannot be read, and the action fails.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Acl,
    Map,
}

impl List {
    fn word(self) -> &'static str {
        match self {
            List::Acl => "acl",
            List::Map => "map",
        }
    }
}

#[derive(Clone, Debug)]
pub enum Way {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

pub struct Socket {
    pub way: Way,
    pub list: List,
    pub name: String,
    pub file: ListFile,
    pub writing: Mutex<()>,
}

/// What the running process has: of a map with the value.
type Running = BTreeMap<Scope, String>;

impl Target for Socket {
    fn concurrency_max(&self) -> Option<usize> {
        Some(1)
    }

    fn orders_max(&self) -> usize {
        ORDERS_MAX
    }

    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        async move { self.carry_out_orders(&[order]).await.pop().unwrap_or_else(|| Delivery::retry("no outcome")) }
            .boxed()
    }

    fn carry_out_all<'a>(&'a self, orders: &'a [Order<'a>]) -> BoxFuture<'a, Vec<Delivery>> {
        self.carry_out_orders(orders).boxed()
    }

    fn read_back(&self, now_us: i64) -> BoxFuture<'_, ReadBack> {
        let _ = now_us;
        async move { self.in_force().await.map(Some).map_err(Unread::from) }.boxed()
    }
}

impl Socket {
    async fn carry_out_orders(&self, orders: &[Order<'_>]) -> Vec<Delivery> {
        let _writing = self.writing.lock().await;
        let read = async { Ok::<_, Delivery>((self.file.read().await?, self.running().await?)) };
        let (mut listed, running) = match read.await {
            Ok(read) => read,
            Err(failure) => return vec![failure; orders.len()],
        };
        let outcomes = listed.take(orders);
        settle(outcomes, self.put_in_force(&listed, running, orders).await)
    }

    /// The file first: what the process is told and the file does not have is lost at the next reload.
    async fn put_in_force(&self, listed: &Listed, running: Running, orders: &[Order<'_>]) -> Result<(), Delivery> {
        let entries = &listed.entries;
        if entries.len() > ENTRIES_MAX {
            return Err(Delivery::failed(format!("{} is full: {ENTRIES_MAX} entries", self.name)));
        }
        let changes = entries.changes();
        if !changes.is_empty() {
            self.file.write(listed).await?;
        }
        // Beside what left the file now: what an earlier attempt took out of it and did not come to tell the process.
        let repeated = orders.iter().filter(|order| order.action.op == Op::Revert && order.attempt.number > 1);
        let gone = repeated.filter_map(|order| {
            let scope = Scope::of(order.action)?;
            let held = self.list == List::Acl || running.get(&scope).is_some_and(|value| holds(value, undone(order)));
            (held && entries.get(&scope).is_none()).then_some(scope)
        });
        let removed = changes.removed.iter().map(|(scope, _)| *scope).chain(gone);
        for scope in removed.collect::<std::collections::BTreeSet<_>>() {
            if running.contains_key(&scope) {
                self.change(&format!("del {} {} {scope}", self.list.word(), self.name)).await?;
            }
        }
        for scope in orders.iter().filter_map(|order| Scope::of(order.action)) {
            if let Some(Entry::Ours { mark, .. }) = entries.get(&scope) {
                self.add(scope, mark, running.get(&scope)).await?;
            }
        }
        Ok(())
    }

    async fn add(&self, scope: Scope, mark: &Mark, running: Option<&String>) -> Result<(), Delivery> {
        let name = &self.name;
        let command = match (self.list, running) {
            (List::Acl, None) => format!("add acl {name} {scope}"),
            (List::Map, None) => format!("add map {name} {scope} {}", mark.compact()),
            (List::Map, Some(value)) if *value != mark.compact() => {
                format!("set map {name} {scope} {}", mark.compact())
            }
            _ => return Ok(()),
        };
        self.change(&command).await
    }

    async fn in_force(&self) -> Result<Vec<InForce>, Delivery> {
        let (running, entries) = (self.running().await?, self.file.read().await?.entries);
        let tell = |(scope, value): (Scope, String)| match self.list {
            List::Map => Mark::parse_compact(&value).map(|mark| in_force(scope, Some(&mark))),
            // An ACL has no room for a mark; the file has it, where it has the entry.
            List::Acl => Some(match entries.get(&scope) {
                Some(Entry::Ours { mark, .. }) => in_force(scope, Some(mark)),
                _ => in_force(scope, None),
            }),
        };
        Ok(running.into_iter().filter_map(tell).collect())
    }

    /// Lines of `show`: an address in memory, the entry, and of a map the value.
    async fn running(&self) -> Result<Running, Delivery> {
        let answer = self.ask(&format!("show {} {}", self.list.word(), self.name)).await?;
        let mut running = Running::new();
        for line in answer.lines().filter(|line| !line.trim().is_empty()) {
            let mut words = line.split_ascii_whitespace();
            let (Some(_), Some(entry)) = (words.next().filter(|first| first.starts_with("0x")), words.next()) else {
                return Err(self.refusal("show", line));
            };
            if let Some(scope) = Scope::parse(entry) {
                running.insert(scope, words.collect::<Vec<_>>().join(" "));
            }
        }
        Ok(running)
    }

    async fn change(&self, command: &str) -> Result<(), Delivery> {
        let answer = self.ask(command).await?;
        let verb = command.split(' ').next().unwrap_or_default();
        match answer.trim() {
            "" => Ok(()),
            // Gone between looking and deleting.
            said if verb == "del" && said.to_ascii_lowercase().contains("not found") => Ok(()),
            said => Err(self.refusal(verb, said)),
        }
    }

    /// An answer in words is a mistake in the configuration, or a right that the socket does not have.
    fn refusal(&self, verb: &str, said: &str) -> Delivery {
        let reason = format!("HAProxy refused to {verb} {} {}", self.list.word(), self.name);
        Delivery::Failed { reason, answer: scrub(said) }
    }

    async fn ask(&self, command: &str) -> Result<String, Delivery> {
        let answer = match &self.way {
            Way::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => exchange(stream, command).await,
                Err(error) => Err(error),
            },
            Way::Tcp(address) => match TcpStream::connect(address).await {
                Ok(stream) => exchange(stream, command).await,
                Err(error) => Err(error),
            },
        };
        answer.map_err(|error| Delivery::retry(format!("HAProxy's socket: {error}")))
    }
}

fn holds(value: &str, action_id: &str) -> bool {
    Mark::parse_compact(value).is_some_and(|mark| mark.action_id == action_id)
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, command: &str) -> std::io::Result<String> {
    stream.write_all(format!("{command}\n").as_bytes()).await?;
    let mut answer = String::new();
    let read = stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
    if read as u64 == ANSWER_BYTES_MAX {
        return Err(std::io::Error::other(format!("an answer of more than {ANSWER_BYTES_MAX} bytes")));
    }
    Ok(answer)
}
