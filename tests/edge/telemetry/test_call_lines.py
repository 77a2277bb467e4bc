"""Lines of calls."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from sidecar import catalogue
from sidecar.config import Calls, Log
from sidecar.edge.telemetry.call_lines import PERIOD_S, SHOWN_MAX, CallLines, tell_call
from sidecar.edge.telemetry.logs import set_up
from sidecar.exchange import Asked, Cost, Ending, Said, Usage, UsageSource
from tests.edge.telemetry.records import make_attempt, make_record, make_seen, make_streamed

FAST = make_streamed(
    ended=103.45, cost=Cost(0.0021, "table"), usage=Usage(100, output=287), cache="miss",
    seen=make_seen(first_token=100.87, last_chunk=100.87 + 287 / 83.2),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root, own = logging.getLogger(), logging.getLogger("sidecar")
    before = (root.handlers[:], root.level, own.level)
    yield
    root.handlers[:], root.level, own.level = before[0], before[1], before[2]


class Bench:
    """Lines of calls, and what was written."""

    def __init__(self, calls: Calls, **log: str) -> None:
        self.stream = io.StringIO()
        self.log = set_up(Log(**log), self.stream)
        self.sink = CallLines(calls, self.log)

    @property
    def lines(self) -> list[dict[str, object]]:
        """What was written, read."""
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


def test_a_person_sees_what_matters() -> None:
    """Model, time, first token, tokens, pace and cost; of the usual nothing."""
    line = tell_call(catalogue.CALL_ENDED, FAST, 0, is_text=True)
    at, level, text = line.split(maxsplit=2)
    assert (at, level) == ("2023-11-14T22:13:23.450Z", "info")
    assert text == "gpt-4o · 3.45 s · ttft 0.87 s · 287 tok · 83.2 tok/s · $0.0021"


def test_a_person_sees_what_is_not_as_usual() -> None:
    """How it ended, in which phase its time ran out, by whom, with what status, after how many attempts, and its id."""
    late = make_attempt(outcome="first_byte_timeout", head=None, sent=100.0, ended=101.5, upstream="first")
    failed = make_record(
        route="chat", attempts=(late, late), ending=Ending.FIRST_BYTE_TIMEOUT, status=504, error_type="first_byte_timeout", usage=None,
        usage_source=UsageSource.ABSENT, cost=None, upstream="first",
    )  # fmt: skip
    text = tell_call(catalogue.CALL_FAILED, failed, 7, is_text=True)
    assert text.split(maxsplit=2)[1] == "warning"
    for part in ("first_byte_timeout", "first_byte 1.50 s", "by first", "504", "2 attempts: first first_byte_timeout", "req-1", "7 more"):
        assert part in text
    assert "$" not in text and "tok" not in text
    hit = tell_call(catalogue.CALL_ENDED, make_record(cache="hit"), 0, is_text=True)
    assert hit.endswith("gpt-4o · 2.00 s · cache hit")


def test_a_guess_is_shown_as_one() -> None:
    """And a very small cost not as none."""
    guessed = make_record(usage=Usage(1, output=40), usage_source=UsageSource.ESTIMATED, cost=Cost(0.00001234, "estimated"))
    text = tell_call(catalogue.CALL_ENDED, guessed, 0, is_text=True)
    assert "~40 tok" in text and "~$0.00001234" in text
    assert "$0.0000 " not in text


def test_programs_read_json() -> None:
    """Time, level, event and the fields of the catalogue."""
    bench = Bench(Calls.ALL)
    bench.sink.observe(FAST)
    (line,) = bench.lines
    assert {
        "ts": "2023-11-14T22:13:23.450Z",
        "level": "info",
        "event": "call",
        "model": "gpt-4o",
        "cost_usd": 0.0021,
    }.items() <= line.items()
    assert line.keys() - {"ts", "level", "event"} <= {field.name for field in catalogue.CALL_FIELDS}


@pytest.mark.parametrize("calls", list(Calls))
@pytest.mark.parametrize("ending", list(Ending))
def test_which_calls_have_a_line(calls: Calls, ending: Ending) -> None:
    """All, or those that failed: with a warning; a caller that leaves is no failure."""
    bench = Bench(calls)
    bench.sink.observe(make_record(ending=ending))
    went_well = ending in (Ending.COMPLETED, Ending.CLIENT_GONE)
    expected = {False: [("warning", "call_failed")], True: [("info", "call")] if calls is Calls.ALL else []}[went_well]
    assert [(line["level"], line["event"]) for line in bench.lines] == expected


def test_the_level_decides_as_for_every_line() -> None:
    """Above info calls that went well are not told, above warning none, from the moment it is set."""
    bench = Bench(Calls.ALL, level="warning")
    for level in ("warning", "error", "info"):
        bench.log.set_level(level)
        bench.sink.observe(make_record(id=f"{level} well"))
        bench.sink.observe(make_record(id=f"{level} badly", ending=Ending.CUT))
    assert [line["request_id"] for line in bench.lines] == ["warning badly", "info well", "info badly"]


def test_a_flood_is_held_back_and_counted() -> None:
    """Of calls that end alike at one upstream so many are told in a period; the next line says how many were not."""
    bench = Bench(Calls.FAILED)
    for number in range(100):
        bench.sink.observe(make_record(ending=Ending.RESET, ended=102.0 + number / 100))
    bench.sink.observe(make_record(ending=Ending.CUT, ended=103.0))
    bench.sink.observe(make_record(ending=Ending.RESET, upstream="other", ended=103.0))
    assert len(bench.lines) == SHOWN_MAX + 2
    bench.sink.observe(make_record(ending=Ending.RESET, ended=102.0 + PERIOD_S))
    bench.sink.observe(make_record(ending=Ending.RESET, ended=102.1 + PERIOD_S))
    assert [line.get("repeated") for line in bench.lines] == [None] * (SHOWN_MAX + 2) + [100 - SHOWN_MAX, None]
    everything = Bench(Calls.ALL)
    for _ in range(100):
        everything.sink.observe(make_record(ending=Ending.RESET))
    assert len(everything.lines) == 100


@pytest.mark.parametrize("form", ["text", "json"])
def test_nobody_can_forge_a_line(form: str) -> None:
    """Line breaks and control characters in what callers or providers say stay out of it."""
    bench = Bench(Calls.ALL, format=form)
    bad = 'a\n{"level":"error"}\x1b[2J\u2028\ud800' + "x" * 1000
    bench.sink.observe(make_record(asked=Asked(model=bad), seen=make_seen(model=bad), error_type=bad, method="G\nET", tenant=bad))
    text = bench.stream.getvalue()
    assert text.count("\n") == len(text.splitlines()) == 1
    assert "\x1b" not in text and len(text) < 2000
    text.encode()


def test_nothing_that_was_said_is_in_it() -> None:
    """Neither content, nor a path with what callers put in it; and none of it is kept while a line waits."""
    said = Said("openai_chat", b"a secret", b"", b"a secret", ())
    record = make_streamed(said=said, seen=make_seen(running={"a": "secret"}, first_token=100.5, last_chunk=101.5), path="/openai/a-secret")
    for form in ("text", "json"):
        bench = Bench(Calls.ALL, format=form)
        bench.sink.observe(record)
        assert "secret" not in bench.stream.getvalue()
        assert "ttft" in bench.stream.getvalue()


def test_a_call_without_a_model_is_told_by_its_place() -> None:
    """The tool's name, else the method and the form's path, never the path as it came."""
    opaque = make_record(operation="http", asked=Asked(), path="/openai/v1/files/a-secret", template="/openai/v1/files")
    assert " POST /openai/v1/files · 2.00 s" in tell_call(catalogue.CALL_ENDED, opaque, 0, is_text=True)
    tool = make_record(operation="execute_tool", asked=Asked(tool="book"))
    assert " book · " in tell_call(catalogue.CALL_ENDED, tool, 0, is_text=True)
