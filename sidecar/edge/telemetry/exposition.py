"""The scrape: everything the meter holds, as Prometheus text 0.0.4 or OpenMetrics 1.0.

Written in slices with a turn of the event loop between them, so that a scrape of ten thousand
series never holds up a call. A slice ends between two children: a histogram is always whole, while
children far apart may be a few milliseconds apart in time, as with any scrape.

Series carry their rendered labels, which makes a line of ours cost a tenth of one of
prometheus_client's; its own encoders write what it collects itself, the process metrics.
"""

import asyncio
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.utils import floatToGoString

from sidecar.catalogue import Kind, Metric
from sidecar.edge.telemetry.families import AnyFamily
from sidecar.edge.telemetry.instruments import Exemplar, Histogram
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.negotiation import Format, accepts_gzip, choose_format

_SLICE_LINES: Final = 300  # about half a millisecond, compression included
_GZIP_LEVEL: Final = 4  # twice as fast as 6 for 10 % more bytes
_GZIP_WINDOW: Final = 31  # the largest window, with gzip's header


class Scrape(NamedTuple):
    """A scrape's answer."""

    body: bytes
    content_type: str
    content_encoding: str | None


class Exposition:
    """Renders a meter. Several scrapes may run at once."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)

    async def render(self, accept: str = "", accept_encoding: str = "") -> Scrape:
        """Return all metrics in the format and coding that the request's headers ask for."""
        chosen = choose_format(accept)
        packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW) if accepts_gzip(accept_encoding) else None
        parts = []
        self._meter.refresh()
        for text in self._slices(chosen):
            data = text.encode("utf-8")
            parts.append(data if packer is None else packer.compress(data))
            await asyncio.sleep(0)
        if packer is not None:
            parts.append(packer.flush())
        return Scrape(b"".join(parts), chosen.content_type, None if packer is None else "gzip")

    def _slices(self, chosen: Format) -> Iterator[str]:
        lines: list[str] = []
        for family in self._meter.families.all:
            lines.append(_head(family.metric, chosen))
            for block in _blocks(family, chosen):
                lines.extend(block)
                if len(lines) >= _SLICE_LINES:
                    yield "".join(lines)
                    lines.clear()
        yield "".join(lines)
        generate = generate_openmetrics if chosen.is_openmetrics else generate_text
        yield generate(self._process).decode("utf-8")  # with OpenMetrics' "# EOF"


def _head(metric: Metric, chosen: Format) -> str:
    name, text = metric.name, metric.help.replace("\\", "\\\\").replace("\n", "\\n")
    if not chosen.is_openmetrics:
        return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n"
    name = name.removesuffix("_total")
    text = text.replace('"', '\\"')
    # OpenMetrics knows a unit only as the name's last word.
    unit = f"# UNIT {name} {metric.unit}\n" if metric.unit and name.endswith("_" + metric.unit) else ""
    return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n{unit}"


def _blocks(family: AnyFamily, chosen: Format) -> Iterator[list[str]]:
    """Yield the lines of each child."""
    metric = family.metric
    if metric.kind is Kind.HISTOGRAM:
        edges = [*map(floatToGoString, metric.buckets), "+Inf"]
        for child in family.children:
            if isinstance(child, Histogram):
                yield _histogram(metric.name, child, edges, chosen)
        return
    for child in family.children:
        if not isinstance(child, Histogram):
            labels = f"{{{child.labels}}}" if child.labels else ""
            yield [f"{metric.name}{labels} {_number(child.value)}\n"]


def _number(value: float) -> str:
    """Return a number as text that is exactly it: what only counts has no fraction."""
    return repr(int(value)) if float(value).is_integer() else repr(value)


def _histogram(name: str, child: Histogram, edges: list[str], chosen: Format) -> list[str]:
    prefix = f"{name}_bucket{{{child.labels},le=" if child.labels else f"{name}_bucket{{le="
    total = 0
    lines = []
    exemplars = child.exemplars if chosen.is_openmetrics else None
    for index, (edge, count) in enumerate(zip(edges, child.counts, strict=True)):
        total += count
        exemplar = None if exemplars is None else exemplars[index]
        lines.append(f'{prefix}"{edge}"}} {total}{"" if exemplar is None else _exemplar(exemplar)}\n')
    labels = f"{{{child.labels}}}" if child.labels else ""
    lines.append(f"{name}_count{labels} {total}\n{name}_sum{labels} {child.sum!r}\n")
    return lines


def _exemplar(exemplar: Exemplar) -> str:
    value, point = exemplar
    return f' # {{trace_id="{point.trace_id:032x}",span_id="{point.span_id:016x}"}} {value!r} {point.at_s:.3f}'
