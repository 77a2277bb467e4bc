"""What README.md says of TLS and passwords is so."""

import re

import yaml

from sidecar import catalogue
from sidecar.config import ClientAuth, Settings
from sidecar.core.settings.tree import Document
from sidecar.core.settings.web_config import list_remarks, read_web_config
from sidecar.edge.inbound import gate, passwords
from tests.house.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PART = README[README.index("## TLS and passwords") : README.index("\n## Kubernetes")]
FLAT = re.sub(r"\s+", " ", PART)


def test_the_example_is_one() -> None:
    """It is taken, and followed to the letter."""
    (example,) = re.findall(r"```yaml\n(.*?)```", PART, re.DOTALL)
    found = read_web_config(Document("web.yml", yaml.safe_load(example), {}))
    assert list(found.basic_auth_users) == ["prometheus"] and list_remarks(found) == []
    assert found.tls_server_config is not None and found.tls_server_config.client_auth_type is ClientAuth.REQUIRE_AND_VERIFY


def test_names_and_numbers_are_the_ones_in_force() -> None:
    """Paths of probes, events, and how many passwords are waited for."""
    assert all(f"`{path}`" in FLAT for path in gate.PROBES) and {"/-/healthy", "/-/ready"} == gate.PROBES
    assert f"are looked at every {gate._LOOK_S:.0f} seconds" in FLAT
    assert f"beyond {passwords._WAITING_MAX} that wait, or {passwords._WAITING_OF_ONE_MAX} of one address, the answer is 429" in FLAT
    for event in (catalogue.WEB_CONFIG_REFUSED, catalogue.DATA_PORT_OPEN):
        assert f"`{event.name}`" in FLAT
    assert "`gateway: true`" in FLAT and Settings().gateway is False and Settings().admin.web_config_file is None


def test_what_is_refused_and_what_is_told_is_so() -> None:
    """Each name that is given."""
    pair = {"cert_file": "a", "key_file": "b"}
    tls = pair | {"min_version": "TLS10", "curve_preferences": ["X25519", "CurveP256"], "client_auth_type": "RequestClientCert"}
    told = " ".join(list_remarks(read_web_config(Document("", {"tls_server_config": tls, "http_server_config": {"http2": True}}, {}))))
    for name in ("http2", "curve_preferences", "RequestClientCert"):
        assert f"`{name}`" in FLAT and name in told
    assert f"`{ClientAuth.REQUIRE_ANY}`" in FLAT
