"""sidecar/simulator/azure.py"""

import json
from collections.abc import Callable

import pytest

from sidecar.simulator.azure import Azure
from sidecar.simulator.plan import Plan
from sidecar.simulator.profile import Profile
from sidecar.simulator.request import Form, Rejection

AZURE = Azure()
TARGET = "/openai/deployments/sim-small/chat/completions?api-version=2024-10-21"
BODY = json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode()


def test_which_paths() -> None:
    """Those of a deployment."""
    assert AZURE.form_of("POST", "/openai/deployments/d/chat/completions") is Form.CHAT
    assert AZURE.form_of("POST", "/openai/v1/chat/completions") is None


def test_the_deployment_is_the_model() -> None:
    """Whatever the body says, or does not say; what is not JSON is declined as elsewhere."""
    assert AZURE.read_ask(Form.CHAT, TARGET, BODY).model == "sim-small"
    assert AZURE.read_ask(Form.CHAT, TARGET, BODY[:-1] + b', "model": "other"}').model == "sim-small"
    for broken in (b"{", b"[]", b"\xff"):
        with pytest.raises(Rejection):
            AZURE.read_ask(Form.CHAT, TARGET, broken)


def test_its_own_key() -> None:
    """Either field may carry one."""
    assert AZURE.is_known({"api-key": "k"})
    assert not AZURE.is_known({"api-key": "sk-bad"})
    assert not AZURE.is_known({"authorization": "Bearer sk-bad"})


def test_a_stream_has_annotations_around_it(plan_chat: Callable[..., Plan]) -> None:
    """First without choices what the filter says of the prompt, last, after the finish reason, what it says of the answer."""
    first, *chunks, last = [json.loads(event.data) for event in AZURE.stream_events(plan_chat(stream=True))[:-1]]
    assert (first["choices"], first["id"], first["model"]) == ([], "", "")
    assert first["prompt_filter_results"]
    assert {chunk["model"] for chunk in chunks} == {"sim-small-2026-01-01"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert (last["choices"][0]["finish_reason"], "content_filter_offsets" in last["choices"][0]) == (None, True)


def test_a_whole_answer_has_them_inside(plan_chat: Callable[..., Plan]) -> None:
    """The model's own name, and a verdict for each choice."""
    tree = json.loads(AZURE.render_whole(plan_chat()))
    assert (tree["model"], len(tree["prompt_filter_results"])) == ("sim-small-2026-01-01", 1)
    assert all(choice["content_filter_results"] for choice in tree["choices"])


@pytest.mark.parametrize(("status", "code"), [(404, "DeploymentNotFound"), (429, "429"), (400, None)])
def test_errors_of_the_service_and_of_the_model(status: int, code: str | None) -> None:
    """The service's have a code and a message only; what is wrong with a request is told as OpenAI does."""
    error = json.loads(AZURE.render_error(status, "no"))["error"]
    assert (error["code"], "type" in error) == (code, code is None)


def test_no_limit_is_minus_one() -> None:
    """Only requests are limited here."""
    fields = dict(AZURE.fields(Profile(), "req_1", 0.0, 1, 1))
    assert fields["x-ratelimit-remaining-tokens"] == "-1"
    assert int(fields["x-ratelimit-remaining-requests"]) > 0
