//! One service on one data folder.

use std::path::{Path, PathBuf};

use crate::private;

/// The lock of the data folder, held as long as the folder stays the same.
#[derive(Default)]
pub struct Alone(Option<(PathBuf, std::fs::File)>);

impl Alone {
    pub fn hold(&mut self, folder: &Path) -> anyhow::Result<()> {
        if self.0.as_ref().is_none_or(|(held, _)| held != folder) {
            self.0 = Some((folder.to_owned(), private::lock(folder)?));
        }
        Ok(())
    }
}
