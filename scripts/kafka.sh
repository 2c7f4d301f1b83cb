#!/usr/bin/env bash
# A real Apache Kafka broker for the tests: one node, KRaft, loopback only.
#
#   scripts/kafka.sh fetch             fetch the broker's jars with Maven, once, into a cache outside the tree
#   scripts/kafka.sh start DIR [PORT]  start a broker with its data in DIR; prints the bootstrap address when it answers
#   scripts/kafka.sh stop DIR          end it in order (SIGTERM) and wait
#   scripts/kafka.sh kill DIR          end it at once (SIGKILL)
#
# `start` writes DIR/broker.pid, DIR/bootstrap (plain) and DIR/bootstrap.sasl (SASL over TLS, see DIR/tls and
# kafka/server.properties.in); a second start in the same DIR keeps data and ports. `fetch` installs Java and Maven with
# apt-get when they are missing and it runs as root.
#
#   GATEWATCH_KAFKA_BROKERS   a broker that exists already: `start` prints it, the other verbs do nothing
#   GATEWATCH_KAFKA_HOME      where the jars are kept; default ${XDG_CACHE_HOME:-$HOME/.cache}/gatewatch/kafka
#
# It never skips in silence: what cannot be had or does not start is a message and exit 1.
set -euo pipefail
. "$(dirname "$0")/server.sh"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/kafka/pom.xml")
home=${GATEWATCH_KAFKA_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/gatewatch/kafka}
libs=$home/$version/libs
user=gatewatch
password=not-a-secret
start_seconds=90
stop_seconds=60

fetch() {
    need java openjdk-17-jre-headless
    need openssl openssl
    if [ -f "$libs/.complete" ]; then
        return
    fi
    need mvn maven
    mkdir -p "$home"
    exec 9>"$home/.lock"
    flock 9
    if [ ! -f "$libs/.complete" ]; then
        echo "kafka.sh: fetching Apache Kafka $version into $libs" >&2
        rm -rf "$libs" "$libs.part"
        mvn -q -B -f "$here/kafka/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$libs.part" >&2 ||
            fail "Maven could not fetch org.apache.kafka:kafka_2.13:$version; see above. To use a broker that runs already," \
                "set GATEWATCH_KAFKA_BROKERS=host:port"
        [ -s "$libs.part/kafka_2.13-$version.jar" ] || fail "Maven left no kafka_2.13-$version.jar in $libs.part"
        touch "$libs.part/.complete"
        mv "$libs.part" "$libs"
    fi
    exec 9>&-
}

# Asks for the cluster's brokers (Metadata, version 1, no topics) and looks whether one is in service: a port that is
# open is not enough, the node listens before it serves.
answers() {
    timeout 2 bash -c '
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf "\0\0\0\016\0\003\0\001\0\0\0\007\377\377\0\0\0\0" >&3
        [ "$(head -c 12 <&3 | od -An -v -tx1 -j 4 | tr -d " \n")" = 0000000700000001 ]' _ "$1" 2>/dev/null
}

running() {
    local pid
    pid=$(cat "$1/broker.pid" 2>/dev/null) && [ -n "$pid" ] &&
        tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$1/server.properties"
}

# A certificate authority, the broker's certificate and a client's, good for a month.
make_certificates() {
    local tls=$1/tls name
    [ -f "$tls/broker.pem" ] && return
    mkdir -p "$tls"
    local curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30)
    openssl req -x509 "${curve[@]}" -keyout "$tls/ca.key" -out "$tls/ca.pem" -subj "/CN=gatewatch test authority" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
    for name in broker client; do
        openssl req -new "${curve[@]::4}" -nodes -keyout "$tls/$name.key" -out "$tls/$name.csr" -subj "/CN=$name"
        openssl x509 -req -in "$tls/$name.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 30 \
            -out "$tls/$name.crt" -extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:localhost")
    done
    cat "$tls/broker.key" "$tls/broker.crt" >"$tls/broker.pem"
}

configure() {
    local dir=$1 port=$2 sasl_port=$3 controller_port=$4
    echo "$port $sasl_port $controller_port" >"$dir/ports"
    sed -e "s|@DIR@|$dir|g; s|@PORT@|$port|g; s|@SASL_PORT@|$sasl_port|g; s|@CONTROLLER_PORT@|$controller_port|g" \
        -e "s|@USER@|$user|g; s|@PASSWORD@|$password|g" "$here/kafka/server.properties.in" >"$dir/server.properties"
}

