//! A local folder as an object store that survives power loss.
//!
//! The store of `object_store` gives a file its name before the disk has its content, and never asks the disk for either.
//! Here a file is written under another name, synced, given its name, and then its folder is synced; folders that had to be made
//! are synced before. So what a caller was told to be stored is there after a power loss, and a name never stands for a part of
//! a file: what was written before it (data, state) is there whole when a log entry names it.
//!
//! Promises: what is put only where nothing is fails when something is, whoever else puts.
//! Never: syncs a deletion; a file that comes back is one that nothing names.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

/// The local file system, from its root.
#[derive(Debug)]
pub(crate) struct Synced(LocalFileSystem);

impl Synced {
    pub(crate) fn new() -> Synced {
        Synced(LocalFileSystem::new())
    }

    async fn settle(&self, location: &Path) -> Result<()> {
        let path = self.0.path_to_filesystem(location)?;
        blocking(move || sync(&path).map_err(|error| failed(&path, error))).await
    }
}

impl std::fmt::Display for Synced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

fn failed(path: &FsPath, source: io::Error) -> Error {
    let named = io::Error::new(source.kind(), format!("{}: {source}", path.display()));
    Error::Generic { store: "folder", source: Box::new(named) }
}

/// A file that has its name already, and the folder that holds the name.
fn sync(path: &FsPath) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Writes a file whole, or leaves none of that name.
fn place(path: &FsPath, payload: &PutPayload, only_new: bool) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    let (staging, mut file) = staged(path, folder)?;
    let written = payload.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all());
    drop(file);
    let placed = written.and_then(|()| match only_new {
        true => fs::hard_link(&staging, path),
        false => fs::rename(&staging, path),
    });
    if only_new || placed.is_err() {
        // Nobody reads such a name.
        let _left = fs::remove_file(&staging).is_err();
    }
    placed?;
    File::open(folder)?.sync_all()
}

/// A new file beside `path`, under a name that listings leave out (`#` and a number).
fn staged(path: &FsPath, folder: &FsPath) -> io::Result<(PathBuf, File)> {
    let mut number = 1_u64;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("#{number}"));
        let staging = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).open(&staging) {
            Ok(file) => return Ok((staging, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) if error.kind() == ErrorKind::NotFound && !folder.exists() => make(folder)?,
            Err(error) => return Err(error),
        }
    }
}

/// Makes a folder, with those above it, each of which is then sure to hold it.
fn make(folder: &FsPath) -> io::Result<()> {
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above.filter(|above| !above.exists()) {
        make(above)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    above.map_or(Ok(()), |above| File::open(above)?.sync_all())
}

#[async_trait]
impl ObjectStore for Synced {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let only_new = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            // Refused there.
            PutMode::Update(_) => return self.0.put_opts(location, payload, opts).await,
        };
        let path = self.0.path_to_filesystem(location)?;
        blocking(move || match place(&path, &payload, only_new) {
            Ok(()) => Ok(PutResult { e_tag: None, version: None }),
            Err(error) if only_new && error.kind() == ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: path.display().to_string(), source: Box::new(error) })
            }
            Err(error) => Err(failed(&path, error)),
        })
        .await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let path = self.0.path_to_filesystem(location)?;
        Ok(Box::new(Upload { inner: self.0.put_multipart_opts(location, opts).await?, path }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await?;
        self.settle(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await?;
        self.settle(to).await
    }
}

/// A file that comes in parts. It has its name before it is synced: nothing names it before this is done.
#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let done = self.inner.complete().await?;
        let path = self.path.clone();
        blocking(move || sync(&path).map_err(|error| failed(&path, error))).await?;
        Ok(done)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::{ObjectStoreExt, PutMode};

    use super::*;

    fn at(folder: &FsPath, name: &str) -> Path {
        Path::from_absolute_path(folder).expect("a path").join(name)
    }

    #[tokio::test]
    async fn what_is_put_is_there_and_only_once_where_that_is_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, deep) = (Synced::new(), at(&folder.path().join("a/b"), "c"));
        store.put(&deep, "one".into()).await.expect("put");
        store.put(&deep, "two".into()).await.expect("put over it");
        assert_eq!(fs::read(folder.path().join("a/b/c")).expect("a file"), b"two");
        let only_new = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let taken = store.put_opts(&deep, "three".into(), only_new()).await.expect_err("it is there");
        assert!(matches!(taken, Error::AlreadyExists { .. }), "{taken}");
        let entry = at(folder.path(), "entry");
        let puts = (0..8).map(|n| store.put_opts(&entry, format!("writer {n}").into(), only_new()));
        let won = futures::future::join_all(puts).await.into_iter().filter(Result::is_ok).count();
        assert_eq!(won, 1);
        // What was written on the way is gone.
        let names: Vec<String> = fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains('#'))
            .collect();
        assert_eq!(names, [""; 0]);
    }

    #[tokio::test]
    async fn a_file_that_was_cut_while_it_was_written_has_no_name() {
        let folder = tempfile::tempdir().expect("a folder");
        // As a power loss leaves it: begun, never named.
        fs::write(folder.path().join("entry#1"), "cu").expect("written");
        let (store, entry) = (Synced::new(), at(folder.path(), "entry"));
        let prefix = Path::from_absolute_path(folder.path()).expect("a path");
        let listed: Vec<ObjectMeta> = store.list(Some(&prefix)).try_collect().await.expect("listed");
        assert_eq!(listed.len(), 0);
        store.put(&entry, "whole".into()).await.expect("put");
        assert_eq!(store.get(&entry).await.expect("there").bytes().await.expect("read"), "whole");
    }

    #[tokio::test]
    async fn a_disk_that_refuses_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("file"), "x").expect("written");
        let below = at(&folder.path().join("file"), "entry");
        let error = Synced::new().put(&below, "x".into()).await.expect_err("a file is no folder").to_string();
        assert!(error.contains("file/entry"), "{error}");
    }
}
