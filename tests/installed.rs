//! Promise: Gatewatch installs in minutes and goes away again. The Debian package, the installation without dpkg, the
//! container's root file system, the unit, the manifests and the bill of materials are made from this very build, are
//! well-formed to those who read them, and do what `docs/install.md` says.
//!
//! What needs a machine of its own gets one: a copy-on-write view of the root file system, in namespaces of its own.

#[path = "common/machine.rs"]
mod machine;
#[allow(dead_code)] // Each test program uses its own part.
#[path = "common/process.rs"]
mod process;
#[allow(dead_code)]
#[path = "common/program.rs"]
mod program;
#[path = "common/python.rs"]
mod python;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use machine::Run;
use process::{program as tool, run as run_tool};
use program::{Ran, file, folder, path, run};
use serde_json::Value;
use tempfile::TempDir;

const BIN: &str = env!("CARGO_BIN_EXE_gatewatch");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A script of ours on this build's binary. Packages are not compressed: nobody keeps them.
fn script(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(root().join("scripts").join(name));
    command.args(arguments).env("BIN", BIN).env_remove("DESTDIR");
    command.env("DPKG_DEB_COMPRESSOR_TYPE", "none");
    command
}

/// The package, built once for all tests of this program.
fn package() -> &'static Path {
    static PACKAGE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, package) = PACKAGE.get_or_init(|| {
        let folder = folder();
        let said = run_tool(&mut script("deb.sh", &[path(folder.path())]));
        let package = PathBuf::from(said.trim());
        assert!(package.is_file(), "deb.sh said {said:?}");
        (folder, package)
    });
    package
}

/// All files below a folder: the path without it, and the mode.
fn tree(folder: &Path) -> BTreeMap<String, u32> {
    let (mut found, mut open) = (BTreeMap::new(), vec![folder.to_path_buf()]);
    while let Some(here) = open.pop() {
        for entry in fs::read_dir(&here).expect("a folder") {
            let entry = entry.expect("an entry");
            let meta = entry.metadata().expect("it is there");
            if meta.is_dir() {
                open.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(folder).expect("below it").display().to_string();
                found.insert(name, meta.permissions().mode() & 0o7777);
            }
        }
    }
    found
}

#[test]
fn the_unit_is_well_formed_and_closed() {
    let folder = folder();
    let unit = text("packaging/gatewatch.service").replace("/usr/bin/gatewatch", BIN);
    let security = |unit: &str| {
        let unit = file(&folder, "gatewatch.service", unit);
        let analyze = |arguments: &[&str]| {
            let mut command = Command::new(tool("systemd-analyze"));
            command.args(arguments).arg(&unit).output().expect("systemd-analyze runs")
        };
        let verified = analyze(&["verify", "--man=no", "--recursive-errors=no"]);
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        // The threshold is in tenths: 2.0.
        let closed = analyze(&["security", "--offline=yes", "--no-pager", "--threshold=20"]);
        (verified.status.success().then_some(said), closed.status.success())
    };
    assert_eq!(security(&unit), (Some(String::new()), true));
    // The checks themselves can fail.
    let open: String = unit.lines().filter(|line| !line.starts_with("Protect")).map(|l| format!("{l}\n")).collect();
    assert!(!security(&open).1, "a unit without protection is not closed");
    let wrong = security(&unit.replace("Type=notify", "Typ=notify"));
    assert_ne!(wrong.0.as_deref(), Some(""), "a key that is none is seen");
}

