"""A line for each call, or for each that failed (ports.Sink).

On the event loop a call that has no line costs a comparison, and one that has costs an append: the line is made where it is written.
"""

from functools import partial
from typing import Final

import msgspec

from sidecar import catalogue
from sidecar.catalogue import LogEvent
from sidecar.config import Calls
from sidecar.core.reckon.lines import Value, describe_call
from sidecar.core.reckon.moments import show_wall
from sidecar.edge.telemetry.labels import clean
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.recent import lighten
from sidecar.exchange import Ending, Record

_COMPLETED, _CLIENT_GONE = Ending.COMPLETED, Ending.CLIENT_GONE
# A provider that is away fails every call: the first ones say what there is to say.
SHOWN_MAX: Final = 5  # of those that end alike at one upstream, within
PERIOD_S: Final = 10.0
_CENTS_USD: Final = 0.0001
_GUESSED: Final = "estimated"


class CallLines:
    """Writes lines of calls."""

    def __init__(self, calls: Calls, log: EventLog) -> None:
        self._has_all = calls is Calls.ALL
        self._log = log
        self._floods: dict[tuple[Ending, str], _Flood] = {}

    def observe(self, record: Record) -> None:
        """Have one exchange that has ended told, if it is one that is."""
        ending = record.ending
        if ending is _COMPLETED or ending is _CLIENT_GONE:
            if self._has_all and self._log.shows(catalogue.CALL_ENDED):
                self._pass_on(catalogue.CALL_ENDED, record, 0)
            return
        if not self._log.shows(catalogue.CALL_FAILED):
            return
        repeated = 0
        if not self._has_all:
            key = (ending, record.upstream)
            flood = self._floods.get(key)
            if flood is None:
                flood = self._floods[key] = _Flood(record.ended)
            if not flood.admits(record.ended):
                return
            repeated, flood.held = flood.held, 0
        self._pass_on(catalogue.CALL_FAILED, record, repeated)

    def _pass_on(self, event: LogEvent, record: Record, repeated: int) -> None:
        if record.said is not None or record.seen.running is not None:
            record = lighten(record)
        self._log.pass_on(partial(tell_call, event, record, repeated))


class _Flood:
    """Calls that ended alike: how many were told in this period, and how many were not since the last that was."""

    __slots__ = ("_began", "_shown", "held")

    def __init__(self, now: float) -> None:
        self._began = now
        self._shown = 0
        self.held = 0

    def admits(self, now: float) -> bool:
        """Whether one more is told."""
        if now - self._began >= PERIOD_S:
            self._began, self._shown = now, 0
        if self._shown >= SHOWN_MAX:
            self.held += 1
            return False
        self._shown += 1
        return True


def tell_call(event: LogEvent, record: Record, repeated: int, *, is_text: bool) -> str:
    """Return the line of a call, for people or as JSON. No text in it can end it."""
    fields = {name: clean(value) if isinstance(value, str) else value for name, value in describe_call(record, repeated).items()}
    at = show_wall(record.accepted_ns + round((record.ended - record.accepted) * 1e9))
    if is_text:
        return f"{at} {event.level.ljust(7)} {' · '.join(_list_parts(fields, record))}"
    return msgspec.json.encode({"ts": at, "level": event.level, "event": event.name} | fields).decode()


def _list_parts(fields: dict[str, Value], record: Record) -> list[str]:
    """Return what a person wants to know of it, the usual left out."""
    parts = [str(fields.get("model") or fields.get("tool") or clean(f"{record.method} {record.template or record.route}").strip())]
    parts.append(f"{fields['duration_s']:.2f} s")
    if "ttft_s" in fields:
        parts.append(f"ttft {fields['ttft_s']:.2f} s")
    if "output_tokens" in fields:
        parts.append(f"{_guess(fields['tokens_source'])}{fields['output_tokens']} tok")
    if "tokens_per_s" in fields:
        parts.append(f"{fields['tokens_per_s']:.1f} tok/s")
    if "cost_usd" in fields:
        usd = float(fields["cost_usd"])
        parts.append(f"{_guess(fields['cost_source'])}${usd:.{4 if usd >= _CENTS_USD or not usd else 8}f}")
    if fields["ending"] != _COMPLETED.value:
        parts.append(str(fields["ending"]))
    if "error_type" in fields and fields["error_type"] != str(fields.get("status", "")):
        parts.append(str(fields["error_type"]))
    if "phase" in fields:
        parts.append(f"{fields['phase']} {fields['phase_s']:.2f} s")
    if fields.get("upstream", fields.get("route")) != fields.get("route"):
        parts.append(f"by {fields['upstream']}")
    if "status" in fields and fields["status"] != 200:
        parts.append(str(fields["status"]))
    if int(fields["attempts"]) > 1:
        parts.append(f"{fields['attempts']} attempts: {fields['tried']}")
    if fields.get("cache") in catalogue.CACHE_TOLD:
        parts.append(f"cache {fields['cache']}")
    if record.ending is not _COMPLETED:
        parts.append(str(fields["request_id"]))
    if "repeated" in fields:
        parts.append(f"and {fields['repeated']} more like it")
    return parts


def _guess(source: Value) -> str:
    return "~" if source == _GUESSED else ""
