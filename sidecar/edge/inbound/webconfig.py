"""What `admin.web_config_file` and the files that it names hold, made ready for use: each file is read once, and wholly taken or not."""

import os
import ssl
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

from sidecar.config import CipherSuite, ClientAuth, Curve, TlsServer, TlsVersion, WebConfig
from sidecar.core.settings.certificates import Validity, read_validity
from sidecar.core.settings.web_config import list_remarks, read_web_config
from sidecar.edge.documents import FILE_BYTES_MAX, read_document
from sidecar.errors import ConfigError, ConfigProblem

_SECTION: Final = "tls_server_config"
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"
# What OpenSSL calls it when a key is another certificate's, of the same kind or of another.
_NO_PAIR: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_VERSIONS: Final = {TlsVersion.TLS13: ssl.TLSVersion.TLSv1_3}  # of all others TLS 1.2 is as near as it gets
_VERIFY: Final = {ClientAuth.VERIFY_IF_GIVEN: ssl.CERT_OPTIONAL, ClientAuth.REQUIRE_AND_VERIFY: ssl.CERT_REQUIRED}
# Names of OpenSSL; suites of TLS 1.3 cannot be chosen, neither here nor in Go.
_CURVES: Final = {Curve.P256: "prime256v1", Curve.P384: "secp384r1", Curve.P521: "secp521r1", Curve.X25519: "X25519"}
_CIPHERS: Final = {
    CipherSuite.ECDSA_AES_128_CBC: "ECDHE-ECDSA-AES128-SHA",
    CipherSuite.ECDSA_AES_256_CBC: "ECDHE-ECDSA-AES256-SHA",
    CipherSuite.RSA_AES_128_CBC: "ECDHE-RSA-AES128-SHA",
    CipherSuite.RSA_AES_256_CBC: "ECDHE-RSA-AES256-SHA",
    CipherSuite.ECDSA_AES_128: "ECDHE-ECDSA-AES128-GCM-SHA256",
    CipherSuite.ECDSA_AES_256: "ECDHE-ECDSA-AES256-GCM-SHA384",
    CipherSuite.RSA_AES_128: "ECDHE-RSA-AES128-GCM-SHA256",
    CipherSuite.RSA_AES_256: "ECDHE-RSA-AES256-GCM-SHA384",
    CipherSuite.RSA_CHACHA20: "ECDHE-RSA-CHACHA20-POLY1305",
    CipherSuite.ECDSA_CHACHA20: "ECDHE-ECDSA-CHACHA20-POLY1305",
}


class Prepared(NamedTuple):
    """A web configuration that can be put in force as it stands."""

    config: WebConfig
    context: ssl.SSLContext | None  # None: plain HTTP
    validity: Validity | None  # of the certificate, where it could be read
    remarks: tuple[str, ...]
    digest: bytes  # of all that was read: the same for the same contents


class WebFileError(Exception):
    """What is wrong with a file that is named: where it is named, what was found, what is allowed. Holds nothing of the file."""

    def __init__(self, name: str, found: str, allowed: str) -> None:
        super().__init__(name)
        self.problem = ConfigProblem(f"{_SECTION}.{name}", found, allowed)


def prepare(path: str, known: bytes | None = None) -> Prepared | None:
    """Read a web configuration and all it names; return None where that is what `known` is the digest of.

    Raises ConfigError with every problem. Waits for the disk: not for the event loop.
    """
    document = read_document(path)
    config = read_web_config(document)
    tls = config.tls_server_config
    material = _Material(tls or TlsServer(), Path(path).parent)
    digest = sha256(repr(config).encode())
    for name, text in material.texts.items():
        digest.update(f"{name} {len(text)} ".encode() + text)
    if digest.digest() == known and not material.problems:
        return None
    context = None if tls is None else _make_context(tls, material)
    if material.problems:
        lines = {".".join(map(str, place)): line for place, line in document.lines.items()}
        raise ConfigError(path, [problem._replace(line=lines.get(problem.path)) for problem in material.problems])
    validity = _read_validity(material.texts["cert"]) if tls else None
    return Prepared(config, context, validity, tuple(list_remarks(config)), digest.digest())


