#!/usr/bin/env bash
# The root file system of the container: the binary, the libraries it is linked with, certificate authorities, a user,
# and a configuration. No shell, no package manager, nothing else. packaging/Containerfile copies it into an empty image;
# without a container engine it can be run by chroot or bubblewrap.
#
#   scripts/rootfs.sh DIR       BIN=path names the binary; default: cargo build --release
#
# The user is 65532, without a name to log in by. DIR must not be there, or be empty.
. "$(dirname "$0")/common.sh"
[ $# = 1 ] || { sed -n '2,/^\. /{/^\. /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
[ -z "$(ls -A "$1" 2>/dev/null)" ] || die "$1 is not empty"
if [ -z "${BIN:-}" ]; then
    need_toolchain
    cargo build --release --locked
    BIN=$CARGO_TARGET_DIR/release/gatewatch
fi
authorities=/etc/ssl/certs/ca-certificates.crt
[ -f "$authorities" ] || need_packages ca-certificates
umask 022
mkdir -p "$1"
root=$(cd "$1" && pwd)

install -D -m 0755 "$BIN" "$root/usr/bin/gatewatch"
[ -z "${STRIP:-}" ] || strip --strip-unneeded "$root/usr/bin/gatewatch"
# Where the loader looks for them: the names that ldd gives, and the loader itself.
libraries() { ldd "$1" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p'; }
# Names are looked up by libraries that glibc loads when it needs them.
resolver=$(libraries "$BIN" | sed -n 's:/libc\.so\.6$::p')
for library in $(libraries "$BIN") "$resolver/libnss_dns.so.2" "$resolver/libnss_files.so.2" "$resolver/libresolv.so.2"; do
    [ -e "$library" ] || die "$library is missing"
    [ -e "$root$library" ] || install -D -m 0755 "$library" "$root$library"
done

install -D -m 0644 "$authorities" "$root$authorities"
# Where OpenSSL, which speaks to Kafka, looks for them.
mkdir -p "$root/usr/lib/ssl"
ln -s "$authorities" "$root/usr/lib/ssl/cert.pem"
install -D -m 0644 packaging/container.yaml "$root/etc/gatewatch/gatewatch.yaml"
printf 'root:x:0:0:root:/:/sbin/nologin\ngatewatch:x:65532:65532:Gatewatch:/var/lib/gatewatch:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\ngatewatch:x:65532:\n' >"$root/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$root/etc/nsswitch.conf"
install -d -m 1777 "$root/tmp"
install -d -m 0700 "$root/var/lib/gatewatch"
install -d -m 0755 "$root/var/log/gateway" "$root/proc" "$root/dev"
# Only root can give it away; the container's build is root.
[ "$(id -u)" != 0 ] || chown 65532:65532 "$root/var/lib/gatewatch"
