#!/usr/bin/env bash
# A real Keycloak for the tests: one node, loopback only, plain HTTP, its database in a folder of the test's own.
#
#   scripts/keycloak.sh fetch             fetch the server with Maven and make it ready, once, in a cache outside the tree
#   scripts/keycloak.sh start DIR [PORT]  start a server with its data in DIR; prints its address when it answers
#   scripts/keycloak.sh stop DIR          end it (SIGTERM) and wait
#
# The realm `master` has the administrator `admin` with the password `not-a-secret`; other realms are the test's to make.
# `fetch` builds the server for its options and makes the tables once: a start then takes a copy of them, which is most of
# the time of a start. It installs Java and Maven with apt-get when they are missing and it runs as root.
#
#   GATEWATCH_KEYCLOAK_URL    a server that exists already, with that administrator (KC_BOOTSTRAP_ADMIN_USERNAME and
#                             _PASSWORD at its first start): `start` prints it, the other verbs do nothing. The tests make
#                             realms there, and clients in `master`, whose names begin with gatewatch-
#   GATEWATCH_KEYCLOAK_HOME   where the server is kept; default ${XDG_CACHE_HOME:-$HOME/.cache}/gatewatch/keycloak
#
# It never skips in silence: what cannot be had or does not start is a message and exit 1.
set -euo pipefail
. "$(dirname "$0")/server.sh"

# Downloading Keycloak saves us from believing our own idea of its Admin API.
version=26.5.6
home=${GATEWATCH_KEYCLOAK_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/gatewatch/keycloak}
# The number at the end counts how it is made ready.
ready=$home/$version-1
admin=admin
password=not-a-secret
# Most of a start is computing, which other work on the same processors makes longer: a bound for a very busy machine.
start_seconds=600
stop_seconds=60

# Becomes the server, which writes below DIR alone. Without its start script: that would stay in between, and signals with it. A
# small heap, and little time spent on making code fast that runs once.
keycloak() {
    local server=$1 dir=$2
    shift 2
    export KC_BOOTSTRAP_ADMIN_USERNAME=$admin KC_BOOTSTRAP_ADMIN_PASSWORD=$password
    exec java -Xms64m -Xmx384m -XX:MaxMetaspaceSize=256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError \
        -Djava.net.preferIPv4Stack=true -Djava.awt.headless=true -Dfile.encoding=UTF-8 -Duser.language=en \
        -Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory \
        -Djava.util.logging.manager=org.jboss.logmanager.LogManager -Dpicocli.disable.closures=true \
        --add-opens=java.base/java.util=ALL-UNNAMED --add-opens=java.base/java.util.concurrent=ALL-UNNAMED \
        --add-opens=java.base/java.security=ALL-UNNAMED -Dkc.home.dir="$server" -Djboss.server.config.dir="$server/conf" \
        -Dquarkus.transaction-manager.object-store.directory="$dir/data/transaction-logs" \
        -cp "$server/lib/quarkus-run.jar" io.quarkus.bootstrap.runner.QuarkusEntryPoint "$@"
}

# Sessions in memory, where a restart ends them; no cluster, which would listen on every address.
build=(--db=dev-file --health-enabled=false --metrics-enabled=false
    --features-disabled=persistent-user-sessions,organization,ciba,device-flow,par,kerberos,account,impersonation)
serve=(--optimized --cache=local --http-enabled=true --http-host=127.0.0.1 --hostname-strict=false --log-level=warn,io.quarkus:info)

fetch() {
    need java openjdk-17-jre-headless
    if [ -f "$ready/.complete" ]; then
        return
    fi
    need mvn maven
    mkdir -p "$home"
    exec 9>"$home/.lock"
    flock 9
    if [ ! -f "$ready/.complete" ]; then
        echo "keycloak.sh: fetching Keycloak $version into $ready" >&2
        rm -rf "$ready" "$ready.part"
        mkdir -p "$ready.part"
        mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy -DoutputDirectory="$ready.part" \
            -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:tar.gz" >&2 ||
            fail "Maven could not fetch org.keycloak:keycloak-quarkus-dist:$version:tar.gz; see above. To use a server that" \
                "runs already, set GATEWATCH_KEYCLOAK_URL=http://host:port"
        tar -C "$ready.part" -xzf "$ready.part/keycloak-quarkus-dist-$version.tar.gz" --strip-components=1 ||
            fail "what Maven left in $ready.part is no Keycloak"
        rm "$ready.part/keycloak-quarkus-dist-$version.tar.gz"
        make_ready "$ready.part"
        touch "$ready.part/.complete"
        mv "$ready.part" "$ready"
    fi
    exec 9>&-
}

