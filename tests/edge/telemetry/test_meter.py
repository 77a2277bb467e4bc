"""What the meter makes of records."""

import pytest

from sidecar.config import Limits, Route, Settings, Upstream
from sidecar.edge.telemetry.exposition import Exposition
from sidecar.edge.telemetry.meter import Meter
from sidecar.exchange import Asked, Cost, Ending, Seen, Session, Usage, UsageSource
from tests.edge.telemetry.records import TRACE, make_attempt, make_record, make_seen, make_streamed

GENAI = (
    'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",'
    'gen_ai_response_model="gpt-4o-2024-08-06",server_address="api.openai.com",server_port="443"'
)


@pytest.fixture
def meter() -> Meter:
    """Return a meter of one upstream."""
    return Meter(Limits(), ["openai"], version="1.0", python="3.11")


async def read(meter: Meter, accept: str = "") -> dict[str, str]:
    """Return the scrape's samples: name with labels -> value."""
    body = (await Exposition(meter).render(accept)).body.decode()
    return dict(line.rsplit(" ", 1) if " # " not in line else line.split(" ", 1) for line in body.splitlines() if line[0] != "#")


async def test_a_unary_call_is_counted_once_everywhere(meter: Meter) -> None:
    """Duration, tokens, cost, overhead, attempt and request of one call are each there exactly once."""
    meter.observe(make_record())
    samples = await read(meter)
    assert samples['llm_sidecar_requests_total{route="openai",provider="openai",model="gpt-4o",ending="completed"}'] == "1"
    assert samples[f'gen_ai_client_operation_duration_seconds_sum{{{GENAI},error_type=""}}'] == "2.0"
    assert samples[f'gen_ai_client_operation_duration_seconds_bucket{{{GENAI},error_type="",le="2.0"}}'] == "1"
    assert samples[f'gen_ai_client_operation_duration_seconds_bucket{{{GENAI},error_type="",le="1.28"}}'] == "0"
    assert samples[f'gen_ai_client_token_usage_sum{{{GENAI},gen_ai_token_type="input"}}'] == "16.0"
    assert samples[f'gen_ai_client_token_usage_sum{{{GENAI},gen_ai_token_type="output"}}'] == "47.0"
    counted = {kind: samples[f'llm_sidecar_tokens_total{{provider="openai",model="gpt-4o",type="{kind}",source="reported"}}'] for kind in
               ("input", "cache_read", "cache_write", "output", "reasoning")}  # fmt: skip
    assert counted == {"input": "12", "cache_read": "3", "cache_write": "1", "output": "40", "reasoning": "7"}
    assert samples['llm_sidecar_cost_usd_total{provider="openai",model="gpt-4o",source="table"}'] == "0.25"
    assert samples['llm_sidecar_usage_records_total{source="reported"}'] == "1"
    assert samples['llm_sidecar_attempts_total{upstream="openai",outcome="completed"}'] == "1"
    assert samples['llm_sidecar_overhead_seconds_count{side="request"}'] == "1"
    assert samples['llm_sidecar_overhead_seconds_bucket{side="response",le="5e-05"}'] == "1"
    http = (
        'http_request_method="POST",http_route="/openai/v1/chat/completions",http_response_status_code="200",'
        'url_scheme="http",error_type=""'
    )
    assert samples[f"http_server_request_duration_seconds_count{{{http}}}"] == "1"
    assert not any("first_chunk" in name or "first_token" in name for name in samples)


async def test_a_stream_has_token_times(meter: Meter) -> None:
    """First chunk, first token, gaps and tokens per second come from what was seen."""
    meter.observe(make_streamed(usage=Usage(12, 3, 1, 47, 0)))
    samples = await read(meter)
    own = 'provider="openai",model="gpt-4o"'
    assert samples[f"gen_ai_client_operation_time_to_first_chunk_seconds_sum{{{GENAI}}}"] == "0.25"
    assert samples[f"llm_sidecar_time_to_first_token_seconds_sum{{{own}}}"] == "0.5"
    assert samples[f"llm_sidecar_output_tokens_per_second_sum{{{own}}}"] == "47.0"
    assert samples[f"gen_ai_client_operation_time_per_output_chunk_seconds_count{{{GENAI}}}"] == "3"
    assert samples[f"gen_ai_client_operation_time_per_output_chunk_seconds_sum{{{GENAI}}}"] == "0.035"


