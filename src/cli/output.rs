//! Where the command line writes: standard output, standard error, files named by `--alerts` and `--summary`, and the
//! progress bar.
//!
//! Promises: `-` is standard output; a progress bar only on a terminal, plain lines when piped.
//! Never: writes a result to standard error or chatter to standard output.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemas::Alert;

use crate::pipeline::{Outlet, Totals};

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

/// Alerts as JSON Lines, flushed after each telling so that `tail -f` sees it.
pub struct JsonLines(pub Box<dyn Write + Send>);

impl Outlet for JsonLines {
    fn tell(&mut self, alerts: &[Alert]) -> anyhow::Result<()> {
        for alert in alerts {
            serde_json::to_writer(&mut self.0, alert).map_err(io::Error::from)?;
            self.0.write_all(b"\n")?;
        }
        Ok(self.0.flush()?)
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

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown: Vec<String> = [0, 999, 1_000, 1_234_567].map(grouped).to_vec();
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }
}
