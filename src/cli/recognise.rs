//! `--source auto`: which kind of log a file is, told with the reason.
//!
//! Never: used by the service; its configuration names kinds.

use std::path::Path;

use anyhow::bail;

use super::output::stderr_line;
use crate::ingest::file;

/// The value of `--source` that asks for this.
pub const AUTO: &str = "auto";

/// The kind of the log in `path`; says on standard error what it was recognised by.
pub fn kind_of(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    if path.as_os_str() == "-" {
        bail!("--source auto needs a file to look at twice; name the kind of what comes on standard input");
    }
    let Some(head) = file::head(path)? else {
        // Nothing is read of it, whatever it is.
        stderr_line(&format!("{shown}: is empty"));
        return Ok(schemas::sources::KINDS[0].name.to_owned());
    };
    let found = schemas::recognise(&head);
    let Some(best) = found.first() else {
        let kinds: Vec<&str> = schemas::sources::KINDS.iter().map(|kind| kind.name).collect();
        bail!(
            "{shown}: no kind of source reads its first records; expected one of {}. A log of nginx's own log_format: \
             --source nginx --nginx-format '...'; other JSON: --source mapping",
            kinds.join(", ")
        );
    };
    let next = match found.get(1) {
        Some(next) => format!("; next best {} ({} read, {} columns)", next.kind, next.events, next.columns.len()),
        None => String::new(),
    };
    stderr_line(&format!(
        "{shown}: {} ({} of the first {} records read, with {}){next}",
        best.kind,
        best.events,
        best.records,
        best.columns.join(", ")
    ));
    Ok(best.kind.to_owned())
}
