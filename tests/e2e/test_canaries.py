"""Canaries in every place of every interface: none comes out anywhere but where it was sent."""

import re
from collections import Counter
from pathlib import Path

from tests.edge.telemetry.receiver import receive
from tests.rig.canaries import answer_fields, fields, find_leaks, query
from tests.rig.conversations import converse, list_calls
from tests.rig.forms import FORMS


def list_endings(metrics: str, route: str) -> Counter[str]:
    """Return how often which ending was counted on a route."""
    lines = (line for line in metrics.splitlines() if line.startswith(f'llm_sidecar_requests_total{{route="{route}"'))
    found: Counter[str] = Counter()
    for line in lines:
        labels, _, value = line.rpartition(" ")
        ending = labels.partition('ending="')[2].partition('"')[0]
        found[ending] += int(float(value))
    return found


def list_marks(name: str, *texts: object) -> set[str]:
    """Return every canary of a form that is in what it sends."""
    return set(re.findall(rf"canary-\w+-{name}-end", "".join(map(repr, texts))))


async def test_nothing_that_is_said_comes_out(tmp_path: Path) -> None:
    """No word, no secret of any call is in the log at debug, metrics, spans, pages, `explain` or answers of our own."""
    with receive() as receiver:
        told = await converse(tmp_path, receiver)
        spans = len(receiver.spans)
    assert find_leaks(told.out) == []
    # Every canary arrived, and every call ended as it was meant to: otherwise their absence proves nothing.
    calls = {name: list_calls(form) for name, form in FORMS.items()}
    metrics = told.out["admin /metrics"].decode()
    marks = 0
    for name, form in FORMS.items():
        assert list_endings(metrics, name) == Counter(calls[name].values()), name
        asked = list_marks(name, form.request(False), fields(name), query(name))
        events = form.events() if form.events is not None else ()
        answered = list_marks(name, form.whole(), form.error, form.end, form.failed, answer_fields(name), *events)
        assert [mark for mark in asked if mark.encode() not in told.heard[name]] == []
        assert [mark for mark in answered if mark.encode() not in told.answered[name]] == []
        marks += len(asked | answered)
    assert len(FORMS) == 13
    assert marks > 250
    print(f"\n{marks} canaries, {sum(map(len, calls.values()))} calls, {spans} spans, {len(told.out['log'])} bytes of log")
