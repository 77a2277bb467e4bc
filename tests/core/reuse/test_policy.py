"""Who may be answered with what is kept, on which terms, and who may not and why."""

import gzip
import json
import random
import timeit
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.catalogue.reuse import BYPASS_REASONS, CACHE_KINDS
from sidecar.config import Cache, Cacheable, Expiry, Features
from sidecar.core.observe.dialects import DIALECTS, ENDPOINTS, OPAQUE
from sidecar.core.reuse.canonical import BYTES_MAX
from sidecar.core.reuse.directives import TTL_TIMES_MAX
from sidecar.core.reuse.origins import NONE
from sidecar.core.reuse.policy import Request, Terms
from tests.core.reuse.calls import (
    CHAT,
    EMBEDDINGS,
    GENERATE,
    MCP,
    MESSAGES,
    OLLAMA_CHAT,
    RESPONSES,
    WEATHER,
    ask,
    find_key,
    find_reason,
    judge,
    request,
    set_up,
)
from tests.core.reuse.trees import HARD, TREES, is_same, mutate, spell

ALL = set_up(Cache(what=Cacheable.ALL, tools=True, conversations=True))
USER, ASSISTANT, TOOL = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "tool", "content": "c"}
TALK, RESULT, OFFER = ask(messages=[USER, ASSISTANT, USER]), ask(messages=[USER, ASSISTANT, TOOL]), ask(tools=[{"type": "function"}])
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "find", "arguments": {}}}
EXPIRY = Expiry()


@pytest.mark.parametrize(
    ("asked", "kind", "ttl_s"),
    [
        (request(ask()), "answers", EXPIRY.answers),
        (request(ask(temperature=1, seed=7)), "answers", EXPIRY.answers),
        (request(ask(), target=MESSAGES), "answers", EXPIRY.answers),
        (request({"model": "a", "input": "b", "temperature": 0}, target=RESPONSES), "answers", EXPIRY.answers),
        (request({"contents": [], "generationConfig": {"temperature": 0.0}}, target=GENERATE), "answers", EXPIRY.answers),
        (request({"model": "a", "messages": [USER], "options": {"seed": 1}}, target=OLLAMA_CHAT), "answers", EXPIRY.answers),
        (request({"model": "a", "input": "b"}, target=EMBEDDINGS), "embeddings", EXPIRY.embeddings),
        (request({"model": "a", "input": "b"}, target="/ollama/api/embed"), "embeddings", EXPIRY.embeddings),
        (request({"content": {}}, target="/gemini/v1beta/models/embed:embedContent"), "embeddings", EXPIRY.embeddings),
        (request(TALK), "conversations", EXPIRY.conversations),
        (request(RESULT), "tool_results", EXPIRY.tool_results),
        (request(OFFER), "answers", EXPIRY.answers),
        (request(target="/openai/v1/models", method="GET"), "models", EXPIRY.models),
        (request(target="/gemini/v1beta/models?pageSize=5", method="GET"), "models", EXPIRY.models),
        (request(target="/ollama/api/tags", method="GET"), "models", EXPIRY.models),
        (request({"city": "a"}, target=WEATHER), "tools", 60.0),
        (request(target=f"{WEATHER}?city=a", method="GET"), "tools", 60.0),
        (request({"city": "a"}, target="/tools/weather/almanac"), "tools", 3600.0),
        (request({}, target="/tools/clock/year"), "tools", 600.0),
        (request(CALL, target=MCP), "tools", 90.0),
        (request({**CALL, "method": "tools/list"}, target=MCP), "tools", 30.0),
    ],
)
def test_kinds(asked: Request, kind: str, ttl_s: float) -> None:
    """What is asked for decides for how long its answer is kept."""
    terms = judge(asked, ALL)
    assert terms == Terms(terms.key, kind, None, ttl_s, ttl_s, terms.origins, True, True, False, None, None, True)
    assert len(terms.key) == 40 and kind in CACHE_KINDS


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (request(ask(temperature=1)), "not_deterministic"),
        (request({"messages": [USER]}), "not_deterministic"),
        (request(OFFER), "tools"),
        (request(RESULT), "tools"),
        (request(TALK), "conversation"),
        (request(ask(store=True)), "stateful"),
        (request({"input": "a", "temperature": 0, "previous_response_id": "r"}, target=RESPONSES), "stateful"),
        (request(target="/openai/v1/responses/resp_1", method="GET"), "stateful"),
        (request(target="/openai/v1/files", method="GET"), "method"),
        (request(target="/openai/v1/models/gpt", method="GET"), "method"),
        (request(target="/openai/v1/models", method="DELETE"), "method"),
        (request(target="/openai/v1/models", method="HEAD"), "method"),
        (request({}, target="/openai/v1/models", method="GET"), "method"),
        (request({"prompt": "a"}, target="/openai/v1/images/generations"), "form"),
        (request({}, target="/openai/v1/models"), "form"),
        (request(b"{"), "body"),
        (request(b""), "body"),
        (request([ask()]), "body"),
        (request(ask(), whole=False), "body"),
        (request(b'{"temperature": 0, "temperature": 1}'), "body"),
        (request(ask(user="a" * BYTES_MAX)), "body"),
        (request(b'{"temperature": 0, "a": ' + b"[" * 9999), "body"),
        (request(b'{"temperature": 0, "a": "\\ud800"}'), "body"),
        (request(gzip.compress(b'{"temperature": 0}')), "body"),
        (request(b"{}", (b"Content-Encoding", b"gzip")), "body"),
        (request(b"{}", (b"Content-Encoding", b"br")), "body"),
        (request(gzip.compress(json.dumps(ask(user="a" * BYTES_MAX)).encode()), (b"Content-Encoding", b"gzip")), "body"),
        (request({}, target="/tools/weather/alarm"), "route"),
        (request({}, target="/tools/clock/time"), "route"),
        (request({}, target=WEATHER, method="PUT"), "method"),
        (request({**CALL, "method": "initialize"}, target=MCP), "method"),
        (request({**CALL, "params": {"name": "now"}}, target=MCP), "route"),
        (request([CALL], target=MCP), "form"),
        (request(ask(), (b"Cache-Control", b"no-store")), "directive"),
        (request(ask(), (b"x-sidecar-cache", b"no-store")), "directive"),
    ],
)
def test_reasons(asked: Request, reason: str) -> None:
    """Each reason not to look for anything, as settings are from the start; nothing may be used then."""
    assert judge(asked) == Terms("", "", reason, 0.0, 0.0, NONE, False, False, False, None, None, False)
    assert reason in BYPASS_REASONS


