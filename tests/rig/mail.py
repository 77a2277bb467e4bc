"""A mail server on loopback that keeps what it is sent (RFC 5321, as much of it as one client needs)."""

import base64
import contextlib
import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Final, NamedTuple

_ANSWERS: Final = {b"EHLO": b"250-mail.test\r\n250 AUTH PLAIN\r\n", b"QUIT": b"221 bye\r\n", b"DATA": b"354 go on\r\n"}


class Letter(NamedTuple):
    """One mail: who sent it with which credential, to whom, and the message."""

    user: str
    password: str
    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage

    def part(self, kind: str) -> str:
        """Return the text of a part, "plain" or "html"."""
        part = self.message.get_body((kind,))
        assert part is not None
        text: str = part.get_content()
        return text


class Mailbox:
    """What came, in order."""

    def __init__(self) -> None:
        self.address = ""  # host:port
        self.letters: list[Letter] = []


@contextlib.contextmanager
def receive_mail() -> Iterator[Mailbox]:
    """Serve until the block ends."""
    box = Mailbox()

    class _Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 mail.test ESMTP\r\n")
            user = password = sender = ""
            recipients: list[str] = []
            while line := self.rfile.readline():
                verb = line[:4].upper()
                if verb == b"AUTH":
                    _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
                elif verb == b"MAIL":
                    sender = _read_address(line)
                elif verb == b"RCPT":
                    recipients.append(_read_address(line))
                self.wfile.write(_ANSWERS.get(verb, b"235 well\r\n" if verb == b"AUTH" else b"250 well\r\n"))
                if verb == b"DATA":
                    message = email.message_from_bytes(self._read_data(), EmailMessage, policy=email.policy.default)
                    box.letters.append(Letter(user, password, sender, tuple(recipients), message))
                    self.wfile.write(b"250 kept\r\n")
                elif verb == b"QUIT":
                    return

        def _read_data(self) -> bytes:
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line.removeprefix(b"."))
            return b"".join(lines)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler) as server:
        host, port = server.server_address
        box.address = f"{host!s}:{port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield box
        finally:
            server.shutdown()
            thread.join()


def _read_address(line: bytes) -> str:
    return line.split(b"<")[1].split(b">")[0].decode()
