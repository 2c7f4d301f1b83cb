#!/usr/bin/env bash
# Runs every test against real parts: Apache Kafka, CrowdSec, nginx, Keycloak. Installs and fetches what they need first.
# GATEWATCH_KAFKA_BROKERS=host:port uses a broker that is there already, GATEWATCH_KEYCLOAK_URL=http://host:port a Keycloak.
# GATEWATCH_REFERENCE=folder adds the tests against other tools' data, which is not part of the repository.
. "$(dirname "$0")/common.sh"
need_toolchain
say "programs the tests talk to"
scripts/setup-test-deps.sh
# These come by network while the compiler works.
mkdir -p "$CARGO_TARGET_DIR"
fetched="$CARGO_TARGET_DIR/fetched.txt"
{ scripts/kafka.sh fetch && scripts/keycloak.sh fetch && scripts/python-programs.sh; } >"$fetched" 2>&1 &
fetching=$!
trap 'kill "$fetching" 2>/dev/null || true' EXIT
# Also what other systems depend on: the bill of materials lists it, and tests ask without the network.
cargo fetch --locked
say "format and lints"
cargo fmt --all --check
# In the build's own folder: what builds the dependencies' C parts and macros is the same for both.
cargo clippy --locked --workspace --all-targets -- -D warnings
say "build"
cargo test --locked --workspace --no-run
wait "$fetching" || { cat "$fetched"; die "what the tests need could not be fetched; see above"; }
trap - EXIT
say "tests"
if [ -n "${GATEWATCH_REFERENCE:-}" ]; then
    cargo test --locked --workspace --no-fail-fast -- --include-ignored
else
    cargo test --locked --workspace --no-fail-fast
    say "GATEWATCH_REFERENCE is not set: the tests named 'ignored' above, against other tools' data, did not run"
fi
