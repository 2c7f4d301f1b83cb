"""The API behind the gateways and the traffic in front of them, all on loopback, all invented.

    traffic.py serve            the API, on port 18100
    traffic.py drive PORT...    three minutes of requests, the same to each gateway
"""
import base64
import http.server
import random
import re
import socket
import sys
import time

OBJECTS = re.compile(r"^/v1/(orders|invoices|customers|products|documents)(/[0-9]{4,8})?(/items)?$")
PLAIN = {"/v1/users/me", "/v1/search", "/v1/settings", "/v1/notifications", "/status"}
TOKEN = "FAKE-valid-token-of-an-invented-user"
WRONG = "Basic " + base64.b64encode(b"henrik.soler:FAKE-mistyped").decode()


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        path = self.path.split("?")[0]
        size = 40
        if path == "/v1/auth/login":
            status = 401 if self.headers.get("Authorization") == WRONG else 200
        elif path.startswith("/v1/") and TOKEN not in (self.headers.get("Authorization") or ""):
            status = 401
        elif not (OBJECTS.match(path) or path in PLAIN):
            status = 404
        elif path.endswith("/9999"):
            status = 404
        elif path == "/v1/search" and "q=slow" in self.path:
            status, size = 503, 90
            time.sleep(0.2)
        else:
            status, size = (201 if self.command == "POST" else 200), 200 + hash_of(path) % 9000
        body = b"" if self.command == "HEAD" else b"x" * size
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_HEAD = do_OPTIONS = do_PATCH = do_DELETE = answer

    def log_message(self, *args):
        pass


def hash_of(text):
    value = 7
    for character in text:
        value = value * 31 + ord(character) & 0xFFFFFF
    return value


BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0"
PHONE = "AcmeDesk/5.12.0 (iPhone; iOS 18.1; Scale/3.00)"
USERS = [(f"192.0.2.{10 + n}", BROWSER if n % 3 else PHONE) for n in range(9)] + [("2001:db8:7::21", BROWSER)]
GOOD = f"Bearer {TOKEN}"


def ordinary(rng):
    address, agent = rng.choice(USERS)
    kind = rng.choice(["orders", "orders", "invoices", "customers", "products", "documents"])
    number = rng.randrange(1000, 99999)
    method, path = rng.choice([
        ("GET", f"/v1/{kind}?page={rng.randrange(1, 9)}&limit=50"), ("GET", f"/v1/{kind}/{number}"),
        ("GET", f"/v1/{kind}/{number}"), ("GET", f"/v1/{kind}/{number}/items"), ("POST", f"/v1/{kind}"),
        ("PATCH", f"/v1/{kind}/{number}"), ("GET", "/v1/users/me"), ("GET", "/v1/notifications"),
        ("GET", "/v1/search?q=annual+plan"),
    ])
    return address, agent, method, path, GOOD


def plan(rng):
    """(second, address, user agent, method, target, authorization), in order of time."""
    lines = [(rng.uniform(0, 170), *ordinary(rng)) for _ in range(240)]
    lines += [(n * 15.0, "198.51.100.5", "ELB-HealthChecker/2.0", "GET", "/status", "") for n in range(12)]
    # Small mishaps of every day.
    lines += [
        (12, "192.0.2.12", BROWSER, "GET", "/v1/orders/9999", GOOD),
        (31, "192.0.2.13", BROWSER, "GET", "/v1/orders/4711", ""),
        (44, "192.0.2.14", BROWSER, "GET", "/v1/search?q=slow", GOOD),
        (51, "192.0.2.15", BROWSER, "GET", "/v1/documents?owner=ana.silva%40example.com&name=caf%C3%A9", GOOD),
        (58, "192.0.2.16", BROWSER, "GET", "/v1/orders?access_token=FAKE0123456789abcdef0123456789abcdef", GOOD),
        (63, "192.0.2.17", 'Odd "agent" with \\ and \t in it', "GET", "/v1/settings", GOOD),
        (71, "192.0.2.10", PHONE, "OPTIONS", "/v1/orders", GOOD),
        (72, "192.0.2.10", PHONE, "HEAD", "/v1/products", GOOD),
    ]
    lines += [(80 + n * 6, "192.0.2.18", BROWSER, "POST", "/v1/auth/login", WRONG) for n in range(2)]
    # A sweep: 120 paths in 40 seconds, with a valid token.
    names = "orders invoices customers products documents users teams reports exports admin internal debug".split()
    paths = [f"/v1/{name}/{part}" for name in names for part in
             "all export config keys backup audit schema tokens count latest".split()]
    lines += [(90 + n / 3, "203.0.113.77", "Go-http-client/1.1", "GET", path, GOOD) for n, path in enumerate(paths)]
    # Forty invented tokens in twenty seconds, from an address not seen before.
    lines += [(140 + n / 2, "203.0.113.140", "python-requests/2.32.3", "GET", "/v1/users/me",
               f"Bearer FAKE{rng.getrandbits(64):016x}") for n in range(40)]
    # Well-known weak spots.
    probes = ("/.env /wp-login.php /.git/config /phpmyadmin/ /server-status /actuator/env /xmlrpc.php /backup.zip "
              "/.aws/credentials /config.json /admin.php /cgi-bin/luci /.htpasswd /dump.sql /setup.cgi").split()
    lines += [(163 + n / 2, "203.0.113.19", "Mozilla/5.0", "GET", path, "") for n, path in enumerate(probes)]
    return sorted(lines)


def send(port, address, agent, method, target, authorization):
    body = b'{"note":"invented"}' if method in ("POST", "PATCH") else b""
    head = [f"{method} {target} HTTP/1.1", "Host: api.example.com", f"X-Forwarded-For: {address}",
            f"User-Agent: {agent}", "Connection: close", f"Content-Length: {len(body)}"]
    if authorization:
        head.append(f"Authorization: {authorization}")
    exchange(port, "\r\n".join(head).encode() + b"\r\n\r\n" + body)


def exchange(port, data):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        peer.sendall(data)
        while peer.recv(65536):
            pass


def drive(ports):
    start = time.monotonic()
    for second, *request in plan(random.Random(20260105)):
        time.sleep(max(0.0, start + second - time.monotonic()))
        for port in ports:
            send(port, *request)
    for port in ports:
        # Somebody speaks TLS to the plain port.
        exchange(port, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        http.server.ThreadingHTTPServer(("127.0.0.1", 18100), Api).serve_forever()
    else:
        drive([int(port) for port in sys.argv[2:]])
