//! The file that `--plot` names.
//!
//! Promises: what is there stays until the new picture is whole, and keeps its mode; a link stays a link. A path that cannot be
//! written is told before anything is read.
//! Never: takes the place of a device, a folder, or the series itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::columns::Folded;
use super::picture;

pub struct Plot {
    path: PathBuf,
    title: String,
    pub folded: Folded,
}

impl Plot {
    /// For a picture at `path` of the series in `input`, or on standard input.
    pub fn new(path: &Path, input: Option<&Path>) -> anyhow::Result<Plot> {
        let shown = path.display();
        if path.as_os_str() == "-" {
            bail!("--plot -: standard output has the scores; expected the name of a file");
        }
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if path.exists() && !path.is_file() {
            bail!("{shown}: is no file; expected the name of an SVG file to write");
        }
        if input.is_some_and(|input| fs::canonicalize(input).is_ok_and(|input| input == path)) {
            bail!("{shown}: is the series itself; expected the name of an SVG file to write");
        }
        let title = input.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let plot =
            Plot { path, title: title.unwrap_or_else(|| "standard input".to_owned()), folded: Folded::default() };
        plot.try_to_write().map_err(|error| {
            anyhow!(
                "{shown}: cannot be written ({error}); expected a file in a folder that is there and can be written"
            )
        })?;
        Ok(plot)
    }

    fn try_to_write(&self) -> io::Result<()> {
        if self.path.exists() {
            OpenOptions::new().write(true).open(&self.path)?;
        }
        let beside = self.beside()?;
        File::create_new(&beside)?;
        fs::remove_file(beside)
    }

    fn beside(&self) -> io::Result<PathBuf> {
        let name = self.path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        Ok(self.path.with_file_name(format!(".{}.{}.new", name.to_string_lossy(), std::process::id())))
    }

    pub fn write(&self) -> anyhow::Result<()> {
        let svg = picture::svg(&self.title, &self.folded)?;
        self.replace(svg.as_bytes()).with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    fn replace(&self, content: &[u8]) -> io::Result<()> {
        let beside = self.beside()?;
        let mut file = File::create_new(&beside)?;
        let placed = file.write_all(content).and_then(|()| {
            if let Ok(before) = fs::metadata(&self.path) {
                file.set_permissions(before.permissions())?;
            }
            file.sync_all()?;
            fs::rename(&beside, &self.path)
        });
        if placed.is_err() {
            // What went wrong first is what is told.
            let _ = fs::remove_file(&beside);
        }
        placed
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn why(path: &Path, input: Option<&Path>) -> String {
        Plot::new(path, input).err().expect("refused").to_string()
    }

    #[test]
    fn a_picture_takes_the_place_of_what_was_there_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (real, link) = (folder.path().join("real.svg"), folder.path().join("link.svg"));
        fs::write(&real, "before").expect("written");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("ours");
        symlink(&real, &link).expect("linked");
        let mut plot = Plot::new(&link, Some(Path::new("some/<a> & b.csv"))).expect("can be written");
        assert_eq!(fs::read_to_string(&real).expect("there"), "before");
        plot.folded.add(0, 1.0, None, false);
        plot.write().expect("written");
        let svg = fs::read_to_string(&real).expect("there");
        assert!(svg.starts_with("<svg ") && svg.contains("<title id=\"title\">&lt;a&gt; &amp; b.csv</title>"), "{svg}");
        assert_eq!(fs::metadata(&real).expect("there").permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }

    #[test]
    fn what_cannot_be_written_is_told_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let missing = why(&folder.path().join("none/a.svg"), None);
        assert!(missing.contains("none/a.svg: cannot be written (No such file"), "{missing}");
        assert!(missing.ends_with("; expected a file in a folder that is there and can be written"), "{missing}");
        assert!(why(folder.path(), None).ends_with(": is no file; expected the name of an SVG file to write"));
        assert!(why(Path::new("/dev/null"), None).starts_with("/dev/null: is no file"));
        assert!(why(Path::new("-"), None).contains("expected the name of a file"));
        assert!(why(Path::new("/proc/a.svg"), None).starts_with("/proc/a.svg: cannot be written ("));
        let series = folder.path().join("a.csv");
        fs::write(&series, "1,2\n").expect("written");
        assert!(why(&folder.path().join("./a.csv"), Some(&series)).contains("is the series itself"));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
