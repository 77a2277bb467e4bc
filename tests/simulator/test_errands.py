"""sidecar/simulator/errands.py"""

import json
from collections import Counter

import pytest

from sidecar.simulator.asking import PROVIDERS
from sidecar.simulator.dialects import find_dialect
from sidecar.simulator.errands import FAULTS, Errand, Habits, choose_errand, list_usual
from sidecar.simulator.request import Rejection
from sidecar.simulator.script import Fault, read_script
from sidecar.simulator.tools import TOOLS_ROUTE

_ODD_EVERY = 9
_ROUTES = tuple(PROVIDERS)
_ERRANDS = [choose_errand(1, number, odd_every=_ODD_EVERY, routes=_ROUTES) for number in range(300)]


def _script_of(errand: Errand) -> str | None:
    return dict(errand.headers).get("x-sim-script")


def test_reproducible() -> None:
    """The n-th errand of a seed is always the same, and differs between seeds."""
    assert choose_errand(1, 17, odd_every=_ODD_EVERY, routes=_ROUTES) == _ERRANDS[17]
    assert choose_errand(2, 17).body != choose_errand(1, 17).body


def test_each_fault_occurs() -> None:
    """A run of 300 meets every fault and every kind of call."""
    faults = {read_script(_script_of(errand)).fault for errand in _ERRANDS}
    assert faults >= set(FAULTS)
    assert {errand.kind for errand in _ERRANDS} == {"stream", "whole", "tools", "responses", "embeddings", "completion", "models"}
    assert any(errand.leaves_after_s for errand in _ERRANDS) and any(errand.leaves_after_chunks for errand in _ERRANDS)


def test_odd_ones_are_as_many_as_asked() -> None:
    """One in so many goes wrong, and none where none is asked for."""
    assert sum(_script_of(errand) is not None for errand in _ERRANDS) == 300 // _ODD_EVERY
    assert not any(_script_of(choose_errand(1, number)) for number in range(50))


def test_requests_are_well_formed() -> None:
    """The provider understands every request but those meant to be wrong, each in its own form."""
    for errand in _ERRANDS:
        found = find_dialect(errand.method, ("/api" if errand.route == "openrouter" else "") + errand.path)
        if found is None:
            assert (errand.method, errand.body, errand.kind) == ("GET", b"", "models")
            continue
        dialect, form = found
        assert dialect.provider == {"gemini": "gcp.gemini"}.get(errand.route, errand.route)
        try:
            dialect.read_ask(form, errand.path, errand.body)
        except Rejection:
            assert _script_of(errand) == "{}"


def test_every_provider_is_called() -> None:
    """Each provider has its share, failures included, and none is called that is not asked for."""
    shares = Counter(errand.route for errand in _ERRANDS)
    assert set(shares) == set(_ROUTES) and min(shares.values()) >= 300 // 20
    assert len({errand.route for errand in _ERRANDS if _script_of(errand)}) >= 4
    assert {choose_errand(1, number).route for number in range(50)} == {"openai"}
    assert {choose_errand(1, number, routes=("gemini", "ollama")).route for number in range(50)} == {"gemini", "ollama"}


def test_tags_are_unique() -> None:
    """Every errand can be told from every other in the ledger."""
    assert max(Counter(dict(errand.headers)["x-sim-tag"] for errand in _ERRANDS).values()) == 1


