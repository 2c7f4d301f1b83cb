//! Where tables are stored: a local folder, or a bucket behind the S3 API.
//!
//! S3 goes through `object_store`, which the table library is built on, rather than through that library's own S3
//! crate: that one brings the AWS SDK for a lock table, which stores with conditional writes do not need.
//!
//! Folders go through `synced`, so that what was stored survives a power loss.
//!
//! Promises: settings come from `lake.options` and, where those are silent, from the environment variables every AWS
//! tool reads (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL`, roles and instance profiles). Log entries are put
//! only where none is (`If-None-Match: *`), so two writers cannot both win.
//! Never: shows the value of a setting; it may be a credential.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use deltalake::logstore::object_store::RetryConfig;
use deltalake::logstore::object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use deltalake::logstore::{
    LogStore, LogStoreFactory, ObjectStoreFactory, ObjectStoreRef, StorageConfig, default_logstore, logstore_factories,
    object_store_factories,
};
use deltalake::{DeltaResult, DeltaTableBuilder, DeltaTableError};
use object_store::path::Path;
use url::Url;

use super::error::LakeError;
use super::synced::Synced;

/// The scheme of buckets.
const S3: &str = "s3";
/// How long one request is tried again before the error is passed on; then the pipeline stops at its last checkpoint.
const RETRY_FOR: Duration = Duration::from_secs(180);

/// Tells the table library about buckets, once per process.
static REGISTERED: LazyLock<()> = LazyLock::new(|| {
    let scheme = Url::parse("s3://").expect("a scheme");
    object_store_factories().insert(scheme.clone(), Arc::new(Buckets));
    logstore_factories().insert(scheme, Arc::new(Buckets));
    object_store_factories().insert(Url::parse("file://").expect("a scheme"), Arc::new(Folders));
});

/// A handle on the table at `url`, a URL below one that `root_url` gave; not opened yet.
pub(crate) fn table(url: Url, options: &HashMap<String, String>) -> DeltaResult<DeltaTableBuilder> {
    Ok(DeltaTableBuilder::from_url(url)?.with_storage_options(options.clone()))
}

/// The URL of a lake, with a slash at its end. A local folder is created when it is missing.
pub(crate) fn root_url(uri: &str) -> Result<Url, LakeError> {
    let wrong = |message: String| LakeError::Config(format!("`{uri}`: {message}"));
    LazyLock::force(&REGISTERED);
    let scheme = scheme_of(uri)?;
    let mut url = deltalake::ensure_table_uri(uri).map_err(|e| wrong(e.to_string()))?;
    if scheme == Some(S3) && url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("expected a bucket, as in s3://bucket/prefix".to_string()));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// What stands before `://`; none for a folder.
fn scheme_of(uri: &str) -> Result<Option<&str>, LakeError> {
    let wrong = |message: &str| LakeError::Config(format!("`{uri}`: {message}"));
    let scheme = uri.split_once("://").map(|(scheme, _)| scheme);
    // `s3:/bucket` is no folder that anybody means.
    let is_cut = scheme.is_none() && uri.split_once(":/").is_some_and(|(before, _)| !before.contains('/'));
    if is_cut || !matches!(scheme, None | Some("file" | S3)) {
        return Err(wrong("expected a folder or s3://bucket/prefix"));
    }
    if uri.starts_with('~') {
        return Err(wrong("nothing stands for the home folder; expected the path of a folder"));
    }
    Ok(scheme)
}

/// Finds settings that storage would not understand, before anything is stored.
pub(crate) fn check(uri: &str, options: &HashMap<String, String>) -> Result<(), LakeError> {
    if scheme_of(uri)? != Some(S3) {
        return match options.keys().next() {
            None => Ok(()),
            Some(key) => {
                Err(LakeError::Config(format!("options: `{key}` means nothing for a folder; only s3:// has options")))
            }
        };
    }
    let fixed = |key: &&String| parse_key(key) == Some(AmazonS3ConfigKey::ConditionalPut);
    if let Some(key) = options.keys().find(fixed) {
        let message = format!("options: `{key}` cannot be changed: without conditional writes commits would be lost");
        return Err(LakeError::Config(message));
    }
    match options.keys().find(|key| parse_key(key).is_none()) {
        None => Ok(()),
        Some(key) => Err(LakeError::Config(format!(
            "options: unknown option `{key}`; expected one of aws_access_key_id, aws_secret_access_key, aws_session_token, \
             aws_region, aws_endpoint, aws_allow_http, aws_virtual_hosted_style_request, aws_sse_kms_key_id or another \
             of the AWS options of the Rust crate object_store"
        ))),
    }
}