class _Material:
    """Certificate, key and authority as bytes, each from its file or from the configuration itself. `problems` fills up."""

    def __init__(self, tls: TlsServer, folder: Path) -> None:
        self.problems: list[ConfigProblem] = []
        self.texts: dict[str, bytes] = {}
        self.names: dict[str, str] = {}  # by which setting each was given
        for name in ("cert", "key", "client_ca"):
            file, inline = getattr(tls, f"{name}_file"), getattr(tls, name)
            self.names[name] = name if file is None else f"{name}_file"
            try:
                if file is not None:
                    self.texts[name] = _read(folder / file, f"{name}_file")
                elif inline is not None:
                    self.texts[name] = inline.encode()
            except WebFileError as error:
                self.problems.append(error.problem)


def _read(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise WebFileError(name, f"a file that cannot be read ({reason})", "a readable PEM file") from None
    if not data.strip() or len(data) > FILE_BYTES_MAX:
        raise WebFileError(name, "a file that is too large" if data.strip() else "an empty file", "a readable PEM file")
    return data


def _make_context(tls: TlsServer, material: _Material) -> ssl.SSLContext:
    """Return what connections are encrypted with. `material.problems` fills up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS.get(tls.min_version, ssl.TLSVersion.TLSv1_2)
    context.maximum_version = _VERSIONS.get(tls.max_version, ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols(["http/1.1"])
    ciphers = [_CIPHERS[suite] for suite in tls.cipher_suites if suite in _CIPHERS]
    if ciphers:
        context.set_ciphers(":".join(ciphers))
    elif tls.cipher_suites:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.curve_preferences:
        context.set_ecdh_curve(_CURVES[tls.curve_preferences[0]])
    context.verify_mode = _VERIFY.get(tls.client_auth_type, ssl.CERT_NONE)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as in Go: whatever is in client_ca_file is trusted, a root or not
    for load in (_load_pair, _load_authority):
        try:
            load(context, material)
        except WebFileError as error:
            material.problems.append(error.problem)
    return context


def _load_authority(context: ssl.SSLContext, material: _Material) -> None:
    name, text = material.names["client_ca"], material.texts.get("client_ca")
    if text is None:
        if context.verify_mode is not ssl.CERT_NONE and not material.problems:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    if _CERTIFICATE not in text:
        raise WebFileError(name, "no certificate in it", "certificates of authorities (PEM)")
    try:
        context.load_verify_locations(cadata=text.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError) as error:
        raise WebFileError(name, f"no certificate that can be read ({_name(error)})", "certificates of authorities (PEM)") from None


def _load_pair(context: ssl.SSLContext, material: _Material) -> None:
    """Load certificate and key, which the ssl module takes from paths only: of files in memory, so that what was read is what is used."""
    cert, key = material.texts.get("cert"), material.texts.get("key")
    allowed = {"cert": "a certificate, with those between it and its authority after it (PEM)", "key": "its key, unencrypted (PEM)"}
    for name, text, sign in (("cert", cert, _CERTIFICATE), ("key", key, _KEY)):
        if text is not None and sign not in text:
            what = "no certificate in it" if name == "cert" else "no private key in it"
            material.problems.append(WebFileError(material.names[name], what, allowed[name]).problem)
            return
    if cert is None or key is None:
        return
    with ExitStack() as stack:
        cert_path, key_path = (_keep_in_memory(stack, text) for text in (cert, key))
        try:
            # Without a password for it, OpenSSL would ask the terminal.
            context.load_cert_chain(cert_path, key_path, password=lambda: b"")
        except (ssl.SSLError, ValueError) as error:
            if getattr(error, "reason", None) in _NO_PAIR:
                raise WebFileError(material.names["key"], "a key that is not the certificate's", allowed["key"]) from None
            name = "key" if _is_certificate(cert) else "cert"
            raise WebFileError(material.names[name], f"nothing that can be used ({_name(error)})", allowed[name]) from None


def _keep_in_memory(stack: ExitStack, text: bytes) -> str:
    file = os.memfd_create("pem", os.MFD_CLOEXEC)
    stack.callback(partial(os.close, file))
    os.write(file, text)
    return f"/proc/self/fd/{file}"


def _is_certificate(text: bytes) -> bool:
    """Whether all certificates of a text can be read."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError):
        return False
    return True


def _name(error: Any) -> str:
    """OpenSSL's own word for it, which quotes nothing."""
    reason: str | None = getattr(error, "reason", None)
    return reason.lower().replace("_", " ") if reason else "not PEM"


def _read_validity(text: bytes) -> Validity | None:
    try:
        first = text[text.index(_CERTIFICATE) : text.index(_END) + len(_END)]
        return read_validity(ssl.PEM_cert_to_DER_cert(first.decode("ascii", "replace")))
    except ValueError:
        return None