def test_settings_let_more_be_kept() -> None:
    """Each of them lets in what it names, and nothing else."""
    hot, talk, tools = (
        set_up(Cache(**{name: value})) for name, value in (("what", Cacheable.ALL), ("conversations", True), ("tools", True))
    )
    chat = request(ask(temperature=1))
    assert [find_reason(chat, settings) for settings in (hot, talk, tools)] == [None, "not_deterministic", "not_deterministic"]
    assert [find_reason(request(TALK), settings) for settings in (hot, talk, tools)] == ["conversation", None, "conversation"]
    assert [find_reason(request(OFFER), settings) for settings in (hot, talk, tools)] == ["tools", "tools", None]
    assert [find_reason(request(RESULT), settings) for settings in (hot, talk, tools)] == ["tools", "tools", None]
    assert find_reason(request(ask(store=True)), ALL) == "stateful"


def test_a_body_that_is_compressed_is_judged_by_what_it_says() -> None:
    """It is read like any other, and what it says counts."""
    field = (b"Content-Encoding", b"gzip")
    packed = [request(gzip.compress(json.dumps(body).encode()), field) for body in (ask(), dict(reversed(ask().items())), ask(n=2))]
    one, same, other = (find_key(each) for each in packed)
    assert one == same != other
    assert find_reason(request(gzip.compress(json.dumps(ask(temperature=1)).encode()), field)) == "not_deterministic"


def test_features() -> None:
    """Without the cache nothing is read or kept, without coalescing nothing is joined; an expiry of nothing keeps nothing."""
    for settings, expected in (
        (set_up(), (True, True, True)),
        (replace(set_up(), features=Features(coalescing=True)), (False, False, True)),
        (set_up(coalescing=False), (True, True, False)),
        (set_up(Cache(expiry=Expiry(answers=0.0))), (False, False, True)),
    ):
        terms = judge(request(ask()), settings)
        assert terms.bypass is None and (terms.reads, terms.stores, terms.shares) == expected


@pytest.mark.parametrize(
    ("own", "cache_control", "expected"),
    [
        (None, None, {}),
        ("no-cache", None, {"reads": False, "shares": False}),
        (None, b"no-cache", {"reads": False, "shares": False}),
        (None, b"max-age=0", {"reads": False, "shares": False, "max_age_s": 0.0}),
        (None, b"max-age=10", {"max_age_s": 10.0}),
        (None, b"min-fresh=10", {"max_age_s": 290.0}),
        (None, b"min-fresh=10, max-age=20", {"max_age_s": 20.0}),
        (None, b"min-fresh=300", {"reads": False, "shares": False, "max_age_s": 0.0}),
        (None, b"max-stale", {"max_stale_s": 3600.0}),
        (None, b"max-stale=60", {"max_stale_s": 60.0}),
        (None, b"max-stale=99999", {"max_stale_s": 3600.0}),
        (None, b"only-if-cached", {"only_cached": True, "shares": False}),
        ("only-if-cached", b"no-cache", {"only_cached": True, "reads": False, "shares": False}),
        ("ttl=60", None, {"ttl_s": 60.0}),
        ("ttl=3000", None, {"ttl_s": 3000.0}),
        ("ttl=3001", None, {"ttl_s": 300.0 * TTL_TIMES_MAX}),
        ("ttl=0", None, {"ttl_s": 0.0, "stores": False}),
        ("ttl=60, min-fresh=60", None, {"ttl_s": 60.0, "max_age_s": 0.0, "reads": False, "shares": False}),
        ("unheard-of", b"of-any=1", {}),
    ],
)
def test_directives(own: str | None, cache_control: bytes | None, expected: dict[str, Any]) -> None:
    """What a caller says changes the terms, never whose answer it is or what was asked."""
    plain = judge(request(ask()))
    fields = [] if cache_control is None else [(b"Cache-Control", cache_control)]
    terms = judge(request(ask(), *fields, *([] if own is None else [(b"X-Sidecar-Cache", own.encode())])))
    assert terms == plain._replace(**expected)


