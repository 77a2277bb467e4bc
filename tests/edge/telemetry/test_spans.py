"""Spans of a record."""

import pytest
from msgspec.structs import replace

from sidecar import catalogue
from sidecar.config import BUILT_IN_UPSTREAMS, Upstream
from sidecar.core.observe.contents.capture import Composer
from sidecar.core.observe.dialects import ANTHROPIC_MESSAGES, OPENAI_CHAT
from sidecar.core.observe.redaction import Redactor
from sidecar.decision import Candidate, Decision
from sidecar.edge.telemetry.span import Span, SpanKind
from sidecar.edge.telemetry.spans import SpanBuilder, count_spans
from sidecar.exchange import Asked, Cost, Ending, Record, Said, Saved, Session, Spoken, Usage, UsageSource
from tests.edge.telemetry.records import ACCEPTED_NS, TRACE, make_attempt, make_record, make_seen, make_streamed

EVERYTHING_ASKED = OPENAI_CHAT.ask(
    b'{"model":"m","stream":true,"n":2,"max_tokens":5,"seed":1,"top_k":3,"top_p":0.5,"temperature":1.0,"frequency_penalty":0.1,'
    b'"presence_penalty":0.2,"stop":["a"],"reasoning_effort":"low","service_tier":"flex","response_format":{"type":"json_object"}}',
    "/v1/chat/completions",
)
ANTHROPIC_ASKED = ANTHROPIC_MESSAGES.ask(
    b'{"model":"m","max_tokens":5,"top_k":3,"stop_sequences":["a"],"output_config":{"effort":"low"},"service_tier":"standard_only"}',
    "/v1/messages",
)
DECISION = Decision(
    "chat", "performance", "full", "a", "best",
    (Candidate("a", 0.5, 1.0, 1.0, None, 0, None), Candidate("b", None, None, None, None, 0, "circuit_open")),
)  # fmt: skip
TYPES = {"string": str, "int": int, "double": float, "boolean": bool, "string[]": (list, tuple)}


def build(record: Record) -> list[Span]:
    """Return the record's spans, with the built-in upstreams and routes."""
    return SpanBuilder(BUILT_IN_UPSTREAMS, {"openai": "/openai/"}).build(record)


def test_three_spans_hang_together() -> None:
    """Server, GenAI and attempt span are parent and child in the caller's trace."""
    server, genai, attempt = build(make_record())
    assert {span.trace_id for span in (server, genai, attempt)} == {TRACE.trace_id}
    assert (server.parent_id, server.parent_is_remote) == (TRACE.remote_span_id, True)
    assert (genai.parent_id, genai.parent_is_remote) == (server.span_id, False)
    assert attempt.parent_id == genai.span_id
    assert (server.span_id, genai.span_id, attempt.span_id) == (TRACE.server_span_id, TRACE.client_span_id, TRACE.attempt_span_id)
    assert {span.tracestate for span in (server, genai, attempt)} == {"congo=t61"}


def test_names_and_kinds_follow_the_conventions() -> None:
    """Server by method and route, GenAI by operation and model, attempt by method."""
    server, genai, attempt = build(make_record())
    assert (server.name, server.kind) == ("POST /openai/v1/chat/completions", SpanKind.SERVER)
    assert (genai.name, genai.kind) == ("chat gpt-4o", SpanKind.CLIENT)
    assert (attempt.name, attempt.kind) == ("POST", SpanKind.CLIENT)
    assert build(make_record(asked=Asked()))[1].name == "chat"
    assert build(make_record(template=""))[0].name == "POST"


def test_what_a_broker_tells_is_shown() -> None:
    """Who answered in truth, and that an answer is a repeated one; elsewhere neither is there."""
    attributes = build(make_record(seen=make_seen(replayed=True, served_by="DeepInfra")))[1].attributes
    assert attributes["llm_sidecar.response.replayed"] is True
    assert attributes["llm_sidecar.response.served_by"] == "DeepInfra"
    assert not [name for name in build(make_record())[1].attributes if name.startswith("llm_sidecar.response")]


def test_times_are_wall_times() -> None:
    """Monotonic moments are shown as nanoseconds since the epoch, to the microsecond."""
    server, genai, attempt = build(make_record())
    assert (server.start_ns, server.end_ns) == (ACCEPTED_NS, ACCEPTED_NS + 2_000_000_000)
    assert (genai.start_ns, genai.end_ns) == (server.start_ns, server.end_ns)
    assert abs(attempt.start_ns - ACCEPTED_NS - 10_000_000) < 1000


