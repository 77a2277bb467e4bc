"""Who can reach the ports, and what keeps others out."""

import pytest

from sidecar.config import Admin, Settings, Upstream
from sidecar.core.reckon.access import GateView, check_gate, check_reach, read_reach
from sidecar.core.reckon.health import Status
from sidecar.core.reckon.moments import Present
from sidecar.errors import ConfigProblem

PRESENT = Present(1000.0, 1_700_000_000_000_000_000)
VIEW = GateView("web.yml", 990.0, 2, True, 1_800_000_000.0, (), ())
HERE, OUT = "http://127.0.0.1:4000", "http://0.0.0.0:4000"
KEYS = {"one": Upstream("http://one", api_key_file="key"), "other": Upstream("http://other")}


@pytest.mark.parametrize(
    ("url", "is_open"),
    [(HERE, False), ("http://[::1]:4000", False), ("", False), (OUT, True), ("http://[::]:4000", True), ("https://10.0.0.7:4000", True)],
)
def test_loopback_is_this_machine(url: str, is_open: bool) -> None:
    """Every other address is not; before the start nothing is."""
    found = read_reach(Settings(), url, url, has_users=False)
    assert (found.data_url, found.admin_url) == ((url, url) if is_open else (None, None))


def test_a_data_port_that_others_reach_is_told_with_whose_keys_they_use() -> None:
    """Until somebody says that it is meant; on loopback nothing is said."""
    told = check_reach(read_reach(Settings(upstreams=KEYS), OUT, HERE, has_users=False))
    assert told.status is Status.DEGRADED and told.reason.endswith("can make calls, with the keys of one.")
    assert told.remedy is not None and "gateway: true" in told.remedy and told.facts["keysOf"] == ["one"]
    without = check_reach(read_reach(Settings(), OUT, HERE, has_users=False))
    assert without.status is Status.DEGRADED and without.reason.endswith("can make calls.")
    meant = check_reach(read_reach(Settings(upstreams=KEYS, gateway=True), OUT, HERE, has_users=False))
    assert (meant.status, meant.remedy) == (Status.HEALTHY, None)
    assert check_reach(read_reach(Settings(upstreams=KEYS), HERE, OUT, has_users=False)).status is Status.HEALTHY


def test_changes_are_guarded_by_a_token_or_by_passwords() -> None:
    """Either is enough."""
    with_token = Settings(admin=Admin(token_file="token"))
    assert [read_reach(each, HERE, OUT, has_users=users).is_guarded for each in (Settings(), with_token) for users in (False, True)] == [
        False, True, True, True,
    ]  # fmt: skip


def test_the_admin_port_is_as_its_file_has_it() -> None:
    """Without one it is open; what is in force is told, and when the certificate ends."""
    assert check_gate(None, PRESENT).status is Status.HEALTHY
    found = check_gate(VIEW, PRESENT)
    assert (found.status, found.reason) == (Status.HEALTHY, "In force: TLS, passwords.")
    assert found.facts["certificateEnds"] == "2027-01-15T08:00:00.000Z" and found.facts["users"] == 2
    plain = check_gate(VIEW._replace(users=0, has_tls=False, certificate_ends_s=None, remarks=("a",)), PRESENT)
    assert (plain.status, plain.reason) == (Status.HEALTHY, "In force: neither TLS nor passwords.")
    assert plain.facts["certificateEnds"] is None and plain.facts["remarks"] == ["a"]


def test_what_cannot_be_used_and_what_has_expired_is_told() -> None:
    """With what to do."""
    problem = ConfigProblem("tls_server_config.key_file", "a key that is not the certificate's", "its key")
    bad = check_gate(VIEW._replace(problems=(problem,)), PRESENT)
    assert bad.status is Status.DEGRADED and bad.facts["problems"] == ["tls_server_config.key_file: a key that is not the certificate's"]
    assert bad.remedy == "Put it right: tls_server_config.key_file needs its key."
    assert check_gate(VIEW._replace(certificate_ends_s=1_700_000_000.0), PRESENT).status is Status.HEALTHY
    old = check_gate(VIEW._replace(certificate_ends_s=1_699_999_999.0), PRESENT)
    assert old.status is Status.DEGRADED and "expired" in old.reason and old.remedy is not None
