"""The price table: which price a model gets, what an answer costs, and what is wrong with a table."""

import datetime
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.core.observe.pricing import PriceTable, read_prices
from sidecar.errors import ConfigError
from sidecar.exchange import Cost, Usage

BUILT_IN = Path(__file__).parents[3] / "sidecar" / "data" / "prices.yaml"


def entry(model: str, price: float = 1.0, **members: Any) -> dict[str, Any]:
    """An entry of a table."""
    return {"model": model, "input": price, "output": price, "date": "2026-01-31", "source": "s", **members}


def table(*models: str) -> PriceTable:
    """A table in which the n-th model costs n."""
    return read_prices({"prices": [entry(model, number) for number, model in enumerate(models, 1)]}, "test")


def rate(prices: PriceTable, model: str, provider: str = "openai") -> float | None:
    """The input price found."""
    price = prices.find(provider, model)
    return None if price is None else price.input


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o", 1),
        ("gpt-4o-2024-08-06", 1),
        ("gpt-4o-2024-05-13", 3),
        ("gpt-4o-mini", 2),
        ("gpt-4o-mini-2024-07-18", 2),
        ("gpt-4o-latest", 1),
        ("gpt-4o-0613", 1),
        ("gpt-4o@20250101", 1),
        ("gpt-4o-20250101", 1),
        ("gpt-4o-audio-preview", None),
        ("gpt-4", None),
        ("xgpt-4o", None),
        ("", None),
    ],
)
def test_versions_go_by_their_family(model: str, expected: float | None) -> None:
    """A dated name has its family's price, or its own; another member of the family has neither."""
    assert rate(table("gpt-4o", "gpt-4o-mini", "gpt-4o-2024-05-13"), model) == expected


@pytest.mark.parametrize(
    ("model", "provider", "expected"),
    [
        ("llama-70b", "vllm", 4),
        ("llama-7b", "vllm", 2),
        ("llama-7b-chat", "vllm", 3),
        ("llama-7b-chat", "groq", 5),
        ("other", "groq", 5),
        ("other", "vllm", None),
        ("llama-70b-chat", "vllm", 3),
        ("llama-70b", "groq", 6),
    ],
)
def test_the_most_specific_pattern_wins(model: str, provider: str, expected: float | None) -> None:
    """Provider before none, plain before pattern, more literal characters before fewer, whatever the order."""
    prices = table("*-vision", "llama-*", "llama-*-chat", "llama-70b", "groq/*", "groq/llama-70b")
    assert rate(prices, model, provider) == expected


def test_patterns_are_no_regular_expressions() -> None:
    """Only the star is special, and no pattern can be made to search long."""
    prices = table("a.b*", "*a*a*a*a*a*a*a*a*b")
    assert rate(prices, "a.bc") == 1
    assert rate(prices, "axbc") is None
    assert rate(prices, "a" * 5000) is None
    assert rate(prices, "xaaaaaaaab") == 2


def test_every_kind_has_its_price() -> None:
    """Each kind of token is counted at its own price, per million."""
    prices = read_prices({"prices": [entry("m", 1, output=10, cached=0.1, cache_write=2, reasoning=20)]}, "test")
    usage = Usage(1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000)
    assert prices.price("p", "m", usage) == Cost(1 + 0.2 + 6 + 40 + 100, "table")


def test_a_long_prompt_makes_the_whole_answer_dearer() -> None:
    """Above the length, cached tokens included, every token costs what long ones cost; at the length it does not."""
    prices = read_prices({"prices": [entry("m", 1, output=10, cached=0.1, above={"tokens": 200_000, "input": 2, "output": 15})]}, "test")
    assert prices.price("p", "m", Usage(100_000, 100_000, 0, 1000, 0)) == Cost(0.1 + 0.01 + 0.01, "table")
    assert prices.price("p", "m", Usage(100_000, 100_001, 0, 1000, 0)) == Cost((200_000 + 200_002 + 15_000) / 1e6, "table")


