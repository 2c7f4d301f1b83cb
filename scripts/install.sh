#!/usr/bin/env bash
# Installs Gatewatch as a service of this machine: program, user, folders, unit, configuration, manual and completions.
#
#   scripts/install.sh [--dry-run] [--no-start] [--prefix DIR] [--uninstall]
#
#   --dry-run      say what would be done, and do nothing
#   --no-start     install, but neither enable nor start the service
#   --prefix DIR   where to; default /usr/local. Given, no Debian package is made
#   --uninstall    stop the service and remove what was installed; configuration and tables stay
#
#   BIN=path       a binary that is built already; default: cargo build --release (35 to 45 minutes on two cores)
#   DESTDIR=path   install below this folder, without user, folders and service: for those who make packages
#
# On Debian and Ubuntu it builds the package (deb.sh) and installs that. Elsewhere it needs systemd. A configuration that
# is there and was changed is never overwritten: the new one is put beside it (gatewatch.yaml.new; .dpkg-dist by dpkg).
# Installing again upgrades. Run it as who builds: what needs root is done by sudo.
. "$(dirname "$0")/common.sh"
usage() { sed -n '2,/^\. /{/^\. /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit "$1"; }

dry_run= start=1 uninstall= prefix= destdir=${DESTDIR:-}
while [ $# -gt 0 ]; do
    case $1 in
    --dry-run) dry_run=1 ;;
    --no-start) start= ;;
    --uninstall) uninstall=1 ;;
    --prefix) [ $# -gt 1 ] || usage 2; prefix=${2%/}; shift ;;
    --help | -h) usage 0 ;;
    *) usage 2 ;;
    esac
    shift