def test_the_genai_span_tells_what_is_known() -> None:
    """Models, id, reasons, usage with its parts, and cost are attributes."""
    asked = Asked(model="gpt-4o", stream=True, params={"gen_ai.request.temperature": 0.5})
    attributes = build(make_streamed(asked=asked))[1].attributes
    assert attributes == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06", "gen_ai.response.id": "chatcmpl-1", "gen_ai.response.finish_reasons": ["stop"],
        "openai.api.type": "chat_completions",
        "gen_ai.request.stream": True, "gen_ai.request.temperature": 0.5, "gen_ai.response.time_to_first_chunk": 0.25,
        "server.address": "api.openai.com", "server.port": 443,
        "gen_ai.usage.input_tokens": 16, "gen_ai.usage.output_tokens": 47, "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.cache_write.input_tokens": 1, "gen_ai.usage.reasoning.output_tokens": 7,
        "llm_sidecar.usage.source": "reported", "llm_sidecar.cost_usd": 0.25, "llm_sidecar.cost.source": "table",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("provider", "dialect", "api"),
    [
        ("openai", "openai_responses", "responses"),
        ("azure.ai.openai", "openai_responses_fetch", "responses"),
        ("openai", "openai_embeddings", None),
        ("openrouter", "openai_responses", None),
    ],
)
def test_which_interface_of_openai(provider: str, dialect: str, api: str | None) -> None:
    """OpenAI's own interfaces are told apart; those of others that speak them are not OpenAI's."""
    attributes = build(make_record(provider=provider, dialect=dialect))[1].attributes
    assert attributes.get("openai.api.type") == api


def test_what_is_not_known_is_not_there() -> None:
    """Without model, usage and cost there are no such attributes, least of all zeros."""
    seen = make_seen(model=None, response_id=None)
    record = make_record(asked=Asked(), seen=seen, usage=None, usage_source=UsageSource.ABSENT, cost=None)
    names = build(record)[1].attributes
    assert not any("usage." in name and name != "llm_sidecar.usage.source" for name in names)
    assert not {"gen_ai.request.model", "gen_ai.response.model", "gen_ai.response.id", "llm_sidecar.cost_usd"} & set(names)


def test_the_server_span_tells_what_the_caller_got() -> None:
    """Path, route, status, sizes, our request id and overhead are attributes of the server span."""
    attributes = build(make_record())[0].attributes
    assert attributes["url.path"] == attributes["http.route"] == "/openai/v1/chat/completions"
    assert attributes["http.response.status_code"] == 200
    assert attributes["llm_sidecar.request.id"] == "req-1"
    assert attributes["llm_sidecar.overhead.request"] == 0.00004
    assert "error.type" not in attributes


def test_the_attempt_tells_where_it_went() -> None:
    """The full URL is the upstream's and has the prefix taken off; retries are numbered."""
    spans = build(make_record(attempts=(make_attempt(status=503, outcome="upstream_error"), make_attempt())))
    first, second = spans[2].attributes, spans[3].attributes
    assert first["url.full"] == "https://api.openai.com/v1/chat/completions"
    assert (first["server.address"], first["server.port"]) == ("api.openai.com", 443)
    assert (first["error.type"], "http.request.resend_count" in first) == ("503", False)
    assert second["http.request.resend_count"] == 1
    assert spans[2].is_error
    assert not spans[3].is_error
    assert spans[2].span_id != spans[3].span_id


@pytest.mark.parametrize(
    ("dialect", "path", "model", "asked_for"),
    [
        ("gemini_generate", "/v1beta/models/gemini-pro:generateContent", "tuned", "/v1beta/models/tuned:generateContent"),
        ("gemini_generate", "/v1beta/models/gemini-pro:generateContent", None, "/v1beta/models/gemini-pro:generateContent"),
        ("openai_chat", "/openai/deployments/a/chat/completions", "b", "/openai/deployments/b/chat/completions"),
        ("openai_chat", "/v1/chat/completions", "b", "/v1/chat/completions"),
    ],
)
def test_a_renamed_model_is_in_the_url_as_it_was_asked_for(dialect: str, path: str, model: str | None, asked_for: str) -> None:
    """Where an upstream has a name of its own for a model, the URL of the attempt there has that name."""
    attempts = (make_attempt(status=503, outcome="upstream_error"), make_attempt(upstream="local", model=model))
    builder = SpanBuilder({"local": Upstream("http://10.0.0.7:8000/base"), "openai": Upstream("http://a.test")}, {"r": "/llm/"})
    first, second = builder.build(make_record(route="r", dialect=dialect, path=f"/llm{path}", attempts=attempts))[2:]
    assert first.attributes["url.full"] == f"http://a.test{path}"
    assert second.attributes["url.full"] == f"http://10.0.0.7:8000/base{asked_for}"