#[test]
fn the_package_has_everything_in_its_place() {
    let field = |name: &str| run_tool(Command::new("dpkg-deb").arg("-f").arg(package()).arg(name)).trim().to_owned();
    assert_eq!(field("Package"), "gatewatch");
    assert_eq!(field("Version"), format!("{}-1", env!("CARGO_PKG_VERSION")));
    let depends = field("Depends");
    for needed in ["libc6 (>= ", "libssl3", "zlib1g", "ca-certificates", "systemd"] {
        assert!(depends.contains(needed), "{depends}");
    }
    let folder = folder();
    let control = folder.path().join("control");
    run_tool(Command::new("dpkg-deb").arg("-e").arg(package()).arg(&control));
    let written = |name: &str| fs::read_to_string(control.join(name)).expect("a control file");
    assert_eq!(written("conffiles"), "/etc/gatewatch/gatewatch.yaml\n");
    assert_eq!(
        tree(&control).into_iter().filter(|(_, mode)| *mode == 0o755).map(|(name, _)| name).collect::<Vec<_>>(),
        ["postinst", "postrm", "prerm"]
    );
    let content = folder.path().join("content");
    run_tool(Command::new("dpkg-deb").arg("-x").arg(package()).arg(&content));
    let found = tree(&content);
    for expected in [
        "etc/gatewatch/gatewatch.yaml",
        "usr/bin/gatewatch",
        "usr/lib/systemd/system/gatewatch.service",
        "usr/lib/sysusers.d/gatewatch.conf",
        "usr/share/bash-completion/completions/gatewatch",
        "usr/share/doc/gatewatch/changelog.Debian.gz",
        "usr/share/doc/gatewatch/configuration.md",
        "usr/share/doc/gatewatch/copyright",
        "usr/share/doc/gatewatch/licences.txt.gz",
        "usr/share/doc/gatewatch/sbom.cdx.json.gz",
        "usr/share/fish/vendor_completions.d/gatewatch.fish",
        "usr/share/gatewatch/grafana/gatewatch.json",
        "usr/share/gatewatch/prometheus/gatewatch.rules.yml",
        "usr/share/man/man1/gatewatch-run.1.gz",
        "usr/share/man/man1/gatewatch.1.gz",
        "usr/share/zsh/vendor-completions/_gatewatch",
    ] {
        let mode = if expected == "usr/bin/gatewatch" { 0o755 } else { 0o644 };
        assert_eq!(found.get(expected), Some(&mode), "{expected}");
    }
    assert_eq!(written("md5sums").lines().count(), found.len() - 1, "a sum for each file but the configuration");
    let unit = fs::read_to_string(content.join("usr/lib/systemd/system/gatewatch.service")).expect("the unit");
    assert_eq!(unit, text("packaging/gatewatch.service"));
    let list = run_tool(Command::new("dpkg-deb").arg("-c").arg(package()));
    assert!(list.lines().all(|line| line.contains(" root/root ")), "{list}");
    let page = run_tool(Command::new("gzip").args(["-dc", path(&content.join("usr/share/man/man1/gatewatch.1.gz"))]));
    assert!(page.contains(".TH gatewatch 1") && page.contains("gatewatch\\-replay(1)"), "{page}");
}

