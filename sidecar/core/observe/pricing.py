"""What tokens cost: a table of prices per model, and the cost of one answer by it."""

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from sidecar.errors import ConfigError, ConfigProblem
from sidecar.exchange import Cost, Usage

TOKENS_PER_PRICE: Final = 1_000_000
REMEMBERED_MAX: Final = 1000  # model names come from outside

# A version's date or number at a name's end: gpt-4o-2024-08-06, claude-…-20250929, gpt-4-0613, …@20250929.
_VERSION: Final = re.compile(r"(?:[-@]\d{4}-\d{2}-\d{2}|[-@]\d{8}|-\d{4}|-latest)$")
# Before a name: Google's resource names, and brokers' for makers whose models cost the same wherever they are served.
_OWNER: Final = re.compile(r"^(?:(?:publishers/(?:google|anthropic)/)?models|openai|anthropic|google)/")
_RATES: Final = ("input", "output", "cached", "cache_write", "cache_write_1h", "reasoning")
_REQUIRED: Final = ("input", "output", "date", "source")
_VARIANTS: Final = frozenset({"above", "service_tiers"})
_MEMBERS: Final = frozenset({"model", "date", "source", *_RATES, *_VARIANTS})
# Tiers that cost something else than the standard one, whatever the provider calls that.
_SPECIAL_TIERS: Final = frozenset({"flex", "priority", "fast", "ultrafast", "batch", "offpeak", "provisioned_throughput"})


class Price(NamedTuple):
    """USD per million tokens of each kind, as of `date` by `source`.

    A prompt of more than `above_tokens` tokens, cached ones included, makes the whole answer cost `above`.
    """

    input: float
    output: float
    cached: float
    cache_write: float
    cache_write_1h: float  # to be kept for an hour (Anthropic)
    reasoning: float
    date: str
    source: str
    above_tokens: float = math.inf
    above: "Price | None" = None
    service_tiers: Mapping[str, "Price"] = {}


class PriceTable:
    """Prices by model pattern.

    A pattern is a model name, or one with `*` for any characters; before it may stand a GenAI
    provider name and a slash. A name with a date or version number at its end goes by its family's
    entry if it has none of its own, and one with its maker's name before it by what is left without.
    Where several patterns fit: with the provider before without, the whole name before the family,
    a plain name before one with `*`, more literal characters before fewer.
    """

    def __init__(self, prices: dict[str, Price]) -> None:
        self._plain = {pattern: price for pattern, price in prices.items() if "*" not in pattern}
        patterns = sorted((pattern for pattern in prices if "*" in pattern), key=_count_literals, reverse=True)
        self._globs = [(_compile(pattern), prices[pattern]) for pattern in patterns]
        self._remembered: dict[tuple[str, str], Price | None] = {}

    def find(self, provider: str, model: str) -> Price | None:
        """Return the price of a model, or None where it has none."""
        key = (provider, model)
        try:
            return self._remembered[key]
        except KeyError:
            pass
        if len(self._remembered) >= REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]
        price = self._remembered[key] = self._search(provider, model)
        return price

    def price(
        self, provider: str, model: str, usage: Usage, *, cache_write_1h: int = 0, service_tier: str | None = None
    ) -> Cost | None:  # fmt: skip
        """Return what `usage` cost in USD, or None where the model, or it in that tier, has no price: never zero instead.

        `cache_write_1h`: the part of the tokens written to the cache that are kept for an hour.
        """
        price = self.find(provider, model)
        if price is not None and service_tier in _SPECIAL_TIERS:
            price = price.service_tiers.get(service_tier)
        if price is None:
            return None
        if price.above is not None and usage.input_total > price.above_tokens:
            price = price.above
        usd = (
            usage.input * price.input
            + usage.cache_read * price.cached
            + (usage.cache_write - cache_write_1h) * price.cache_write
            + cache_write_1h * price.cache_write_1h
            + usage.output * price.output
            + usage.reasoning * price.reasoning
        )
        return Cost(usd / TOKENS_PER_PRICE, "table")

    def charge(
        self, provider: str, models: Sequence[str | None], usage: Usage, service_tier: str | None, cache_write_1h: int = 0
    ) -> tuple[Cost | None, str | None]:
        """Return what one answer cost by the first of `models` that has a price, or why it cannot be told."""
        for model in models:
            if model and self.find(provider, model) is not None:
                cost = self.price(provider, model, usage, cache_write_1h=cache_write_1h, service_tier=service_tier)
                return cost, "unknown_service_tier" if cost is None else None
        return None, "unknown_model"

    def _search(self, provider: str, model: str) -> Price | None:
        price = self._search_name(provider, model)
        bare = _OWNER.sub("", model)
        return self._search_name(provider, bare) if price is None and bare != model else price

    def _search_name(self, provider: str, model: str) -> Price | None:
        family = _VERSION.sub("", model)
        for name in (f"{provider}/{model}", f"{provider}/{family}"):
            price = self._plain.get(name)
            if price is not None:
                return price
        qualified = self._search_globs(f"{provider}/{model}")
        return qualified or self._plain.get(model) or self._plain.get(family) or self._search_globs(model)

    def _search_globs(self, name: str) -> Price | None:
        return next((price for pattern, price in self._globs if pattern.fullmatch(name)), None)


