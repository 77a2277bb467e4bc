"""Canaries in every place of every interface: none comes out anywhere but where it was sent."""

from collections import Counter
from pathlib import Path

from tests.edge.telemetry.receiver import receive
from tests.rig.canaries import find_leaks, list_endings
from tests.rig.conversations import converse, list_answered, list_asked, list_calls
from tests.rig.forms import FORMS


async def test_nothing_that_is_said_comes_out(tmp_path: Path) -> None:
    """No word, no secret of any call is in the log at debug, metrics, spans, pages, `explain` or answers of our own."""
    with receive() as receiver:
        told = await converse(tmp_path, receiver)
        spans = len(receiver.spans)
    assert find_leaks(told.out) == []
    # Every canary arrived, and every call ended as it was meant to: otherwise their absence proves nothing.
    calls = {name: list_calls(form) for name, form in FORMS.items()}
    marks = 0
    for name, form in FORMS.items():
        assert list_endings(told.out["admin /metrics"], name) == Counter(calls[name].values()), name
        asked, answered = list_asked(form), list_answered(form)
        assert [place for place, mark in asked.items() if mark.encode() not in told.heard[name]] == []
        assert [place for place, mark in answered.items() if mark.encode() not in told.answered[name]] == []
        marks += len(asked | answered)
    assert len(FORMS) == 13
    assert marks > 250
    print(f"\n{marks} canaries, {sum(map(len, calls.values()))} calls, {spans} spans, {len(told.out['log'])} bytes of log")
