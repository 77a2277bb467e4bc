"""Series of one kind of exchange."""

from sidecar.catalogue import ENDINGS, TOKEN_TYPES
from sidecar.edge.telemetry.families import Families
from sidecar.edge.telemetry.series import Series, SeriesKey
from sidecar.exchange import UsageSource

KEY = SeriesKey("r", "/r/*", "openai", "chat", "m", "m-1", "api", "443", "POST", "200", "", "completed")


def test_series_of_the_same_labels_share_children() -> None:
    """Two endings of one model count tokens in the same counters, but requests apart."""
    families = Families(100)
    one = Series(families, KEY, (), is_genai=True, reached=True)
    two = Series(families, KEY._replace(ending="cut", error_type="cut"), (), is_genai=True, reached=True)
    assert one.tokens(UsageSource.REPORTED) == two.tokens(UsageSource.REPORTED)
    assert one.stream() == two.stream()
    assert one.usage() == two.usage()
    assert one.cost("table") is two.cost("table")
    assert one.requests is not two.requests
    assert one.duration is not two.duration


def test_nothing_is_made_before_it_is_needed() -> None:
    """Histograms of streams and usage do not exist before the first stream and the first usage."""
    families = Families(100)
    series = Series(families, KEY, (), is_genai=True, reached=True)
    lazy = (families.time_to_first_chunk, families.token_usage, families.tokens, families.cost)
    assert [family.children for family in lazy] == [[], [], [], []]
    series.stream(), series.usage(), series.tokens(UsageSource.ESTIMATED), series.cost("provider")
    assert [len(family.children) for family in lazy] == [1, 2, 5, 1]


def test_what_never_reached_an_upstream_has_requests_only() -> None:
    """A refused call has no durations, opaque traffic no GenAI duration."""
    families = Families(100)
    refused = Series(families, KEY, (), is_genai=True, reached=False)
    assert (refused.http, refused.duration) == (None, None)
    opaque = Series(families, KEY, (), is_genai=False, reached=True)
    assert opaque.http is not None
    assert opaque.duration is None


def test_a_collapse_is_counted() -> None:
    """Where a family had no room for the labels, the series counts it as overflow."""
    families = Families(len(ENDINGS))
    assert Series(families, KEY, (), is_genai=True, reached=True).overflow == ()
    collapsed = Series(families, KEY._replace(model="n"), (), is_genai=True, reached=True)
    assert [counter.labels for counter in collapsed.overflow] == ['label="series"']


def test_what_was_saved_is_made_when_it_is_needed() -> None:
    """Tokens and money of a model, and lookups of a tool, each once."""
    families = Families(100)
    series = Series(families, KEY._replace(tool="weather"), (), is_genai=False, reached=True)
    assert families.cache_saved_tokens.children == families.cache_saved_usd.children == families.tool_lookups.children == []
    assert series.saved() is series.saved()
    assert [child.labels for child in series.saved().tokens] == [f'provider="openai",model="m",type="{kind}"' for kind in TOKEN_TYPES]
    looked_for, found = series.tool_lookups()
    assert (looked_for.labels, found.labels) == ('tool="weather"', 'tool="weather"') and looked_for is not found


def test_only_what_is_executed_has_an_execution() -> None:
    """A tool's call that was answered with a kept result has the latency of its call and no other."""
    families = Families(100)
    key = KEY._replace(operation="execute_tool", tool="weather")
    assert Series(families, key, (), is_genai=False, is_tool=True, reached=True).execution is not None
    told = Series(families, key, (), is_genai=False, reached=True)
    assert (told.execution, told.duration) == (None, None) and told.http is not None


def test_every_ending_is_there_before_it_happens() -> None:
    """A counter that is born at 1 would hide its first failure from rate()."""
    families = Families(100)
    Series(families, KEY, (), is_genai=True, reached=True)
    endings = {child.labels.rpartition("ending=")[2].strip('"'): child.value for child in families.requests.children}
    assert endings == dict.fromkeys(ENDINGS, 0)
