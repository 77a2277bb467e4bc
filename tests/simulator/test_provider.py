"""sidecar/simulator/provider.py"""

import json
from typing import Any

import pytest

from sidecar.simulator.ledger import Entry, Ledger
from sidecar.simulator.profile import Outages, Profile
from sidecar.simulator.provider import Provider, Received
from sidecar.simulator.reply import Outcome, Reply
from sidecar.simulator.script import Fault

_LONG = "x" * 8000  # 2,000 tokens


def _post(provider: Provider, headers: dict[str, str] | None = None, **members: Any) -> tuple[Entry, Reply]:
    tree = {"model": "sim-small", "messages": [{"role": "user", "content": "hello"}]} | members
    entry, reply = provider.receive(Received("POST", "/v1/chat/completions", headers or {}, json.dumps(tree).encode()), 1.0)
    assert entry is not None
    return entry, reply


def _body(reply: Reply) -> Any:
    return json.loads(b"".join(step.body for step in reply.steps))


def _control(provider: Provider, method: str, path: str, body: bytes = b"") -> Any:
    entry, reply = provider.receive(Received(method, path, {}, body), 1.0)
    assert entry is None
    return _body(reply)


def test_same_seed_same_bytes() -> None:
    """Two providers of a seed send the same bytes for the same sequence of requests, each its own."""
    ours, theirs, other = (Provider(Profile(seed=seed)) for seed in (1, 1, 2))
    for _ in range(3):
        assert _post(ours)[1] == _post(theirs)[1]
    fourth, fifth = _post(ours)[1], _post(ours)[1]
    assert fourth != fifth
    assert fourth != [_post(other)[1] for _ in range(4)][-1]


def test_a_seed_of_its_own() -> None:
    """A request with x-sim-seed gets the same answer whenever it comes."""
    provider = Provider(Profile())
    first = _post(provider, headers={"x-sim-seed": "abc"})[1]
    _post(provider)
    assert _post(provider, headers={"x-sim-seed": "abc"})[1] == first


@pytest.mark.parametrize(
    ("headers", "members", "status", "code"),
    [
        ({"authorization": "Bearer sk-bad"}, {}, 401, "invalid_api_key"), ({}, {"model": "no-such-model"}, 404, "model_not_found"),
        ({}, {"model": None}, 400, None), ({}, {"model": "sim-embed"}, 403, None),
        ({"x-sim-script": "{"}, {}, 400, None), ({"x-sim-script": '{"status": 529}'}, {}, 529, None),
    ],
)  # fmt: skip
def test_errors(headers: dict[str, str], members: dict[str, Any], status: int, code: str | None) -> None:
    """Mistakes get the status and code that OpenAI gives them."""
    entry, reply = _post(Provider(Profile()), headers=headers, **members)
    assert (reply.status, entry.status, _body(reply)["error"]["code"]) == (status, status, code)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models", 200), ("GET", "/v1/models/sim-small", 200), ("GET", "/v1/models/none", 404),
        ("GET", "/v1/chat/completions", 404), ("POST", "/v1/audio/speech", 404),
    ],
)  # fmt: skip
def test_other_paths(method: str, path: str, status: int) -> None:
    """Models are listed, everything else is not there; all of it is in the ledger."""
    provider = Provider(Profile())
    entry, reply = provider.receive(Received(method, path, {}, b""), 1.0)
    assert reply.status == status
    assert entry is not None and provider.ledger.entries == (entry,)


def test_headers_of_an_answer() -> None:
    """Answers tell the request's id and what is left of the limits."""
    entry, reply = _post(Provider(Profile()))
    head = reply.steps[0].wire.partition(b"\r\n\r\n")[0].decode()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    assert fields["x-request-id"] == entry.request_id
    assert 0 <= int(fields["x-ratelimit-remaining-requests"]) < int(fields["x-ratelimit-limit-requests"])
    assert int(fields["openai-processing-ms"]) > 0


def test_the_queue() -> None:
    """Queued scripts are followed in order, by requests that bring none."""
    provider = Provider(Profile())
    assert _control(provider, "POST", "/_sim/script", b'[{"status": 503}, {"status": 500}]') == {"queued": 2}
    assert [_post(provider, headers=headers)[1].status for headers in ({}, {"x-sim-script": "{}"}, {}, {})] == [503, 200, 500, 200]
    assert "error" in _control(provider, "POST", "/_sim/script", b"{")
    _control(provider, "POST", "/_sim/script", b'{"status": 503}')
    assert _control(provider, "DELETE", "/_sim/script") == {"dropped": 1}
    assert _post(provider)[1].status == 200


def test_rates_yield_to_scripts() -> None:
    """The profile's faults strike requests without a script only."""
    provider = Provider(Profile(faults={Fault.UNAVAILABLE: 1.0}))
    assert _post(provider)[1].status == 503
    assert _post(provider, headers={"x-sim-script": "{}"})[1].status == 200


def test_outages() -> None:
    """An outage strikes requests to its interface that come without a script, and only these count."""
    provider = Provider(Profile(speed=0, outages=Outages(healthy=2, failing=1, provider="openai", faults=(Fault.SERVER_ERROR,))))
    statuses = []
    for headers in ({}, {"x-sim-script": '{"fault": "unavailable"}'}, {}, {"x-sim-script": "{}"}, {}, {}):
        statuses.append(_post(provider, headers)[1].status)
    assert statuses == [200, 503, 200, 200, 500, 200]
    other = Provider(Profile(speed=0, outages=Outages(healthy=1, failing=9, provider="ollama")))
    assert [_post(other)[1].status for _ in range(3)] == [200, 200, 200]


