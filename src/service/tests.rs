//! What `check` says of followed files.

use super::*;

#[test]
fn followed_files_that_are_no_text_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().display();
    std::fs::write(folder.path().join("a.log"), "one\n").expect("written");
    std::fs::write(folder.path().join("a.log.2.xz"), b"\xFD7zXZ\0\0\x04").expect("written");
    let text = format!(
        "data_dir: {at}/data\nsources:\n  - {{ name: edge, kind: kong, files: [\"{at}/a.log*\"], follow: true }}\n"
    );
    let config: Config = serde_saphyr::from_str(&text).expect("good");
    let unread = unread(&config).expect("looked");
    assert_eq!(unread.len(), 1, "{unread:?}");
    assert!(unread[0].starts_with(&format!("sources: edge: {at}/a.log.2.xz: this is xz: unpack it")), "{unread:?}");
}