done
case "$prefix" in "" | /*) ;; *) die "--prefix $prefix: expected a path that begins with /" ;; esac
debian=
[ -n "$prefix$destdir" ] || ! command -v dpkg-deb >/dev/null || ! command -v apt-get >/dev/null || debian=1
prefix=${prefix:-/usr/local}

# Who may change this machine: root, and below a folder of one's own anybody.
sudo=
if [ -z "$destdir" ] && [ "$(id -u)" != 0 ]; then sudo=sudo; fi
[ -z "$sudo" ] || [ -n "$dry_run" ] || command -v sudo >/dev/null || die "installing needs root, and there is no sudo: run this as root"

# Does it, or says what it would do.
act() {
    if [ -n "$dry_run" ]; then
        printf 'would run:'
        printf ' %q' "$@"
        printf '\n'
    else
        "$@"
    fi
}
running_systemd() { [ -z "$destdir" ] && [ -d /run/systemd/system ]; }
need_binary() {
    if [ -z "${BIN:-}" ]; then
        BIN=$CARGO_TARGET_DIR/release/gatewatch
        [ -n "$dry_run" ] || need_toolchain
        act cargo build --release --locked
    elif [ ! -x "$BIN" ]; then
        die "$BIN is not there, or no program"
    fi
}

install_package() {
    need_binary
    if [ -n "$dry_run" ]; then
        act env "BIN=$BIN" scripts/deb.sh packages
        act $sudo apt-get install ./packages/gatewatch_VERSION_ARCHITECTURE.deb
        return
    fi
    local package policy=/usr/sbin/policy-rc.d
    package=$(BIN=$BIN scripts/deb.sh packages)
    if [ -z "$start" ] && [ ! -e "$policy" ]; then
        # How Debian's tools are told to start no service.
        trap '$sudo rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' | $sudo install -m 0755 /dev/stdin "$policy"
    fi
    # The same version again is a build of another day; a changed configuration is its owner's.
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --reinstall --allow-downgrades \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$(realpath "$package")"
    say "installed: $package"
}

# The list of what was installed is kept, so that exactly that is removed.
files=$prefix/share/gatewatch/installed-files

install_files() {
    need_binary
    if [ -n "$dry_run" ]; then
        act scripts/stage.sh "$BIN" / "$prefix"
    else
        work=$(mktemp -d)
        trap 'rm -rf "$work"' EXIT
        scripts/stage.sh "$BIN" "$work/root" "$prefix"
        # Another version's files that this one does not have go away.
        (cd "$work/root" && find . -type f ! -path './etc/gatewatch/*' | sed 's/^\.//' && echo "$files") | sort >"$work/files"
        if [ -f "$destdir$files" ]; then
            comm -13 "$work/files" "$destdir$files" | while read -r old; do $sudo rm -f "$destdir$old"; done
        fi
        while read -r file; do
            [ "$file" != "$files" ] || continue
            # Renamed into place: a program that runs keeps its own.
            $sudo install -D -m "$(stat -c %a "$work/root$file")" "$work/root$file" "$destdir$file.part"
            $sudo mv -f "$destdir$file.part" "$destdir$file"
        done <"$work/files"
        $sudo install -D -m 0644 "$work/files" "$destdir$files"
        install_configuration "$work/root/etc/gatewatch/gatewatch.yaml" "$destdir/etc/gatewatch/gatewatch.yaml"
    fi
    if [ -z "$destdir" ]; then
        make_user
        act $sudo install -d -o root -g gatewatch -m 0750 /etc/gatewatch
        act $sudo install -d -o gatewatch -g gatewatch -m 0700 /var/lib/gatewatch
    fi
    if running_systemd; then
        act $sudo systemctl daemon-reload
        if [ -n "$start" ]; then
            act $sudo systemctl enable gatewatch.service
            act $sudo systemctl restart gatewatch.service
        fi
    fi
}

install_configuration() { # NEW PLACE
    if ! $sudo test -e "$2"; then
        $sudo install -D -m 0644 "$1" "$2"
    elif ! $sudo cmp -s "$1" "$2"; then
        $sudo install -m 0644 "$1" "$2.new"
        say "$2 is yours and stays; what comes with this version is beside it as gatewatch.yaml.new"
    fi
}

make_user() {
    if command -v systemd-sysusers >/dev/null; then
        act $sudo systemd-sysusers "$prefix/lib/sysusers.d/gatewatch.conf"
    elif ! id gatewatch >/dev/null 2>&1; then
        act $sudo useradd --system --user-group --no-create-home --home-dir /var/lib/gatewatch --shell /usr/sbin/nologin gatewatch
        ! getent group adm >/dev/null || act $sudo usermod -a -G adm gatewatch
    fi
}

remove() {
    if [ -n "$debian" ] && dpkg-query -W -f='${Status}' gatewatch 2>/dev/null | grep -q 'ok installed'; then
        act $sudo apt-get remove -y gatewatch
        say "removed; configuration and tables stay (apt-get purge gatewatch removes them)"
        return
    fi
    [ -f "$destdir$files" ] || die "$destdir$files is not there: nothing was installed at the prefix $prefix"
    if running_systemd; then act $sudo systemctl disable --now gatewatch.service; fi
    while read -r file; do act $sudo rm -f "$destdir$file"; done <"$destdir$files"
    act $sudo find "$destdir$prefix/share/gatewatch" "$destdir$prefix/share/doc/gatewatch" -depth -type d -empty -delete
    if running_systemd; then act $sudo systemctl daemon-reload; fi
    say "removed; these stay, and are yours to remove: /etc/gatewatch, /var/lib/gatewatch, the user gatewatch"
}

if [ -n "$uninstall" ]; then
    remove
elif [ -n "$debian" ]; then
    install_package
else
    [ -n "$destdir" ] || [ -d /run/systemd/system ] || command -v systemctl >/dev/null ||
        die "this machine has no systemd; with DESTDIR set the files alone are installed"
    install_files
fi
if [ -z "$dry_run$uninstall$destdir" ]; then
    say "next: gatewatch status; journalctl -u gatewatch -f; docs/install.md says more"
fi