#[test]
fn the_package_installs_upgrades_and_goes() {
    let told = machine::tell(
        Run::ByShell,
        package(),
        r#"
        state() { for each in "$@"; do [ -e "$each" ] && stat -c '%n %U:%G %a' "$each" || echo "$each is gone"; done; }
        mine() { state /usr/bin/gatewatch /etc/gatewatch /etc/gatewatch/gatewatch.yaml /var/lib/gatewatch/state.db; }
        wants=/etc/systemd/system/multi-user.target.wants/gatewatch.service
        exec 3>&1 >/tmp/dpkg.log 2>&1
        trap 'cat /tmp/dpkg.log >&2' ERR
        dpkg --force-unsafe-io --no-triggers -i /mnt/gatewatch.deb
        { echo "-- installed"; mine; state /var/lib/gatewatch; } >&3
        { echo "user: $(id -nG gatewatch), $(getent passwd gatewatch | cut -d: -f6,7)"; } >&3
        { [ -L "$wants" ] && echo "starts at boot"; } >&3
        { setpriv --reuid gatewatch --regid gatewatch --init-groups gatewatch --version; } >&3
        { man -w gatewatch; } >&3
        . /usr/share/bash-completion/completions/gatewatch
        complete -p gatewatch | grep -o '_gatewatch gatewatch' >&3
        echo '# mine' >>/etc/gatewatch/gatewatch.yaml
        touch /var/lib/gatewatch/state.db /etc/gatewatch/environment
        systemctl disable gatewatch.service
        dpkg --force-unsafe-io --no-triggers -i /mnt/gatewatch.deb
        { echo "-- upgraded"; tail -n 1 /etc/gatewatch/gatewatch.yaml; [ -e "$wants" ] || echo "stays disabled"; } >&3
        dpkg --no-triggers -r gatewatch
        { echo "-- removed"; mine; } >&3
        dpkg --no-triggers -P gatewatch
        { echo "-- purged"; mine; state /var/lib/gatewatch /etc/gatewatch/environment; } >&3
        "#,
    );
    let expected = format!(
        "-- installed
/usr/bin/gatewatch root:root 755
/etc/gatewatch root:gatewatch 750
/etc/gatewatch/gatewatch.yaml root:root 644
/var/lib/gatewatch/state.db is gone
/var/lib/gatewatch gatewatch:gatewatch 700
user: gatewatch adm, /var/lib/gatewatch:/usr/sbin/nologin
starts at boot
gatewatch {version}
/usr/share/man/man1/gatewatch.1.gz
_gatewatch gatewatch
-- upgraded
# mine
stays disabled
-- removed
/usr/bin/gatewatch is gone
/etc/gatewatch root:gatewatch 750
/etc/gatewatch/gatewatch.yaml root:root 644
/var/lib/gatewatch/state.db root:root 644
-- purged
/usr/bin/gatewatch is gone
/etc/gatewatch root:gatewatch 750
/etc/gatewatch/gatewatch.yaml is gone
/var/lib/gatewatch/state.db is gone
/var/lib/gatewatch is gone
/etc/gatewatch/environment root:root 644
",
        version = env!("CARGO_PKG_VERSION")
    );
    assert_eq!(told, expected);
}

/// As a new user, on a machine that systemd started: nginx as its package has it, ours beside it, the README's scan.
#[test]
fn a_scan_of_the_packaged_nginx_is_told_within_three_seconds_of_its_first_request() {
    let told = machine::tell(
        Run::BySystemd,
        package(),
        r#"
        journal() { journalctl -u gatewatch -o cat --no-pager; }
        trap 'journal >&2; systemctl status --no-pager gatewatch nginx >&2' ERR
        export DEBIAN_FRONTEND=noninteractive
        systemctl start nginx
        curl -s -o /dev/null http://127.0.0.1/
        dpkg --force-unsafe-io --no-triggers -i /mnt/gatewatch.deb >/mnt/dpkg.log
        echo "after the installation: $(systemctl is-active gatewatch), $(systemctl is-enabled gatewatch)"
        setpriv --reuid gatewatch --regid gatewatch --init-groups gatewatch check --config /etc/gatewatch/gatewatch.yaml
        gatewatch status >/mnt/status
        first=$(date +%s%3N)
        for path in .env .git/config admin.php backup.zip config.json wp-login.php phpinfo.php .aws/credentials \
            server-status api/swagger.json actuator/env debug; do curl -s -o /dev/null "http://127.0.0.1/$path"; done
        until journal | grep 'detector="path-probing"'; do
            [ $(($(date +%s%3N) - first)) -lt 10000 ]
            sleep 0.02
        done
        echo "milliseconds: $(($(date +%s%3N) - first))"
        curl -s http://127.0.0.1:9477/metrics | grep '^gatewatch_alerts_total{.*path-probing.*opened'
        curl -s http://127.0.0.1:9477/status | tr -d ' \n' | grep '"path-probing"[^}]*"opened":1' >/dev/null &&
            echo "in /status"
        gatewatch status | grep -q path-probing && echo "on the screen"
        systemctl stop gatewatch
        systemctl show -p Result -p ExecMainStatus -p NRestarts gatewatch
        "#,
    );
    let milliseconds = told.split("milliseconds: ").nth(1).and_then(|rest| rest.lines().next());
    let milliseconds: u64 = milliseconds.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{told}"));
    assert!(milliseconds <= 3000, "{told}");
    for words in [
        "after the installation: active, enabled",
        "gatewatch.yaml: well-formed",
        "} 1\n",
        "in /status",
        "on the screen",
        "Result=success\n",
        "ExecMainStatus=0\n",
        "NRestarts=0\n",
    ] {
        assert!(told.contains(words), "{words:?} is missing:\n{told}");
    }
}

