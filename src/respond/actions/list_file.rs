//! A block list in a file that another program reads when it is told to reload: how it is written, tested and reloaded.
//!
//! Promises: the file is replaced as a whole (temporary file, fsync, rename), so that a reload never reads half of it; a
//! failing test puts back what was there; an attempt that is repeated reloads again, because the earlier one may have been
//! cut off before it did.
//! Never: adds to a file with lines that are not ours, or changes those; what is ours is taken out of it all the same. Gives
//! no command to a shell.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::Mutex;

use super::ask::settle;
use super::entries::{Entries, Entry, Mark};
use crate::respond::action::{Op, scrub};
use crate::respond::config::ConfigError;
use crate::respond::scope::Scope;
use crate::respond::target::{Delivery, Order, ReadBack, Target, Unread};

/// Entries of one file; more: the action fails and says so.
pub const ENTRIES_MAX: usize = 100_000;
/// Bytes of a file that is read; larger: refused, it is not one of ours.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// What is read of a command's complaint.
const COMPLAINT_BYTES_MAX: u64 = 4 << 10;
/// Orders that one rewriting and one reload carry out.
const ORDERS_MAX: usize = 1_000;

const HEADER: &str = "# Written by Gatewatch. A line of another's makes it refuse to write; use a file of your own.";

/// How an entry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `deny ADDRESS; # MARK`
    Nginx,
    /// `# MARK`, and `ADDRESS` on the next line: programs differ in what they take after an address.
    Plain,
    /// `ADDRESS MARK`, the mark in one word.
    Map,
}

/// How the program is told to read the file again: one of the two.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reload {
    /// A program and its arguments.
    pub command: Vec<String>,
    /// The file with the number of the process that takes SIGHUP.
    pub pid_file: Option<PathBuf>,
}

impl Reload {
    pub fn check(&self, at: &str) -> Result<(), ConfigError> {
        if self.command.is_empty() == self.pid_file.is_none() {
            let expected = "one of `command: [nginx, -s, reload]` and `pid_file: /run/nginx.pid`";
            return Err(ConfigError::new(format!("{at}.reload"), expected));
        }
        Ok(())
    }

    async fn run(&self) -> Result<(), String> {
        let Some(path) = &self.pid_file else { return run(&self.command).await };
        let text = tokio::fs::read_to_string(path).await.map_err(|error| format!("{}: {error}", path.display()))?;
        let pid = text.trim().parse().ok().filter(|pid| *pid > 1).and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or_else(|| format!("{} holds no process number", path.display()))?;
        rustix::process::kill_process(pid, rustix::process::Signal::Hup)
            .map_err(|error| format!("SIGHUP to process {}: {error}", pid.as_raw_nonzero()))
    }
}

/// An absolute path, because a service's working folder is nobody's concern.
pub fn check_path(at: &str, key: &str, path: &Path) -> Result<(), ConfigError> {
    if path.is_absolute() && path.file_name().is_some() {
        return Ok(());
    }
    Err(ConfigError::new(format!("{at}.{key}"), format!("`{}` is no absolute path of a file", path.display())))
}

/// Which file it is, however its path is spelt and whatever links lead there.
pub fn in_words(path: &Path) -> String {
    let found = std::fs::canonicalize(path).ok();
    // A file that is not there yet lies in a folder that is.
    let in_folder = || Some(std::fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?));
    let file = found.or_else(in_folder).unwrap_or_else(|| path.components().collect());
    format!("the file {}", file.display())
}

#[derive(Clone, Debug)]
pub struct ListFile {
    pub path: PathBuf,
    pub form: Form,
}

/// What a file says: our entries, and the whole of it where lines of another's stand among them.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    pub entries: Entries,
    strange: Option<Strange>,
}

/// A file that is not our own any more.
#[derive(Clone, Debug)]
struct Strange {
    problem: String,
    text: String,
}

