"""A mail server for tests: keeps each mail as one JSON file, and is as strict as a company's submission server.

usage: smtp_server.py PORT FOLDER [CERTIFICATE KEY]
With a certificate it offers STARTTLS and takes mail only after it and after a login; without one it takes mail as it comes.
"nobody@..." is refused for good and "later@..." for now.
"""

import json
import os
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

USER, PASSWORD = b"gatewatch", b"not-a-real-password"


class Keeper:
    def __init__(self, folder):
        self.folder, self.count = folder, 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("later@"):
            return "451 4.2.1 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "encrypted": session.ssl is not None,
            "login": session.authenticated,
            "text": envelope.original_content.decode("ascii"),
        }
        path = os.path.join(self.folder, f"{self.count:04}.json")
        with open(path + ".part", "w") as file:
            json.dump(mail, file)
        os.rename(path + ".part", path)
        return f"250 2.0.0 kept as {self.count}"


def login(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER, PASSWORD)
    return AuthResult(success=right, handled=right)


def main():
    port, folder, certificate = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    options = {}
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        options = {"tls_context": context, "require_starttls": True, "authenticator": login, "auth_required": True}
    Controller(Keeper(folder), hostname="127.0.0.1", port=port, **options).start()
    threading.Event().wait()


main()