#[test]
fn without_dpkg_the_files_go_below_a_prefix_and_away_again() {
    let machine = folder();
    let install = |arguments: &[&str]| {
        let mut command = script("install.sh", arguments);
        run_tool(command.args(["--prefix", "/usr/local"]).env("DESTDIR", machine.path()))
    };
    install(&[]);
    let first = tree(machine.path());
    for expected in [
        "usr/local/bin/gatewatch",
        "usr/local/lib/systemd/system/gatewatch.service",
        "usr/local/lib/sysusers.d/gatewatch.conf",
        "usr/local/share/man/man1/gatewatch.1.gz",
        "usr/local/share/zsh/site-functions/_gatewatch",
        "etc/gatewatch/gatewatch.yaml",
    ] {
        assert!(first.contains_key(expected), "{expected} is missing of {first:?}");
    }
    let unit = machine.path().join("usr/local/lib/systemd/system/gatewatch.service");
    let unit = fs::read_to_string(unit).expect("the unit");
    assert!(unit.contains("ExecStart=/usr/local/bin/gatewatch run") && !unit.contains("/usr/share"), "{unit}");

    // Again, as an upgrade: the configuration is its owner's.
    let configuration = machine.path().join("etc/gatewatch/gatewatch.yaml");
    fs::write(&configuration, "mine\n").expect("written");
    install(&[]);
    assert_eq!(fs::read_to_string(&configuration).expect("it is there"), "mine\n");
    let added: Vec<String> = tree(machine.path()).into_keys().filter(|name| !first.contains_key(name)).collect();
    assert_eq!(added, ["etc/gatewatch/gatewatch.yaml.new"]);

    let would = install(&["--uninstall", "--dry-run"]);
    assert!(would.contains("would run: rm -f ") && machine.path().join("usr/local/bin/gatewatch").exists(), "{would}");
    install(&["--uninstall"]);
    let left: Vec<String> = tree(machine.path()).into_keys().collect();
    assert_eq!(left, ["etc/gatewatch/gatewatch.yaml", "etc/gatewatch/gatewatch.yaml.new"]);
}

