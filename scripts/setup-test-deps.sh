#!/bin/sh
# Install the real programs the tests talk to: a CrowdSec local API, nginx with ModSecurity, HAProxy, Prometheus, Alertmanager,
# a Java runtime with Maven (for Kafka and Keycloak), senders of logs, and what packages are made and looked at with.
#
# Idempotent, and quick when everything is there. Needs Debian or Ubuntu and root for the installing part; anyone else
# gets the exact command to hand to an administrator, and exit code 1. No service is started and none that runs is touched:
# the tests start their own processes, with their own configuration, on free loopback ports.
#
# Usage: scripts/setup-test-deps.sh [--check]     --check only reports; it installs nothing.
set -eu

# Daemons live in sbin, which is not on everyone's path.
PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin"
export PATH

# command:package, one a line. A command that exists is never installed again, wherever it came from; a file with its whole
# path stands for what is no command.
NEEDED="
crowdsec:crowdsec
cscli:crowdsec
nginx:nginx-light
/usr/lib/nginx/modules/ngx_http_modsecurity_module.so:libnginx-mod-http-modsecurity
haproxy:haproxy
prometheus:prometheus
promtool:prometheus
prometheus-alertmanager:prometheus-alertmanager
java:default-jre-headless
mvn:maven
bwrap:bubblewrap
curl:curl
dpkg-shlibdeps:dpkg-dev
ip:iproute2
logger:bsdutils
man:man-db
python3:python3
systemd-analyze:systemd
"

is_there() {
    case "$1" in /*) [ -e "$1" ] ;; *) command -v "$1" >/dev/null 2>&1 ;; esac
}

missing_packages() {
    for pair in $NEEDED; do
        is_there "${pair%%:*}" || echo "${pair##*:}"
    done | sort -u | tr '\n' ' '
}

say() { printf 'setup-test-deps: %s\n' "$*" >&2; }

missing="$(missing_packages)"
if [ -z "$missing" ]; then
    say "everything is installed"
    exit 0
fi
if [ "${1:-}" = "--check" ]; then
    say "missing: $missing"
    exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
    say "missing: $missing"
    say "this machine has no apt-get: install these programs by its own package manager, then run me again:"
    for pair in $NEEDED; do say "  ${pair%%:*}"; done
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    say "missing: $missing"
    say "installing needs root. Run:  sudo $0"
    exit 1
fi

# CrowdSec's packaged set-up registers with its makers' central service, and fails where that cannot be reached. It skips the
# registration when a credentials file exists, so an empty one is put there first. The tests never use this file.
prepare_crowdsec() {
    [ -e /etc/crowdsec/online_api_credentials.yaml ] && return 0
    mkdir -p /etc/crowdsec
    printf '{}\n' >/etc/crowdsec/online_api_credentials.yaml
    chmod 600 /etc/crowdsec/online_api_credentials.yaml
}

# Exit 101 is how a policy file tells Debian's tools not to start a service on install. Ours goes away again; an existing
# one is somebody's decision and stays.
policy=/usr/sbin/policy-rc.d
forbid_services() {
    [ -e "$policy" ] && return 0
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
}

install_packages() {
    # shellcheck disable=SC2086 # one word per package is wanted
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -q -y --no-install-recommends install $missing
}

case " $missing" in *" crowdsec "*) prepare_crowdsec ;; esac
forbid_services
say "installing: $missing"
apt-get -o DPkg::Lock::Timeout=600 -q update >&2
install_packages >&2 || {
    # A half-configured package from an earlier failed install is the usual reason: finish it, then try once more.
    DEBIAN_FRONTEND=noninteractive dpkg --configure -a >&2
    install_packages >&2
}

# Nor at the next boot: what was installed for tests is not a service of this machine.
for unit in crowdsec haproxy nginx prometheus prometheus-alertmanager; do
    case " $missing" in *" $unit "* | *" $unit-light "*) systemctl disable "$unit" >/dev/null 2>&1 || true ;; esac
done

missing="$(missing_packages)"
if [ -n "$missing" ]; then
    say "still missing after the installation: $missing"
    exit 1
fi
say "everything is installed"
