"""What to answer: a pure function of the seed, the request's identity and its script.

Text, pace and fault are drawn from three generators of their own, so that a fault does not change
the words and the words do not change the pace.
"""

from random import Random
from typing import Any, Final, NamedTuple

import msgspec

from sidecar.simulator.profile import Model, Prices, Profile
from sidecar.simulator.request import Ask, Form, Tool
from sidecar.simulator.script import Fault, Script
from sidecar.simulator.tokens import Tokens

_EPOCH_S: Final = 1_750_000_000  # `created` is drawn after this moment: a clock would not be reproducible
_DECLINED: Final = ("I", " must", " decline", " to", " help", " with", " that", ".")
_ARGUMENT_BYTES: Final = 6  # the arguments of a tool call come in pieces of this size
_SLOW_FACTOR: Final = 8.0  # how much later than drawn a slow first token comes
# Some words carry what trips parsers: multi-byte characters, quotes, newlines, the names of members.
_ORDINARY: Final = """
    the a of to and in is that it for with as on are this by be from or which at can may one more time model token stream
    answer latency window cache budget probe route metric trace sample signal queue measure observe carry begin finish repeat
    reason compare divide settle follow release gather return
"""
_WORDS: Final = (
    *_ORDINARY.split(), "naïve", "Größe", "日本語", "данные", "🙂", "e\u0301", '"quoted"', "back\\slash", "line\nbreak",
    "data:", "[DONE]", '"usage":{}', '"finish_reason":"stop"', '"error"',
)  # fmt: skip


class Choice(NamedTuple):
    """One of the answers to one request, in the pieces in which it is streamed."""

    pieces: tuple[str, ...]
    reasoning: tuple[str, ...]
    finish_reason: str
    member: str  # of the message: "content", "refusal" or "tool_calls"
    tool_name: str = ""
    tool_call_id: str = ""
    stop: str = ""  # the stop sequence that ended it

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.pieces)


class Plan(NamedTuple):
    """One reply, decided: nothing about it is left to chance or to the clock."""

    name: str  # what makes the answer's id unique; each format puts a prefix of its own before it
    request_id: str
    created_s: int
    fingerprint: str
    ask: Ask
    script: Script
    fault: Fault | None
    fault_share: float  # where within the answer the fault strikes, if the script does not say
    choices: tuple[Choice, ...]
    cached_tokens: int
    first_token_s: float  # after the request
    gaps_s: tuple[float, ...]  # before each later token, in the order in which they are sent
    dimensions: int
    prices: Prices

    @property
    def is_failed(self) -> bool:
        """Whether the answer itself says that it failed."""
        return self.script.failed and self.ask.form is Form.RESPONSE

    @property
    def is_told(self) -> bool:
        """Whether a complete answer tells its usage: not one that failed, nor one that has only begun in the background."""
        return not self.is_failed and not (self.ask.background and not self.ask.stream)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt, the cached ones included."""
        return sum(self.ask.prompt_tokens)

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of reasoning in all choices."""
        return sum(len(choice.reasoning) for choice in self.choices)

    @property
    def completion_tokens(self) -> int:
        """Tokens of all choices, reasoning included."""
        return self.reasoning_tokens + sum(len(choice.pieces) for choice in self.choices)

    @property
    def tokens(self) -> Tokens:
        """Everything that is billed for a complete answer."""
        return Tokens(
            self.prompt_tokens, self.completion_tokens, self.cached_tokens, self.reasoning_tokens,
            self.written_tokens, self.written_1h_tokens,
        )  # fmt: skip

    @property
    def told_tokens(self) -> Tokens:
        """What a complete answer tells of them."""
        return self.tokens if self.ask.tells_details else Tokens(self.prompt_tokens, self.completion_tokens)

    @property
    def written_tokens(self) -> int:
        """Tokens of the prompt that go into the prompt cache: what the caller marked and was not there yet."""
        return max(0, self.ask.written_tokens - self.cached_tokens)

    @property
    def written_1h_tokens(self) -> int:
        """Of those, the ones that are kept for an hour."""
        return max(0, self.ask.written_1h_tokens - self.cached_tokens)

    @property
    def first_byte_s(self) -> float:
        """When the head of a stream goes out: the provider has taken the request and begins to read it."""
        return self.first_token_s * 0.4

    @property
    def duration_s(self) -> float:
        """From the request to the last token."""
        return self.first_token_s + sum(self.gaps_s)