@pytest.mark.parametrize(
    "changes",
    [{"usage": None, "usage_source": UsageSource.ABSENT}, {"usage": Usage(12, 3, 1, 9, 0)}, {"usage": Usage(12, 3, 1, 40, 7)}],
)
async def test_a_rate_needs_tokens(meter: Meter, changes: dict[str, object]) -> None:
    """Without usage, with fewer than ten tokens, or with reasoning, which may have been done before, there is no rate."""
    meter.observe(make_streamed(**changes))
    assert not any("tokens_per_second_count{" in name and value != "0" for name, value in (await read(meter)).items())


async def test_absent_usage_is_said_to_be_absent(meter: Meter) -> None:
    """A call without usage counts no tokens and no cost, and is counted as absent."""
    meter.observe(make_record(usage=None, usage_source=UsageSource.ABSENT, cost=None))
    samples = await read(meter)
    assert samples['llm_sidecar_usage_records_total{source="absent"}'] == "1"
    assert not any(name.startswith(("llm_sidecar_tokens", "llm_sidecar_cost", "gen_ai_client_token")) for name in samples)


async def test_an_answer_told_again_has_no_usage_to_be_absent(meter: Meter) -> None:
    """Fetching a stored response is timed, and takes no part in what is known of usage and of the pace of models."""
    meter.observe(make_streamed(operation="fetch_response", asked=Asked(), usage=None, usage_source=UsageSource.ABSENT, cost=None))
    samples = await read(meter)
    assert samples['llm_sidecar_usage_records_total{source="absent"}'] == "0"
    assert any(name.startswith('gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="fetch_response"') for name in samples)
    assert not any(
        name.startswith(("gen_ai_client_operation_time_", "llm_sidecar_time_to_first")) and value != "0" for name, value in samples.items()
    )


async def test_an_estimate_is_not_shown_as_a_report(meter: Meter) -> None:
    """Estimated tokens stay out of gen_ai_client_token_usage and carry their source."""
    meter.observe(make_record(usage_source=UsageSource.ESTIMATED))
    samples = await read(meter)
    assert samples['llm_sidecar_tokens_total{provider="openai",model="gpt-4o",type="output",source="estimated"}'] == "40"
    assert not any(name.startswith("gen_ai_client_token_usage") for name in samples)


async def test_what_has_no_price_is_counted_not_zero(meter: Meter) -> None:
    """Unpriced usage makes no cost series but counts with its reason."""
    meter.observe(make_record(cost=None, unpriced="unknown_model"))
    samples = await read(meter)
    assert samples['llm_sidecar_unpriced_requests_total{reason="unknown_model"}'] == "1"
    assert not any(name.startswith("llm_sidecar_cost_usd_total") for name in samples)


async def test_opaque_traffic_has_http_metrics_only(meter: Meter) -> None:
    """A call in a form that is not understood has no GenAI series, and is not missing usage."""
    meter.observe(make_record(operation="http", asked=Asked(), seen=make_seen(model=None), usage=None, usage_source=UsageSource.ABSENT))
    samples = await read(meter)
    assert not any(name.startswith("gen_ai_") for name in samples)
    assert samples['llm_sidecar_usage_records_total{source="absent"}'] == "0"
    assert any(name.startswith("http_server_request_duration_seconds_count") for name in samples)


async def test_a_refused_call_is_a_request_only(meter: Meter) -> None:
    """A call refused before an upstream was chosen is counted by its ending and nowhere else."""
    meter.observe(make_record(upstream="", provider="", status=404, ending=Ending.CLIENT_FAULT, error_id="no_route", attempts=()))
    samples = await read(meter)
    assert samples['llm_sidecar_requests_total{route="openai",provider="",model="gpt-4o",ending="client_fault"}'] == "1"
    assert not any(name.startswith(("gen_ai_", "http_")) for name in samples)


async def test_failures_carry_their_type(meter: Meter) -> None:
    """The error type stands on both durations, the outcome on the attempt."""
    failed = make_attempt(outcome="cut")
    meter.observe(make_record(ending=Ending.CUT, error_type="stream_cut", attempts=(failed, failed)))
    samples = await read(meter)
    assert samples[f'gen_ai_client_operation_duration_seconds_count{{{GENAI},error_type="stream_cut"}}'] == "1"
    assert samples['llm_sidecar_attempts_total{upstream="openai",outcome="cut"}'] == "2"


async def test_broken_bodies_and_observers_are_counted(meter: Meter) -> None:
    """An unreadable request and a failed observer each have a counter."""
    meter.observe(make_record(asked=Asked(readable=False), observer_failed=True))
    samples = await read(meter)
    assert samples["llm_sidecar_unreadable_requests_total"] == "1"
    assert samples["llm_sidecar_observer_failures_total"] == "1"