def test_who_wants_a_kept_answer_only_never_has_anybody_asked() -> None:
    """Also where nothing could be kept of the call at all."""
    field = (b"x-sidecar-cache", b"only-if-cached")
    for body in (ask(temperature=1), ask(store=True), b"{"):
        assert judge(request(body, field)).only_cached
    assert judge(request(ask(), field, (b"Cache-Control", b"no-store"))).only_cached


@HARD
@given(TREES, st.randoms(use_true_random=False), st.sampled_from([CHAT, MESSAGES, RESPONSES, EMBEDDINGS, GENERATE, WEATHER]))
def test_spelling_hits_and_meaning_misses(tree: Any, chance: random.Random, target: str) -> None:
    """Wherever in a body something is changed, another answer is looked for; where it is only written otherwise, the same."""
    key = find_key(request(spell(ask(metadata=tree), chance), target=target), ALL)
    assert key == find_key(request(spell(ask(metadata=tree), chance), target=target), ALL)
    other = mutate(tree, chance)
    assert not is_same(tree, other)
    assert key != find_key(request(spell(ask(metadata=other), chance), target=target), ALL)


@pytest.mark.parametrize("at", range(20))
def test_a_change_anywhere_in_a_chat_misses(at: int) -> None:
    """The same, for changes in the members that a chat has."""
    chance = random.Random(at)
    body = ask(stream=True, stream_options={"include_usage": True}, stop=["a", "b"], n=2, response_format={"type": "json_object"}, user="x")
    for _ in range(20):
        other = mutate(body, chance)
        terms = judge(request(spell(other, chance)), ALL)
        assert terms.bypass is not None or terms.key != find_key(request(spell(body, chance)), ALL)


def test_calls_of_different_forms_share_nothing() -> None:
    """The same bytes mean something else at each address."""
    targets = {
        endpoint.end.replace("{model}", "m").replace("{endpoint}", "e").replace("{response_id}", "r")
        for endpoint in ENDPOINTS
        if endpoint.dialect in DIALECTS and endpoint.dialect is not OPAQUE and endpoint.method == "POST"
    }
    body = {**ask(), "input": "a", "prompt": None, "generationConfig": {"seed": 1}, "options": {"seed": 1}}
    keys = [judge(request(body, target=f"/{route}/v1{target}"), ALL) for route in ("openai", "ollama") for target in sorted(targets)]
    found = [terms.key for terms in keys if terms.bypass is None]
    assert len(found) >= 20 and len(set(found)) == len(found)


def test_messages_differ_by_all_but_their_id() -> None:
    """A call of an MCP tool by another id, in another session, is the same; with other arguments it is not."""
    one = request(CALL, (b"Mcp-Session-Id", b"1"), target=MCP)
    assert find_key(one) == find_key(request({**CALL, "id": "x"}, (b"Mcp-Session-Id", b"2"), target=MCP))
    assert find_key(one) != find_key(request({**CALL, "params": {"name": "find", "arguments": {"a": 1}}}, target=MCP))
    assert find_key(one) != find_key(request({**CALL, "id": "x"}, (b"Mcp-Session-Id", b"2"), target=MCP, tenant="b"))


@given(
    st.binary(max_size=60),
    st.sampled_from([CHAT, MESSAGES, RESPONSES, GENERATE, WEATHER, MCP, "/openai/v1/models"]),
    st.binary(max_size=12),
)
def test_nothing_raises(body: bytes, target: str, value: bytes) -> None:
    """Whatever is asked for, in whatever way."""
    fields = ((b"Cache-Control", value), (b"Accept-Encoding", value), (b"X-Any", value), (b"Connection", value))
    for settings in (set_up(), ALL):
        terms = judge(request(body, *fields, target=target), settings)
        assert (terms.bypass is None) == bool(terms.key) == bool(terms.kind)


def test_a_judgement_takes_no_time() -> None:
    """About 13 µs for a small chat, 0.4 ms for one of 100 kB and 5 ms for one of 1 MB; the bounds are for a busy machine."""
    for content, times, s_max in (("a", 200, 150e-6), ("it's me. " * 11_000, 5, 5e-3), ("it's me. " * 110_000, 2, 50e-3)):
        asked = request(ask(messages=[{"role": "user", "content": content}]))
        assert min(timeit.repeat(lambda asked=asked: judge(asked), number=times, repeat=5)) / times < s_max  # type: ignore[misc]