impl Listed {
    /// Does or undoes these; one outcome each, once it is written. Beside lines of another's nothing is added, and what is ours
    /// can still be taken out.
    pub fn take(&mut self, orders: &[Order<'_>]) -> Vec<Delivery> {
        if let Some(order) = orders.first() {
            self.entries.drop_ended(order.attempt.now_us);
        }
        let take = |order: &Order<'_>| match &self.strange {
            Some(strange) if order.action.op == Op::Apply => Delivery::failed(strange.problem.clone()),
            _ => self.entries.take(order),
        };
        orders.iter().map(take).collect()
    }
}

/// What a line is.
enum Line {
    /// Ours, and says nothing.
    Empty,
    /// The mark of the entry on the next line.
    Mark,
    Entry(Scope, Mark),
    Strange,
}

impl ListFile {
    /// What it says now; a file that is not there is empty.
    pub async fn read(&self) -> Result<Listed, Delivery> {
        let path = self.path.clone();
        let text = blocking(move || read(&path)).await.map_err(|error| self.passing("read", &error))?;
        Ok(self.parse(text))
    }

    pub async fn write(&self, listed: &Listed) -> Result<(), Delivery> {
        let (path, text) = (self.path.clone(), self.render(listed));
        blocking(move || replace(&path, &text)).await.map_err(|error| self.passing("write", &error))
    }

    fn passing(&self, what: &str, error: &io::Error) -> Delivery {
        Delivery::retry(format!("cannot {what} {}: {error}", self.path.display()))
    }

    fn render(&self, listed: &Listed) -> String {
        if let Some(strange) = &listed.strange {
            return self.without_what_left(&strange.text, &listed.entries);
        }
        let mut text = format!("{HEADER}\n");
        for (scope, mark) in listed.entries.ours() {
            text += &match self.form {
                Form::Nginx => format!("deny {scope}; # {mark}\n"),
                Form::Plain => format!("# {mark}\n{scope}\n"),
                Form::Map => format!("{scope} {}\n", mark.compact()),
            };
        }
        text
    }

    /// The same text without those lines of ours whose entries are gone; everything else as it stands.
    fn without_what_left(&self, text: &str, entries: &Entries) -> String {
        let (mut kept, mut above, mut mark_line) = (String::new(), None, "");
        for whole in text.split_inclusive('\n') {
            match self.line(whole, &mut above) {
                Line::Mark => {
                    kept += mark_line;
                    mark_line = whole;
                    continue;
                }
                Line::Entry(scope, _) if !matches!(entries.get(&scope), Some(Entry::Ours { .. })) => {}
                Line::Entry(..) | Line::Empty | Line::Strange => {
                    kept += mark_line;
                    kept += whole;
                }
            }
            mark_line = "";
        }
        kept + mark_line
    }

    fn parse(&self, text: String) -> Listed {
        let (mut list, mut above, mut first_strange) = (Vec::new(), None, None);
        for (n, whole) in text.lines().enumerate() {
            match self.line(whole, &mut above) {
                Line::Empty | Line::Mark => {}
                Line::Entry(scope, mark) => list.push((scope, Entry::Ours { mark, id: String::new() })),
                Line::Strange => first_strange = first_strange.or(Some(n + 1)),
            }
        }
        let strange = first_strange.map(|n| {
            let path = self.path.display();
            let problem = format!("{path}: line {n} is not Gatewatch's; the file must be its own to be added to");
            Strange { problem, text }
        });
        Listed { entries: Entries::new(list), strange }
    }

