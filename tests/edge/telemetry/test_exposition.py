"""The scrape, read by the official parsers."""

import asyncio
import gzip
import shutil
import subprocess
from itertools import pairwise
from time import perf_counter

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sidecar import catalogue
from sidecar.config import Limits
from sidecar.edge.telemetry.exposition import Exposition
from sidecar.edge.telemetry.meter import Meter
from sidecar.exchange import Asked
from tests.edge.telemetry.records import make_record, make_seen, make_streamed

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def make_meter(models: int = 1, limits: Limits | None = None) -> Meter:
    """Return a meter that has seen a unary call and a stream of each of so many models."""
    meter = Meter(limits or Limits(), ["openai"], version="1.0", python="3.11")
    for number in range(models):
        asked = Asked(model=f"model-{number}")
        meter.observe(make_record(asked=asked, seen=make_seen(model=f"model-{number}")))
        meter.observe(make_streamed(asked=asked))
    return meter


async def test_text_is_read_by_the_official_parser() -> None:
    """Text 0.0.4 has every metric of the catalogue with its kind and help, and process metrics."""
    scrape = await Exposition(make_meter()).render()
    assert scrape.content_type == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in parse_text(scrape.body.decode())}
    for metric in catalogue.METRICS + catalogue.PROCESS_METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)


async def test_openmetrics_is_read_by_the_official_parser() -> None:
    """OpenMetrics 1.0 has units, exemplars, one end, and no _created series."""
    scrape = await Exposition(make_meter()).render(OPENMETRICS)
    text = scrape.body.decode()
    assert text.endswith("# EOF\n")
    assert "_created" not in text
    families = {family.name: family for family in parse_openmetrics(text)}
    assert families["gen_ai_client_operation_duration_seconds"].unit == "seconds"
    assert families["llm_sidecar_cost_usd"].unit == "usd"
    assert families["gen_ai_client_token_usage"].unit == ""
    assert any(sample.exemplar for sample in families["gen_ai_client_operation_duration_seconds"].samples)
    assert set(families) >= {metric.name.removesuffix("_total") for metric in catalogue.METRICS + catalogue.PROCESS_METRICS}


async def test_labels_from_the_traffic_cannot_break_a_line() -> None:
    """Quotes, backslashes, line breaks and other scripts in a model come back as they were, or cleaned."""
    meter = make_meter()
    for model in ('a"b', "a\\b", "a\nb", "modèle", "a} 1\n# EOF"):
        meter.observe(make_record(asked=Asked(model=model)))
    expected = {'a"b', "a\\b", "ab", "modèle", "a} 1# EOF"}
    for accept, parse in (("", parse_text), (OPENMETRICS, parse_openmetrics)):
        body = (await Exposition(meter).render(accept)).body.decode()
        found = {sample.labels.get("model") for family in parse(body) for sample in family.samples}
        assert expected <= found


async def test_gzip_holds_the_same() -> None:
    """A compressed scrape is the plain one, compressed."""
    meter = make_meter(30)
    plain, packed = await Exposition(meter).render(), await Exposition(meter).render("", "gzip")
    assert (plain.content_encoding, packed.content_encoding) == (None, "gzip")
    ours = [body.partition(b"# HELP process_")[0] for body in (plain.body, gzip.decompress(packed.body))]
    assert ours[0] == ours[1]
    assert len(packed.body) < len(plain.body) / 5


async def test_each_family_is_headed_once() -> None:
    """A family that fills many slices has one HELP and one TYPE."""
    body = (await Exposition(make_meter(150)).render(OPENMETRICS)).body.decode()
    heads = [line for line in body.splitlines() if line.startswith("# ")]
    assert len(heads) == len(set(heads))
    list(parse_openmetrics(body))


async def test_concurrent_scrapes_do_not_disturb_each_other() -> None:
    """Scrapes at the same time, while calls are counted, are each whole and well-formed."""
    meter = make_meter(100)
    exposition = Exposition(meter)

    async def go_on() -> None:
        for number in range(200):
            meter.observe(make_streamed(asked=Asked(model=f"new-{number}")))
            await asyncio.sleep(0)

    *scrapes, _ = await asyncio.gather(
        *(exposition.render(accept, coding) for accept in ("", OPENMETRICS) for coding in ("", "gzip")), go_on()
    )
    for scrape in scrapes:
        body = (gzip.decompress(scrape.body) if scrape.content_encoding else scrape.body).decode()
        parse = parse_openmetrics if "openmetrics" in scrape.content_type else parse_text
        for family in parse(body):
            if family.type == "histogram":
                counts = [sample.value for sample in family.samples if sample.name.endswith("_bucket")]
                edges = [sample.labels["le"] for sample in family.samples if sample.name.endswith("_bucket")]
                assert all(low <= high for (low, high), le in zip(pairwise(counts), edges[1:], strict=True) if le != edges[0])


async def test_the_loop_has_turns_during_a_scrape() -> None:
    """Rendering ten thousand series is cut into many turns of the loop."""
    meter = make_meter(110)
    turns = 0
    lines = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    started = perf_counter()
    body = (await Exposition(meter).render(OPENMETRICS, "")).body
    took_s = perf_counter() - started
    counting.cancel()
    lines = body.count(b"\n")
    assert lines > 10_000
    assert turns >= lines / 400
    assert took_s < 5


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("models", [0, 3])
async def test_promtool_finds_nothing(models: int) -> None:
    """`promtool check metrics` has no complaint, with traffic and without."""
    body = (await Exposition(make_meter(models)).render()).body
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdout": subprocess.PIPE}
    process = await asyncio.create_subprocess_exec("promtool", "check", "metrics", **pipes)
    output, _ = await process.communicate(body)
    assert (process.returncode, output) == (0, b"")