def test_a_service_tier_has_rates_of_its_own_or_a_factor() -> None:
    """Long prompts in a tier too; a tier that is not listed has no price, and one of the standard price needs no listing."""
    tiers = {"flex": 0.5, "priority": {"input": 3, "output": 20, "above": {"tokens": 10, "input": 7, "output": 30}}}
    listed = entry("m", 2, output=10, above={"tokens": 200_000, "input": 4, "output": 15}, service_tiers=tiers)
    prices = read_prices({"prices": [listed]}, "test")

    def usd(tokens: int, tier: str | None) -> float | None:
        cost = prices.price("p", "m", Usage(tokens, 0, 0, 1_000_000, 0), service_tier=tier)
        return None if cost is None else round(cost.usd - tokens / 1e6, 9)

    assert [usd(0, tier) for tier in ("flex", "priority", "default", "standard", None, "batch")] == [5.0, 20.0, 10.0, 10.0, 10.0, None]
    assert [usd(1_000_000, tier) for tier in ("flex", "priority", None)] == [2 + 7.5 - 1, 7 + 30 - 1, 4 + 15 - 1]


@pytest.mark.parametrize(
    ("more", "path", "found"),
    [
        ({"above": 7}, "above", "7"),
        ({"above": {"input": 1, "output": 1}}, "above.tokens", "nothing"),
        ({"above": {"tokens": 0, "input": 1, "output": 1}}, "above.tokens", "0"),
        ({"above": {"tokens": 5, "input": 1}}, "above.output", "nothing"),
        ({"above": {"tokens": 5, "input": -1, "output": 1}}, "above.input", "-1"),
        ({"above": {"tokens": 5, "input": 1, "output": 1, "model": "x"}}, "above.model", "an unknown key"),
        ({"service_tiers": [1]}, "service_tiers", "[1]"),
        ({"service_tiers": {"slow": 0.5}}, "service_tiers.slow", "an unknown tier"),
        ({"service_tiers": {"flex": -0.5}}, "service_tiers.flex", "-0.5"),
        ({"service_tiers": {"flex": {"input": 1}}}, "service_tiers.flex.output", "nothing"),
        ({"service_tiers": {"flex": {"input": 1, "output": 1, "above": 3}}}, "service_tiers.flex.above", "3"),
    ],
)
def test_what_is_wrong_with_a_variant(more: dict[str, Any], path: str, found: str) -> None:
    """It is told with its place."""
    with pytest.raises(ConfigError) as caught:
        read_prices({"prices": [entry("m", **more)]}, "test")
    assert [(problem.path, problem.found) for problem in caught.value.problems] == [(f"prices[0].{path}", found)]


def test_prices_left_out() -> None:
    """The cache's prices are the input's and reasoning costs what output costs, unless they are given, even as 0."""
    prices = read_prices({"prices": [entry("m", 1, output=10), entry("n", 1, cached=0)]}, "test")
    assert prices.price("p", "m", Usage(0, 1_000_000, 1_000_000, 0, 1_000_000)) == Cost(12.0, "table")
    assert prices.price("p", "n", Usage(0, 1_000_000, 0, 0, 0)) == Cost(0.0, "table")


def test_an_hour_in_the_cache_has_its_price() -> None:
    """Of the tokens written to the cache, those that are kept for an hour cost what is said, else what writing costs."""
    given = entry("m", 1, cache_write=2, cache_write_1h=4)
    prices = read_prices({"prices": [given, entry("n", 1, cache_write=2), entry("o", 1), entry("p", 1, cache_write_1h=0)]}, "test")
    usage = Usage(0, 0, 3_000_000, 0, 0)
    costs = {model: prices.price("p", model, usage, cache_write_1h=1_000_000) for model in ("m", "n", "o", "p")}
    assert {model: cost and cost.usd for model, cost in costs.items()} == {"m": 8.0, "n": 6.0, "o": 3.0, "p": 2.0}
    assert prices.price("p", "m", usage) == Cost(6.0, "table")