/// In the container's root file system, and nothing else, as its user.
fn in_the_container(image: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(tool("bwrap"));
    command.args(["--ro-bind", path(image), "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
    command.args(["--tmpfs", "/var/lib/gatewatch", "--unshare-all", "--uid", "65532", "--gid", "65532", "--clearenv"]);
    let output = command.args(["--cap-drop", "ALL", "/usr/bin/gatewatch"]).args(arguments).output();
    let output = output.expect("bwrap runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code().unwrap_or(-1), stdout: said(&output.stdout), stderr: said(&output.stderr) }
}

#[test]
fn the_containers_root_has_what_the_program_needs_and_no_more() {
    let folder = folder();
    let image = folder.path().join("image");
    run_tool(&mut script("rootfs.sh", &[path(&image)]));
    let version = in_the_container(&image, &["--version"]);
    assert_eq!((version.code, version.stdout), (0, format!("gatewatch {}\n", env!("CARGO_PKG_VERSION"))));
    let detectors = in_the_container(&image, &["detectors", "list"]);
    assert!(detectors.code == 0 && detectors.stdout.contains("path-probing"), "{}", detectors.stderr);
    let found = tree(&image);
    let programs: Vec<&String> = found.keys().filter(|name| name.contains("bin/")).collect();
    assert_eq!(programs, ["usr/bin/gatewatch"]);
    assert!(found.keys().any(|name| name.ends_with("ca-certificates.crt")));
    let users = fs::read_to_string(image.join("etc/passwd")).expect("users");
    assert!(users.lines().all(|user| user.ends_with("/sbin/nologin")), "{users}");
    assert_eq!(found.values().filter(|mode| **mode & 0o6000 != 0).count(), 0, "no program runs as somebody else");
}

#[test]
fn the_containers_configuration_is_well_formed_where_it_is_used() {
    let folder = folder();
    let image = folder.path().join("image");
    run_tool(&mut script("rootfs.sh", &[path(&image)]));
    let checked = in_the_container(&image, &["check", "--config", "/etc/gatewatch/gatewatch.yaml"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(checked.stdout.contains(": well-formed") && checked.stdout.contains("; 1 source"), "{}", checked.stdout);
}

/// The text below `gatewatch.yaml: |` of a ConfigMap.
fn inside(manifest: &str) -> String {
    let text = text(manifest);
    let block = text.split("gatewatch.yaml: |\n").nth(1).expect("a configuration");
    block.lines().map_while(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn every_configuration_that_comes_along_is_well_formed() {
    let folder = folder();
    let logs = folder.path().join("log");
    fs::create_dir_all(logs.join("nginx")).expect("made");
    let line = "192.0.2.7 - - [28/Nov/2026:10:00:00 +0000] \"GET /v1/orders HTTP/1.1\" 200 12 \"-\" \"curl/8.5.0\"\n";
    fs::write(logs.join("nginx/access.log"), line).expect("written");
    for (name, text) in [
        ("packaging/gatewatch.yaml", text("packaging/gatewatch.yaml")),
        ("packaging/container.yaml", text("packaging/container.yaml")),
        ("packaging/compose/gatewatch.yaml", text("packaging/compose/gatewatch.yaml")),
        ("configmap.yaml", inside("packaging/kubernetes/configmap.yaml")),
        ("daemonset.yaml", inside("packaging/kubernetes/daemonset.yaml")),
    ] {
        let here = text.replace("/var/log", path(&logs)).replace("/var/lib/gatewatch", path(folder.path()));
        let config = file(&folder, "gatewatch.yaml", here);
        let checked = finish(&config);
        assert_eq!(checked.code, 0, "{name}: {}", checked.stderr);
        for words in [": well-formed", "; 1 source", "dry run"] {
            assert!(checked.stdout.contains(words), "{name}: {}", checked.stdout);
        }
    }
}

fn finish(config: &Path) -> Ran {
    let output = program::gatewatch()
        .args(["check", "--config", path(config)])
        .env("KAFKA_PASSWORD", "not-a-real-password")
        .output()
        .expect("the program starts");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code().unwrap_or(-1), stdout: said(&output.stdout), stderr: said(&output.stderr) }
}

/// Holds files against a published schema.
fn validate(kind: &str, files: &[PathBuf]) {
    let mut command = Command::new(python::python_program("python"));
    run_tool(command.arg(root().join("tests/validate.py")).arg(kind).args(files));
}

#[test]
fn the_manifests_are_what_kubernetes_and_compose_read() {
    let folder = root().join("packaging/kubernetes");
    let manifests: Vec<String> = tree(&folder).into_keys().collect();
    let files: Vec<PathBuf> = manifests.iter().map(|name| folder.join(name)).collect();
    validate("kubernetes", &files);
    let kustomization = text("packaging/kubernetes/kustomization.yaml");
    let listed: BTreeSet<&str> = kustomization.lines().filter_map(|line| line.strip_prefix("  - ")).collect();
    let apart = ["kustomization.yaml", "podmonitor.yaml", "daemonset.yaml", "secret.example.yaml"];
    let expected: BTreeSet<&str> = manifests.iter().map(String::as_str).filter(|name| !apart.contains(name)).collect();
    assert_eq!(listed, expected);

    let compose = root().join("packaging/compose.yaml");
    validate("compose", std::slice::from_ref(&compose));
    let text = fs::read_to_string(compose).expect("it is there");
    let mounts: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("- ./")).collect();
    assert_eq!(mounts.len(), 6, "{mounts:?}");
    for mount in mounts {
        let file = mount.split(':').next().expect("a file");
        assert!(root().join("packaging").join(file).is_file(), "compose.yaml mounts {file}, which is not there");
    }
    for word in ["dockerfile: packaging/Containerfile", "context: .."] {
        assert!(text.contains(word), "{word}");
    }
}

/// Name, version and checksum of every package of Cargo.lock.
fn locked() -> BTreeSet<(String, String, Option<String>)> {
    let lock = text("Cargo.lock");
    let packages = lock.split("[[package]]").skip(1).map(|block| {
        let value = |key: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")));
            line.map(|rest| rest.trim_end_matches('"').to_owned())
        };
        (value("name").expect("a name"), value("version").expect("a version"), value("checksum"))
    });
    packages.collect()
}

#[test]
fn the_bill_of_materials_is_that_of_cargo_lock() {
    let folder = folder();
    let made = |name: &str| {
        let place = folder.path().join(name);
        run_tool(&mut script("sbom.sh", &[path(&place)]));
        place
    };
    let (first, second) = (made("first"), made("second"));
    let read = |place: &Path, name: &str| fs::read_to_string(place.join(name)).expect("it was made");
    for name in ["sbom.cdx.json", "licences.txt"] {
        assert!(read(&first, name) == read(&second, name), "{name}: two runs differ");
    }
    validate("sbom", &[first.join("sbom.cdx.json")]);

    let bill: Value = serde_json::from_str(&read(&first, "sbom.cdx.json")).expect("JSON");
    let mut components = bill["components"].as_array().cloned().expect("components");
    components.push(bill["metadata"]["component"].clone());
    let word = |value: &Value| value.as_str().expect("a text").to_owned();
    let named = |component: &Value| {
        let checksum = component["hashes"][0]["content"].as_str().map(str::to_owned);
        (word(&component["name"]), word(&component["version"]), checksum)
    };
    assert_eq!(components.iter().map(named).collect::<BTreeSet<_>>(), locked());
    let known: BTreeSet<String> = components.iter().map(|component| word(&component["bom-ref"])).collect();
    for dependency in bill["dependencies"].as_array().expect("a graph") {
        let all = dependency["dependsOn"].as_array().expect("a list").iter().chain([&dependency["ref"]]);
        for reference in all {
            assert!(known.contains(&word(reference)), "{reference} is no component");
        }
    }
    let report = read(&first, "licences.txt");
    assert!(report.contains("    tokio 1.") && report.contains("Permission is hereby granted"));
}

#[test]
fn a_licence_that_is_not_allowed_is_refused_by_name() {
    let folder = folder();
    let metadata = folder.path().join("metadata.json");
    let cargo = ["metadata", "--locked", "--offline", "--format-version", "1"];
    let told = run_tool(Command::new(env!("CARGO")).args(cargo).current_dir(root()));
    fs::write(&metadata, told).expect("written");
    let refused = |deny: String| {
        let deny = file(&folder, "deny.toml", deny);
        let mut command = Command::new("python3");
        command.arg(root().join("scripts/sbom.py")).arg(root().join("Cargo.lock")).arg(deny).arg(folder.path());
        let output = command.stdin(fs::File::open(&metadata).expect("there")).output().expect("python3 is there");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(refused(text("deny.toml")).0, Some(0));
    let (code, said) = refused(text("deny.toml").replace("\"MPL-2.0\"", "\"MPL-1.1\""));
    assert_eq!(code, Some(1));
    assert!(said.lines().all(|line| line.ends_with(": MPL-2.0: not in the list `allow` of deny.toml")), "{said}");
    // One of two is enough, both of two are needed.
    let (code, said) = refused(text("deny.toml").replace("\"Unicode-3.0\", ", ""));
    assert!(code == Some(1) && said.contains("unicode-ident") && !said.contains("tokio"), "{said}");
}

#[test]
fn what_would_be_done_is_said_without_doing_it() {
    let said = run_tool(&mut script("install.sh", &["--dry-run", "--prefix", "/opt/gatewatch"]));
    for step in ["stage.sh", "install -d -o gatewatch -g gatewatch -m 0700 /var/lib/gatewatch"] {
        assert!(said.contains(step), "{said}");
    }
    assert!(!Path::new("/opt/gatewatch").exists());
    let page = run(&["man"]);
    assert!(page.code == 0 && page.stdout.contains(".TH gatewatch 1"), "{}", page.stderr);
}
