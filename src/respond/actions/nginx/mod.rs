//! nginx: a file of `deny` lines that a server includes, and a reload.
//!
//! Promises: those of `list_file`: replaced as a whole, tested before the reload, put back when the test fails; a thousand
//! actions cost one reload.
//! Never: changes any other file of nginx.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::common::{Common, Make, TargetConfig, target_config};
use super::list_file::{Form, ListFile, ListWall, Reload, check_path, in_words};
use crate::respond::action::Kind;
use crate::respond::config::{ConfigError, SecretRef};
use crate::respond::target::Target;

target_config! {
    /// `respond.targets.nginx`
    pub struct Config {
        /// Included by nginx's configuration; nobody else writes to it.
        pub file: PathBuf,
        /// A program and its arguments that say by the exit status whether nginx would take it.
        #[serde(default = "nginx_t")]
        pub test: Vec<String>,
        pub reload: Reload,
    }
    able: &[Kind::Block]; by default: Config::ABLE;
}

fn nginx_t() -> Vec<String> {
    vec!["nginx".to_owned(), "-t".to_owned(), "-q".to_owned()]
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        check_path(at, "file", &self.file)?;
        self.reload.check(at)
    }

    fn lists(&self) -> Vec<(&'static str, String)> {
        vec![("file", in_words(&self.file))]
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        Vec::new()
    }

    fn build(&self, _make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        Ok(Arc::new(ListWall {
            file: ListFile { path: self.file.clone(), form: Form::Nginx },
            test: self.test.clone(),
            reload: self.reload.clone(),
            writing: Mutex::new(()),
        }))
    }
}