def test_an_upstreams_own_path_and_port_are_kept() -> None:
    """The URL of an attempt is built on the upstream's base URL."""
    builder = SpanBuilder({"local": Upstream("http://10.0.0.7:8000/base/")}, {"r": "/llm/"})
    record = make_record(route="r", path="/llm/v1/x", attempts=(make_attempt(upstream="local"),))
    attributes = builder.build(record)[2].attributes
    assert attributes["url.full"] == "http://10.0.0.7:8000/base/v1/x"
    assert (attributes["server.address"], attributes["server.port"]) == ("10.0.0.7", 8000)


@pytest.mark.parametrize(
    ("ending", "status", "server_failed", "client_failed"),
    [
        (Ending.COMPLETED, 200, False, False),
        (Ending.CLIENT_GONE, None, False, False),
        (Ending.REJECTED, 404, False, True),
        (Ending.RATE_LIMITED, 429, False, True),
        (Ending.UPSTREAM_ERROR, 503, True, True),
        (Ending.IN_BAND_ERROR, 200, True, True),
        (Ending.CUT, 200, True, True),
        (Ending.CONNECT_FAILED, 502, True, True),
        (Ending.SIDECAR_FAULT, 500, True, True),
    ],
)
def test_failure_is_whose_it_is(ending: Ending, status: int | None, server_failed: bool, client_failed: bool) -> None:
    """A 4xx is an error of the client spans only, a caller that left is none at all."""
    attempt = make_attempt(status=status, outcome=str(ending))
    spans = build(make_record(ending=ending, status=status, error_type="x" if client_failed else None, attempts=(attempt,)))
    assert [span.is_error for span in spans] == [server_failed, client_failed, client_failed]
    assert [span.is_error for span in spans] == ["error.type" in span.attributes for span in spans]


@pytest.mark.parametrize(
    ("ending", "reasons", "choices", "shown"),
    [
        (Ending.COMPLETED, ["stop"], 1, ["stop"]),
        (Ending.CUT, [], 1, ["error"]),
        (Ending.CLIENT_GONE, [], 3, ["error", "error", "error"]),
        (Ending.CUT, ["stop"], 2, ["stop", "error"]),
        (Ending.CUT, ["stop", "length"], 2, ["stop", "length"]),
        (Ending.CUT, [], 10**9, ["error"] * 128),
    ],
)
def test_missing_finish_reasons_are_errors(ending: Ending, reasons: list[str], choices: int, shown: list[str]) -> None:
    """Where a reason was expected and never arrived, it is `error`; a hostile choice count is bounded."""
    asked = Asked(model="m", params={} if choices == 1 else {"gen_ai.request.choice.count": choices})
    for operation in ("chat", "generate_content"):
        record = make_record(operation=operation, ending=ending, seen=make_seen(finish_reasons=reasons), asked=asked)
        assert build(record)[1].attributes["gen_ai.response.finish_reasons"] == shown


def test_embeddings_have_no_finish_reason() -> None:
    """A failed embedding does not invent one."""
    record = make_record(operation="embeddings", ending=Ending.CUT, seen=make_seen(finish_reasons=[]))
    assert "gen_ai.response.finish_reasons" not in build(record)[1].attributes


def test_opaque_traffic_has_http_spans_only() -> None:
    """Where the form is not understood the attempt hangs under the server span."""
    server, attempt = build(make_record(operation="http"))
    assert attempt.parent_id == server.span_id
    assert not any(name.startswith("gen_ai") for span in (server, attempt) for name in span.attributes)


def test_unknown_methods_are_other() -> None:
    """A made-up method does not become a span name."""
    server, *_, attempt = build(make_record(method="BREW"))
    assert server.name.startswith("_OTHER ")
    assert attempt.name == "_OTHER"
    assert server.attributes["http.request.method_original"] == attempt.attributes["http.request.method_original"] == "BREW"


