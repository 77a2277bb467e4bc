"""An hour or a day of calls, as the journal keeps it: one JSON object in a file of its own.

What people and scripts read stands at the top, rounded. `calls` has the same exactly, with every bucket of the sketches: from it
alone a file is read again, and so the hours of a day add up to the day without loss.
"""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec

from sidecar.core.reckon.moments import show_wall
from sidecar.core.reckon.sketch import BUCKETS, ERROR, Sketch
from sidecar.core.reckon.tally import Tally
from sidecar.exchange import SERVICE_ERRORS, Ending

HOUR_S: Final = 3600
DAY_S: Final = 86_400
WHOSE_MAX: Final = 500  # in one snapshot; calls of further providers and models are added up as other
OTHER: Final = "other"
NOBODY: Final = "none"
VERSION: Final = "1.0"
_NAMES: Final = {HOUR_S: "hourly_%Y%m%d_%H.json", DAY_S: "daily_%Y%m%d.json"}
_NAMED: Final = {HOUR_S: re.compile(r"hourly_\d{8}_\d{2}\.json"), DAY_S: re.compile(r"daily_\d{8}\.json")}

_NUMBER_MAX: Final = 2**53  # up to it every reader of JSON has integers exactly (RFC 8259, section 6); and sums of sums stay finite

_Count = Annotated[int, msgspec.Meta(ge=0, le=_NUMBER_MAX)]
_Sum = Annotated[float, msgspec.Meta(ge=0, le=_NUMBER_MAX)]


class Snapshot:
    """The calls that ended within an hour or a day of UTC: by `PROVIDER/MODEL`, PROVIDER where no model was asked for, or NOBODY."""

    __slots__ = ("began", "calls", "ended")

    def __init__(self, began: int, ended: int) -> None:
        """`began`, `ended`: seconds since the epoch."""
        self.began = began
        self.ended = ended
        self.calls: dict[str, Tally] = {}

    @property
    def total(self) -> Tally:
        """All calls: a tally of its own each time."""
        total = Tally()
        for tally in self.calls.values():
            total.merge(tally)
        return total

    def find(self, whose: str) -> Tally:
        """Return the tally in which calls of a provider and model are counted."""
        tally = self.calls.get(whose)
        if tally is None:
            if len(self.calls) >= WHOSE_MAX:
                whose = OTHER
            tally = self.calls.setdefault(whose, Tally())
        return tally

    def merge(self, other: "Snapshot") -> None:
        """Take in the calls of another one."""
        for whose, tally in other.calls.items():
            self.find(whose).merge(tally)


def add_up(began: int, ended: int, snapshots: Iterable[Snapshot]) -> Snapshot:
    """Return one snapshot of all."""
    whole = Snapshot(began, ended)
    for snapshot in snapshots:
        whole.merge(snapshot)
    return whole


def name_whose(provider: str, model: str) -> str:
    """Return under which name calls are counted."""
    return f"{provider}/{model}" if provider and model else provider or model or NOBODY


def name_file(began: int, ended: int) -> str:
    """Return the name of an hour's file, or a day's."""
    return (datetime.fromtimestamp(0, UTC) + timedelta(seconds=began)).strftime(_NAMES[ended - began])


def read_name(name: str) -> tuple[int, int] | None:
    """Return when the time of a file began and ended; None where it is no name of the journal's."""
    for span_s, named in _NAMED.items():
        if named.fullmatch(name) is not None:
            try:
                began = datetime.strptime(name, _NAMES[span_s]).replace(tzinfo=UTC)
            except ValueError:
                return None
            began_s = int(began.timestamp())
            return began_s, began_s + span_s
    return None


class _Buckets(msgspec.Struct, gc=False):
    """A sketch. `counts`: by bucket."""

    total: _Sum
    minimum: _Sum | None
    maximum: _Sum | None
    counts: dict[int, Annotated[int, msgspec.Meta(ge=1, le=_NUMBER_MAX)]]


class _Calls(msgspec.Struct, gc=False):
    """A tally; seconds and US dollars."""

    endings: dict[Ending, _Count]
    lookups: _Count
    hits: _Count
    usages: _Count
    input_tokens: _Count
    output_tokens: _Count
    costs: _Count
    cost_usd: _Sum
    durations: _Buckets
    first_tokens: _Buckets
    speeds: _Buckets


class _File(msgspec.Struct, gc=False):
    version: str
    began: datetime
    ended: datetime
    sketch_error: float
    calls: dict[str, _Calls]


_decode: Final = msgspec.json.Decoder(_File).decode
_encode: Final = msgspec.json.Encoder().encode


def write_snapshot(snapshot: Snapshot, saved_ns: int, uptime_s: float) -> bytes:
    """Return the file's content. `saved_ns`: now, since the epoch; `uptime_s`: for how long the sidecar runs."""
    total = snapshot.total
    seconds = int(uptime_s)
    tokens = {whose: tally.input_tokens + tally.output_tokens for whose, tally in sorted(snapshot.calls.items()) if tally.usages}
    told = show_tally(total)
    shown: dict[str, Any] = {
        "version": VERSION,
        "saved_at": show_wall(saved_ns),
        "uptime_seconds": seconds,
        "uptime_formatted": f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}",
        "began": show_second(snapshot.began),
        "ended": show_second(snapshot.ended),
        **told,
        "token_usage": {**told["token_usage"], "by_model": tokens},
        "sketch_error": ERROR,
        "calls": {whose: _pack(tally) for whose, tally in sorted(snapshot.calls.items())},
    }
    return _encode(shown) + b"\n"


