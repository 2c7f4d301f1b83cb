#!/usr/bin/env bash
# Runs every test against real parts: Apache Kafka, CrowdSec, nginx. Installs and fetches what they need first.
# GATEWATCH_KAFKA_BROKERS=host:port uses a broker that is there already.
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
cargo test --locked --workspace --no-fail-fast
