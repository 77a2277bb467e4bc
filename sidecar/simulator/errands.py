"""What an application's callers do, decided from a seed: whom they call, how, how large, how patient.

The n-th errand of a seed is always the same, whatever the order in which errands are run. Callers with habits ask the same
again and again, ask a tool, have documents embedded one right after the other, and say on whose account they call.
"""

from collections.abc import Sequence
from random import Random
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from sidecar.simulator.asking import PROVIDERS, Call, Prompt, Provider
from sidecar.simulator.script import Fault, Script
from sidecar.simulator.tools import TOOL, TOOLS_ROUTE

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
_PLACES: Final = ("Oslo", "Lima", "Kyoto", "Cape Town")
_INDEXED: Final = ("openai", "openai", "ollama", "gemini")
KEY: Final = "sk-simulated"
_ROUTES: Final = (("openai", 40), ("anthropic", 20), ("gemini", 16), ("ollama", 12), ("openrouter", 12))
_MODELS: Final = (("sim-small", 60), ("sim-large", 28), ("sim-reasoning", 12))


class Habits(NamedTuple):
    """What callers do beside asking what nobody has asked before: nothing, unless it is said."""

    repeats: float = 0.0  # the share of calls that ask one of the usual questions again
    usual: int = 10  # questions; the first ones are asked more often
    tool: float = 0.0  # the share of calls of a tool
    indexes_every: int = 0  # every so many calls five documents are embedded, one right after the other
    tenants: tuple[tuple[str, int], ...] = ()  # on whose account calls run, with the share of each; odd ones on the first's


NO_HABITS: Final = Habits()
_INDEXED_TOGETHER: Final = 5


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


def choose_errand(
    seed: int, number: int, *, odd_every: int = 0, think_s: float = 0.0, routes: Sequence[str] = ("openai",), habits: Habits = NO_HABITS
) -> Errand:  # fmt: skip
    """The n-th errand of a seed, to one of the routes. Every `odd_every`-th goes wrong in some way, the ways taking turns."""
    random = Random(f"{seed}/errand/{number}")
    odd = _ODDITIES[number // odd_every % len(_ODDITIES)] if odd_every and number % odd_every == odd_every - 1 else None
    name = f"{seed}-{number}"
    errand = None if odd is not None or habits is NO_HABITS else _choose_habitual(seed, number, routes, habits)
    if errand is None:
        errand = _choose_new(random, number, odd, routes)
    headers = [("x-sim-seed", name), ("x-sim-tag", name), *errand.headers]
    if habits.tenants:
        # Those who index share an account: what is theirs can go out together.
        chance = Random(f"{seed}/tenant/{number // habits.indexes_every if _is_indexing(number, habits) else number}")
        tenant = habits.tenants[0][0] if odd is not None else _pick(chance, habits.tenants)
        headers.append(("x-sidecar-tenant", tenant))
    hurries = not think_s or _is_indexing(number, habits)
    return errand._replace(headers=tuple(headers), think_s=0.0 if hurries else random.expovariate(1 / think_s))


def list_usual(seed: int, count: int, routes: Sequence[str]) -> list[Errand]:
    """The first of the usual questions, as they are asked again and again."""
    return [_choose_usual(seed, number, number, routes) for number in range(count)]


def _choose_new(random: Random, number: int, odd: str | None, routes: Sequence[str]) -> Errand:
    """What nobody has asked before."""
    route = _pick(random, [(name, share) for name, share in _ROUTES if name in routes])
    provider = PROVIDERS[route]
    kind = _kind_for(odd, _pick(random, provider.kinds))
    script = _script_for(odd)
    path, tree = _call_of(provider, kind, random, is_known=odd != "unknown_model")
    headers = [provider.key("sk-bad" if odd == "bad_key" else KEY)]
    if script is not None:
        headers.append(("x-sim-script", msgspec.json.encode(script).decode()))
    errand = _compose(number, kind, route, headers, path, tree)
    return errand._replace(
        body=errand.body[:-1] if odd == "bad_json" else errand.body,
        leaves_after_chunks=3 if odd == "leaves_stream" else None, leaves_after_s=0.3 if odd == "leaves_before_head" else None,
    )  # fmt: skip


def _choose_habitual(seed: int, number: int, routes: Sequence[str], habits: Habits) -> Errand | None:
    """What callers do by habit; None where this one asks something new."""
    random = Random(f"{seed}/habit/{number}")
    if _is_indexing(number, habits):
        route = Random(f"{seed}/indexing/{number // habits.indexes_every}").choice([name for name in _INDEXED if name in routes])
        return _embed_document(number, route, random)
    share = random.random()
    if share < habits.tool:
        return Errand(number, "tool", "GET", f"/{TOOL}?place={quote(random.choice(_PLACES))}", (), b"", TOOLS_ROUTE)
    if share < habits.tool + habits.repeats:
        # The second question is asked half as often as the first, the third a third as often (Zipf's law), as with real users.
        (question,) = random.choices(range(habits.usual), [1 / (rank + 1) for rank in range(habits.usual)])
        return _choose_usual(seed, number, question, routes)
    return None


def _choose_usual(seed: int, number: int, question: int, routes: Sequence[str]) -> Errand:
    """One of the usual questions: a single turn, to be answered in the same way each time."""
    random = Random(f"{seed}/usual/{question}")
    route = _pick(random, [(name, share) for name, share in _ROUTES if name in routes])
    kind = "stream" if random.random() < 0.6 else "whole"
    prompt = Prompt(
        _pick(random, _MODELS), (("user", _question(random)),), _INSTRUCTIONS if random.random() < 0.5 else "", stream=kind == "stream",
        temperature=0,
    )  # fmt: skip
    return _compose(number, kind, route, [PROVIDERS[route].key(KEY)], *PROVIDERS[route].chat(prompt))


def _is_indexing(number: int, habits: Habits) -> bool:
    return habits.indexes_every > 0 and number % habits.indexes_every >= habits.indexes_every - _INDEXED_TOGETHER


def _embed_document(number: int, route: str, random: Random) -> Errand:
    provider = PROVIDERS[route]
    if provider.embed is None:
        raise ValueError(f"{route} embeds nothing")
    return _compose(number, "embeddings", route, [provider.key(KEY)], *provider.embed("sim-embed", [_question(random)]))


def _compose(number: int, kind: str, route: str, headers: list[tuple[str, str]], path: str, tree: dict[str, Any]) -> Errand:
    body = msgspec.json.encode(tree) if tree else b""
    if body:
        headers = [*headers, ("content-type", "application/json")]
    return Errand(number, kind, "POST" if tree else "GET", path, tuple(headers), body, route)


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
