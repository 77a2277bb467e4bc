"""The table of failures."""

import re

import pytest

from sidecar.errors import (
    ERRORS,
    NO_ROUTE,
    POOL_FULL,
    ClientFault,
    ConfigError,
    ConfigProblem,
    ErrorKind,
    Fault,
    Origin,
    Refused,
    SidecarFault,
    UpstreamFault,
)

# Ids that were released are neither renamed nor reused.
RELEASED = {
    "bad_request", "bad_target", "no_route", "not_upgradable", "upstream_unresolved", "upstream_unreachable", "connect_timeout",
    "upstream_tls", "egress_proxy_refused", "upstream_reset", "upstream_malformed", "first_byte_timeout", "idle_timeout", "total_timeout",
    "websocket_refused", "websockets_full", "stream_cut", "pool_full", "stopping", "internal",
}  # fmt: skip


def test_ids_are_stable_and_unique() -> None:
    """What dashboards, scripts and the runbook name stays."""
    ids = [kind.id for kind in ERRORS]
    assert len(set(ids)) == len(ids)
    assert set(ids) >= RELEASED
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", each) for each in ids)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.id)
def test_each_kind_says_what_and_what_to_do(kind: ErrorKind) -> None:
    """Two sentences, and a status that fits whose fault it was."""
    assert kind.summary.endswith(".")
    assert kind.advice.endswith(".")
    allowed = {
        Origin.CLIENT: {400, 403, 404, 413, 501}, Origin.UPSTREAM: {502, 503, 504}, Origin.SIDECAR: {500, 503},
        Origin.POLICY: {403, 429, 503, 504},
    }  # fmt: skip
    assert kind.status in allowed[kind.origin]


def test_every_kind_of_the_module_is_in_the_table() -> None:
    """None is forgotten."""
    from sidecar import errors

    kinds = {value for value in vars(errors).values() if isinstance(value, ErrorKind)}
    assert kinds == set(ERRORS)


@pytest.mark.parametrize("make", [Fault, ClientFault, Refused, UpstreamFault, SidecarFault])
def test_a_fault_tells_its_kind_and_detail(make: type[Fault]) -> None:
    """In words: the detail, or else the kind's own summary."""
    assert str(make(NO_ROUTE, "nowhere")) == "no_route: nowhere"
    plain = make(POOL_FULL, retry_after_s=2.0)
    assert str(plain) == f"pool_full: {POOL_FULL.summary}"
    assert (plain.kind, plain.detail, plain.retry_after_s) == (POOL_FULL, "", 2.0)


def test_a_configuration_tells_all_its_problems_at_once() -> None:
    """Each with its path, what was found and what is allowed."""
    problems = [ConfigProblem("a.b", "'x'", "a number"), ConfigProblem("c", "nothing", "a name", line=3)]
    error = ConfigError("file.yaml", problems)
    assert str(error) == "file.yaml: a.b: found 'x'; allowed: a number; c: found nothing; allowed: a name"
    assert (error.source, error.problems, problems[1].line) == ("file.yaml", problems, 3)
