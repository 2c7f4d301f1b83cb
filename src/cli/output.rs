//! Where the command line writes: standard output, standard error, files named by `--alerts` and `--summary`, and the
//! progress bar.
//!
//! Promises: `-` is standard output; a progress bar only on a terminal, plain lines when piped.
//! Never: writes a result to standard error or chatter to standard output.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemas::Alert;

use crate::pipeline::{Outlet, Totals};

/// Mode of what is for its owner alone.
const PRIVATE: u32 = 0o600;

pub fn stdout(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

pub fn stderr_line(text: &str) {
    // Nowhere is left to report that standard error is gone.
    let _gone = writeln!(io::stderr().lock(), "{text}").is_err();
}

pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|e| e.downcast_ref::<io::Error>()).any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Opens a file to write, or standard output for `-`.
pub fn create(path: &Path) -> anyhow::Result<Box<dyn Write + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    let file = File::create(path).with_context(|| format!("{}", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// The same for its owner alone.
pub fn create_private(path: &Path) -> anyhow::Result<Box<dyn Write + Send>> {
    if path.as_os_str() == "-" {
        return create(path);
    }
    let open = || {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(path)?;
        // One that was there before keeps its mode otherwise; a pipe or device is as it is.
        if file.metadata()?.is_file() {
            file.set_permissions(Permissions::from_mode(PRIVATE))?;
        }
        io::Result::Ok(file)
    };
    let file = open().with_context(|| format!("{}", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// Alerts as JSON Lines, flushed after each telling so that `tail -f` sees it. A file is emptied at the first telling,
/// not before: a run that has nothing to say leaves an earlier answer alone.
#[derive(Clone)]
pub struct AlertsFile {
    path: PathBuf,
    out: Arc<Mutex<Option<Box<dyn Write + Send>>>>,
}

impl AlertsFile {
    /// For the file at `path`, which can be written as far as can be seen; `-` is standard output.
    pub fn new(path: &Path) -> anyhow::Result<AlertsFile> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if path.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
            bail!("{}: cannot be written; expected a file in a folder that is there", path.display());
        }
        Ok(AlertsFile { path: path.to_owned(), out: Arc::default() })
    }

    /// Opens the file, empty, unless it is open.
    pub fn open(&self) -> anyhow::Result<()> {
        self.write(|_| Ok(()))
    }

    fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
        // A panic while holding this lock leaves a writer behind that can still be used.
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let out = match &mut *out {
            Some(open) => open,
            closed => closed.insert(create(&self.path)?),
        };
        write(out)?;
        Ok(out.flush()?)
    }
}

impl Outlet for AlertsFile {
    fn tell(&mut self, alerts: &[Alert]) -> anyhow::Result<()> {
        self.write(|out| {
            for alert in alerts {
                serde_json::to_writer(&mut *out, alert)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })
    }
}

/// Progress of a run over a known number of bytes or events, or an unknown one.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// `total` bytes (or events when `by_bytes` is false); None when unknown.
    pub fn new(total: Option<u64>, by_bytes: bool) -> Progress {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        let template = match (total.is_some(), by_bytes) {
            (true, true) => "{bar:40.cyan/dim} {bytes}/{total_bytes}  {msg}  {eta} left",
            (true, false) => "{bar:40.cyan/dim} {human_pos}/{human_len} events  {msg}  {eta} left",
            (false, _) => "{spinner} {msg}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is a constant that parses"));
        if !io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Progress { bar }
    }

    /// `done` in the unit the total was given in.
    pub fn update(&self, done: u64, totals: &Totals) {
        self.bar.set_position(done);
        self.bar.set_message(format!("{} events, {} alerts", grouped(totals.events), totals.alerts_opened));
    }

    /// The same with words of one's own.
    pub fn at(&self, done: u64, message: String) {
        self.bar.set_position(done);
        self.bar.set_message(message);
    }

    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}

/// 1234567 -> 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and what it counts: `1 source`, `2,000 sources`.
pub fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{counted, create_private, grouped};

    #[test]
    fn what_is_private_is_its_owners_alone_also_where_it_was_there_before() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("audit.jsonl");
        let mode = || std::fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        drop(create_private(&path).expect("made"));
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("ours");
        drop(create_private(&path).expect("opened"));
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown: Vec<String> = [0, 999, 1_000, 1_234_567].map(grouped).to_vec();
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn one_is_not_many() {
        let shown: Vec<String> = [0, 1, 2, 1_000].map(|n| counted(n, "record")).to_vec();
        assert_eq!(shown, ["0 records", "1 record", "2 records", "1,000 records"]);
    }
}