def test_sizes_differ() -> None:
    """Most requests are small, some are large."""
    sizes = sorted(len(errand.body) for errand in _ERRANDS)
    assert sizes[len(sizes) // 2] < 4_000
    assert sizes[-1] > 10_000


def test_leaving_callers_leave_long_before_the_end() -> None:
    """What a leaving caller would get lasts much longer, so that nobody can doubt who ended it."""
    for errand in _ERRANDS:
        script = read_script(_script_of(errand))
        if errand.leaves_after_s is not None:
            assert script.ttft_ms is not None and script.ttft_ms > 50_000 * errand.leaves_after_s
        if errand.leaves_after_chunks is not None:
            limit = 16  # the least that a caller asks for
            assert script.gap_ms is not None and (limit - errand.leaves_after_chunks) * script.gap_ms > 1000


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_stream_faults_meet_streams(number: int) -> None:
    """A fault that only a stream can have meets a stream."""
    for route in _ROUTES:
        errand = choose_errand(1, number, odd_every=1, routes=(route,))
        if FAULTS[number] in (Fault.STALL, Fault.CUT, Fault.NO_DONE, Fault.TRICKLE):
            assert errand.path.endswith("?alt=sse") if route == "gemini" else json.loads(errand.body)["stream"] is True


def test_think_time() -> None:
    """Pauses are drawn around their mean."""
    pauses = [choose_errand(1, number, think_s=0.5).think_s for number in range(2000)]
    assert sum(pauses) / len(pauses) == pytest.approx(0.5, rel=0.1)
    assert choose_errand(1, 1).think_s == 0


_HABITS = Habits(repeats=0.4, tool=0.1, indexes_every=50, tenants=(("shop", 3), ("support", 1)))
_HABITUAL = [choose_errand(1, number, odd_every=_ODD_EVERY, think_s=0.5, routes=_ROUTES, habits=_HABITS) for number in range(1000)]


def _tenant_of(errand: Errand) -> str:
    return dict(errand.headers)["x-sidecar-tenant"]


def test_usual_questions() -> None:
    """About so many calls ask what was asked before, with the same credential and word by word; the first question most."""
    asked = Counter((errand.route, errand.path, errand.body) for errand in _HABITUAL if errand.kind in ("stream", "whole"))
    usual = list_usual(1, _HABITS.usual, _ROUTES)
    counts = [asked[errand.route, errand.path, errand.body] for errand in usual]
    assert 250 < sum(counts) < 400 and min(counts) > 2
    assert counts[0] == max(counts)
    assert sum(count for count in asked.values() if count > 1) == sum(counts)
    for errand in usual:
        same = [each for each in _HABITUAL if each.body == errand.body]
        assert {tuple(field for field in each.headers if not field[0].startswith("x-")) for each in same} == {
            tuple(field for field in errand.headers if not field[0].startswith("x-"))
        }


def test_tools_are_called() -> None:
    """A share of the calls is of the tool, at few places, without a credential."""
    calls = [errand for errand in _HABITUAL if errand.kind == "tool"]
    assert 50 < len(calls) < 150
    assert {errand.route for errand in calls} == {TOOLS_ROUTE} and len({errand.path for errand in calls}) == 4
    assert {(errand.method, errand.body) for errand in calls} == {("GET", b"")}


def test_documents_are_embedded_one_right_after_the_other() -> None:
    """Five calls without a pause that could go out together: but for their text they are the same, and on one account."""
    runs = 0
    for first in range(45, 1000, 50):
        run = [errand for errand in _HABITUAL[first : first + 5] if _script_of(errand) is None and errand.kind == "embeddings"]
        assert len(run) >= 4 and {errand.think_s for errand in run} == {0.0}
        assert len({(errand.route, _tenant_of(errand)) for errand in run}) == 1
        runs += len({errand.body for errand in run}) > 1
    assert runs > 15


def test_accounts() -> None:
    """Each tenant has its share, and what goes wrong goes wrong with the first, whom nothing holds back; else nobody is named."""
    shares = Counter(map(_tenant_of, _HABITUAL))
    assert set(shares) == {"shop", "support"} and 150 < shares["support"] < 350
    assert {_tenant_of(errand) for errand in _HABITUAL if _script_of(errand) is not None} == {"shop"}
    assert not any("x-sidecar-tenant" in dict(errand.headers) for errand in _ERRANDS)


def test_habits_change_nothing_else() -> None:
    """What is asked for the first time, and what goes wrong, is the same with habits and without."""
    pairs = [(choose_errand(1, n, odd_every=_ODD_EVERY, think_s=0.5, routes=_ROUTES), errand) for n, errand in enumerate(_HABITUAL)]
    odd = [(plain.body, habitual.body) for plain, habitual in pairs if _script_of(plain) is not None]
    assert len(odd) == 1000 // _ODD_EVERY and all(plain == habitual for plain, habitual in odd)
    assert 300 < sum(plain.body == habitual.body and plain.path == habitual.path for plain, habitual in pairs) < 700