def test_one_ledger_of_several() -> None:
    """Providers that share a ledger are told apart in it, and the same call asked of both is one."""
    ledger = Ledger()
    for name in ("a", "b"):
        provider = Provider(Profile(speed=0), ledger=ledger, name=name)
        ledger.seal(_post(provider, {"x-sim-tag": "t"})[0], Outcome.COMPLETE, 1.0)
    assert [(entry.tell()["upstream"], entry.is_superseded) for entry in ledger.entries] == [("a", True), ("b", False)]


def test_a_probe_is_no_call() -> None:
    """What a sidecar asks on its own account is answered, and is in no ledger."""
    provider = Provider(Profile(speed=0))
    entry, reply = provider.receive(Received("GET", "/api/version", {"user-agent": "llm-sidecar/0.1.0"}, b""), 0.0)
    assert (entry, reply.status, provider.ledger.entries) == (None, 200, ())


def test_cached_tokens() -> None:
    """A long prompt is cached the second time, and a failed call caches nothing."""
    provider = Provider(Profile())
    messages = [{"role": "user", "content": _LONG}]
    _post(provider, headers={"x-sim-script": '{"status": 500}'}, messages=messages)
    told = [_body(_post(provider, messages=messages)[1])["usage"]["prompt_tokens_details"]["cached_tokens"] for _ in range(2)]
    assert told == [0, 1920]


def test_what_the_entry_says() -> None:
    """The entry knows the caller's tag, its trace and which headers came."""
    entry, _ = _post(Provider(Profile()), headers={"x-sim-tag": "t", "traceparent": "00-1-2-01"}, stream=True)
    told = entry.tell()
    assert (told["tag"], told["traceparent"], told["model"], told["stream"]) == ("t", "00-1-2-01", "sim-small", True)
    assert told["header_names"] == ["x-sim-tag", "traceparent"]


@pytest.mark.parametrize(
    ("method", "path", "provider"),
    [
        ("POST", "/v1/chat/completions", "openai"), ("POST", "/v1/responses", "openai"), ("GET", "/v1/models", "openai"),
        ("POST", "/v1/messages", "anthropic"), ("POST", "/v1/messages/count_tokens", "anthropic"), ("POST", "/api/chat", "ollama"),
        ("POST", "/api/v1/chat/completions", "openrouter"), ("POST", "/v1beta/models/m:generateContent", "gcp.gemini"),
        ("POST", "/openai/deployments/m/chat/completions", "azure.ai.openai"), ("POST", "/vllm/v1/chat/completions", "vllm"),
    ],
)  # fmt: skip
def test_whose_interface_it_is(method: str, path: str, provider: str) -> None:
    """The entry knows whose interface was called, whatever came of it."""
    entry, _ = Provider(Profile()).receive(Received(method, path, {}, b"{"), 1.0)
    assert entry is not None and entry.provider == provider


def test_a_model_in_the_path_is_known_whatever_the_body() -> None:
    """A request that cannot be read still names its model where that stands in the path."""
    entry, reply = Provider(Profile()).receive(Received("POST", "/v1beta/models/sim-small:generateContent", {}, b"{"), 1.0)
    assert entry is not None and (entry.model, reply.status) == ("sim-small", 400)


def test_a_format_without_a_place_for_cached_tokens_caches_nothing() -> None:
    """What is generated for Ollama is what it tells: its prompts are not billed as cached."""
    provider = Provider(Profile())
    body = json.dumps({"model": "sim-small", "stream": False, "messages": [{"role": "user", "content": _LONG}]}).encode()
    entries = [provider.receive(Received("POST", "/api/chat", {}, body), 1.0)[0] for _ in range(2)]
    assert [entry.cached_tokens for entry in entries if entry] == [0, 0]


def test_a_broker_charges_more() -> None:
    """OpenRouter's fee is in what it tells and in what the ledger says of it."""
    entries = []
    for path in ("/v1/chat/completions", "/api/v1/chat/completions"):
        body = json.dumps({"model": "sim-small", "messages": [{"role": "user", "content": "x"}]}).encode()
        entry, reply = Provider(Profile()).receive(Received("POST", path, {"x-sim-seed": "1"}, body), 1.0)
        assert entry is not None
        entry.wrote(reply.steps[0].body, 1.0)
        entries.append((entry.tell()["told_usd"], _body(reply)["usage"].get("cost")))
    (plain_usd, none), (usd, told_usd) = entries
    assert none is None and usd == told_usd == pytest.approx(plain_usd * 1.05)


def test_control() -> None:
    """The ledger, its totals and the connections can be read, by tag too, and the ledger cleared."""
    provider = Provider(Profile(), lambda: [{"peer": "me"}])
    for tag in ("a", "b"):
        _post(provider, headers={"x-sim-tag": tag})
    assert [entry["number"] for entry in _control(provider, "GET", "/_sim/ledger")] == [1, 2]
    assert [entry["number"] for entry in _control(provider, "GET", "/_sim/ledger?tag=b")] == [2]
    assert _control(provider, "GET", "/_sim/totals")["open"] == 2
    assert _control(provider, "GET", "/_sim/connections") == [{"peer": "me"}]
    assert _control(provider, "DELETE", "/_sim/ledger") == {"cleared": True}
    assert "error" in _control(provider, "GET", "/_sim/nothing")