fn parse_key(key: &str) -> Option<AmazonS3ConfigKey> {
    key.to_ascii_lowercase().parse().ok()
}

/// Folders of this machine.
struct Folders;

impl ObjectStoreFactory for Folders {
    fn parse_url_opts(&self, url: &Url, _: &StorageConfig) -> DeltaResult<(ObjectStoreRef, Path)> {
        Ok((Arc::new(Synced::new()), Path::from_url_path(url.path())?))
    }
}

/// Buckets behind the S3 API.
struct Buckets;

impl ObjectStoreFactory for Buckets {
    fn parse_url_opts(&self, url: &Url, config: &StorageConfig) -> DeltaResult<(ObjectStoreRef, Path)> {
        let retry = RetryConfig { retry_timeout: RETRY_FOR, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::from_env().with_url(url.as_str()).with_retry(retry);
        for (key, value) in &config.raw {
            let key =
                parse_key(key).ok_or_else(|| DeltaTableError::generic(format!("unknown storage option `{key}`")))?;
            builder = builder.with_config(key, value);
        }
        // Last, so that neither an option nor the environment takes it away.
        let store = builder.with_conditional_put(S3ConditionalPut::ETagMatch).build()?;
        Ok((Arc::new(store), Path::from_url_path(url.path())?))
    }
}

impl LogStoreFactory for Buckets {
    fn with_options(
        &self,
        prefixed_store: ObjectStoreRef,
        root_store: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed_store, root_store, location, options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lake_is_a_folder_or_a_bucket() {
        assert_eq!(root_url("s3://logs/gatewatch").expect("a bucket").as_str(), "s3://logs/gatewatch/");
        assert_eq!(root_url("s3://logs").expect("a bucket").as_str(), "s3://logs/");
        for (uri, expected) in [
            ("gs://logs/gatewatch", "`gs://logs/gatewatch`: expected a folder or s3://bucket/prefix"),
            ("s3:///gatewatch", "`s3:///gatewatch`: expected a bucket, as in s3://bucket/prefix"),
        ] {
            let error = root_url(uri).expect_err(uri).to_string();
            assert!(error.contains(expected), "{error}");
        }
        for uri in ["gs://b/x", "abfss://c@a/x", "S3://b/x", "s3:/b/x", "~/lake", "~noor/lake"] {
            let error = check(uri, &HashMap::new()).expect_err(uri).to_string();
            assert!(error.contains(uri) && error.contains("expected"), "{error}");
        }
        for uri in ["lake", "/var/lib/gatewatch/lake", "a:b/lake", "./s3:/lake", "file:///var/lake", "s3://b"] {
            assert!(check(uri, &HashMap::new()).is_ok(), "{uri}");
        }
    }

    #[test]
    fn unknown_options_are_named_and_values_never_shown() {
        let options = |key: &str| HashMap::from([(key.to_string(), "fake-value".to_string())]);
        for known in ["aws_endpoint", "AWS_REGION", "secret_access_key", "aws_allow_http"] {
            assert!(check("s3://logs", &options(known)).is_ok(), "{known}");
        }
        let error = check("s3://logs", &options("aws_endpiont")).expect_err("a slip").to_string();
        assert!(error.contains("unknown option `aws_endpiont`") && !error.contains("fake-value"), "{error}");
        let error = check("s3://logs", &options("aws_conditional_put")).expect_err("fixed").to_string();
        assert!(error.contains("commits would be lost"), "{error}");
        let error = check("/var/lib/lake", &options("aws_region")).expect_err("no bucket").to_string();
        assert!(error.contains("`aws_region` means nothing for a folder"), "{error}");
    }
}
