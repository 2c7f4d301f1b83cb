//! Which record was the last one read of each partition: its offset, its time and its length. A topic that was deleted and
//! made anew under the same name has another record there, although the offset exists.
//!
//! Promises: nothing of a record but those three is kept. The mark is written after the lake has the position, so it is never
//! ahead of it; where it is missing, too old, or its record is gone, nothing is claimed.
//! Never: decides where reading goes on; that is the lake's word.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use serde::{Deserialize, Serialize};

/// Records that are read a second time at most to find the marked one.
const BEHIND_MAX: i64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub offset: i64,
    /// Kafka's own, in milliseconds.
    pub time_ms: Option<i64>,
    pub length: u64,
}

impl Mark {
    pub fn of(message: &BorrowedMessage<'_>) -> Mark {
        Mark {
            offset: message.offset(),
            time_ms: message.timestamp().to_millis(),
            length: message.payload_len() as u64,
        }
    }
}

/// The marks of one source, in a file of their own.
#[derive(Debug, Default)]
pub struct Marks {
    file: Option<PathBuf>,
    of: BTreeMap<i32, Mark>,
    failed: bool,
}

impl Marks {
    /// Those of an earlier run; a file that cannot be read is as good as none.
    pub fn load(file: Option<PathBuf>) -> Marks {
        let text = file.as_ref().and_then(|file| fs::read(file).ok()).unwrap_or_default();
        Marks { file, of: serde_json::from_slice(&text).unwrap_or_default(), failed: false }
    }

    /// The mark of a partition that goes on at `next`, when it is close enough to look for.
    pub fn before(&self, partition: i32, next: i64) -> Option<Mark> {
        self.of.get(&partition).copied().filter(|mark| mark.offset < next && next - mark.offset <= BEHIND_MAX)
    }

    /// Writes marks whose records the lake has. A failure costs the next start its certainty, no data.
    pub fn keep(&mut self, new: impl IntoIterator<Item = (i32, Mark)>) {
        let before = self.of.clone();
        self.of.extend(new);
        if self.of == before {
            return;
        }
        let Some(file) = &self.file else { return };
        if let Err(error) = write(file, &self.of)
            && !std::mem::replace(&mut self.failed, true)
        {
            let file = file.display();
            tracing::warn!(%file, %error, "a topic that is made anew may not be noticed: this file cannot be written");
        }
    }
}

fn write(file: &PathBuf, marks: &BTreeMap<i32, Mark>) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    out.write_all(&serde_json::to_vec(marks)?)?;
    drop(out);
    fs::rename(new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_kept_over_a_restart_and_used_only_where_it_is_close() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("edge.marks");
        let mark = Mark { offset: 99, time_ms: Some(1_700_000_000_000), length: 17 };
        Marks::load(Some(file.clone())).keep([(0, mark)]);
        let marks = Marks::load(Some(file.clone()));
        assert_eq!(marks.before(0, 100), Some(mark));
        assert_eq!(marks.before(0, 99), None, "the lake is behind it: another lake");
        assert_eq!(marks.before(0, 99 + BEHIND_MAX + 1), None, "too much would be read again");
        assert_eq!(marks.before(1, 100), None);
        fs::write(&file, "torn {").expect("written");
        assert_eq!(Marks::load(Some(file)).before(0, 100), None);
    }
}
