"""Amazon SNS on this machine: its host with a certificate, its signing key, and signed messages."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from shared.json_types import JsonObject

HOST = "sns.eu-central-1.amazonaws.com"
# One of the loopback network, so that no other server has its port 443.
ADDRESS = "127.83.78.83"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:shop"
CERTIFICATE = "/SimpleNotificationService-0123456789abcdef.pem"
SIGNED = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


@dataclass
class Sns:
    """The server; `asked` are the paths it was asked for, and `moves` makes it answer confirmations with a redirect."""

    key: rsa.RSAPrivateKey
    certificate: bytes
    asked: list[str] = field(default_factory=list)
    moves: bool = False

    def message(self, kind: str, **changed: str) -> JsonObject:
        """A message as SNS writes it, not signed yet."""
        message = {
            "Type": kind,
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Message": "You have chosen to subscribe to the topic.",
            "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "SignatureVersion": "1",
            "SigningCertURL": f"https://{HOST}{CERTIFICATE}",
        }
        if kind == "SubscriptionConfirmation":
            message |= {
                "Token": "2336412f37",
                "SubscribeURL": f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37",
            }
        return {**message, **changed}

    def signed(self, message: JsonObject) -> JsonObject:
        """The message with its signature.

        https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
        """
        names = [name for name in SIGNED if name in message]
        content = "".join(f"{name}\n{message[name]}\n" for name in names).encode()
        signature = self.key.sign(content, padding.PKCS1v15(), hashes.SHA1())  # SNS's version 1
        return {**message, "Signature": base64.b64encode(signature).decode()}


@contextmanager
def sns(folder: Path) -> Iterator[tuple[Sns, ssl.SSLContext]]:
    """The server at port 443 of its address, and a context of TLS that trusts its host's certificate. `PermissionError`
    where a user may not take that port."""
    key = rsa.generate_private_key(65537, 2048)
    certificate = _certificate(key)
    found = Sns(key, certificate)

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            moved = found.moves and "Action=" in self.path
            self.send_response(302 if moved else 200)
            if moved:
                self.send_header("Location", f"https://{HOST}/elsewhere")
            self.end_headers()
            self.wfile.write(certificate if self.path == CERTIFICATE else b"<ConfirmSubscriptionResponse/>")

        def log_message(self, *_: object) -> None:
            """Nothing."""

    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "sns.pem").write_bytes(certificate + private)
    server = ThreadingHTTPServer((ADDRESS, 443), Site)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "sns.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found, ssl.create_default_context(cadata=certificate.decode())
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def name_server(host: str) -> tuple[str, ...]:
    """The addresses of a host in a network of this machine alone."""
    return (ADDRESS,) if host == HOST else ()


def _certificate(key: rsa.RSAPrivateKey) -> bytes:
    now, name = datetime.now(UTC), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)
