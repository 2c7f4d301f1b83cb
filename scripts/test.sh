#!/usr/bin/env bash
# Runs every test against real parts: Apache Kafka, CrowdSec, nginx. Installs and fetches what they need first.
# GATEWATCH_KAFKA_BROKERS=host:port uses a broker that is there already. GATEWATCH_REFERENCE=folder adds the tests against
# other tools' data, which is not part of the repository.
. "$(dirname "$0")/common.sh"
need_toolchain
say "programs the tests talk to"
scripts/setup-test-deps.sh
scripts/kafka.sh fetch
scripts/python-programs.sh
say "format and lints"
cargo fmt --all --check
# Lints have a build folder of their own, so that they and the build do not wait for each other.
CARGO_TARGET_DIR="$CARGO_TARGET_DIR/lint" cargo clippy --locked --workspace --all-targets -- -D warnings
say "tests"
if [ -n "${GATEWATCH_REFERENCE:-}" ]; then
    cargo test --locked --workspace --no-fail-fast -- --include-ignored
else
    cargo test --locked --workspace --no-fail-fast
    say "GATEWATCH_REFERENCE is not set: the tests named 'ignored' above, against other tools' data, did not run"
fi
