"""Log lines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from sidecar import catalogue
from sidecar.config import Log
from sidecar.edge.telemetry.logs import EventLog, JsonFormatter, RepeatFilter, TextFormatter, set_up


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root, own = logging.getLogger(), logging.getLogger("sidecar")
    before = (root.handlers[:], root.level, own.level)
    yield
    root.handlers[:], root.level, own.level = before[0], before[1], before[2]


def test_json_lines_hold_time_level_event_and_fields() -> None:
    """Away from a terminal a line is one JSON object; absent fields are left out."""
    stream = io.StringIO()
    set_up(Log(), stream).write(catalogue.STARTED, listen="127.0.0.1:4000", routes=5, note=None)
    line = json.loads(stream.getvalue())
    assert line.pop("ts").endswith("Z")
    assert line == {"level": "info", "event": "started", "listen": "127.0.0.1:4000", "routes": 5}


def test_text_lines_are_for_people() -> None:
    """On a terminal a line is time, level, event and pairs."""
    stream = Terminal()
    set_up(Log(), stream).write(catalogue.STARTED, listen="127.0.0.1:4000", note="two words")
    assert stream.getvalue().split(" ", 1)[1] == 'info    started listen=127.0.0.1:4000 note="two words"\n'


@pytest.mark.parametrize("form", ["json", "text"])
def test_nobody_can_forge_a_line(form: str) -> None:
    """Line breaks and control characters in a field or a library's message stay inside one line."""
    stream = io.StringIO()
    log = set_up(Log(format=form), stream)
    log.write(catalogue.STARTED, path='a\n{"level":"error"}\x1b[2J\u2028')
    logging.getLogger("lib").warning("bad %s", "x\r\ny")
    assert stream.getvalue().count("\n") == 2
    assert len(stream.getvalue().splitlines()) == 2
    assert "\x1b" not in stream.getvalue()


def test_the_level_can_change_at_run_time() -> None:
    """Lines below the level are not written, from the moment it is set."""
    stream = io.StringIO()
    log = set_up(Log(level="error"), stream)
    log.write(catalogue.STARTED)
    log.set_level("info")
    log.write(catalogue.STOPPED)
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["stopped"]


def test_long_texts_are_cut() -> None:
    """A field has at most 500 characters."""
    stream = io.StringIO()
    set_up(Log(), stream).write(catalogue.STARTED, text="x" * 10_000)
    assert len(json.loads(stream.getvalue())["text"]) == 500


def test_exceptions_show_their_kind_only() -> None:
    """The text of an exception may quote a secret: only its class is written."""
    stream = io.StringIO()
    set_up(Log(), stream)
    try:
        raise ValueError("sk-secret")
    except ValueError:
        logging.getLogger("lib").exception("failed")
    assert json.loads(stream.getvalue())["exception"] == "ValueError"
    assert "sk-secret" not in stream.getvalue()


def record(event: catalogue.LogEvent, at_s: float, key: str = "") -> logging.LogRecord:
    """Return a record of an event, made at `at_s`."""
    made = logging.makeLogRecord({"sidecar_event": event, "sidecar_key": key, "levelname": "WARNING"})
    made.created = at_s
    return made


def test_repeats_are_held_back_and_counted() -> None:
    """Within the period one line of an event and key is shown; the next says how many were not."""
    held = RepeatFilter()
    event = catalogue.SPAN_EXPORT_FAILED
    shown = [held.filter(record(event, at_s)) for at_s in (0.0, 1.0, 59.0)]
    assert shown == [True, False, False]
    late = record(event, 60.0)
    assert held.filter(late)
    assert json.loads(JsonFormatter().format(late))["repeated"] == 2
    assert "repeated=2" in TextFormatter().format(late)


def test_other_keys_and_events_are_not_held_back() -> None:
    """A different key or event is shown, and events without a period always are."""
    held = RepeatFilter()
    assert held.filter(record(catalogue.SINK_FAILED, 0.0, "metrics"))
    assert held.filter(record(catalogue.SINK_FAILED, 0.0, "traces"))
    assert not held.filter(record(catalogue.SINK_FAILED, 1.0, "traces"))
    assert all(held.filter(record(catalogue.STARTED, 0.0)) for _ in range(3))


def test_a_librarys_lines_repeat_by_their_template() -> None:
    """A library cannot flood the log by filling a different value into each line."""
    stream = io.StringIO()
    set_up(Log(), stream)
    for number in range(50):
        logging.getLogger("lib").warning("try %d", number)
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue())["event"] == "library"


def test_memory_of_repeats_is_bounded() -> None:
    """Very many different keys do not fill the memory: what was held back is forgotten."""
    held = RepeatFilter()
    for number in range(2000):
        held.filter(record(catalogue.SINK_FAILED, 0.0, str(number)))
    assert held.filter(record(catalogue.SINK_FAILED, 0.1, "0"))


def test_an_event_log_works_without_a_handler() -> None:
    """Writing before logging is set up does nothing and raises nothing."""
    EventLog("error").write(catalogue.STARTED)