def _count_literals(pattern: str) -> int:
    return len(pattern) - pattern.count("*")


def _compile(pattern: str) -> re.Pattern[str]:
    """Atomic groups: no pattern can be made to backtrack by a model name from outside."""
    first, *middle, last = map(re.escape, pattern.split("*"))
    return re.compile(first + "".join(f"(?>.*?{part})" for part in middle) + ".*" + last, re.DOTALL)


def read_prices(tree: object, source: str) -> PriceTable:
    """Return the table from parsed YAML: `{prices: [{model, input, output, …}]}`.

    `source` names the file in messages. Raises ConfigError with every problem that there is.
    """
    entries = tree.get("prices") if isinstance(tree, dict) else None
    if not isinstance(entries, list):
        raise ConfigError(source, [ConfigProblem("prices", _show(entries), "a list of entries")])
    problems: list[ConfigProblem] = []
    prices: dict[str, Price] = {}
    for number, entry in enumerate(entries):
        path = f"prices[{number}]"
        found = _check_entry(path, entry)
        if not found and entry["model"] in prices:
            found = [ConfigProblem(f"{path}.model", _show(entry["model"]), "each pattern once")]
        if found:
            problems += found
        else:
            prices[entry["model"]] = _make_variants(entry, _make_price(entry))
    if problems:
        raise ConfigError(source, problems)
    return PriceTable(prices)


def _make_price(entry: dict[str, Any]) -> Price:
    """Prices left out: those of the cache are the input's, an hour there costs what minutes do, reasoning what output does."""
    paid, made = float(entry["input"]), float(entry["output"])
    cached, written, kept, reasoned = (entry.get(name) for name in ("cached", "cache_write", "cache_write_1h", "reasoning"))
    writing = paid if written is None else float(written)
    return Price(
        paid,
        made,
        paid if cached is None else float(cached),
        writing,
        writing if kept is None else float(kept),
        made if reasoned is None else float(reasoned),
        str(entry["date"]),
        entry["source"],
    )


def _make_variants(entry: dict[str, Any], price: Price) -> Price:
    """Add the rates for long prompts and for service tiers; what is left out there is as in an entry of its own."""
    told = {"date": entry["date"], "source": entry["source"]}
    above = entry.get("above")
    if above is not None:
        price = price._replace(above_tokens=above["tokens"], above=_make_price({**above, **told}))
    tiers = entry.get("service_tiers") or {}
    return price._replace(service_tiers={name: _make_tier(tier, price, told) for name, tier in tiers.items()})


