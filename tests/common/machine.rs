//! A machine of one's own for a test that installs things: a copy-on-write view of the root file system, with
//! processes, a network and control groups of its own. By systemd it is really started, as a machine is.
//!
//! Promises: nothing that is done there reaches this machine, and nothing is left when it ends; a story that stops
//! midway fails the test with what was said.
//! Never: pulls a network in from outside; there is loopback alone.

use std::path::Path;
use std::process::Command;

use super::process::{program, run};

/// Who runs the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// A shell, and nothing else runs there.
    ByShell,
    /// systemd, as the first process, with its journal. The machine is switched off at the end of the story.
    BySystemd,
}

/// `$1` is an empty folder, `$2` the package, which is there as /mnt/gatewatch.deb, `$3` the story, `$4` who runs it.
const MACHINE: &str = r#"
    set -eu
    mount --make-rprivate /
    mount -t tmpfs -o mode=0755 tmpfs "$1"
    mkdir "$1/upper" "$1/work" "$1/root" "$1/mnt" "$1/groups"
    cp "$2" "$1/mnt/gatewatch.deb"
    printf '%s\ntouch /mnt/told\n' "$3" >"$1/mnt/story"
    mount -t cgroup2 cgroup2 "$1/groups"
    group=$1/groups/gatewatch-test.$$
    mkdir "$group"
    trap 'find "$group" -depth -type d -exec rmdir {} +' EXIT
    inner() {
        set -eu
        mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
        cd "$1/root"
        mount -t proc proc proc
        mount -t sysfs sysfs sys
        mount -t cgroup2 cgroup2 sys/fs/cgroup
        mount --rbind /dev dev
        for fresh in run tmp; do mount -t tmpfs tmpfs "$fresh"; done
        mount --bind "$1/mnt" mnt
        ip link set lo up
        if [ "$2" = shell ]; then exec chroot . /bin/bash -eu /mnt/story; fi
        rm -f usr/sbin/policy-rc.d
        printf '[Unit]\nWants=story.service\n' >etc/systemd/system/story.target
        printf '%s\n' '[Unit]' 'JobTimeoutSec=60' 'JobTimeoutAction=poweroff-force' '[Service]' 'Type=oneshot' \
            'ExecStart=/bin/bash -eu /mnt/story' 'ExecStopPost=/bin/systemctl poweroff --force' \
            'StandardOutput=file:/mnt/out' 'StandardError=file:/mnt/err' >etc/systemd/system/story.service
        # A root that was merely changed to may not make the namespaces that the unit asks for.
        mkdir -p mnt/before
        pivot_root . mnt/before
        umount -l /mnt/before
        exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=story.target
    }
    # The parentheses end with the machine; its groups are removed after it.
    (
        echo $BASHPID >"$group/cgroup.procs"
        exec timeout --kill-after=5 100 unshare --mount --net --pid --uts --ipc --cgroup --fork --kill-child \
            bash -c "$(declare -f inner); inner \"\$@\"" inner "$1" "$4"
    ) || [ "$4" = systemd ]
    if [ "$4" = systemd ]; then cat "$1/mnt/out"; cat "$1/mnt/out" "$1/mnt/err" >&2; fi
    [ -e "$1/mnt/told" ]
"#;

/// Runs a story (lines for bash, which stops at the first that fails) as root of a machine with this package in /mnt,
/// and gives what it printed.
pub fn tell(by: Run, package: &Path, story: &str) -> String {
    let user = run(Command::new("id").arg("-u"));
    assert_eq!(user.trim(), "0", "this test makes a machine of its own out of this one: run it as root");
    let place = tempfile::tempdir().expect("a temporary folder");
    let by = if by == Run::BySystemd { "systemd" } else { "shell" };
    let mut command = Command::new(program("unshare"));
    command.args(["--mount", "--", "bash", "-c", MACHINE, "machine"]).arg(place.path()).arg(package);
    command.args([story, by]).env("DEBIAN_FRONTEND", "noninteractive");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
    run(&mut command)
}
