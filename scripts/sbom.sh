#!/usr/bin/env bash
# What is inside the binary: a bill of materials (CycloneDX 1.6) and the licences, from Cargo.lock.
#
#   scripts/sbom.sh DIR     writes DIR/sbom.cdx.json (every crate: version, address, licence, checksum, what it depends on)
#                           and DIR/licences.txt (the crates by licence, and the text of every licence and notice)
#
# Fails when a crate has no licence or one that deny.toml does not allow. Fetches crates that are not here yet; two runs
# on one Cargo.lock give the same bytes.
. "$(dirname "$0")/common.sh"
[ $# = 1 ] || { sed -n '2,/^\. /{/^\. /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
command -v cargo >/dev/null || die "cargo is not on the PATH; install Rust 1.95 or newer with rustup"
command -v python3 >/dev/null || need_packages python3
mkdir -p "$1"
# Offline where everything is here, which is quick and needs nobody.
metadata() { cargo metadata --locked --format-version 1 "$@"; }
{ metadata --offline 2>/dev/null || metadata; } | python3 scripts/sbom.py Cargo.lock deny.toml "$1"
