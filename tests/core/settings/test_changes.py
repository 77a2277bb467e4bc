"""What a new configuration changes, and what waits for a restart."""

from dataclasses import replace

import pytest

from sidecar.config import (
    Admin,
    Budget,
    Budgets,
    Cache,
    Content,
    Features,
    Journal,
    Limits,
    Log,
    Pool,
    RateLimits,
    Redis,
    Route,
    Settings,
    Tenants,
    Timeouts,
    Tracing,
    Upstream,
    WarmLevel,
)
from sidecar.core.settings.changes import HELD, Outcome, compare, has_to_wait, show_outcome
from sidecar.core.settings.kinds import members
from sidecar.errors import ConfigProblem

OLD = Settings(
    upstreams={"a": Upstream("http://a.test"), "b": Upstream("http://b.test")}, pools={"p": Pool(("a", "b"))},
    routes=(Route("/a/", "a"), Route("/p/", pool="p")),
)  # fmt: skip


def test_the_same_settings_change_nothing() -> None:
    """Equal is equal, whichever object it is."""
    again = replace(OLD, upstreams={**OLD.upstreams}, routes=(*OLD.routes,))
    assert compare(OLD, again) == (OLD, (), ())


def test_each_change_is_told_by_its_path() -> None:
    """A value by itself, a list as a whole, an entry that came or went as a whole."""
    new = replace(
        OLD, timeouts=Timeouts(total=9.0), upstreams={"a": Upstream("http://a.test", weight=2.0, models={"x": "y"}), "c": Upstream("http://c.test")},
        pools={"p": Pool(("a", "c"))}, routes=(Route("/c/", "c"), *OLD.routes), cache=Cache(warm=WarmLevel(entries=5)),
    )  # fmt: skip
    changes = compare(OLD, new)
    assert changes.settings == new and changes.held == ()
    assert changes.changed == (
        "upstreams.a.weight", "upstreams.a.models.x", "upstreams.b", "upstreams.c", "pools.p.upstreams", "routes", "cache.warm.entries",
        "timeouts.total",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({"listen": "127.0.0.1:1"}, ["listen"]),
        ({"admin": Admin("127.0.0.1:2")}, ["admin.listen"]),
        ({"redis": Redis("redis://r:1/0", timeout=9.0)}, ["redis.url", "redis.timeout"]),
        ({"journal": Journal("/x")}, ["journal.directory"]),
        ({"content": Content(bytes_max=5)}, ["content.bytes_max"]),
        (
            {"tracing": Tracing("http://t", "grpc", queue=1, cpu_share=0.5)},
            ["tracing.endpoint", "tracing.protocol", "tracing.queue", "tracing.cpu_share"],
        ),
        ({"limits": Limits(labels=1, series=2)}, ["limits.labels", "limits.series"]),
        ({"log": Log(format="text")}, ["log.format"]),
    ],
)  # fmt: skip
def test_what_is_open_waits(changes: dict[str, object], held: list[str]) -> None:
    """The values in force stay, and each is named."""
    assert compare(OLD, replace(OLD, **changes)) == (OLD, (), tuple(held))  # type: ignore[arg-type]


def test_what_is_beside_it_is_taken() -> None:
    """Only what has to wait does; it is told again each time, until it is put back."""
    new = replace(OLD, admin=Admin("127.0.0.1:2", "/token"), tracing=Tracing("http://t", ratio=0.5), log=Log("debug", format="text"))
    changes = compare(OLD, new)
    assert changes.changed == ("admin.token_file", "tracing.ratio", "log.level")
    assert changes.held == ("admin.listen", "tracing.endpoint", "log.format")
    assert changes.settings == replace(OLD, admin=replace(OLD.admin, token_file="/token"), tracing=Tracing(ratio=0.5), log=Log("debug"))
    assert compare(changes.settings, new) == (changes.settings, (), changes.held)
    assert compare(changes.settings, changes.settings).held == ()


def test_a_ledger_waits_where_one_is_open() -> None:
    """Without budgets there is none: its file may change with the features."""
    on = replace(OLD, features=Features(budgets=True), budgets=Budgets("/one", tenant=Budget(day=1.0)))
    moved = replace(on, budgets=Budgets("/two", tenant=Budget(day=2.0), sync=3.0))
    assert compare(on, moved).held == ("budgets.file", "budgets.sync")
    assert compare(on, moved).settings.budgets == Budgets("/one", tenant=Budget(day=2.0))
    assert compare(OLD, moved) == (moved, ("budgets.file", "budgets.tenant.day", "budgets.sync", "features.budgets"), ())


def test_no_path_shows_a_secret() -> None:
    """Where a digest belongs somebody may have put the credential."""
    keyed = replace(OLD, tenants=Tenants(keys={"sk-very-secret-indeed": "acme"}), limits=Limits(rates=RateLimits(tenants={})))
    assert compare(OLD, keyed).changed == ("tenants.keys.'••••'",)


def test_all_that_is_held_is_there() -> None:
    """A setting that was renamed is not held back silently no more."""
    for path in HELD:
        section: type = Settings
        for step in path:
            kind = members(section)[str(step)].kind
            section = kind.section or str


def test_a_path_waits_with_all_below_it() -> None:
    """And what only begins like it does not."""
    assert [has_to_wait(path) for path in ("redis", "redis.password_file", "listen", "listening", "admin.token_file")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_an_outcome_is_shown() -> None:
    """What changed, or every problem with what `check` says of it."""
    good = Outcome("a.yaml", ("timeouts.total",), ("upstreams.a.api_key_file",), ("listen",))
    assert show_outcome(good) == {
        "source": "a.yaml", "changed": ("timeouts.total",), "files": ("upstreams.a.api_key_file",), "restart": ("listen",),
    }  # fmt: skip
    problems = (ConfigProblem("listen", "'x'", "host:port", 3), ConfigProblem("prices.file", "no such file", "a readable price table"))
    told = show_outcome(Outcome("a.yaml", problems=problems))
    assert [problem["message"] for problem in told["problems"]] == [
        "a.yaml:3: listen: found 'x'; allowed: host:port", "prices.file: found no such file; allowed: a readable price table",
    ]  # fmt: skip
    assert told["problems"][0].keys() == {"path", "found", "allowed", "line", "message"} and "error" in told
