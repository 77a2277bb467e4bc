"""sidecar/simulator/plan.py"""

import json
from collections import Counter
from collections.abc import Callable

import pytest

from sidecar.simulator.plan import Plan, draw_fault
from sidecar.simulator.profile import Profile
from sidecar.simulator.request import Form
from sidecar.simulator.script import Fault, Script

_TOOLS = [
    {"type": "function", "function": {"name": "f", "parameters": {"properties": {
        "text": {"type": "string"}, "count": {"type": "integer"}, "unit": {"type": "string", "enum": ["a", "b"]},
        "share": {"type": "number"}, "yes": {"type": "boolean"}, "list": {"type": "array"}, "map": {"type": "object"},
    }}}},
]  # fmt: skip


def test_same_seed_same_plan(plan_chat: Callable[..., Plan]) -> None:
    """The same identity gives the same plan, another one another."""
    assert plan_chat(identity="7") == plan_chat(identity="7")
    assert plan_chat(identity="7").choices != plan_chat(identity="8").choices


def test_a_fault_does_not_change_the_words(plan_chat: Callable[..., Plan]) -> None:
    """Text and pace are the same with a fault and without."""
    assert plan_chat(Script(fault=Fault.CUT)).choices == plan_chat().choices
    assert plan_chat(Script(fault=Fault.CUT)).gaps_s == plan_chat().gaps_s


def test_a_slow_first_token(plan_chat: Callable[..., Plan]) -> None:
    """The fault delays the first token and nothing after it."""
    slow, usual = plan_chat(Script(fault=Fault.SLOW_FIRST_TOKEN)), plan_chat()
    assert slow.first_token_s == pytest.approx(8 * usual.first_token_s)
    assert slow.gaps_s == usual.gaps_s


def test_pace_as_told(plan_chat: Callable[..., Plan]) -> None:
    """A script's times are taken literally: there is one gap fewer than tokens."""
    plan = plan_chat(Script(tokens=4, ttft_ms=100, gap_ms=10))
    assert (plan.first_token_s, plan.gaps_s) == (0.1, (0.01, 0.01, 0.01))


def test_length(plan_chat: Callable[..., Plan]) -> None:
    """An answer longer than wanted is cut at the limit and says so."""
    choice = plan_chat(Script(tokens=50), max_tokens=5).choices[0]
    assert (len(choice.pieces), choice.finish_reason) == (5, "length")


def test_reasoning(plan_chat: Callable[..., Plan]) -> None:
    """A reasoning model thinks first; thoughts count as output and towards the limit."""
    plan = plan_chat(model="sim-reasoning")
    assert plan.reasoning_tokens == len(plan.choices[0].reasoning) > 0
    assert plan.completion_tokens == plan.reasoning_tokens + len(plan.choices[0].pieces)
    short = plan_chat(model="sim-reasoning", max_completion_tokens=3)
    assert (short.reasoning_tokens, short.completion_tokens, short.choices[0].finish_reason) == (3, 3, "length")


def test_text_completion_does_not_think(plan_chat: Callable[..., Plan]) -> None:
    """The older form has no place for reasoning."""
    assert plan_chat(form=Form.COMPLETION, model="sim-reasoning").reasoning_tokens == 0


def test_stop(plan_chat: Callable[..., Plan]) -> None:
    """The answer ends before the first stop sequence, even within a token."""
    whole = plan_chat(Script(tokens=40)).choices[0].text
    stop = whole[len(whole) // 2 : len(whole) // 2 + 5]
    choice = plan_chat(Script(tokens=40), stop=["never said", stop]).choices[0]
    assert choice.text == whole[: whole.index(stop)]
    assert choice.finish_reason == "stop"


def test_tool_call(plan_chat: Callable[..., Plan]) -> None:
    """A call has an argument of the right type for each property, in pieces."""
    choice = plan_chat(tools=_TOOLS).choices[0]
    arguments = json.loads(choice.text)
    assert (choice.member, choice.tool_name, choice.finish_reason) == ("tool_calls", "f", "tool_calls")
    assert {name: type(value) for name, value in arguments.items()} == {
        "text": str, "count": int, "unit": str, "share": float, "yes": bool, "list": list, "map": dict,
    }  # fmt: skip
    assert arguments["unit"] in ("a", "b")
    assert len(choice.pieces) > 1


def test_refusal(plan_chat: Callable[..., Plan]) -> None:
    """A refusal takes the place of the content."""
    assert plan_chat(Script(refusal=True)).choices[0].member == "refusal"


def test_json(plan_chat: Callable[..., Plan]) -> None:
    """A JSON answer can be parsed."""
    assert set(json.loads(plan_chat(response_format={"type": "json_object"}).choices[0].text)) == {"answer"}


def test_several_choices(plan_chat: Callable[..., Plan]) -> None:
    """Each choice has words of its own."""
    first, second = plan_chat(n=2).choices
    assert first.text != second.text


def test_rates() -> None:
    """Faults strike as often as the profile says, and the same request always meets the same one."""
    profile = Profile(faults={Fault.RATE_LIMITED: 0.2, Fault.CUT: 0.05})
    drawn = Counter(draw_fault(profile, str(number)) for number in range(4000))
    assert drawn[Fault.RATE_LIMITED] / 4000 == pytest.approx(0.2, abs=0.03)
    assert drawn[Fault.CUT] / 4000 == pytest.approx(0.05, abs=0.02)
    assert draw_fault(profile, "11") is draw_fault(profile, "11")
