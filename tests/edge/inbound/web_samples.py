"""Web configurations, good and bad, with what we and what promtool say of them, and the certificates that they name."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key

HASH: Final = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
PAIR: Final = "cert_file: server.crt, key_file: server.key"
_CA: Final = f"{PAIR}, client_ca_file: ca.crt"
PAST: Final = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC))


class Sample(NamedTuple):
    """One file. `problem`: what we say of it, empty where it is good. `is_good`: whether promtool takes it.

    `is_new`: there is something in it that promtool 2 does not know.
    """

    text: str
    problem: str = ""
    is_good: bool = True
    is_new: bool = False


def _tls(members: str, problem: str = "", *, is_good: bool = True, is_new: bool = False) -> Sample:
    return Sample(f"tls_server_config: {{{members}}}\n", f"tls_server_config.{problem}" if problem else "", is_good, is_new)


GOOD: Final = {
    "empty": Sample(""),
    "tls": _tls(PAIR),
    "requests": _tls(f"{PAIR}, client_auth_type: RequestClientCert"),
    "verifies-given": _tls(f"{_CA}, client_auth_type: VerifyClientCertIfGiven"),
    "verifies": _tls(f"{_CA}, client_auth_type: RequireAndVerifyClientCert"),
    "verifies-by-the-system": _tls(f"{PAIR}, client_auth_type: RequireAndVerifyClientCert"),
    "names": _tls(f"{_CA}, client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [a.test]", is_new=True),
    "versions": _tls(f"{PAIR}, min_version: TLS13, max_version: TLS13"),
    "old-versions": _tls(f"{PAIR}, min_version: TLS10"),
    "suites": _tls(f"{PAIR}, cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]"),
    "order": _tls(f"{PAIR}, prefer_server_cipher_suites: false, curve_preferences: [CurveP256, X25519]"),
    "blank": _tls(f"{PAIR}, client_auth_type: '', client_ca_file: ''"),
    "http": Sample("http_server_config: {http2: false}\n"),
    "headers": Sample(
        "http_server_config:\n  headers: {Content-Security-Policy: default-src 'self', X-Frame-Options: deny, X-Content-Type-Options: "
        "nosniff, X-XSS-Protection: 1; mode=block, Strict-Transport-Security: max-age=31536000}\n"
    ),
    "users": Sample(f"basic_auth_users: {{alice: {HASH}, bob: {HASH}}}\n"),
    "everything": Sample(f"tls_server_config: {{{PAIR}}}\nhttp_server_config: {{http2: true}}\nbasic_auth_users: {{alice: {HASH}}}\n"),
    "rate": Sample("rate_limit: {interval: 100ms, burst: 10}\n", is_new=True),
    "no-rate": Sample("rate_limit: {interval: 0, burst: 0}\n", is_new=True),
}
BAD: Final = {
    "text": Sample("just text\n", "", False),
    "unknown": Sample("tls_config: {}\n", "tls_config: found a key", False),
    "unknown-member": _tls(f"{PAIR}, cert_filse: a", "cert_filse: found a key", is_good=False),
    "no-key": _tls("cert_file: server.crt", "key_file: found nothing", is_good=False),
    "no-certificate": _tls("key_file: server.key", "cert_file: found nothing", is_good=False),
    "missing": _tls("cert_file: gone.crt, key_file: server.key", "cert_file: found a file that cannot be read (No such", is_good=False),
    "missing-key": _tls("cert_file: server.crt, key_file: gone.key", "key_file: found a file that cannot be read", is_good=False),
    "missing-authority": _tls(
        f"{PAIR}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: gone.crt", "client_ca_file: found a file", is_good=False
    ),
    "folder": _tls(f"{PAIR.replace('server.key', '.')}", "key_file: found a file that cannot be read", is_good=False),
    "other-key": _tls("cert_file: server.crt, key_file: other.key", "key_file: found a key that is not the certificate's", is_good=False),
    "other-kind": _tls("cert_file: server.crt, key_file: rsa.key", "key_file: found a key that is not the certificate's", is_good=False),
    "half": _tls("cert_file: half.crt, key_file: server.key", "cert_file: found nothing that can be used", is_good=False),
    "half-key": _tls("cert_file: server.crt, key_file: half.key", "key_file: found nothing that can be used", is_good=False),
    "empty-file": _tls("cert_file: empty.pem, key_file: server.key", "cert_file: found an empty file", is_good=False),
    "junk": _tls("cert_file: junk.pem, key_file: server.key", "cert_file: found no certificate in it", is_good=False),
    "swapped": _tls("cert_file: server.key, key_file: server.crt", "cert_file: found no certificate in it", is_good=False),
    "locked": _tls("cert_file: server.crt, key_file: locked.key", "key_file: found nothing that can be used", is_good=False),
    "nobody-asked": _tls(_CA, "client_ca_file: found an authority that nobody is asked for", is_good=False),
    "auth": _tls(f"{PAIR}, client_auth_type: Always", "client_auth_type: found 'Always'", is_good=False),
    "suite": _tls(f"{PAIR}, cipher_suites: [TLS_ECDHE_SHA2048]", "cipher_suites[0]: found", is_good=False),
    "curve": _tls(f"{PAIR}, curve_preferences: [CurveP257]", "curve_preferences[0]: found", is_good=False),
    "version": _tls(f"{PAIR}, min_version: TLS111", "min_version: found", is_good=False),
    "header": Sample("http_server_config: {headers: {Server: a}}\n", "http_server_config.headers.Server: found", False),
    "frame": Sample("http_server_config: {headers: {X-Frame-Options: a}}\n", "http_server_config.headers.X-Frame-Options: found", False),
    "type": Sample("http_server_config: {headers: {X-Content-Type-Options: a}}\n", "http_server_config.headers.X-Content-Type", False),
    "hash": Sample("basic_auth_users: {alice: hunter2}\n", "basic_auth_users.alice: found something that may be a secret", False),
    "no-hash": Sample("basic_auth_users: {alice: ''}\n", "basic_auth_users.alice: found something", False),
    "pace": Sample("rate_limit: {interval: often, burst: 1}\n", "rate_limit.interval: found 'often'", False, is_new=True),
}
# What promtool takes, and we do not, since it would not do what it says.
STRICTER: Final = {
    "any": _tls(f"{PAIR}, client_auth_type: RequireAnyClientCert", "client_auth_type: found 'RequireAnyClientCert'"),
    "names-of-nobody": _tls(f"{PAIR}, client_allowed_sans: [a]", "client_allowed_sans: found names that nobody", is_new=True),
    "no-names": _tls(f"{_CA}, client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: []", "client_allowed_sans:", is_new=True),
    "versions-crossed": _tls(f"{PAIR}, min_version: TLS13, max_version: TLS12", "min_version: found"),
    "too-old": _tls(f"{PAIR}, max_version: TLS11", "max_version: found"),
    "no-tls-at-all": _tls("min_version: TLS13", "cert_file: found nothing"),
    "no-authority": _tls(f"{PAIR}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: junk.pem", "client_ca_file: found no c"),
    "half-authority": _tls(f"{PAIR}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: half.crt", "client_ca_file: found no c"),
    "user": Sample(f"basic_auth_users: {{'a:b': {HASH}}}\n", "basic_auth_users.'a:b': found a name"),
    "cost": Sample(f"basic_auth_users: {{a: {HASH.replace('$10$', '$31$')}}}\n", "basic_auth_users.a: found something"),
    "nothing-goes": Sample("rate_limit: {interval: 1s, burst: 0}\n", "rate_limit.burst: found nothing", is_new=True),
    "nanoseconds": Sample("rate_limit: {interval: 5, burst: 1}\n", "rate_limit.interval: found 5", is_new=True),
}  # fmt: skip


class Authority:
    """Issues certificates, and writes them down."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self.pem = self._ca.cert_pem.bytes()

    def trust(self) -> ssl.SSLContext:
        """Return what a client has to whom its word is good."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        context.set_alpn_protocols(["http/1.1"])
        return context

    def issue(
        self, *names: str, days: float = 30.0, dates: tuple[datetime, datetime] | None = None,
        kind: trustme.KeyType = trustme.KeyType.ECDSA,
    ) -> tuple[bytes, bytes]:  # fmt: skip
        """Return a certificate and its key (PEM)."""
        now = datetime.now(UTC)
        begins, ends = dates or (now - timedelta(days=1), now + timedelta(days=days))
        made = self._ca.issue_cert(*(names or ("localhost", "127.0.0.1")), not_before=begins, not_after=ends, key_type=kind)
        return b"".join(each.bytes() for each in made.cert_chain_pems), made.private_key_pem.bytes()

    def certify(self, folder: Path, *names: str) -> ssl.SSLContext:
        """Return what a client has to whom its word is good, and who has a certificate for these names."""
        context = self.trust()
        for name, text in zip(("client.crt", "client.key"), self.issue(*names), strict=True):
            (folder / name).write_bytes(text)
        context.load_cert_chain(folder / "client.crt", folder / "client.key")
        return context


def write_files(folder: Path) -> Authority:
    """Write every file that a sample names into a folder."""
    authority = Authority()
    cert, key = authority.issue()
    locked = load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2"))
    files = {
        "server.crt": cert, "server.key": key, "other.key": authority.issue()[1], "ca.crt": authority.pem,
        "rsa.key": authority.issue(kind=trustme.KeyType.RSA)[1],
        "half.crt": cert[: len(cert) // 3], "half.key": key[: len(key) // 2], "empty.pem": b"", "junk.pem": b"junk\n", "locked.key": locked,
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).write_bytes(text)
    return authority
