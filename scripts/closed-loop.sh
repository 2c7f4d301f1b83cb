#!/usr/bin/env bash
# Shows the closed loop on one machine: a real nginx, CrowdSec and Alertmanager, a strict receiver of cases, and Gatewatch between
# them. An attacker is blocked, paged and cased, let go, blocked again, let go; the audit tells it and verifies. About a minute
# after the build; needs what scripts/test.sh installs.
. "$(dirname "$0")/common.sh"
need_toolchain
scripts/setup-test-deps.sh
cargo test --locked --test closed_loop the_whole_loop_on_one_machine -- --nocapture