    /// `above`: the mark on the line before, where marks have lines of their own.
    fn line(&self, line: &str, above: &mut Option<Mark>) -> Line {
        let line = line.trim();
        if line.is_empty() || line == HEADER {
            return Line::Empty;
        }
        let comment = line.strip_prefix('#').and_then(Mark::parse);
        if self.form == Form::Plain && comment.is_some() {
            *above = comment;
            return Line::Mark;
        }
        let entry = match self.form {
            Form::Nginx => line.strip_prefix("deny ").and_then(|rest| rest.split_once("; #")),
            Form::Plain => Some((line, "")),
            Form::Map => line.split_once(' '),
        };
        let entry = entry.and_then(|(address, beside)| {
            let mark = match self.form {
                Form::Nginx => Mark::parse(beside),
                Form::Plain => above.take(),
                Form::Map => Mark::parse_compact(beside.trim()),
            };
            Some((Scope::parse(address)?, mark?))
        });
        entry.map_or(Line::Strange, |(scope, mark)| Line::Entry(scope, mark))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn read(path: &Path) -> io::Result<String> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        file => file?,
    };
    if file.metadata()?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Replace the file behind `path`, a link's end included; its mode stays.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(path.to_owned()),
        _ => Err(error),
    })?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("no path of a file"));
    };
    // A name that no `*.conf` takes in.
    let beside = folder.join(format!(".{}.gatewatch-new", name.to_string_lossy()));
    let mut file = fs::File::create(&beside)?;
    file.set_permissions(mode_of(&path)?)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, &path)?;
    fs::File::open(folder)?.sync_all()
}

/// That of the file; of a new one, what lets another program's user read it.
fn mode_of(path: &Path) -> io::Result<fs::Permissions> {
    use std::os::unix::fs::PermissionsExt;
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(fs::Permissions::from_mode(0o644)),
        Err(error) => Err(error),
    }
}

/// Run to its end; what it complained of, where it failed. Killed when the attempt is cut off.
async fn run(command: &[String]) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    let mut said = Vec::new();
    if let Some(pipe) = child.stderr.take() {
        // What comes beyond the bound goes nowhere.
        let _ = pipe.take(COMPLAINT_BYTES_MAX).read_to_end(&mut said).await;
    }
    let status = child.wait().await.map_err(|error| format!("{program}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{program} ended with {status}: {}", scrub(&String::from_utf8_lossy(&said))))
}

/// A target that is such a file and nothing else.
pub struct ListWall {
    pub file: ListFile,
    /// Says by its exit status whether the program would take the file.
    pub test: Vec<String>,
    pub reload: Reload,
    pub writing: Mutex<()>,
}

impl Target for ListWall {
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
        async move { self.file.read().await.map(|listed| Some(listed.entries.in_force())).map_err(Unread::from) }
            .boxed()
    }
}

