"""Content, where it is asked for: there and nowhere else, redacted. And tokens by estimate, only where asked for."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.edge.telemetry.receiver import receive
from tests.rig.canaries import CONTENT, KINDS, SECRETS, find_leaks, is_in, take_content
from tests.rig.conversations import converse, list_answered, list_asked, list_calls
from tests.rig.forms import FORMS
from tests.rig.forms_openai import HIDDEN, Form

NEVER = (*HIDDEN, "query", "query_name", "answer_field")
NAMES = dict(zip(("system_instructions", "input_messages", "tool_definitions", "output_messages"), CONTENT, strict=True))
ESTIMATED = ("openai_chat", "ollama_chat")


def check_content(form: Form, told: list[dict[str, Any]]) -> None:
    """Check what is recorded of all calls of a form. `told`: by the name of the attribute, as JSON decoded."""
    said = json.dumps(told, ensure_ascii=False)
    marks = list_asked(form) | list_answered(form)
    hidden = {place for place in marks if place in NEVER or place.startswith("field_")}
    assert [place for place in hidden if is_in(marks[place], said.encode())] == [], form.name
    assert [place for place in marks.keys() - hidden if marks[place] not in said] == [], form.name
    assert not is_in("canary-picture", said.encode()), form.name
    assert [name for name, secret in SECRETS.items() if is_in(secret, said.encode())] == [], form.name
    assert [kind for kind in KINDS if f"[REDACTED:{kind}]" not in said] == [], form.name
    assert all(isinstance(part, list) for one in told for part in one.values())
    outputs = Counter(json.dumps(one[CONTENT[3]]) for one in told if CONTENT[3] in one)
    if form.events is not None:
        # whole, garbled; stream, cut and stalled
        assert outputs.most_common(1)[0][1] >= 5, f"a stream in pieces says what a whole answer says: {form.name}"
    # Each says something, its request or its answer; where nothing is said in answers, an unreadable request leaves nothing.
    assert len(told) == len(list_calls(form)) - (not outputs), form.name


async def test_captured_on_spans_it_is_there_and_redacted(tmp_path: Path) -> None:
    """In the attributes of the conventions, and nowhere else; every word is there and no secret is."""
    with receive() as receiver:
        told = await converse(tmp_path, receiver, content={"capture": "spans"})
        content, told.out["spans"] = take_content(receiver)
    assert find_leaks(told.out) == []
    assert content.keys() == FORMS.keys()
    for name, form in FORMS.items():
        check_content(form, [{key: json.loads(text) for key, text in one.items()} for one in content[name]])


async def test_captured_in_a_file_it_is_there_and_redacted(tmp_path: Path) -> None:
    """A line per call, readable by its owner only; nothing on spans."""
    file = tmp_path / "content.jsonl"
    with receive() as receiver:
        told = await converse(tmp_path, receiver, content={"capture": "file", "file": str(file)})
    assert find_leaks(told.out) == []
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert file.stat().st_mode & 0o777 == 0o600
    assert all(len(line["trace_id"]) == 32 for line in lines)
    unreadable = 0
    for name, form in FORMS.items():
        of = [line for line in lines if line["route"] == name]
        assert Counter(line["ending"] for line in of) == Counter(list_calls(form).values()), name
        content = [{key: line[short] for short, key in NAMES.items() if short in line} for line in of]
        check_content(form, [one for one in content if one])
        kept = {"id", "trace_id", "time", "route", "provider", "operation", "model", "ending", "unreadable", *NAMES}
        assert {member for line in of for member in line} <= kept
        assert find_leaks({name: json.dumps([{k: v for k, v in line.items() if k not in NAMES} for line in of]).encode()}) == []
        unreadable += sum(line.get("unreadable", False) for line in of)
    # An answer and a request of each form; nothing is read in answers of embeddings.
    assert unreadable == sum(1 + (form.events is not None) for form in FORMS.values())
    assert f'llm_sidecar_content_dropped_total{{reason="unreadable"}} {unreadable}' in told.out["admin /metrics"].decode()


@pytest.mark.parametrize("name", ESTIMATED)
async def test_estimates_are_made_only_where_asked_for_and_called_so(name: str, tmp_path: Path) -> None:
    """Of streams, cut ones included; what is reported by nobody else is in no name of reported usage."""
    with receive() as receiver:
        told = await converse(tmp_path, receiver, {name: FORMS[name]}, usage={"ask": "never", "estimate": True})
        attributes = {item.key for span in receiver.spans for item in span.attributes}
    assert find_leaks(told.out) == []
    metrics = told.out["admin /metrics"].decode()
    assert 'llm_sidecar_usage_records_total{source="reported"} 0' in metrics
    estimated = next(line for line in metrics.splitlines() if line.startswith('llm_sidecar_usage_records_total{source="estimated"}'))
    assert int(estimated.split()[-1]) >= 4, "whole, stream, cut and stalled"
    assert 'type="output",source="estimated"' in metrics
    costs = [line for line in metrics.splitlines() if line.startswith("llm_sidecar_cost_usd_total{")]
    assert all('source="estimated"' in line and not line.endswith(" 0") for line in costs)
    assert bool(costs) == (name == "openai_chat"), "a model of one's own has no price"
    assert "gen_ai_client_token_usage_count" not in metrics
    assert "llm_sidecar.usage.estimated_output_tokens" in attributes
    assert not any(attribute.startswith("gen_ai.usage") for attribute in attributes)
