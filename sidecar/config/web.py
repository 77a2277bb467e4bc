"""The file of `admin.web_config_file`: TLS, passwords, headers and a rate, in the form that Prometheus and its exporters share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.config.units import Lifetime, Lines


class ClientAuth(StrEnum):
    """What is asked of a client's certificate, by the names of Go's `tls.ClientAuthType`."""

    NONE = "NoClientCert"
    REQUEST = "RequestClientCert"
    REQUIRE_ANY = "RequireAnyClientCert"
    REQUIRE = "RequireClientCert"  # an older name of the one before
    VERIFY_IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRE_AND_VERIFY = "RequireAndVerifyClientCert"


class TlsVersion(StrEnum):
    """A version of TLS."""

    TLS10 = "TLS10"
    TLS11 = "TLS11"
    TLS12 = "TLS12"
    TLS13 = "TLS13"


class Curve(StrEnum):
    """A group of an ECDHE handshake."""

    P256 = "CurveP256"
    P384 = "CurveP384"
    P521 = "CurveP521"
    X25519 = "X25519"


class CipherSuite(StrEnum):
    """A cipher suite by its name at IANA: those that Go holds for safe. The first three are those of TLS 1.3."""

    TLS13_AES_128 = "TLS_AES_128_GCM_SHA256"
    TLS13_AES_256 = "TLS_AES_256_GCM_SHA384"
    TLS13_CHACHA20 = "TLS_CHACHA20_POLY1305_SHA256"
    ECDSA_AES_128_CBC = "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"
    ECDSA_AES_256_CBC = "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"
    RSA_AES_128_CBC = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"
    RSA_AES_256_CBC = "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"
    ECDSA_AES_128 = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    ECDSA_AES_256 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    RSA_AES_128 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
    RSA_AES_256 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
    RSA_CHACHA20 = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
    ECDSA_CHACHA20 = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"


@dataclass(frozen=True, slots=True)
class TlsServer:
    """Certificate and key are files, or stand here themselves (PEM); paths are seen from the file's folder."""

    cert_file: str | None = None
    key_file: str | None = None
    cert: Lines | None = None
    key: Lines | None = None
    client_auth_type: ClientAuth = ClientAuth.NONE
    client_ca_file: str | None = None
    client_ca: Lines | None = None
    client_allowed_sans: tuple[str, ...] = ()
    min_version: TlsVersion = TlsVersion.TLS12
    max_version: TlsVersion = TlsVersion.TLS13
    cipher_suites: tuple[CipherSuite, ...] = ()  # up to TLS 1.2
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[Curve, ...] = ()

    @property
    def has_authority(self) -> bool:
        """Whether it says who has to have signed certificates of clients."""
        return self.client_ca_file is not None or self.client_ca is not None


@dataclass(frozen=True, slots=True)
class HttpServer:
    http2: bool | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestRate:
    """A token bucket for all requests together, but for those of probes."""

    interval: Lifetime = 0.0  # between two requests; 0 for as many as come
    burst: int | None = None


@dataclass(frozen=True, slots=True)
class WebConfig:
    tls_server_config: TlsServer | None = None
    http_server_config: HttpServer = field(default_factory=HttpServer)
    basic_auth_users: Mapping[str, str] = field(default_factory=dict)  # by name: the bcrypt hash of the password
    rate_limit: RequestRate = field(default_factory=RequestRate)