@pytest.mark.parametrize(
    "record",
    [
        make_record(), make_streamed(), make_record(operation="http"), make_record(attempts=()),
        make_record(trace=replace(TRACE, remote_span_id=None)), make_record(asked=EVERYTHING_ASKED),
        make_record(upstream="", attempts=(), ending=Ending.CLIENT_FAULT, status=404, error_id="no_route", template="", route=""),
        make_record(method="BREW", ending=Ending.CUT, error_type="stream_cut", attempts=(make_attempt(), make_attempt())),
        make_streamed(seen=make_seen(service_tier="default", first_chunk=101.0)),
        make_record(session=Session(100.5, 1000, 2, 3), status=101),
        make_record(
            pool="chat", queued_s=0.5, degraded="simple", shed="gave_up", decision=DECISION,
            attempts=(
                make_attempt(
                    model="m", breaker="closed", cause="reset", waited_s=0.1, hedge=True, decision=DECISION, cost=Cost(1.5, "table")
                ),
            ),
        ),
        make_record(
            tenant="acme", cache="hit", cache_level="hot", saved=Saved(None, Cost(0.5, "table")), attempts=(), usage=None,
            usage_source=UsageSource.ABSENT, cost=None,
        ),
        make_record(tenant="acme", limited="budget_day", upstream="", attempts=(), ending=Ending.REFUSED, status=429),
        make_record(origin="warming", cache="miss"),
        make_streamed(dialect="anthropic_messages", asked=ANTHROPIC_ASKED, seen=make_seen(service_tier="standard")),
    ],
)  # fmt: skip
def test_every_attribute_is_declared(record: Record) -> None:
    """Each span carries only attributes of the catalogue, of the declared type; the count is known before."""
    spans = build(record)
    assert len(spans) == count_spans(record)
    for span in spans:
        declared = catalogue.SERVER_SPAN if span.kind is SpanKind.SERVER else catalogue.ATTEMPT_SPAN
        if "gen_ai.operation.name" in span.attributes:
            declared = catalogue.GENAI_SPAN
        types = {attribute.name: TYPES[attribute.type] for attribute in declared.attributes}
        for name, value in span.attributes.items():
            assert isinstance(value, types[name]), name
            assert (type(value) is bool) == (types[name] is bool), name


@pytest.mark.parametrize("upstream", ["openai", ""])
def test_an_answer_told_again_is_a_span_without_attempts(upstream: str) -> None:
    """What was asked and answered is told; neither tokens, nor cost, nor another call's times, nor a provider that nobody asked."""
    told = {"cache": "coalesced", "attempts": (), "usage": None, "usage_source": UsageSource.ABSENT, "cost": None, "upstream": upstream}
    record = make_streamed(**told, server_address="api.openai.com" if upstream else "", saved=Saved(Usage(1), Cost(0.5, "table")))
    server, genai = build(record)
    assert count_spans(record) == 2 and genai.parent_id == server.span_id
    for span in (server, genai):
        assert (span.attributes["llm_sidecar.cache"], span.attributes["llm_sidecar.saved_usd"]) == ("coalesced", 0.5)
    assert genai.attributes["gen_ai.response.model"] == "gpt-4o-2024-08-06"
    absent = {"gen_ai.usage.input_tokens", "gen_ai.response.time_to_first_chunk", "llm_sidecar.cost_usd"}
    assert absent.isdisjoint(genai.attributes) and ("server.address" in genai.attributes) is bool(upstream)


def test_a_kept_result_is_no_execution() -> None:
    """The call has its span, the tool has none."""
    record = make_record(operation="execute_tool", asked=Asked(tool="weather"), cache="hit", attempts=())
    assert [span.kind for span in build(record)] == [SpanKind.SERVER]
    assert count_spans(record) == 1


def test_a_record_without_a_trace_has_no_spans() -> None:
    """Nothing is built where no identities were fixed."""
    assert build(make_record(trace=None)) == []


def test_a_tools_execution_is_an_internal_span() -> None:
    """Between the server's and the attempts', named by the tool, with the protocol's method and its error."""
    record = make_record(operation="execute_tool", asked=Asked(tool="search", mcp_method="tools/call"), seen=make_seen(model=None))
    server, tool, attempt = build(record)
    assert (tool.name, tool.kind, tool.is_error) == ("execute_tool search", SpanKind.INTERNAL, False)
    assert (tool.parent_id, attempt.parent_id) == (server.span_id, tool.span_id)
    assert tool.attributes == {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "mcp.method.name": "tools/call",
    }  # fmt: skip
    assert count_spans(record) == 3
    failed = build(replace(record, ending=Ending.IN_BAND_ERROR, error_type="tool_error"))[1]
    assert (failed.attributes["error.type"], failed.is_error) == ("tool_error", True)
    assert "mcp.method.name" not in build(replace(record, asked=Asked(tool="search")))[1].attributes
    assert len(build(replace(record, upstream=""))) == 2


