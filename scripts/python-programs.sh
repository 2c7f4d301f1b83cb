#!/usr/bin/env bash
# Python programs the tests talk to, in an environment outside the tree, made once: other engines that read our tables
# (tests/open_tables.rs), a server of the S3 API (tests/lake_in_a_bucket.rs), a mail server (tests/respond_email.rs), and
# the schemas of those who read our bill of materials, our manifests and our compose file (tests/installed.rs).
. "$(dirname "$0")/common.sh"
home="${XDG_CACHE_HOME:-$HOME/.cache}/gatewatch/python"
wanted="deltalake==1.6.6 duckdb==2.0.0 pyarrow moto[server]==5.2.5 check-jsonschema==0.39.0 cyclonedx-python-lib==11.12.0 \
jsonschema-rs==0.60.3 kubernetes-validate==1.37.0 aiosmtpd==1.4.6"
if [ "$(cat "$home/.complete" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
command -v python3 >/dev/null && python3 -c 'import ensurepip' 2>/dev/null || need_packages python3 python3-venv
say "Python programs for the tests: $wanted"
python3 -m venv "$home"
# shellcheck disable=SC2086 # one word per package is wanted
"$home/bin/pip" install -q $wanted
printf '%s' "$wanted" >"$home/.complete"