def _make_tier(tier: Any, standard: Price, told: dict[str, Any]) -> Price:
    """A tier's own rates, or `standard` with every rate multiplied."""
    if isinstance(tier, dict):
        return _make_variants({**tier, **told}, _make_price({**tier, **told}))
    return _multiply(standard, float(tier))


def _multiply(price: Price, factor: float) -> Price:
    rates = {name: getattr(price, name) * factor for name in _RATES}
    return price._replace(**rates, above=price.above and _multiply(price.above, factor))


def _check_variants(path: str, entry: dict[str, Any]) -> list[ConfigProblem]:
    problems: list[ConfigProblem] = []
    above, tiers = entry.get("above"), entry.get("service_tiers")
    if above is not None:
        problems += _check_variant(f"{path}.above", above, frozenset({"tokens", *_RATES}))
        tokens = above.get("tokens") if isinstance(above, dict) else None
        if isinstance(above, dict) and (type(tokens) is not int or tokens <= 0):
            problems.append(ConfigProblem(f"{path}.above.tokens", _show(tokens), "how many tokens of prompt"))
    if tiers is not None and not isinstance(tiers, dict):
        problems.append(ConfigProblem(f"{path}.service_tiers", _show(tiers), "a mapping from a tier's name to its prices"))
    for name, tier in tiers.items() if isinstance(tiers, dict) else ():
        here = f"{path}.service_tiers.{name}"
        if name not in _SPECIAL_TIERS:
            problems.append(ConfigProblem(here, "an unknown tier", ", ".join(sorted(_SPECIAL_TIERS))))
        if not _is_rate(tier):
            problems += _check_variant(here, tier, frozenset({"above", *_RATES}))
            problems += _check_variants(here, {"above": tier.get("above")}) if isinstance(tier, dict) else []
    return problems


def _check_variant(path: str, variant: object, members: frozenset[str]) -> list[ConfigProblem]:
    if not isinstance(variant, dict):
        return [ConfigProblem(path, _show(variant), "a mapping with input and output")]
    problems = [ConfigProblem(f"{path}.{name}", "an unknown key", ", ".join(sorted(members))) for name in variant if name not in members]
    problems += [ConfigProblem(f"{path}.{name}", "nothing", "it is required") for name in ("input", "output") if variant.get(name) is None]
    return problems + _check_rates(path, variant)


def _check_rates(path: str, entry: dict[str, Any]) -> list[ConfigProblem]:
    found = ((name, entry.get(name)) for name in _RATES)
    return [
        ConfigProblem(f"{path}.{name}", _show(rate), "USD per million tokens, 0 or more")
        for name, rate in found
        if rate is not None and not _is_rate(rate)
    ]


def _check_entry(path: str, entry: object) -> list[ConfigProblem]:
    if not isinstance(entry, dict):
        return [ConfigProblem(path, _show(entry), "a mapping with model, input, output, date and source")]
    problems = [ConfigProblem(f"{path}.{name}", "an unknown key", ", ".join(sorted(_MEMBERS))) for name in entry if name not in _MEMBERS]
    model = entry.get("model")
    if not isinstance(model, str) or not model.strip("*/ "):
        problems.append(ConfigProblem(f"{path}.model", _show(model), "a model name, with * for any characters"))
    problems += [ConfigProblem(f"{path}.{name}", "nothing", "it is required") for name in _REQUIRED if entry.get(name) is None]
    problems += _check_rates(path, entry) + _check_variants(path, entry)
    if entry.get("date") is not None and not _is_date(entry["date"]):
        problems.append(ConfigProblem(f"{path}.date", _show(entry["date"]), "a date like 2026-01-31"))
    if entry.get("source") is not None and not isinstance(entry["source"], str):
        problems.append(ConfigProblem(f"{path}.source", _show(entry["source"]), "where the price is from"))
    return problems


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _is_date(value: object) -> bool:
    if isinstance(value, datetime.date):
        return True
    try:
        return isinstance(value, str) and bool(datetime.date.fromisoformat(value))
    except ValueError:
        return False


def _show(value: object) -> str:
    return "nothing" if value is None else repr(value)[:80]
