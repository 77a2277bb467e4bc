"""sidecar/simulator/vllm.py"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.simulator.plan import Plan
from sidecar.simulator.profile import Profile
from sidecar.simulator.request import Form
from sidecar.simulator.vllm import Vllm

VLLM = Vllm()


def _plan(plan_chat: Callable[..., Plan], **members: Any) -> Plan:
    """A plan for a request as the server itself reads it."""
    plan = plan_chat(stream=True, **members)
    body = {"model": "sim-small", "messages": [{"role": "user", "content": "hello"}], "stream": True} | members
    return plan._replace(ask=VLLM.read_ask(Form.CHAT, "/vllm/v1/chat/completions", json.dumps(body).encode()))


def _chunks(plan: Plan) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in VLLM.stream_events(plan)[:-1]]


def test_which_paths() -> None:
    """OpenAI's interfaces under a prefix, others not."""
    assert VLLM.form_of("POST", "/vllm/v1/completions") is Form.COMPLETION
    assert VLLM.form_of("POST", "/v1/completions") is None


@pytest.mark.parametrize(
    ("options", "asked", "running"),
    [(None, False, False), ({}, True, False), ({"include_usage": False}, False, False), ({"continuous_usage_stats": True}, True, True)],
)
def test_any_options_ask_for_usage(plan_chat: Callable[..., Plan], options: Any, asked: bool, running: bool) -> None:
    """Unless they say that it is not wanted."""
    ask = _plan(plan_chat, stream_options=options).ask
    assert (ask.usage_asked, ask.usage_running) == (asked, running)


def test_running_totals_grow_to_the_usage(plan_chat: Callable[..., Plan]) -> None:
    """With every chunk, each told to the ledger; the last equals the whole."""
    plan = _plan(plan_chat, stream_options={"continuous_usage_stats": True})
    totals = [chunk["usage"]["completion_tokens"] for chunk in _chunks(plan)]
    assert totals == sorted(totals)
    assert (totals[0], totals[-1]) == (0, plan.completion_tokens)
    told = [event.tells for event in VLLM.stream_events(plan)[:-1]]
    assert [tokens.completion for tokens in told if tokens] == totals
    assert told[-1] == plan.tokens


def test_without_them_usage_is_absent_but_at_the_end(plan_chat: Callable[..., Plan]) -> None:
    """Not null, as at OpenAI, and nowhere unless asked for."""
    assert not [chunk for chunk in _chunks(_plan(plan_chat)) if "usage" in chunk]
    *chunks, last = _chunks(_plan(plan_chat, stream_options={}))
    assert not [chunk for chunk in chunks if "usage" in chunk]
    assert (last["choices"], last["usage"].keys() >= {"prompt_tokens", "completion_tokens"}) == ([], True)


def test_the_role_comes_with_the_first_token(plan_chat: Callable[..., Plan]) -> None:
    """The server speaks once the engine does; the whole still takes as long."""
    plan = _plan(plan_chat)
    first, second, *_ = VLLM.stream_events(plan)
    assert first.delay_s == pytest.approx(plan.first_token_s - plan.first_byte_s)
    assert (second.delay_s, second.tokens) == (0.0, 1)


def test_members_are_vllms(plan_chat: Callable[..., Plan]) -> None:
    """Reasoning under another name, a stop reason with the finish reason, nothing of OpenAI's own."""
    chunks = _chunks(_plan(plan_chat))
    assert not [chunk for chunk in chunks if chunk.keys() & {"service_tier", "system_fingerprint", "obfuscation"}]
    assert [choice["stop_reason"] for chunk in chunks for choice in chunk["choices"] if "stop_reason" in choice] == [None]
    tree = json.loads(VLLM.render_whole(plan_chat(model="sim-reasoning")))
    assert tree["choices"][0]["message"]["reasoning"]
    assert tree["usage"]["completion_tokens_details"].keys() == {"reasoning_tokens"}


def test_errors_have_a_number_for_a_code() -> None:
    """And the name of an exception for a type; none has rate limits."""
    error = json.loads(VLLM.render_error(404, "no", param="model"))["error"]
    assert (error["type"], error["code"], error["param"]) == ("NotFoundError", 404, "model")
    assert json.loads(VLLM.error_event(500, "no").data)["error"]["type"] == "InternalServerError"
    assert not [name for name, _ in VLLM.fields(Profile(), "req_1", 0.0, 1, 1) if "ratelimit" in name]