def test_anthropic_charges_twice_the_input_for_an_hour() -> None:
    """And a quarter more than the input for minutes, for each of its models."""
    models = [entry for entry in yaml.safe_load(BUILT_IN.read_text())["prices"] if entry["model"].startswith("claude-")]
    assert len(models) > 10
    for each in models:
        for rates in (each, each.get("above", each)):
            assert (rates["cache_write"], rates["cache_write_1h"]) == pytest.approx((1.25 * rates["input"], 2 * rates["input"])), each[
                "model"
            ]


def test_unknown_model_is_unpriced() -> None:
    """A model without a price costs None, not nothing."""
    assert table("m").price("p", "unknown", Usage(5, 0, 0, 5, 0)) is None


def test_remembers_a_bounded_number() -> None:
    """Ever new model names are priced rightly and do not pile up."""
    prices = table("m-*")
    for number in range(3000):
        assert rate(prices, f"m-{number}x") == 1
        assert rate(prices, f"n-{number}x") is None
    assert rate(prices, "m-0x") == 1


def test_memory_is_bounded() -> None:
    """Twenty thousand long names leave no more behind than a thousand would."""
    prices = table("m-*")
    tracemalloc.start()
    for number in range(20_000):
        prices.find("openai", f"m-{number:0250}")
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1 << 20


def test_all_problems_at_once() -> None:
    """Everything that is wrong is told together, each with its place, what was found and what is allowed."""
    tree = {
        "prices": [
            entry("good"),
            7,
            entry("a", -1, outputs=2, date="soon"),
            {"model": "**", "input": True, "output": float("inf"), "date": datetime.date(2026, 1, 1), "source": 5},
            entry("good"),
            {},
        ]
    }
    with pytest.raises(ConfigError) as caught:
        read_prices(tree, "prices.yaml")
    assert caught.value.source == "prices.yaml"
    found = [(problem.path, problem.found) for problem in caught.value.problems]
    assert found == [
        ("prices[1]", "7"),
        ("prices[2].outputs", "an unknown key"),
        ("prices[2].input", "-1"),
        ("prices[2].output", "-1"),
        ("prices[2].date", "'soon'"),
        ("prices[3].model", "'**'"),
        ("prices[3].input", "True"),
        ("prices[3].output", "inf"),
        ("prices[3].source", "5"),
        ("prices[4].model", "'good'"),
        ("prices[5].model", "nothing"),
        ("prices[5].input", "nothing"),
        ("prices[5].output", "nothing"),
        ("prices[5].date", "nothing"),
        ("prices[5].source", "nothing"),
    ]


@pytest.mark.parametrize("tree", [None, [], "x", {}, {"prices": None}, {"prices": {"a": 1}}])
def test_no_table_at_all(tree: object) -> None:
    """What is no table is one problem."""
    with pytest.raises(ConfigError, match="a list of entries"):
        read_prices(tree, "test")


def test_built_in_table() -> None:
    """The table that comes with the package is sound and prices what is well known."""
    prices = read_prices(yaml.safe_load(BUILT_IN.read_text()), "prices.yaml")
    assert rate(prices, "gpt-4o-mini-2024-07-18") == 0.15
    assert rate(prices, "claude-sonnet-4-5-20250929", "anthropic") == 3.0
    assert rate(prices, "gemini-2.5-flash", "gcp.gemini") == 0.3
    assert prices.price("openai", "sim-small", Usage(1000, 200, 0, 100, 0)) == Cost((1000 * 0.15 + 200 * 0.075 + 100 * 0.6) / 1e6, "table")
    assert prices.price("openai", "sim-large", Usage(0, 0, 1_000_000, 0, 0)) == Cost(3.125, "table")
    assert rate(prices, "sim-unknown") is None


