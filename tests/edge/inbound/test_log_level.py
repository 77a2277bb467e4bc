"""The level of the log at run time."""

import json
import logging
from collections.abc import Iterator

import pytest

from sidecar.edge.inbound import web
from sidecar.edge.inbound.log_level import PATH, make_log_level, read_level
from sidecar.edge.telemetry.logs import LEVELS, EventLog


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave the process's logging as it was."""
    own = logging.getLogger("sidecar")
    before = own.level
    yield
    own.setLevel(before)


async def test_it_is_told_and_set() -> None:
    """The answer to both is the level in force."""
    log = EventLog("info")
    paths, changes = make_log_level(log)
    assert changes[PATH](b'{"level": "debug"}').body == b'{"level":"debug"}'
    told = await paths[PATH](web.Request("GET", PATH))
    assert json.loads(told.body) == {"level": "debug"}
    assert logging.getLogger("sidecar").level == logging.DEBUG


@pytest.mark.parametrize("level", LEVELS)
def test_each_level_is_understood(level: str) -> None:
    """By its name."""
    assert read_level(json.dumps({"level": level}).encode()) == level


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b'{"level": "loud"}', b'{"level": 1}', b'{"level": "info", "more": 1}', b"[" * 10_000]
)
def test_what_is_not_understood_changes_nothing(body: bytes) -> None:
    """It is told what is allowed, and nothing of the body."""
    log = EventLog("info")
    with pytest.raises(ValueError, match='"debug", "info", "warning", "error"') as caught:
        make_log_level(log)[1][PATH](body)
    assert "loud" not in str(caught.value)
    assert log.level == "info"
