"""What it costs to know of one's calls: microseconds a call of each reader of records, beside the meter's, and memory per history.

    python tests/bench/insight.py [--seconds 1.0] [--calls 100000]

Measured in one process, one run, on made records: whole answers and streams of three models at two upstreams. `nothing` is a reader that
does nothing. Memory is what tracemalloc counts after so many calls, spread evenly over an hour, with the hour before already forgotten.
"""

import argparse
import gc
import itertools
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec
from decisions import measure

from sidecar.config import Limits
from sidecar.core.reckon.feedback import Answers
from sidecar.core.reckon.hours import Hours
from sidecar.core.reckon.window import STEP_S, STEPS, Window
from sidecar.edge.telemetry.meter import Meter
from sidecar.exchange import Asked, Record, Usage
from tests.edge.telemetry.records import make_record, make_seen, make_streamed

COST_MAX_US: Final = 3.0  # of the window, a call
_RECORDS: Final = 64
_HOUR_S: Final = STEPS * STEP_S


def list_records(streamed: bool) -> list[Record]:
    """Return calls that differ as calls do: in who answered, in how long it took."""
    made = []
    for number in range(_RECORDS):
        took_s = 0.2 + 0.03 * number
        times = {"first_chunk": 100 + took_s / 4, "first_token": 100 + took_s / 3, "last_chunk": 100 + took_s}
        asked = Asked(model=("small", "medium", "large")[number % 3], stream=streamed)
        changes = {"accepted": 100.0, "ended": 100 + took_s, "asked": asked, "upstream": ("first", "second")[number % 2], "kept": False}
        usage = Usage(100, 20, 0, 30 + number, 0)
        make = make_streamed if streamed else make_record
        made.append(make(**changes, usage=usage, **({"seen": make_seen(**times)} if streamed else {})))
    return made


def step_through(records: list[Record], observe: Callable[[Record], object]) -> Callable[[], object]:
    """Return a step that shows the next record."""
    following = itertools.cycle(records).__next__
    return lambda: observe(following())


def report_costs(seconds: float) -> bool:
    """Print what each reader takes; return whether the window takes no more than it may."""
    good = True
    print("reader of records            whole answer   stream   (µs a call, median of blocks, less what nothing takes)")
    readers: dict[str, Callable[[Record], object]] = {
        "the last hour (Window)": Window(lambda: 100.0).observe,
        "the journal (Hours)": Hours().observe,
        "ratings (Answers)": Answers().observe,
        "metrics (Meter)": Meter(Limits(), ("first", "second"), version="1", python="3").observe,
    }
    kinds = (list_records(False), list_records(True))
    nothing = [measure(step_through(records, lambda record: None), seconds) for records in kinds]
    for name, observe in readers.items():
        whole, stream = (
            1e6 * (measure(step_through(records, observe), seconds) - less) for records, less in zip(kinds, nothing, strict=True)
        )
        print(f"{name:<28} {whole:>12.2f} {stream:>8.2f}")
        if name.startswith("the last hour"):
            good = whole <= COST_MAX_US and stream <= COST_MAX_US
    return good


def report_memory(calls: int) -> None:
    """Print what the window takes after an hour with so many calls, and after another one."""
    now = [0.0]
    window = Window(lambda: now[0])
    gc.collect()
    tracemalloc.start()
    for hour in (1, 2):
        for record in spread(calls, hour):
            now[0] = record.ended
            window.observe(record)
        gc.collect()
        print(f"memory of the window after hour {hour}, {calls} calls in each: {tracemalloc.get_traced_memory()[0] / 2**20:.2f} MiB")
    tracemalloc.stop()


def spread(calls: int, hour: int) -> Iterator[Record]:
    """Yield calls of one hour."""
    records = list_records(True)
    for number in range(calls):
        record = records[number % len(records)]
        ended = hour * _HOUR_S + number * _HOUR_S / calls
        yield msgspec.structs.replace(record, accepted=ended - record.duration_s, ended=ended)


def main() -> int:
    """Print both tables. Exit code 1 where the window takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--calls", type=int, default=100_000)
    arguments = parser.parse_args()
    began = time.perf_counter()
    good = report_costs(arguments.seconds)
    report_memory(arguments.calls)
    verdict = "it does not take more" if good else "IT TAKES MORE"
    print(f"the window may take {COST_MAX_US:g} µs a call: {verdict}  ({time.perf_counter() - began:.0f} s)")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
