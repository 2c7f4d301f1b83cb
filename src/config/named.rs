//! The files that a configuration names and whose content is part of it: mappings, API documents, certificates, secrets by
//! reference.
//!
//! Promises: what is read as data (logs), written (lists of targets) or read again by itself when it is replaced (databases of
//! addresses, published ranges) is none of them.
//! Never: opens a file.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

/// Keys whose value is such a file, or a list of them.
const KEYS: [&str; 6] = ["mapping_file", "openapi", "cert", "key", "ca", "client_ca"];

/// The files that the text of a configuration names.
pub fn files(text: &str) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    if let Ok(config) = super::yaml::parse::<Value>(text) {
        walk(&config, &mut files);
    }
    files
}

fn walk(value: &Value, files: &mut BTreeSet<PathBuf>) {
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                // A secret by reference is `{file: PATH}` and nothing else.
                let is_reference = key == "file" && keys.len() == 1;
                if is_reference || KEYS.contains(&key.as_str()) {
                    files.extend(texts(value).map(PathBuf::from));
                }
                walk(value, files);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, files)),
        _ => {}
    }
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let many = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    value.as_str().into_iter().chain(many)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_as_a_part_of_the_configuration() {
        let text = "sources:\n  - name: a\n    files: [/var/log/a.log]\n    mapping_file: /etc/m.yaml\n    openapi: [/etc/a.json, /etc/b.json]\n\
                    keys: { token: [{ file: /etc/token }] }\n\
                    respond:\n  guard: { never_block_files: [/etc/bots.json] }\n  targets:\n    nginx:\n      - { name: x, file: /etc/nginx/deny.conf, kinds: [block] }\n";
        let files = files(text);
        let names: Vec<&str> = files.iter().filter_map(|path| path.to_str()).collect();
        assert_eq!(names, ["/etc/a.json", "/etc/b.json", "/etc/m.yaml", "/etc/token"]);
    }
}
