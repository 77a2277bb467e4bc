"""The file of `admin.web_config_file`: what it may say, and what is said of the rest."""

from typing import Any

import pytest
import yaml

from sidecar.config import CipherSuite, ClientAuth, Curve, HttpServer, RequestRate, TlsServer, TlsVersion, WebConfig
from sidecar.core.settings.tree import Document, Fault
from sidecar.core.settings.web_config import list_remarks, read_web_config
from sidecar.errors import ConfigError

HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
PAIR = {"cert_file": "a.crt", "key_file": "a.key"}
CA = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.crt"}


def read(text: str | dict[str, Any]) -> WebConfig:
    """Return what a text of YAML, or a tree, says."""
    return read_web_config(Document("web.yml", (yaml.safe_load(text) or {}) if isinstance(text, str) else text, {}))


def find(tree: dict[str, Any]) -> list[str]:
    """Return every problem of a tree."""
    with pytest.raises(ConfigError) as raised:
        read(tree)
    assert raised.value.source == "web.yml"
    return [str(problem) for problem in raised.value.problems]


def test_everything_that_it_may_say() -> None:
    """Each member of the format, as its documentation has it."""
    found = read(f"""
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: VerifyClientCertIfGiven
  client_ca_file: ca.crt
  client_allowed_sans: [prometheus.monitoring.svc]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [X25519]
http_server_config:
  http2: false
  headers: {{Strict-Transport-Security: max-age=31536000, X-XSS-Protection: 1}}
basic_auth_users:
  alice: {HASH}
rate_limit: {{interval: 100ms, burst: 5}}
""")
    assert found == WebConfig(
        TlsServer(
            "server.crt", "server.key", None, None, ClientAuth.VERIFY_IF_GIVEN, "ca.crt", None, ("prometheus.monitoring.svc",),
            TlsVersion.TLS12, TlsVersion.TLS13, (CipherSuite.RSA_AES_128,), False, (Curve.X25519,),
        ),
        HttpServer(False, {"Strict-Transport-Security": "max-age=31536000", "X-XSS-Protection": "1"}),
        {"alice": HASH},
        RequestRate(0.1, 5),
    )  # fmt: skip
    assert list_remarks(found) == []


def test_certificates_may_stand_in_it() -> None:
    """Over several lines."""
    pem = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"
    tls = read({"tls_server_config": {"cert": pem, "key": "a\nb", "client_ca": pem, "client_auth_type": "RequireAndVerifyClientCert"}})
    assert tls.tls_server_config is not None and tls.tls_server_config.has_authority
    assert (tls.tls_server_config.cert, tls.tls_server_config.key, tls.tls_server_config.client_ca) == (pem, "a\nb", pem)


