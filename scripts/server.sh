# What the scripts of servers for the tests share: messages, programs of Debian, ports. Sourced; it does nothing by itself.

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

java_major() {
    java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -1
}

# Debian's package for a command, and whether the command that is there will do.
need() {
    local command=$1 package=$2
    if command -v "$command" >/dev/null && { [ "$command" != java ] || [ "$(java_major)" -ge 17 ]; }; then
        return
    fi
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
        fail "$command is missing (Java must be 17 or newer): install $package, or run as root where apt-get is to be had"
    echo "$(basename "$0"): installing $package" >&2
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"; } >&2 ||
        fail "apt-get could not install $package"
    hash -r
}

listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# A port nobody listens on, below the range that the kernel hands out for outgoing connections.
free_port() {
    local port try
    for try in $(seq 100); do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        if ! listens "$port"; then
            echo "$port"
            return
        fi
    done
    fail "found no free port after $try tries"
}

# What stands at the head of the script.
usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
}
