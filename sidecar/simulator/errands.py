"""What an application's callers do, decided from a seed: which calls, how large, how patient.

The n-th errand of a seed is always the same, whatever the order in which errands are run.
"""

from collections.abc import Sequence
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

from sidecar.simulator.script import Fault, Script

# Faults that leave no doubt about what each side can know. Left out: an excess body, where the
# bytes after the end belong to no call, and a silent close, which may hit a call never received.
FAULTS: Final = (
    Fault.RATE_LIMITED, Fault.SERVER_ERROR, Fault.UNAVAILABLE, Fault.RESET_BEFORE_HEAD, Fault.CLOSE_BEFORE_HEAD, Fault.RESET,
    Fault.DROP, Fault.CUT, Fault.STALL, Fault.SLOW_FIRST_TOKEN, Fault.GARBAGE_EVENT, Fault.GARBAGE_HTTP, Fault.SHORT_BODY,
    Fault.ERROR_EVENT, Fault.NO_DONE, Fault.TRICKLE, Fault.INFORMATIONAL, Fault.CLOSE_DELIMITED,
)  # fmt: skip
_ODDITIES: Final = (*FAULTS, "bad_key", "unknown_model", "bad_json", "leaves_stream", "leaves_before_head")
_SLOW_MS: Final = 2500.0
_TOOL: Final = {
    "type": "function",
    "function": {
        "name": "look_up_weather",
        "description": "The weather at a place.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string"}, "days": {"type": "integer"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["place"],
        },
    },
}  # fmt: skip
_INSTRUCTIONS: Final = "You answer questions about an order system. Be brief, be exact, name the order. " * 60
_QUESTIONS: Final = (
    "What is the state of order {n}?", "Summarise the last messages about order {n}.", "Why was order {n} late?",
    "Translate the note on order {n}.", "Which orders are like order {n}?", "Write a reply to the customer of order {n}.",
)  # fmt: skip
_KINDS: Final = (("stream", 46), ("whole", 22), ("tools", 10), ("embeddings", 12), ("completion", 6), ("models", 4))
_MODELS: Final = (("sim-small", 60), ("sim-large", 28), ("sim-reasoning", 12))


class Errand(NamedTuple):
    """One call that somebody makes."""

    number: int
    kind: str
    method: str
    path: str  # after the base URL
    headers: tuple[tuple[str, str], ...]
    body: bytes
    think_s: float = 0.0  # before the call
    leaves_after_chunks: int | None = None  # the caller hangs up within the answer
    leaves_after_s: float | None = None  # the caller hangs up while it waits


def choose_errand(seed: int, number: int, *, odd_every: int = 0, think_s: float = 0.0) -> Errand:
    """The n-th errand of a seed. Every `odd_every`-th goes wrong in some way, the ways taking turns."""
    random = Random(f"{seed}/errand/{number}")
    odd = _ODDITIES[number // odd_every % len(_ODDITIES)] if odd_every and number % odd_every == odd_every - 1 else None
    kind = _pick(random, _KINDS)
    if isinstance(odd, Fault) and kind == "models":
        kind = "stream"  # a fault needs a call that can have it
    if odd is not None and not isinstance(odd, Fault) and kind in ("models", "embeddings"):
        kind = "whole"
    if odd in ("leaves_stream", Fault.STALL, Fault.CUT, Fault.NO_DONE, Fault.TRICKLE):
        kind = "stream"
    script = _script_for(odd)
    path, tree = _call_of(kind, random)
    if odd == "unknown_model":
        tree["model"] = "no-such-model"
    headers = [
        ("authorization", "Bearer sk-bad" if odd == "bad_key" else "Bearer sk-simulated"),
        ("x-sim-seed", f"{seed}-{number}"), ("x-sim-tag", f"{seed}-{number}"),
    ]  # fmt: skip
    if script is not None:
        headers.append(("x-sim-script", msgspec.json.encode(script).decode()))
    body = msgspec.json.encode(tree) if tree else b""
    if odd == "bad_json":
        body = body[:-1]
    if body:
        headers.append(("content-type", "application/json"))
    return Errand(
        number, kind, "POST" if tree else "GET", path, tuple(headers), body, random.expovariate(1 / think_s) if think_s else 0.0,
        leaves_after_chunks=3 if odd == "leaves_stream" else None, leaves_after_s=0.3 if odd == "leaves_before_head" else None,
    )  # fmt: skip


def _script_for(odd: str | None) -> Script | None:
    """What the provider is told. A caller that leaves gets an answer that would last much longer."""
    match odd:
        case None:
            return None
        case "leaves_stream":
            return Script(tokens=200, gap_ms=100)
        case "leaves_before_head":
            return Script(ttft_ms=60_000)
        case Fault.TRICKLE:
            return Script(fault=Fault.TRICKLE, tokens=4)
        case Fault.SLOW_FIRST_TOKEN:
            return Script(fault=Fault.SLOW_FIRST_TOKEN, ttft_ms=_SLOW_MS)
        case Fault():
            return Script(fault=odd, tokens=24)
        case _:
            return Script()


def _call_of(kind: str, random: Random) -> tuple[str, dict[str, Any]]:
    """Path and body of one kind of call."""
    model = _pick(random, _MODELS)
    match kind:
        case "models":
            return "/v1/models", {}
        case "embeddings":
            texts = [_question(random) for _ in range(random.choice((1, 1, 2, 4, 16)))]
            form = random.choice(("float", "base64"))
            return "/v1/embeddings", {"model": "sim-embed", "input": texts if len(texts) > 1 else texts[0], "encoding_format": form}
        case "completion":
            tree: dict[str, Any] = {"model": "sim-small", "prompt": _question(random), "max_tokens": random.randrange(8, 120)}
            return "/v1/completions", {**tree, "stream": True} if random.random() < 0.5 else tree
        case _:
            return "/v1/chat/completions", _chat_of(kind, model, random)


def _chat_of(kind: str, model: str, random: Random) -> dict[str, Any]:
    messages = [{"role": "system", "content": _INSTRUCTIONS}] if random.random() < 0.4 else []
    for _ in range(random.choice((0, 0, 0, 1, 3))):
        messages.append({"role": "user", "content": _question(random)})
        messages.append({"role": "assistant", "content": "It is on its way. " * random.randrange(1, 40)})
    messages.append({"role": "user", "content": _question(random)})
    tree: dict[str, Any] = {"model": model, "messages": messages}
    if random.random() < 0.3:
        tree["max_completion_tokens"] = random.randrange(16, 200)
    if random.random() < 0.5:
        tree["temperature"] = random.choice((0, 0.2, 0.7, 1))
    if kind == "tools":
        tree["tools"] = [_TOOL]
    if kind == "stream" or (kind == "tools" and random.random() < 0.5):
        tree["stream"] = True
        if random.random() < 0.3:
            tree["stream_options"] = {"include_usage": True}
    return tree


def _question(random: Random) -> str:
    text = random.choice(_QUESTIONS).format(n=random.randrange(10_000))
    # Most prompts are short, some carry a document.
    return text + " (It was sent from the southern warehouse on a Tuesday.)" * int(random.paretovariate(1.2) - 1)


def _pick(random: Random, weighted: Sequence[tuple[str, int]]) -> str:
    return random.choices([name for name, _ in weighted], [weight for _, weight in weighted])[0]