@pytest.mark.parametrize(
    "text",
    ["", "tls_server_config:", "tls_server_config: {}", "tls_server_config: {cert_file: '', client_auth_type: ''}", "basic_auth_users:",
     "http_server_config: {headers: {Content-Security-Policy: ''}}", "rate_limit: {interval: 0, burst: 0}", "rate_limit: {interval: 0s}"],
)  # fmt: skip
def test_nothing_is_nothing(text: str) -> None:
    """A heading without anything under it, and what is blank, stand for nothing."""
    found = read(text)
    assert found.http_server_config == HttpServer() and found.basic_auth_users == {} and found.rate_limit.interval == 0
    assert found.tls_server_config in (None, TlsServer())
    assert list_remarks(found) == []


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        ({"min_version": "TLS13"}, "cert_file: found nothing"),
        ({"key_file": "a"}, "cert_file: found nothing"),
        ({"cert_file": "a"}, "key_file: found nothing"),
        (PAIR | {"cert": "x"}, "cert: found cert beside cert_file"),
        (PAIR | {"key": "hunter2"}, "key: found key beside key_file"),
        (PAIR | CA | {"client_ca": "x"}, "client_ca: found client_ca beside client_ca_file"),
        (PAIR | {"client_ca_file": "a"}, "client_ca_file: found an authority that nobody is asked for"),
        (PAIR | {"client_ca": "a"}, "client_ca: found an authority that nobody is asked for"),
        (PAIR | {"client_auth_type": "RequireAnyClientCert"}, "client_auth_type: found 'RequireAnyClientCert'; allowed: NoClientCert, R"),
        (PAIR | {"client_auth_type": "RequireClientCert"}, "client_auth_type: found 'RequireClientCert'; allowed: NoClientCert, R"),
        (PAIR | {"client_auth_type": "Require"}, "client_auth_type: found 'Require'; allowed: "),
        (PAIR | {"client_allowed_sans": ["a"]}, "client_allowed_sans: found names that nobody is asked for"),
        (PAIR | {"client_allowed_sans": ["a"], "client_auth_type": "RequestClientCert"}, "client_allowed_sans: found names that nobody"),
        (PAIR | CA | {"client_allowed_sans": []}, "client_allowed_sans: found an empty list"),
        (PAIR | {"min_version": "TLS111"}, "min_version: found 'TLS111'; allowed: TLS10, TLS11, TLS12 or TLS13"),
        (PAIR | {"max_version": "TLS11"}, "max_version: found 'TLS11'; allowed: TLS12 or TLS13"),
        (PAIR | {"max_version": "TLS12", "min_version": "TLS13"}, "min_version: found 'TLS13', above max_version ('TLS12')"),
        (PAIR | {"cipher_suites": ["TLS_RSA_WITH_RC4_128_SHA"]}, "cipher_suites[0]: found 'TLS_RSA_WITH_RC4_128_SHA'; allowed: TLS_AES"),
        (PAIR | {"cipher_suites": ["TLS_AES_128_GCM_SHA256"], "max_version": "TLS12"}, "cipher_suites: found suites of TLS 1.3 only"),
        (PAIR | {"curve_preferences": ["CurveP257"]}, "curve_preferences[0]: found 'CurveP257'; allowed: CurveP256, "),
        (PAIR | {"cert_filse": "a"}, "cert_filse: found a key that is not known"),
        (PAIR | {"prefer_server_cipher_suites": "maybe"}, "prefer_server_cipher_suites: found 'maybe'; allowed: true or false"),
    ],
)  # fmt: skip
def test_each_mistake_of_tls_is_told(tls: dict[str, Any], problem: str) -> None:
    """With its path, what was found and what is allowed."""
    found = find({"tls_server_config": tls})
    assert any(each.startswith(f"tls_server_config.{problem}") for each in found), found
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        ({"http_server_config": {"headers": {"Content-Type": "a"}}}, "http_server_config.headers.Content-Type: found a name"),
        ({"http_server_config": {"headers": {"X-Frame-Options": "DENY"}}}, "http_server_config.headers.X-Frame-Options: found 'DENY'; a"),
        ({"http_server_config": {"headers": {"X-Content-Type-Options": "x"}}}, "http_server_config.headers.X-Content-Type-Options: found"),
        ({"http_server_config": {"headers": {"X-XSS-Protection": "1\r\nSet-Cookie: a"}}}, "http_server_config.headers.X-XSS-Protection: "),
        ({"rate_limit": {"interval": 1, "burst": 1}}, "rate_limit.interval: found 1, which the format takes for nanoseconds"),
        ({"rate_limit": {"interval": "1s"}}, "rate_limit.burst: found nothing"),
        ({"rate_limit": {"interval": "1s", "burst": 0}}, "rate_limit.burst: found nothing"),
        ({"rate_limit": {"interval": "-1s", "burst": 1}}, "rate_limit.interval: found '-1s'"),
        ({"users": {}}, "users: found a key that is not known"),
        ({"basic_auth_users": {"a:b": HASH}}, "basic_auth_users.'a:b': found a name that cannot be used"),
        ({"basic_auth_users": [HASH]}, "basic_auth_users: found a list"),
    ],
)  # fmt: skip
def test_each_other_mistake_is_told(tree: dict[str, Any], problem: str) -> None:
    """Headers, users and the rate."""
    found = find(tree)
    assert any(each.startswith(problem) for each in found), found


@pytest.mark.parametrize(
    "stored",
    ["hunter2", "", None, 7, HASH[:-1], HASH + "x", HASH.replace("$2y$10$", "$2y$19$"), HASH.replace("$2y$10$", "$2y$03$"),
     HASH.replace("$2y$", "$1$"), "sk-hunter2-hunter2", {"password": "hunter2"}],
)  # fmt: skip
def test_what_is_no_hash_is_not_shown(stored: Any) -> None:
    """It may be the password itself. And a user without a hash is not as good as none: nobody would be asked."""
    (found,) = find({"basic_auth_users": {"alice": stored}})
    assert found.startswith(
        "basic_auth_users.alice: found something that may be a secret, and is not shown; allowed: a bcrypt hash of cost"
    )
    assert "hunter2" not in found


def test_every_problem_is_told_at_once() -> None:
    """And what YAML allows and we do not, among them."""
    tree = {"tls_server_config": {"cert_file": "a", "min_version": "x"}, "basic_auth_users": {"a": "b"}, "other": 1}
    with pytest.raises(ConfigError) as raised:
        read_web_config(Document("web.yml", tree, {("other",): 3}, (Fault((), "a tag", "none"),)))
    assert len(raised.value.problems) == 5
    assert [problem.line for problem in raised.value.problems if problem.path == "other"] == [3]


def test_what_is_not_followed_to_the_letter_is_told() -> None:
    """One sentence each, with its path."""
    tls = PAIR | {"min_version": "TLS10", "curve_preferences": ["CurveP384", "X25519"], "client_auth_type": "RequestClientCert"}
    http = {"http2": True, "headers": {"X-Frame-Options": "sameorigin"}}
    remarks = list_remarks(read({"tls_server_config": tls, "http_server_config": http}))
    assert [remark.partition(":")[0] for remark in remarks] == [
        "http_server_config.http2", "http_server_config.headers.X-Frame-Options", "tls_server_config.min_version",
        "tls_server_config.curve_preferences", "tls_server_config.client_auth_type",
    ]  # fmt: skip
    assert "CurveP384" in remarks[3]
    verified = read({"tls_server_config": PAIR | {"client_auth_type": "RequireAndVerifyClientCert"}})
    (remark,) = list_remarks(verified)
    assert remark.startswith("tls_server_config.client_ca_file: none; clients of every authority")
    assert list_remarks(read({"tls_server_config": PAIR | CA})) == []
