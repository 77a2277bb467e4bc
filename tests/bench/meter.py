"""What one record costs the meter, beside prometheus_client's own kept children doing the same.

Run: python tests/bench/meter.py
"""

import sys
import timeit
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from prometheus_client import CollectorRegistry, Counter, Histogram

from sidecar import catalogue
from sidecar.config import Limits
from sidecar.edge.telemetry.meter import Meter
from sidecar.exchange import Asked, Attempt, Cost, Ending, Record, Seen, TraceContext, Usage, UsageSource

ROUNDS, CALLS = 7, 20_000


def make_record(*, streamed: bool, kept: bool) -> Record:
    """Return a completed chat call."""
    seen = Seen()
    seen.model = "sim-small-2026-01-01"
    if streamed:
        seen.first_chunk, seen.first_token, seen.last_chunk, seen.chunks = 100.2, 100.3, 102.0, 50
        seen.gaps, seen.gap_sum = [0, 40, 9] + [0] * (len(catalogue.GAP_EDGES) - 2), 1.8
    attempt = Attempt("openai", 100.0, 100.0, 100.001, 100.2, 102.0, True, 200, "completed")
    return Record(
        id="r", route="openai", upstream="openai", server_address="api.openai.com", server_port=443, provider="openai",
        operation="chat", dialect="openai_chat", method="POST", status=200, ending=Ending.COMPLETED, error_id=None, error_type=None,
        streamed=streamed, asked=Asked(model="sim-small", stream=streamed), seen=seen, usage=Usage(12, 3, 0, 40, 7),
        usage_source=UsageSource.REPORTED, cost=Cost(0.0012, "table"), unpriced=None, accepted=100.0, accepted_ns=1_700_000_000_000_000_000,
        ended=102.1, first_byte=100.2, request_bytes=300, response_bytes=900, overhead_request_s=0.00004, overhead_response_s=0.00003,
        attempts=(attempt,), observer_failed=False, usage_added=False, trace=TraceContext(1 << 120, None, 1, 2, 3, True), kept=kept,
        path="/openai/v1/chat/completions", template="/openai/v1/chat/completions",
    )  # fmt: skip


class Kept:
    """The same series as prometheus_client's children, looked up once."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.counters = [Counter(f"c{index}", "c", ["a", "b"], registry=registry).labels("x", "y") for index in range(9)]
        self.histograms = [
            Histogram(f"h{index}", "h", ["a", "b"], buckets=catalogue.DURATION_EDGES, registry=registry).labels("x", "y")
            for index in range(6)
        ]  # fmt: skip

    def observe(self, record: Record) -> None:
        """Count a unary record in nine counters and six histograms, two of them with exemplars."""
        for counter in self.counters:
            counter.inc(1)
        duration = record.ended - record.accepted
        exemplar = None
        if record.kept and record.trace is not None:
            exemplar = {"trace_id": f"{record.trace.trace_id:032x}", "span_id": f"{record.trace.client_span_id:016x}"}
        for histogram in self.histograms[:2]:
            histogram.observe(duration, exemplar)
        for histogram in self.histograms[2:]:
            histogram.observe(duration)


def measure(meter: Meter | Kept, record: Record) -> float:
    """Return microseconds a record, the best of several rounds."""
    return min(timeit.repeat(lambda: meter.observe(record), number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def main() -> None:
    """Print the table."""
    meter = Meter(Limits(), ["openai"], version="0", python="3")
    rows = [
        ("unary chat, exemplars", make_record(streamed=False, kept=True)),
        ("unary chat, no trace", make_record(streamed=False, kept=False)),
        ("streamed chat, exemplars", make_record(streamed=True, kept=True)),
    ]
    print("| record | sidecar µs | prometheus_client µs (unary's instruments only) |\n|---|---|---|")
    for name, record in rows:
        print(f"| {name} | {measure(meter, record):.2f} | {measure(Kept(), record):.2f} |")


if __name__ == "__main__":
    main()
