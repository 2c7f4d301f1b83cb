//! A bucket in memory whose user can crash between any two of its writes, or within one: what was asked for is done, and nobody is told.
//!
//! Promises: after a crash nothing that the crashed one still asks for is done or answered.
//! Never: tears a write: a bucket has an object whole or not at all (`lake::tests::power` cuts files).

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use async_trait::async_trait;
use deltalake::logstore::{ObjectStoreFactory, ObjectStoreRef, StorageConfig, object_store_factories};
use deltalake::{DeltaResult, DeltaTableError};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use url::Url;

/// Of one life of the service: how many writes are left to it.
#[derive(Debug)]
pub struct Life {
    writes_left: AtomicI64,
    /// The last write is done before the crash.
    does_last: bool,
    over: AtomicBool,
}

impl Life {
    /// Ends with the write of that number (from 1), which is done or not.
    pub fn of(writes: i64, does_last: bool) -> Arc<Life> {
        Arc::new(Life { writes_left: AtomicI64::new(writes), does_last, over: AtomicBool::new(false) })
    }

    pub fn unbounded() -> Arc<Life> {
        Life::of(i64::MAX, true)
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<()> {
        if self.is_over() { Err(crashed()) } else { Ok(()) }
    }

    async fn write<T>(&self, write: impl Future<Output = Result<T>>) -> Result<T> {
        self.check()?;
        if self.writes_left.fetch_sub(1, Ordering::SeqCst) > 1 {
            return write.await;
        }
        self.over.store(true, Ordering::SeqCst);
        if self.does_last {
            drop(write.await);
        }
        Err(crashed())
    }
}

/// Not one that may pass: the service ends.
fn crashed() -> Error {
    Error::PermissionDenied { path: String::new(), source: "the service has crashed".into() }
}

#[derive(Debug)]
struct Bucket {
    kept: Arc<InMemory>,
    life: Arc<Life>,
}

impl std::fmt::Display for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.kept.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.life.write(self.kept.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.life.write(self.kept.put_multipart_opts(location, opts)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.life.check()?;
        self.kept.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (kept, life) = (self.kept.clone(), self.life.clone());
        let delete = move |location: Result<Path>| {
            let (kept, life) = (kept.clone(), life.clone());
            async move {
                let location = location?;
                let mut one = kept.delete_stream(stream::iter([Ok(location.clone())]).boxed());
                life.write(async { one.next().await.unwrap_or(Ok(location)) }).await
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.life.check() {
            Ok(()) => self.kept.list(prefix),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.life.check()?;
        self.kept.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.life.write(self.kept.copy_opts(from, to, options)).await
    }
}

type Buckets = Mutex<HashMap<String, (Arc<InMemory>, Arc<Life>)>>;

/// By name.
static BUCKETS: LazyLock<Buckets> = LazyLock::new(Buckets::default);

struct Factory;

impl ObjectStoreFactory for Factory {
    fn parse_url_opts(&self, url: &Url, _: &StorageConfig) -> DeltaResult<(ObjectStoreRef, Path)> {
        let buckets = BUCKETS.lock().expect("nobody panics with it");
        let bucket = url.host_str().and_then(|name| buckets.get(name));
        let (kept, life) = bucket.ok_or_else(|| DeltaTableError::generic(format!("no bucket {url}")))?.clone();
        Ok((Arc::new(Bucket { kept, life }), Path::from_url_path(url.path())?))
    }
}

/// From now on buckets are in memory: after the program has named its own.
pub fn install() {
    object_store_factories().insert(Url::parse("s3://").expect("a scheme"), Arc::new(Factory));
}

/// The bucket of that name, which is made when it is not there, is used in this life from now on.
pub fn live(name: &str, life: &Arc<Life>) {
    let mut buckets = BUCKETS.lock().expect("nobody panics with it");
    let kept = buckets.get(name).map_or_else(Arc::default, |(kept, _)| kept.clone());
    buckets.insert(name.to_owned(), (kept, life.clone()));
}

pub fn forget(name: &str) {
    BUCKETS.lock().expect("nobody panics with it").remove(name);
}