@pytest.mark.parametrize(
    ("provider", "model", "usage", "tier", "usd"),
    [
        # 1,000 tokens read anew, 9,000 from the cache, 500 of answer and 300 of reasoning.
        ("openai", "gpt-5-2025-08-07", Usage(1000, 9000, 0, 500, 300), None, (1000 * 1.25 + 9000 * 0.125 + 800 * 10) / 1e6),
        ("openai", "gpt-5-2025-08-07", Usage(1000, 9000, 0, 500, 300), "flex", (1000 * 0.625 + 9000 * 0.0625 + 800 * 5) / 1e6),
        ("openai", "gpt-6.2-sol", Usage(1000, 9000, 2000, 500, 300), "default", (1000 * 2 + 9000 * 0.1 + 2000 * 2.5 + 800 * 10) / 1e6),
        ("openai", "gpt-6.2-sol", Usage(2001, 270_000, 0, 1000, 0), "priority", 2 * (2001 * 4 + 270_000 * 0.2 + 1000 * 15) / 1e6),
        ("anthropic", "claude-opus-5-5", Usage(1000, 9000, 2000, 800, 0), "standard", (1000 * 4 + 9000 * 0.2 + 2000 * 5 + 800 * 20) / 1e6),
        ("anthropic", "claude-haiku-5-5", Usage(1000, 99_001, 0, 100, 0), None, (1000 * 0.5 + 99_001 * 0.05 + 100 * 2.5) / 1e6),
        ("gcp.gemini", "gemini-2.5-pro", Usage(1000, 9000, 0, 500, 300), None, (1000 * 1.25 + 9000 * 0.125 + 800 * 10) / 1e6),
        ("gcp.gemini", "gemini-2.5-pro", Usage(100_000, 100_001, 0, 500, 300), None, (1e5 * 2.5 + 100_001 * 0.25 + 800 * 15) / 1e6),
    ],
)
def test_cached_tokens_long_prompts_and_tiers_of_the_built_in_table(
    provider: str, model: str, usage: Usage, tier: str | None, usd: float
) -> None:
    """To the last digit, by the prices that the providers publish."""
    prices = read_prices(yaml.safe_load(BUILT_IN.read_text()), "prices.yaml")
    cost = prices.price(provider, model, usage, service_tier=tier)
    assert cost is not None
    assert cost.usd == pytest.approx(usd, rel=1e-12)


def test_an_answer_is_charged_by_the_first_name_that_has_a_price() -> None:
    """The model that answered before the one that was asked for; where there is none, it says why."""
    prices, million = table("a"), Usage(1_000_000)
    assert prices.charge("openai", ("b", "a"), million, None) == (Cost(1.0, "table"), None)
    assert prices.charge("openai", ("a", None), million, "default") == (Cost(1.0, "table"), None)
    assert prices.charge("openai", (None, "a"), million, "flex") == (None, "unknown_service_tier")
    assert prices.charge("openai", ("b", None), million, "flex") == (None, "unknown_model")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("models/gemini-2.5-flash", 1),
        ("publishers/google/models/gemini-2.5-flash", 1),
        ("google/gemini-2.5-flash", 1),
        ("openai/gpt-4o-2024-08-06", 2),
        ("anthropic/claude-x", 4),  # as it stands, before what is left without its owner
        ("someone/gpt-4o", None),
        ("models/openai/gpt-4o", None),
        ("ft:gpt-4o-2024-08-06:acme::abc123", None),
        ("gpt-4o-2024-08-06.ft-0123456789abcdef", None),
        ("models/", None),
    ],
)
def test_an_owners_name_before_a_model_does_not_hide_its_price(model: str, expected: float | None) -> None:
    """Resource names, and names as brokers write them. A model that was tuned has a price of its own, and another's copy too."""
    assert rate(table("gemini-2.5-flash", "gpt-4o", "claude-x", "anthropic/claude-x"), model, "openrouter") == expected


def test_a_model_without_a_price_in_its_tier_is_not_priced_as_another() -> None:
    """The model that answered is known: what the one that was asked for would have cost is beside the point."""
    prices = read_prices({"prices": [entry("answered"), entry("asked", service_tiers={"flex": 0.5})]}, "test")
    assert prices.charge("p", ("answered", "asked"), Usage(1), "flex") == (None, "unknown_service_tier")
    assert prices.charge("p", ("unheard-of", "asked"), Usage(2_000_000), "flex") == (Cost(1.0, "table"), None)
