#!/bin/sh
# Captures the logs in this folder's parent again: real nginx, Apache httpd and Envoy on loopback, invented traffic.
# Needs nginx and apache2 (Debian packages), Python 3, and ENVOY=/path/to/envoy (without it that log is left out).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
CAPTURE=$(mktemp -d)
export CAPTURE
mkdir "$CAPTURE/tmp"
chmod -R 777 "$CAPTURE"
cd "$CAPTURE"
trap 'kill $started 2>/dev/null || true; rm -rf "$CAPTURE"' EXIT
started=
python3 "$here/traffic.py" serve & started="$started $!"
nginx -p "$CAPTURE/" -c "$here/nginx.conf" & started="$started $!"
/usr/sbin/apache2 -d "$CAPTURE" -f "$here/apache.conf" -D FOREGROUND & started="$started $!"
ports="18180 18181"
if [ -n "${ENVOY:-}" ]; then
    "$ENVOY" -c "$here/envoy.yaml" --concurrency 1 -l error --disable-hot-restart & started="$started $!"
    ports="$ports 18182"
fi
for port in 18100 $ports; do
    until python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null; do sleep 0.1; done
done
# The checks above may have left lines; the capture begins now.
for log in nginx-combined nginx-json apache-combined envoy-json; do : > "$log.log"; done
# shellcheck disable=SC2086
python3 "$here/traffic.py" drive $ports
sleep 11 # Envoy flushes its log every ten seconds.
# Envoy adds the address of the machine it runs on to the header; it is nobody's business.
sed -i -E 's/("x_forwarded_for":"[^",]+),[0-9a-f.:]+"/\1,192.0.2.250"/' envoy-json.log
for log in nginx-combined nginx-json apache-combined envoy-json; do
    if [ -s "$log.log" ]; then cp "$log.log" "$here/../$log.log"; fi
done
