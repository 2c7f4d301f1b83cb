# Shared by the scripts: where the build goes, and what a Debian or Ubuntu machine must have to build. Sourced, not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Outside the clone, so that a second clone does not build 380 dependencies again. Set CARGO_TARGET_DIR to move it.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/gatewatch/target}"

say() { printf '\n== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Installs Debian packages that are missing; without root it says what to install and stops.
need_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    [ "$(id -u)" = 0 ] || die "these packages are missing; as root run: apt-get install --no-install-recommends ${missing[*]}"
    say "installing ${missing[*]}"
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# The compiler and what the C parts (TLS, Kafka client, SQLite) are built with.
need_toolchain() {
    command -v cargo >/dev/null || die "cargo is not on the PATH; install Rust 1.95 or newer with rustup"
    if command -v dpkg-query >/dev/null; then
        need_packages gcc g++ make pkg-config libssl-dev zlib1g-dev
    fi
}