async def test_exemplars_point_at_kept_traces(meter: Meter) -> None:
    """Latencies of kept traces lead to their spans; of others, nowhere."""
    meter.observe(make_record(kept=False))
    assert not any(" # " in value for value in (await read(meter, "application/openmetrics-text")).values())
    meter.observe(make_streamed())
    samples = await read(meter, "application/openmetrics-text")
    trace = 'trace_id="0af7651916cd43dd8448eb211c80319c"'
    duration = samples[f'gen_ai_client_operation_duration_seconds_bucket{{{GENAI},error_type="",le="2.0"}}']
    assert duration == f'2 # {{{trace},span_id="0000000000000022"}} 2.0 1700000002.000'
    assert 'span_id="0000000000000011"' in next(v for n, v in samples.items() if n.startswith("http_") and " # " in v)
    assert any("first_token" in name and trace in value for name, value in samples.items())


async def test_models_beyond_the_bound_are_other() -> None:
    """The third of two allowed models is counted as other, each time, and the overflow with it."""
    meter = Meter(Limits(labels=2), [], version="1", python="3")
    for model in ("a", "b", "c", "d", "c", "x" * 100_000):
        meter.observe(make_record(asked=Asked(model=model)))
    samples = await read(meter)
    assert samples['llm_sidecar_requests_total{route="openai",provider="openai",model="other",ending="completed"}'] == "4"
    assert samples['llm_sidecar_label_overflow_total{label="model"}'] == "4"


async def test_a_flood_of_models_is_bounded_in_memory() -> None:
    """Ten thousand models neither grow the series nor lose a request."""
    meter = Meter(Limits(labels=5, series=20), [], version="1", python="3")
    for number in range(10_000):
        meter.observe(make_record(asked=Asked(model=f"m{number}"), seen=make_seen(model=f"r{number}"), method=f"M{number}"))
    assert max(len(family.children) for family in meter.families.all if family.metric.labels) < 40
    assert sum(child.value for child in meter.families.requests.children) == 10_000


async def test_what_falls_together_in_any_family_is_counted() -> None:
    """Token usage has two series per pair of models and is full first: the calls beyond that are told, each time."""
    meter = Meter(Limits(series=20), [], version="1", python="3")
    for number in (*range(12), 11):
        meter.observe(make_record(seen=make_seen(model=f"r{number}")))
    assert (meter.families.requests.collapsed, meter.families.operation_duration.collapsed) == (0, 0)
    samples = await read(meter)
    assert samples['llm_sidecar_label_overflow_total{label="series"}'] == "3"


async def test_gauges_are_brought_up_to_date_by_a_scrape(meter: Meter) -> None:
    """What is registered runs before each scrape; reloads and in-flight calls show as they are."""
    connections = meter.upstream_connections("openai", "idle")
    meter.before_scrape(lambda: connections.set(7))
    meter.in_flight.inc()
    meter.note_reload(successful=True, at_s=1_700_000_000.0)
    meter.note_reload(successful=False, at_s=1_700_000_009.0)
    samples = await read(meter)
    assert samples['llm_sidecar_upstream_connections{upstream="openai",state="idle"}'] == "7"
    assert samples["llm_sidecar_in_flight_requests"] == "1"
    assert samples["llm_sidecar_config_last_reload_successful"] == "0"
    assert samples["llm_sidecar_config_last_reload_success_timestamp_seconds"] == "1700000000"
    assert samples['llm_sidecar_build_info{version="1.0",python="3.11"}'] == "1"


async def test_a_memory_limit_is_shown_where_it_is_known(meter: Meter) -> None:
    """What is not known has no series: 0 bytes would be a limit that everybody exceeds."""
    meter.show_memory_limit(None)
    assert "llm_sidecar_memory_limit_bytes" not in await read(meter)
    meter.show_memory_limit(2**30)
    meter.show_memory_limit(None)
    assert (await read(meter))["llm_sidecar_memory_limit_bytes"] == str(2**30)


@pytest.mark.parametrize("reason", ["encoding", "too_large", "corrupt", "not_json"])
def test_answers_that_could_not_be_read_are_counted_by_reason(meter: Meter, reason: str) -> None:
    """What is missing in the token counts can be explained."""
    meter.observe(make_record())
    meter.observe(make_record(unread=reason))
    assert {child.labels: child.value for child in meter.families.unread.children if child.value} == {f'reason="{reason}"': 1}


