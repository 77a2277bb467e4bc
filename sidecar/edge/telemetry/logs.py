"""Structured log lines: text on a terminal, one JSON object per line elsewhere.

Our own lines are events of the catalogue with named fields, never sentences with values pasted in.
What libraries log comes out in the same form, bounded and without line breaks, so that nobody can
forge a line. Headers, bodies and query strings are not passed in, here or anywhere else.
"""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final, TextIO

from sidecar import catalogue, config
from sidecar.catalogue import LogEvent
from sidecar.edge.telemetry.outlet import Outlet

Field = str | int | float | bool | None

_LOGGER: Final = "sidecar"
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_TEXT_CHARACTERS_MAX: Final = 500  # of one field: enough for an exception's message
_KEYS_MAX: Final = 256  # distinct repeating lines remembered


class EventLog:
    """Writes events of the catalogue. May be used from any thread."""

    def __init__(self, level: str = "info", outlet: Outlet | None = None, *, is_text: bool = False) -> None:
        """`outlet`: where lines go that others have made. `is_text`: they are for people."""
        self._logger = logging.getLogger(_LOGGER)
        self._outlet = outlet
        self._is_text = is_text
        self.set_level(level)

    def start(self) -> None:
        """Have lines written by a thread of their own from now on."""
        if self._outlet is not None:
            self._outlet.start()

    async def stop(self, timeout_s: float) -> None:
        """Have what is left written, for at most so many seconds."""
        if self._outlet is not None:
            await self._outlet.stop(timeout_s)

    def write(self, event: LogEvent, key: str = "", **fields: Field) -> None:
        """Write one line. Lines of the same event and `key` within event.repeat_s become one."""
        level = LEVELS[event.level]
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event.name, extra={"sidecar_event": event, "sidecar_key": key, "sidecar_fields": fields})

    def shows(self, event: LogEvent) -> bool:
        """Whether lines of an event are written."""
        return self._logger.isEnabledFor(LEVELS[event.level])

    def pass_on(self, tell: Callable[..., str]) -> None:
        """Have a line written that is made where it is written: `tell` is told whether it is for people, as `is_text`."""
        if self._outlet is not None:
            self._outlet.offer(partial(tell, is_text=self._is_text))

    @property
    def level(self) -> str:
        """The least level that is shown."""
        return self._level

    def set_level(self, level: str) -> None:
        """Show `level` (debug, info, warning, error) and above from now on."""
        self._level = level
        self._logger.setLevel(LEVELS[level])


def set_up(log: config.Log, stream: TextIO) -> EventLog:
    """Send all log lines of the process to `stream`, and return the log for our own."""
    is_text = stream.isatty() if log.format == "auto" else log.format == "text"
    formatter = TextFormatter() if is_text else JsonFormatter()
    outlet = Outlet(stream, lambda lost: formatter.format(_make_lost(lost)))
    handler = _OutletHandler(outlet)
    handler.setFormatter(formatter)
    handler.addFilter(RepeatFilter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    return EventLog(log.level, outlet, is_text=is_text)


class _OutletHandler(logging.Handler):
    """Hands what is logged over as lines."""

    def __init__(self, outlet: Outlet) -> None:
        super().__init__()
        self._outlet = outlet

    def emit(self, record: logging.LogRecord) -> None:
        # Now: what a library logged may be another thing later.
        try:
            line = self.format(record)
        except Exception as error:  # a library's message that cannot be put together: its template tells enough
            line = self.format(_make_unreadable(record, error))
        self._outlet.offer(line)


def _make_lost(lines: int) -> logging.LogRecord:
    event = catalogue.LINES_LOST
    said = {"name": _LOGGER, "levelname": event.level.upper(), "sidecar_event": event, "sidecar_fields": {"lines": lines}}
    return logging.makeLogRecord(said)


def _make_unreadable(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    return logging.makeLogRecord({"name": record.name, "levelname": record.levelname, "msg": f"{type(error).__name__} in: {record.msg!s}"})


class RepeatFilter(logging.Filter):
    """Lets one line of a kind through per period, and says on the next how many it stands for."""

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[tuple[str, str], tuple[float, int]] = {}  # last shown, held back since

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is shown."""
        event = _event(record)
        if not event.repeat_s:
            return True
        # A library's line repeats if its template does, whatever was filled in.
        key = (event.name, getattr(record, "sidecar_key", "") if event is not catalogue.LIBRARY else f"{record.name}:{record.msg}")
        shown, held = self._held.get(key, (float("-inf"), 0))
        if record.created - shown < event.repeat_s:
            self._held[key] = (shown, held + 1)
            return False
        if len(self._held) >= _KEYS_MAX:
            self._held.clear()
        self._held[key] = (record.created, 0)
        if held:
            record.sidecar_repeated = held
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ts (RFC 3339, UTC), level, event, and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. JSON's own escapes keep control characters out of it."""
        line = {"ts": _timestamp(record), "level": record.levelname.lower(), "event": _event(record).name, **_fields(record)}
        return json.dumps(line, separators=(",", ":"))


class TextFormatter(logging.Formatter):
    """Time, level, event and `name=value` pairs, for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with control characters escaped and texts quoted where they need it."""
        pairs = (f"{name}={_show(value)}" for name, value in _fields(record).items())
        return " ".join((_timestamp(record), record.levelname.lower().ljust(7), _event(record).name, *pairs))


def _event(record: logging.LogRecord) -> LogEvent:
    event = getattr(record, "sidecar_event", None)
    return event if isinstance(event, LogEvent) else catalogue.LIBRARY


def _fields(record: logging.LogRecord) -> dict[str, Field]:
    given: dict[str, Field] = getattr(record, "sidecar_fields", None) or {}
    fields = {name: _bound(value) for name, value in given.items() if value is not None}
    if _event(record) is catalogue.LIBRARY:
        fields["logger"] = record.name
        fields["message"] = _bound(record.getMessage())
    if record.exc_info is not None and record.exc_info[0] is not None:
        fields["exception"] = record.exc_info[0].__name__  # its text may quote what it choked on
    repeated = getattr(record, "sidecar_repeated", 0)
    if repeated:
        fields["repeated"] = repeated
    return fields


def _bound(value: Field) -> Field:
    return value[:_TEXT_CHARACTERS_MAX] if isinstance(value, str) else value


def _show(value: Field) -> str:
    text = str(value)
    return text if text.isprintable() and text and " " not in text and '"' not in text else json.dumps(text)


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