impl ListWall {
    async fn carry_out_orders(&self, orders: &[Order<'_>]) -> Vec<Delivery> {
        let _writing = self.writing.lock().await;
        let mut listed = match self.file.read().await {
            Ok(listed) => listed,
            Err(failure) => return vec![failure; orders.len()],
        };
        let before = listed.clone();
        let outcomes = listed.take(orders);
        settle(outcomes, self.put_in_force(before, &listed, orders).await)
    }

    async fn put_in_force(&self, before: Listed, after: &Listed, orders: &[Order<'_>]) -> Result<(), Delivery> {
        if after.entries.len() > ENTRIES_MAX {
            return Err(Delivery::failed(format!("{} is full: {ENTRIES_MAX} entries", self.file.path.display())));
        }
        let changed = !after.entries.changes().is_empty();
        if changed {
            self.file.write(after).await?;
        } else if orders.iter().all(|order| order.attempt.number <= 1) {
            return Ok(());
        }
        if !self.test.is_empty()
            && let Err(problem) = run(&self.test).await
        {
            self.put_back(before, orders).await?;
            return Err(Delivery::retry(format!("the test failed, the file is as before: {problem}")));
        }
        self.reload
            .run()
            .await
            .map_err(|problem| Delivery::retry(format!("the file is written, not reloaded: {problem}")))
    }

    /// What was there, without what an earlier attempt at these orders may have left.
    async fn put_back(&self, mut before: Listed, orders: &[Order<'_>]) -> Result<(), Delivery> {
        let applied = orders.iter().filter(|order| order.action.op == Op::Apply);
        before.entries.drop_held(&applied.map(|order| order.action.id.as_str()).collect::<Vec<_>>());
        self.file.write(&before).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::action::{Action, Kind};
    use crate::respond::message::tests::action;
    use crate::respond::target::Attempt;
    use schemas::incident::Event;

    fn file(form: Form) -> ListFile {
        ListFile { path: PathBuf::from("/nowhere/list"), form }
    }

    #[test]
    fn each_form_reads_what_it_writes() {
        let mark = "gatewatch ac-1 until 2026-03-02T11:00:10Z for in-1";
        for (form, body) in [
            (Form::Nginx, format!("deny 203.0.113.7; # {mark}\ndeny 2001:db8::/64; # {mark}\n")),
            (Form::Plain, format!("# {mark}\n203.0.113.7\n# {mark}\n2001:db8::/64\n")),
            (Form::Map, "203.0.113.7 gatewatch:ac-1:1772449210\n2001:db8::/64 gatewatch:ac-2:\n".to_owned()),
        ] {
            let text = format!("{HEADER}\n{body}");
            let listed = file(form).parse(text.clone());
            assert!(listed.strange.is_none(), "{form:?}");
            assert_eq!(listed.entries.len(), 2, "{form:?}");
            assert_eq!(file(form).render(&listed), text);
        }
    }

    #[test]
    fn a_strange_line_is_named_and_a_mark_without_its_address_is_not_one() {
        for (form, text, line) in [
            (Form::Nginx, "allow 192.0.2.1;\n", 1),
            (Form::Nginx, "\ndeny 192.0.2.1;\n", 2),
            (Form::Nginx, "deny all; # gatewatch ac-1\n", 1),
            (Form::Plain, "# of A. Example\n192.0.2.1\n", 1),
            (Form::Plain, "# gatewatch ac-1\n192.0.2.1\n192.0.2.2\n", 3),
            (Form::Map, "192.0.2.1 office\n", 1),
        ] {
            let problem = file(form).parse(text.to_owned()).strange.expect(text).problem;
            assert!(problem.contains(&format!("line {line} is not")), "{text}: {problem}");
        }
        let orphan = file(Form::Plain).parse("# gatewatch ac-1\n# gatewatch ac-2\n192.0.2.2\n".to_owned());
        assert_eq!(orphan.entries.in_force()[0].entity, "192.0.2.2");
        assert_eq!(orphan.entries.len(), 1);
    }

    #[test]
    fn what_is_ours_leaves_a_file_with_lines_of_others_and_nothing_is_added() {
        let block = |id: &str, address: &str| Action {
            id: id.to_owned(),
            entity_value: address.to_owned(),
            ..action(Event::Open, Kind::Block)
        };
        let lift = |id: &str, address: &str| Action {
            op: Op::Revert,
            undoes: Some(id.to_owned()),
            ..block(&format!("{id}-lift"), address)
        };
        let orders = [block("ac-9", "203.0.113.9"), lift("ac-1", "203.0.113.7")];
        let now_us = orders[0].created_us;
        let order = |action| Order { action, attempt: Attempt { number: 1, now_us }, remote_ref: None };
        for (form, text, left) in [
            (
                Form::Nginx,
                "allow 192.0.2.1;\ndeny 203.0.113.7; # gatewatch ac-1\n  deny 203.0.113.8; # gatewatch ac-2\n# by hand\n",
                "allow 192.0.2.1;\n  deny 203.0.113.8; # gatewatch ac-2\n# by hand\n",
            ),
            (
                Form::Plain,
                "# by hand\n# gatewatch ac-1\n203.0.113.7\n192.0.2.1\n# gatewatch ac-2\n203.0.113.8",
                "# by hand\n192.0.2.1\n# gatewatch ac-2\n203.0.113.8",
            ),
            (
                Form::Map,
                "192.0.2.1 office\n203.0.113.7 gatewatch:ac-1:\n203.0.113.8 gatewatch:ac-2:\n",
                "192.0.2.1 office\n203.0.113.8 gatewatch:ac-2:\n",
            ),
        ] {
            let mut listed = file(form).parse(text.to_owned());
            let outcomes = listed.take(&[order(&orders[0]), order(&orders[1])]);
            assert!(matches!(&outcomes[0], Delivery::Failed { reason, .. } if reason.contains("is not Gatewatch's")));
            assert_eq!(Unread::from(outcomes[1].clone()).reason, "203.0.113.7 is taken off the list");
            assert_eq!(file(form).render(&listed), left, "{form:?}");
        }
    }
}