async def test_a_replayed_answer_is_no_call_of_zero_tokens(meter: Meter) -> None:
    """It is a request with a duration, counted apart; its zeros are in no histogram of tokens or of streams."""
    replayed = make_seen(replayed=True, first_chunk=100.1, first_token=100.1, last_chunk=100.2, chunks=4, gaps=[3] + [0] * 17)
    meter.observe(make_streamed(seen=replayed, usage=Usage(), cost=Cost(0.0, "provider")))
    samples = await read(meter)
    assert samples[f'gen_ai_client_operation_duration_seconds_count{{{GENAI},error_type=""}}'] == "1"
    assert samples['llm_sidecar_replayed_answers_total{provider="openai",model="gpt-4o"}'] == "1"
    assert samples['llm_sidecar_usage_records_total{source="reported"}'] == "1"
    unwanted = ("token_usage", "first_chunk", "first_token", "output_chunk", "per_second")
    assert not [name for name in samples if any(each in name for each in unwanted)]


async def test_rate_limits_are_shown_by_upstream(meter: Meter) -> None:
    """As the last answer told them, failures included."""
    meter.observe(make_record(limits=[b"x-ratelimit-remaining-requests: 9", b"x-ratelimit-limit-requests: 10"]))
    meter.observe(make_record(status=429, ending=Ending.RATE_LIMITED, limits=[b"x-ratelimit-remaining-requests: 0"]))
    samples = await read(meter)
    assert samples['llm_sidecar_upstream_ratelimit_remaining{upstream="openai",kind="requests"}'] == "0"
    assert samples['llm_sidecar_upstream_ratelimit_limit{upstream="openai",kind="requests"}'] == "10"


async def test_a_tool_is_measured_by_its_name(meter: Meter) -> None:
    """With its error, beside what every call counts in, and in nothing that is a model's."""
    asked = Asked(tool="search", mcp_method="tools/call")
    tool = {"operation": "execute_tool", "asked": asked, "seen": Seen(), "usage": None, "usage_source": UsageSource.ABSENT, "cost": None}
    meter.observe(make_record(**tool))
    meter.observe(make_record(**tool, ending=Ending.IN_BAND_ERROR, error_type="tool_error", batched=True))
    meter.observe(make_record(operation="http", asked=Asked(mcp_method="tools/list"), seen=Seen(), usage=None, cost=None))
    samples = await read(meter)
    name = "gen_ai_execute_tool_duration_seconds"
    assert samples[name + '_count{gen_ai_tool_name="search",error_type=""}'] == "1"
    assert samples[name + '_sum{gen_ai_tool_name="search",error_type="tool_error"}'] == "2.0"
    assert len([sample for sample in samples if sample.startswith(name + "_count")]) == 2
    assert samples['llm_sidecar_requests_total{route="openai",provider="openai",model="",ending="in_band_error"}'] == "1"
    assert samples["llm_sidecar_batched_requests_total"] == "1"
    assert not any(sample.startswith("gen_ai_client") for sample in samples)
    assert samples['llm_sidecar_usage_records_total{source="absent"}'] == "0"


async def test_a_tools_exemplar_points_at_its_span(meter: Meter) -> None:
    """The span of the execution, in a trace that is kept."""
    meter.observe(make_record(operation="execute_tool", asked=Asked(tool="search"), seen=Seen(), usage=None, cost=None))
    samples = await read(meter, "application/openmetrics-text; version=1.0.0")
    [with_exemplar] = [value for name, value in samples.items() if name.startswith("gen_ai_execute_tool") and " # " in value]
    assert f'span_id="{TRACE.client_span_id:016x}"' in with_exemplar


async def test_names_of_tools_are_bounded() -> None:
    """Callers may make up as many as they like."""
    meter = Meter(Limits(labels=2), ["openai"], version="1.0", python="3.11")
    for number in range(5):
        meter.observe(make_record(operation="execute_tool", asked=Asked(tool=f"t{number}"), seen=Seen(), usage=None, cost=None))
    samples = await read(meter)
    assert samples['gen_ai_execute_tool_duration_seconds_count{gen_ai_tool_name="other",error_type=""}'] == "3"
    assert samples['llm_sidecar_label_overflow_total{label="tool"}'] == "3"


async def test_what_has_no_end_is_in_no_latency(meter: Meter) -> None:
    """Hours of a stream of notifications would be taken for slowness; it is counted all the same."""
    meter.observe(make_record(operation="http", asked=Asked(), seen=Seen(), usage=None, cost=None, endless=True))
    samples = await read(meter)
    assert [value for name, value in samples.items() if name.startswith("http_server_request_duration_seconds_count")] == ["0"]
    assert samples['llm_sidecar_requests_total{route="openai",provider="openai",model="",ending="completed"}'] == "1"
    assert samples['llm_sidecar_attempts_total{upstream="openai",outcome="completed"}'] == "1"