def test_the_protocols_own_messages_are_told_by_their_method() -> None:
    """On the server's span: no tool is executed."""
    server, attempt = build(make_record(operation="http", asked=Asked(mcp_method="initialize")))
    assert server.attributes["mcp.method.name"] == "initialize"
    assert attempt.parent_id == server.span_id


def test_a_session_tells_how_it_closed_and_how_much_was_said() -> None:
    """Its spans last as long as it did; it has no finish reason to miss."""
    server, genai, _ = build(make_record(session=Session(100.5, 1011, 2, 3), status=101, ending=Ending.IN_BAND_ERROR, error_type="x"))
    assert server.attributes["llm_sidecar.websocket.close_code"] == 1011
    assert server.attributes["llm_sidecar.websocket.messages.to_upstream"] == 2
    assert server.attributes["llm_sidecar.websocket.messages.to_client"] == 3
    assert server.end_ns - server.start_ns == 2_000_000_000
    assert genai.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    (server, *_) = build(make_record(session=Session(100.5, None, 0, 0), status=101, ending=Ending.CUT))
    assert "llm_sidecar.websocket.close_code" not in server.attributes


def test_a_service_tier_is_openais_or_our_own() -> None:
    """OpenAI's conventions have an attribute for it, others have none: then it stands under a name of ours."""
    tiers = {}
    for dialect in ("openai_chat", "anthropic_messages"):
        attributes = build(make_record(dialect=dialect, seen=make_seen(service_tier="priority")))[1].attributes
        tiers[dialect] = {name for name, value in attributes.items() if value == "priority"}
    assert tiers == {"openai_chat": {"openai.response.service_tier"}, "anthropic_messages": {"llm_sidecar.response.service_tier"}}


def test_content_is_on_the_genai_span_only_where_it_is_composed() -> None:
    """As JSON, under the conventions' names; what was not said has no attribute."""
    said = Said("openai_chat", b'{"messages": [{"role": "user", "content": "canary a@b.example"}]}', b"", b"", (Spoken(0, "text", "hi"),))
    composer = Composer(Redactor(), bytes_max=4096, decoded_bytes_max=4096)
    builder = SpanBuilder(BUILT_IN_UPSTREAMS, {"openai": "/openai/"}, composer.compose)
    server, genai, attempt = builder.build(make_record(said=said))
    assert {name: value for name, value in genai.attributes.items() if name in dict(catalogue.CONTENT)} == {
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"canary [REDACTED:email]"}]}]',
        "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"hi"}]}]',
    }
    assert "canary" not in f"{server} {attempt}"
    assert "canary" not in f"{build(make_record(said=said))}"
    assert "gen_ai.input.messages" not in builder.build(make_record())[1].attributes


def test_estimates_are_never_shown_as_reported() -> None:
    """They have names of their own."""
    cost = Cost(0.5, "estimated")
    attributes = build(make_record(usage=Usage(10, 0, 0, 4, 2), usage_source=UsageSource.ESTIMATED, cost=cost))[1].attributes
    assert [name for name in attributes if name.startswith("gen_ai.usage")] == []
    assert (attributes["llm_sidecar.usage.estimated_input_tokens"], attributes["llm_sidecar.usage.estimated_output_tokens"]) == (10, 6)
    assert (attributes["llm_sidecar.usage.source"], attributes["llm_sidecar.cost.source"]) == ("estimated", "estimated")


def test_a_call_is_told_by_the_upstreams_that_it_came_in_under() -> None:
    """Also when they were changed before its spans are built; of what is too long ago the record's own address is told."""
    builder = SpanBuilder({"openai": Upstream("http://old.test:81/base")}, {"openai": "/openai/"})
    record = make_record()
    builder.adopt({"openai": Upstream("http://new.test")}, {"openai": "/"}, record.accepted_ns + 1)
    assert builder.build(record)[-1].attributes["url.full"] == "http://old.test:81/base/v1/chat/completions"
    later = replace(record, accepted_ns=record.accepted_ns + 1)
    assert builder.build(later)[-1].attributes["url.full"] == "http://new.test/openai/v1/chat/completions"
    for number in range(8):
        builder.adopt({"openai": Upstream("http://newer.test")}, {}, record.accepted_ns + 2 + number)
    forgotten = builder.build(record)[-1].attributes
    assert forgotten["server.address"] == record.server_address and "url.full" not in forgotten
    assert builder.build(later)[-1].attributes["server.address"] == record.server_address
