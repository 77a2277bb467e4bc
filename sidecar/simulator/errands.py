"""What an application's callers do, decided from a seed: whom they call, how, how large, how patient.

The n-th errand of a seed is always the same, whatever the order in which errands are run.
"""

from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

import msgspec

from sidecar.simulator.asking import PROVIDERS, Call, Prompt, Provider
from sidecar.simulator.script import Fault, Script

# Faults that leave no doubt about what each side can know. Left out: an excess body, where the
# bytes after the end belong to no call, and a silent close, which may hit a call never received.
FAULTS: Final = (
    Fault.RATE_LIMITED, Fault.SERVER_ERROR, Fault.UNAVAILABLE, Fault.RESET_BEFORE_HEAD, Fault.CLOSE_BEFORE_HEAD, Fault.RESET,
    Fault.DROP, Fault.CUT, Fault.STALL, Fault.SLOW_FIRST_TOKEN, Fault.GARBAGE_EVENT, Fault.GARBAGE_HTTP, Fault.SHORT_BODY,
    Fault.ERROR_EVENT, Fault.NO_DONE, Fault.TRICKLE, Fault.INFORMATIONAL, Fault.CLOSE_DELIMITED,
)  # fmt: skip
_IN_STREAMS: Final = ("leaves_stream", Fault.STALL, Fault.CUT, Fault.NO_DONE, Fault.TRICKLE)
_ODDITIES: Final = (*FAULTS, "bad_key", "unknown_model", "bad_json", "leaves_stream", "leaves_before_head")
_SLOW_MS: Final = 2500.0
_PAUSE_MS: Final = 250.0
_UNKNOWN: Final = "no-such-model"
_INSTRUCTIONS: Final = "You answer questions about an order system. Be brief, be exact, name the order. " * 60
_QUESTIONS: Final = (
    "What is the state of order {n}?", "Summarise the last messages about order {n}.", "Why was order {n} late?",
    "Translate the note on order {n}.", "Which orders are like order {n}?", "Write a reply to the customer of order {n}.",
)  # fmt: skip
_ROUTES: Final = (("openai", 40), ("anthropic", 20), ("gemini", 16), ("ollama", 12), ("openrouter", 12))
_MODELS: Final = (("sim-small", 60), ("sim-large", 28), ("sim-reasoning", 12))


class Errand(NamedTuple):
    """One call that somebody makes."""

    number: int
    kind: str
    method: str
    path: str  # after the provider's base URL
    headers: tuple[tuple[str, str], ...]
    body: bytes
    route: str = "openai"  # whose interface it is: a key of PROVIDERS
    think_s: float = 0.0  # before the call
    leaves_after_chunks: int | None = None  # the caller hangs up within the answer
    leaves_after_s: float | None = None  # the caller hangs up while it waits


def choose_errand(seed: int, number: int, *, odd_every: int = 0, think_s: float = 0.0, routes: Sequence[str] = ("openai",)) -> Errand:
    """The n-th errand of a seed, to one of the routes. Every `odd_every`-th goes wrong in some way, the ways taking turns."""
    random = Random(f"{seed}/errand/{number}")
    odd = _ODDITIES[number // odd_every % len(_ODDITIES)] if odd_every and number % odd_every == odd_every - 1 else None
    route = _pick(random, [(name, share) for name, share in _ROUTES if name in routes])
    provider = PROVIDERS[route]
    kind = _kind_for(odd, _pick(random, provider.kinds))
    script = _script_for(odd)
    path, tree = _call_of(provider, kind, random, is_known=odd != "unknown_model")
    headers = [
        provider.key("sk-bad" if odd == "bad_key" else "sk-simulated"),
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
        number, kind, "POST" if tree else "GET", path, tuple(headers), body, route, random.expovariate(1 / think_s) if think_s else 0.0,
        leaves_after_chunks=3 if odd == "leaves_stream" else None, leaves_after_s=0.3 if odd == "leaves_before_head" else None,
    )  # fmt: skip


def _kind_for(odd: str | None, kind: str) -> str:
    """The kind of call, or another one where what is to go wrong could not go wrong with it."""
    if odd in _IN_STREAMS or (isinstance(odd, Fault) and kind == "models"):
        return "stream"
    return "whole" if odd is not None and not isinstance(odd, Fault) and kind in ("models", "embeddings") else kind


def _script_for(odd: str | None) -> Script | None:
    """What the provider is told. A caller that leaves gets an answer that would last much longer.

    It leaves in a long pause: where each event of a stream tells usage, nobody could say whether one
    that was on its way at that moment had arrived.
    """
    match odd:
        case None:
            return None
        case "leaves_stream":
            return Script(tokens=200, gap_ms=_PAUSE_MS)
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


def _call_of(provider: Provider, kind: str, random: Random, *, is_known: bool) -> Call:
    """Path and body of one kind of call."""
    if kind == "models":
        return "/v1/models", {}
    if kind == "embeddings" and provider.embed:
        return provider.embed("sim-embed", [_question(random) for _ in range(random.choice((1, 1, 2, 4, 16)))])
    if kind == "completion" and provider.complete:
        prompt = Prompt("sim-small", (("user", _question(random)),), stream=random.random() < 0.5, tokens_max=random.randrange(8, 120))
        return provider.complete(prompt if is_known else prompt._replace(model=_UNKNOWN))
    prompt = _draw_prompt(kind, random)
    if not is_known:
        prompt = prompt._replace(model=_UNKNOWN)
    return provider.respond(prompt) if kind == "responses" and provider.respond else provider.chat(prompt)


def _draw_prompt(kind: str, random: Random) -> Prompt:
    turns: list[tuple[str, str]] = []
    for _ in range(random.choice((0, 0, 0, 1, 3))):
        turns += [("user", _question(random)), ("assistant", "It is on its way. " * random.randrange(1, 40))]
    turns.append(("user", _question(random)))
    return Prompt(
        _pick(random, _MODELS), tuple(turns), _INSTRUCTIONS if random.random() < 0.4 else "",
        stream=kind == "stream" or (kind != "whole" and random.random() < 0.5),
        tokens_max=random.randrange(16, 200) if random.random() < 0.3 else None,
        temperature=random.choice((0, 0.2, 0.7, 1)) if random.random() < 0.5 else None,
        has_tool=kind == "tools" or (kind == "responses" and random.random() < 0.2), asks_usage=random.random() < 0.3,
        kept_for=random.choice(("5m", "1h")),
    )  # fmt: skip


def _question(random: Random) -> str:
    text = random.choice(_QUESTIONS).format(n=random.randrange(10_000))
    # Most prompts are short, some carry a document.
    return text + " (It was sent from the southern warehouse on a Tuesday.)" * int(random.paretovariate(1.2) - 1)


def _pick(random: Random, weighted: Sequence[tuple[str, int]]) -> str:
    return random.choices([name for name, _ in weighted], [weight for _, weight in weighted])[0]