def plan_reply(ask: Ask, script: Script, fault: Fault | None, profile: Profile, identity: str, cached_tokens: int) -> Plan:
    """Decide a whole reply of a known model."""
    model = profile.models[ask.model]
    text = Random(f"{profile.seed}/{identity}/text")
    name = f"{text.getrandbits(120):030x}"
    created_s = _EPOCH_S + text.randrange(1 << 24)
    choices = () if model.embeds else tuple(_draw_choice(ask, script, model, text) for _ in range(ask.choices))
    pace = Random(f"{profile.seed}/{identity}/pace")
    tokens = sum(len(choice.pieces) + len(choice.reasoning) for choice in choices)
    first_token_s, gaps_s = _draw_pace(model, script, fault, profile, pace, max(0, tokens - 1))
    return Plan(
        name=name, request_id=f"req_{name}", created_s=created_s, fingerprint=f"fp_{profile.seed:08x}",
        ask=ask, script=script, fault=fault, fault_share=Random(f"{profile.seed}/{identity}/place").random(), choices=choices,
        cached_tokens=cached_tokens, first_token_s=first_token_s, gaps_s=gaps_s, dimensions=ask.dimensions or model.dimensions,
        prices=model.prices,
    )  # fmt: skip


def draw_fault(profile: Profile, identity: str) -> Fault | None:
    """Which of the profile's faults strikes this request, if any."""
    share = Random(f"{profile.seed}/{identity}/fault").random()
    for fault, rate in profile.faults.items():
        if share < rate:
            return fault
        share -= rate
    return None


def _draw_pace(
    model: Model, script: Script, fault: Fault | None, profile: Profile, random: Random, gaps: int
) -> tuple[float, tuple[float, ...]]:
    """Time to the first token and between tokens, in seconds."""
    first_token_s = profile.wait_s(model.first_token_ms.draw(random) * (_SLOW_FACTOR if fault is Fault.SLOW_FIRST_TOKEN else 1.0))
    if script.ttft_ms is not None:
        first_token_s = script.ttft_ms / 1000
    if script.gap_ms is not None:
        return first_token_s, (script.gap_ms / 1000,) * gaps
    if not profile.speed:
        return first_token_s, (0.0,) * gaps
    return first_token_s, tuple(profile.wait_s(model.token_ms.draw(random)) for _ in range(gaps))


def _draw_choice(ask: Ask, script: Script, model: Model, random: Random) -> Choice:
    wanted = script.tokens if script.tokens is not None else max(1, round(model.answer_tokens.draw(random)))
    thinks = model.reasoning_tokens if ask.form is not Form.COMPLETION and ask.thinks else None
    thought = _draw_words(random, max(1, round(thinks.draw(random)))) if thinks else ()
    if script.refusal:
        return _bounded(ask, Choice(_DECLINED, thought, "stop", "refusal"))
    if ask.tool:
        arguments = msgspec.json.encode(_draw_arguments(ask.tool, random)).decode()
        call_id = f"call_{random.getrandbits(96):024x}"
        return _bounded(ask, Choice(_split(arguments), thought, "tool_calls", "tool_calls", ask.tool.name, call_id))
    pieces = _draw_words(random, wanted)
    if ask.json_asked:
        pieces = _split(msgspec.json.encode({"answer": "".join(pieces)}).decode())
    if script.line_bytes and pieces:
        pieces = ("x" * script.line_bytes + pieces[0], *pieces[1:])
    return _bounded(ask, Choice(pieces, thought, "stop", "content"))


def _bounded(ask: Ask, choice: Choice) -> Choice:
    """The choice cut short by stop sequences, then by the most tokens the caller wants (reasoning counts)."""
    if choice.member == "content":
        choice = _until_stop(choice, ask.stops)
    most = ask.tokens_max
    if most is None or len(choice.reasoning) + len(choice.pieces) <= most:
        return choice
    thought = choice.reasoning[:most]
    return choice._replace(reasoning=thought, pieces=choice.pieces[: most - len(thought)], finish_reason="length", stop="")


def _until_stop(choice: Choice, stops: tuple[str, ...]) -> Choice:
    """What comes before the first stop sequence, which itself is not part of the answer."""
    text = choice.text
    end, stop = min(((text.find(stop), stop) for stop in stops if stop in text), default=(len(text), ""))
    kept: list[str] = []
    for piece in choice.pieces:
        if end <= 0:
            break
        kept.append(piece[:end])
        end -= len(piece)
    return choice._replace(pieces=tuple(kept), stop=stop)


def _draw_words(random: Random, count: int) -> tuple[str, ...]:
    words = random.choices(_WORDS, k=count)
    return (*words[:1], *(f" {word}" for word in words[1:]))


def _draw_arguments(tool: Tool, random: Random) -> dict[str, Any]:
    """A value for each property of the schema, of its type where that is a simple one."""
    properties = tool.parameters.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: _draw_value(schema if isinstance(schema, dict) else {}, random) for name, schema in properties.items()}


def _draw_value(schema: dict[str, Any], random: Random) -> Any:
    options = schema.get("enum")
    if isinstance(options, list) and options:
        return random.choice(options)
    match schema.get("type"):
        case "integer":
            return random.randrange(100)
        case "number":
            return round(random.uniform(0, 100), 2)
        case "boolean":
            return random.random() < 0.5
        case "array":
            return [random.choice(_WORDS)]
        case "object":
            return {}
        case _:
            return random.choice(_WORDS)


def _split(text: str) -> tuple[str, ...]:
    return tuple(text[start : start + _ARGUMENT_BYTES] for start in range(0, len(text), _ARGUMENT_BYTES))