format() {
    local dir=$1 id scram
    [ -f "$dir/data/meta.properties" ] && return
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | tr -d '=')
    scram="[name=$user,password=$password]"
    java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$libs/*" kafka.tools.StorageTool format -t "$id" \
        -c "$dir/server.properties" --add-scram "SCRAM-SHA-256=$scram" --add-scram "SCRAM-SHA-512=$scram" \
        >"$dir/format.log" 2>&1 || { tail -20 "$dir/format.log" >&2; fail "could not format $dir/data"; }
}

launch() {
    local dir=$1
    # The lock of `fetch` and the caller's pipes must not stay open in the broker.
    nohup java -Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true \
        -Dlog4j2.configurationFile="$here/kafka/log4j2.properties" -cp "$libs/*" \
        kafka.Kafka "$dir/server.properties" >>"$dir/broker.log" 2>&1 </dev/null &
    echo $! >"$dir/broker.pid"
}

# 0 when it serves, 1 when it ended by itself; a broker that does neither in time is ended and reported.
wait_until_up() {
    local dir=$1 port=$2 try
    for try in $(seq $((start_seconds * 10))); do
        running "$dir" || { [ "$try" -lt 50 ] && kill -0 "$(cat "$dir/broker.pid")" 2>/dev/null; } || return 1
        answers "$port" && return 0
        sleep 0.1
    done
    kill_broker "$dir"
    tail -30 "$dir/broker.log" >&2
    fail "the broker did not answer on port $port within $start_seconds s"
}

start() {
    local dir=$1 port=${2:-} ports try
    if [ -n "${GATEWATCH_KAFKA_BROKERS:-}" ]; then
        echo "$GATEWATCH_KAFKA_BROKERS"
        return
    fi
    fetch
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    if running "$dir"; then
        cat "$dir/bootstrap"
        return
    fi
    make_certificates "$dir" >"$dir/tls.log" 2>&1 || { cat "$dir/tls.log" >&2; fail "openssl could not make certificates"; }
    for try in 1 2 3 4 5; do
        read -r -a ports <<<"$(cat "$dir/ports" 2>/dev/null || true)"
        if [ "${#ports[@]}" != 3 ] || { [ -n "$port" ] && [ "${ports[0]}" != "$port" ]; }; then
            ports=("${port:-$(free_port)}" "$(free_port)" "$(free_port)")
        fi
        configure "$dir" "${ports[@]}"
        format "$dir"
        launch "$dir"
        if wait_until_up "$dir" "${ports[0]}"; then
            echo "127.0.0.1:${ports[1]}" >"$dir/bootstrap.sasl"
            echo "127.0.0.1:${ports[0]}" | tee "$dir/bootstrap"
            return
        fi
        # Another process may have taken a port in between: other ports, unless the caller or the data fixed them.
        if [ -n "$port" ] || [ -f "$dir/bootstrap" ] || ! grep -q 'Address already in use' "$dir/broker.log"; then
            break
        fi
        rm -f "$dir/ports"
    done
    tail -30 "$dir/broker.log" >&2
    fail "the broker ended while starting (try $try), see $dir/broker.log"
}

wait_until_gone() {
    local dir=$1 try
    for try in $(seq $((stop_seconds * 10))); do
        running "$dir" || return 0
        sleep 0.1
    done
    return 1
}

stop() {
    local dir=$1
    if running "$dir"; then
        kill -TERM "$(cat "$dir/broker.pid")"
        wait_until_gone "$dir" || { kill_broker "$dir"; fail "the broker did not end within $stop_seconds s and was killed"; }
    fi
    rm -f "$dir/broker.pid"
}

kill_broker() {
    local dir=$1
    if running "$dir"; then
        kill -KILL "$(cat "$dir/broker.pid")"
        wait_until_gone "$dir" || fail "the broker in $dir cannot be killed"
    fi
    rm -f "$dir/broker.pid"
}

case "${1:-}:$#" in
fetch:1) [ -n "${GATEWATCH_KAFKA_BROKERS:-}" ] || fetch ;;
start:2 | start:3) start "$2" "${3:-}" ;;
stop:2) [ ! -d "$2" ] || stop "$(cd "$2" && pwd)" ;;
kill:2) [ ! -d "$2" ] || kill_broker "$(cd "$2" && pwd)" ;;
*) usage ;;
esac
