#!/usr/bin/env bash
# Builds Gatewatch and runs the demo: API traffic with planted attacks through the whole pipeline, no Kafka, no cloud.
# The first build takes about 11 minutes on two cores; later runs start at once. Arguments go to `gatewatch demo`.
. "$(dirname "$0")/common.sh"
need_toolchain
say "building (the first time about 11 minutes on two cores)"
cargo build --locked
mkdir -p bin
ln -sf "$CARGO_TARGET_DIR/debug/gatewatch" bin/gatewatch
exec bin/gatewatch demo "$@"