def read_snapshot(data: bytes) -> Snapshot:
    """Return what a file tells. Raises ValueError, which says what is wrong and quotes nothing, where that is not a snapshot."""
    try:
        file = _decode(data)
    except (msgspec.DecodeError, RecursionError, OverflowError):
        raise ValueError("not the JSON of a journal's file") from None
    if file.version.partition(".")[0] != VERSION.partition(".")[0]:
        raise ValueError("of a version that is not known")
    if not math.isclose(file.sketch_error, ERROR):
        raise ValueError("with sketches of another error")
    if file.began.tzinfo is None or file.ended.tzinfo is None:
        raise ValueError("times without a zone")
    began, ended = file.began.timestamp(), file.ended.timestamp()
    if ended - began not in _NAMES or began % (ended - began):
        raise ValueError("neither of an hour nor of a day")
    snapshot = Snapshot(int(began), int(ended))
    snapshot.calls = {whose: _unpack(calls) for whose, calls in file.calls.items()}
    return snapshot


def show_second(moment: int) -> str:
    """Return seconds since the epoch as date and time."""
    return (datetime.fromtimestamp(0, UTC) + timedelta(seconds=moment)).isoformat().replace("+00:00", "Z")


def show_tally(tally: Tally) -> dict[str, Any]:
    """Return what some calls come to, rounded: milliseconds, null for what was not measured."""
    known = bool(tally.usages)
    return {
        "requests": tally.requests,
        "response_times": _show_sketch(tally.durations, 1000),
        "time_to_first_token": _show_sketch(tally.first_tokens, 1000),
        "tokens_per_second": _show_sketch(tally.speeds, 1),
        "errors": {
            "total": tally.errors,
            "by_ending": {ending: count for ending, count in sorted(tally.endings.items()) if ending in SERVICE_ERRORS},
        },
        "cache": {"hits": tally.hits, "misses": tally.lookups - tally.hits, "hit_rate": tally.hit_ratio},
        "cost_usd": round(tally.cost_usd, 9) if tally.costs else None,
        "token_usage": {
            "total_tokens": tally.input_tokens + tally.output_tokens if known else None,
            "prompt_tokens": tally.input_tokens if known else None,
            "completion_tokens": tally.output_tokens if known else None,
        },
    }


def _show_sketch(sketch: Sketch, unit: float) -> dict[str, float | int | None]:
    """`unit`: how many of the unit shown make one of the sketch's."""
    p50, p95, p99 = sketch.quantiles(0.5, 0.95, 0.99)
    bounds = (sketch.minimum, sketch.maximum) if sketch.count else (None, None)
    found = {"avg": sketch.mean, "min": bounds[0], "max": bounds[1], "p50": p50, "p95": p95, "p99": p99}
    shown: dict[str, float | int | None] = {name: None if value is None else round(value * unit, 3) for name, value in found.items()}
    return {**shown, "count": sketch.count}


def _pack(tally: Tally) -> _Calls:
    return _Calls(
        tally.endings, tally.lookups, tally.hits, tally.usages, tally.input_tokens, tally.output_tokens, tally.costs, tally.cost_usd,
        *map(_pack_sketch, (tally.durations, tally.first_tokens, tally.speeds)),
    )  # fmt: skip


def _pack_sketch(sketch: Sketch) -> _Buckets:
    minimum, maximum = (sketch.minimum, sketch.maximum) if sketch.count else (None, None)
    return _Buckets(sketch.total, minimum, maximum, sketch.counts)


def _unpack(calls: _Calls) -> Tally:
    tally = Tally()
    tally.endings = dict(calls.endings)
    tally.requests = sum(tally.endings.values())
    tally.errors = sum(count for ending, count in tally.endings.items() if ending in SERVICE_ERRORS)
    tally.lookups, tally.hits = calls.lookups, calls.hits
    tally.usages, tally.input_tokens, tally.output_tokens = calls.usages, calls.input_tokens, calls.output_tokens
    tally.costs, tally.cost_usd = calls.costs, calls.cost_usd
    tally.durations, tally.first_tokens, tally.speeds = map(_unpack_sketch, (calls.durations, calls.first_tokens, calls.speeds))
    if tally.hits > tally.lookups or max(tally.usages, tally.durations.count) > tally.requests or not math.isfinite(tally.cost_usd):
        raise ValueError("numbers that do not fit together")
    return tally


def _unpack_sketch(packed: _Buckets) -> Sketch:
    sketch = Sketch()
    counts = packed.counts
    if not counts:
        return sketch
    minimum, maximum = packed.minimum, packed.maximum
    if minimum is None or maximum is None or not minimum <= maximum < math.inf or not math.isfinite(packed.total):
        raise ValueError("numbers that do not fit together")
    if not all(0 <= bucket < BUCKETS for bucket in counts):
        raise ValueError("a sketch with buckets that are not there")
    sketch.counts, sketch.count = dict(counts), sum(counts.values())
    sketch.total, sketch.minimum, sketch.maximum = packed.total, minimum, maximum
    return sketch