async def test_a_session_is_nobodys_latency(meter: Meter) -> None:
    """Its handshake is an HTTP call; its length, its messages, its tokens and its cost have their own places."""
    meter.observe(make_record(session=Session(100.5, 1000, 2, 3), status=101, method="GET", ended=3700.5, template="/openai/v1/realtime"))
    samples = await read(meter)
    http = 'http_request_method="GET",http_route="/openai/v1/realtime",http_response_status_code="101",url_scheme="http",error_type=""'
    assert samples[f"http_server_request_duration_seconds_sum{{{http}}}"] == "0.5"
    assert samples['llm_sidecar_websocket_session_duration_seconds_sum{route="openai"}'] == "3600.0"
    assert samples['llm_sidecar_websocket_session_duration_seconds_bucket{route="openai",le="3600.0"}'] == "1"
    assert samples['llm_sidecar_websocket_messages_total{route="openai",direction="to_upstream"}'] == "2"
    assert samples['llm_sidecar_websocket_messages_total{route="openai",direction="to_client"}'] == "3"
    assert samples['llm_sidecar_requests_total{route="openai",provider="openai",model="gpt-4o",ending="completed"}'] == "1"
    assert samples['llm_sidecar_cost_usd_total{provider="openai",model="gpt-4o",source="table"}'] == "0.25"
    assert samples[f'gen_ai_client_token_usage_sum{{{GENAI},gen_ai_token_type="input"}}'] == "16.0"
    assert not any(name.startswith("gen_ai_client_operation_duration") for name in samples)


async def test_a_session_of_an_unknown_form_has_no_usage(meter: Meter) -> None:
    """Not even an absent one: nobody can say that there should be any."""
    meter.observe(make_record(session=Session(100.5, 1000, 2, 3), status=101, operation="http"))
    samples = await read(meter)
    assert {samples[f'llm_sidecar_usage_records_total{{source="{source}"}}'] for source in UsageSource} == {"0"}


async def test_messages_of_known_routes_begin_at_zero(meter: Meter) -> None:
    """A counter born at its first value hides it from rate()."""
    meter.families.create_routes(["openai"])
    assert (await read(meter))['llm_sidecar_websocket_messages_total{route="openai",direction="to_client"}'] == "0"


async def test_estimates_are_counted_apart(meter: Meter) -> None:
    """As estimated, in what has a source; in nothing that has none: no histogram of tokens, no rate."""
    meter.observe(make_streamed(usage_source=UsageSource.ESTIMATED, cost=Cost(0.5, "estimated")))
    samples = await read(meter)
    own = 'provider="openai",model="gpt-4o"'
    assert samples[f'llm_sidecar_tokens_total{{{own},type="output",source="estimated"}}'] == "40"
    assert samples[f'llm_sidecar_cost_usd_total{{{own},source="estimated"}}'] == "0.5"
    assert samples['llm_sidecar_usage_records_total{source="estimated"}'] == "1"
    assert samples['llm_sidecar_usage_records_total{source="reported"}'] == "0"
    assert not any("token_usage" in name or ('source="reported"' in name and "tokens_total" in name) for name in samples)
    assert samples.get(f"llm_sidecar_output_tokens_per_second_count{{{own}}}", "0") == "0"


async def test_lost_and_withheld_content_is_counted(meter: Meter) -> None:
    """By reason, and by pattern."""
    meter.content_dropped("queue_full").add(1)
    meter.content_withheld("project").add(2)
    samples = await read(meter)
    assert samples['llm_sidecar_content_dropped_total{reason="queue_full"}'] == "1"
    assert samples['llm_sidecar_content_dropped_total{reason="too_large"}'] == "0"
    assert samples['llm_sidecar_content_withheld_total{pattern="project"}'] == "2"


async def test_other_settings_show_what_there_is_now(meter: Meter) -> None:
    """Gauges of upstreams that are gone vanish, new ones and new routes are there from the start, counters stay."""
    for part in (meter.resilience, meter.reuse, meter.accounts):
        part.prepare(Settings(upstreams={"openai": Upstream("https://openai.test")}))
    meter.observe(make_record())
    meter.adopt(Settings(upstreams={"vllm": Upstream("http://vllm.test")}, routes=(Route("/v/", "vllm"),)), ())
    samples = await read(meter)
    assert 'llm_sidecar_circuit_breaker_state{upstream="openai"}' not in samples
    assert samples['llm_sidecar_circuit_breaker_state{upstream="vllm"}'] == "0"
    assert samples['llm_sidecar_attempts_total{upstream="openai",outcome="completed"}'] == "1"
    assert samples['llm_sidecar_websocket_messages_total{route="v",direction="to_client"}'] == "0"