# Builds it for its options, and starts it once so that there is a database to copy.
make_ready() {
    local server=$1
    (keycloak "$server" "$server" build "${build[@]}") >"$server/build.log" 2>&1 9>&- ||
        { tail -30 "$server/build.log" >&2; fail "Keycloak could not be built for its options, see $server/build.log"; }
    start_once "$server" "$server" "$(free_port)" ||
        { tail -30 "$server/server.log" >&2; fail "Keycloak ended while it made its tables"; }
    stop "$server"
    rm -f "$server/server.log" "$server/url"
}

# Its own word that it serves: at its port somebody else may answer.
is_up() {
    grep -qF "Listening on: http://127.0.0.1:$2" "$1/server.log" 2>/dev/null
}

running() {
    local pid
    pid=$(cat "$1/server.pid" 2>/dev/null) && [ -n "$pid" ] &&
        tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "jdbc:h2:file:$1/data/"
}

# 0 when it serves, 1 when it ended by itself; a server that does neither in time is ended and reported.
start_once() {
    local server=$1 dir=$2 port=$3 pid deadline=$((SECONDS + start_seconds))
    # The lock of `fetch` and the caller's pipes must not stay open in the server.
    (
        trap '' HUP
        keycloak "$server" "$dir" start "${serve[@]}" --http-port="$port" \
            --db-url="jdbc:h2:file:$dir/data/keycloakdb;NON_KEYWORDS=VALUE;DB_CLOSE_ON_EXIT=FALSE"
    ) >"$dir/server.log" 2>&1 </dev/null 9>&- &
    pid=$!
    echo "$pid" >"$dir/server.pid"
    until is_up "$dir" "$port"; do
        kill -0 "$pid" 2>/dev/null || return 1
        if [ "$SECONDS" -ge "$deadline" ]; then
            kill -KILL "$pid"
            tail -30 "$dir/server.log" >&2
            fail "Keycloak did not answer on port $port within $start_seconds s"
        fi
        sleep 0.1
    done
    echo "http://127.0.0.1:$port" >"$dir/url"
}

start() {
    local dir=$1 port=${2:-} try
    if [ -n "${GATEWATCH_KEYCLOAK_URL:-}" ]; then
        echo "$GATEWATCH_KEYCLOAK_URL"
        return
    fi
    fetch
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    if running "$dir"; then
        cat "$dir/url"
        return
    fi
    [ -z "$port" ] || ! listens "$port" || fail "somebody listens on port $port already"
    if [ ! -d "$dir/data" ]; then
        mkdir "$dir/data"
        cp "$ready/data/keycloakdb.mv.db" "$dir/data/"
    fi
    # Another process may have taken a port in between: other ports, unless the caller fixed it.
    for try in 1 2 3 4 5; do
        if start_once "$ready" "$dir" "${port:-$(free_port)}"; then
            cat "$dir/url"
            return
        fi
        [ -z "$port" ] && grep -qi 'already in use\|already bound' "$dir/server.log" || break
    done
    tail -30 "$dir/server.log" >&2
    fail "Keycloak ended while starting (try $try), see $dir/server.log"
}

stop() {
    local dir=$1 pid try
    if running "$dir"; then
        pid=$(cat "$dir/server.pid")
        kill -TERM "$pid"
        for try in $(seq $((stop_seconds * 10))); do
            running "$dir" || break
            sleep 0.1
        done
        if running "$dir"; then
            kill -KILL "$pid"
            fail "Keycloak did not end within $stop_seconds s and was killed"
        fi
    fi
    rm -f "$dir/server.pid"
}

case "${1:-}:$#" in
fetch:1) [ -n "${GATEWATCH_KEYCLOAK_URL:-}" ] || fetch ;;
start:2 | start:3) start "$2" "${3:-}" ;;
stop:2) [ ! -d "$2" ] || stop "$(cd "$2" && pwd)" ;;
*) usage ;;
esac
