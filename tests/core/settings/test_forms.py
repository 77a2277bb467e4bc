"""What single settings must look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import (
    Admin,
    Balancing,
    Breaker,
    Content,
    Features,
    Hedging,
    Log,
    ModelGroup,
    Pool,
    Prices,
    Probes,
    Queue,
    Retries,
    Route,
    Settings,
    Tracing,
    Upstream,
)
from sidecar.core.settings.forms import (
    FORMS,
    KEYS,
    PARTS,
    is_base_url,
    is_model,
    is_name,
    is_pattern,
    is_prefix,
    is_probe_path,
    is_text,
    name_choices,
    split_listen,
)
from sidecar.core.settings.kinds import members


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com",
        "http://127.0.0.1:11434",
        "https://openrouter.ai/api",
        "http://[::1]:8080/v1/",
        "http://my_service:80",
        "HTTPS://Host.Example",
        "http://h/a%20b",
        "http://h:65535",
        "http://localhost/~me;x=1",
    ],
)
def test_base_urls_are_accepted(url: str) -> None:
    """Absolute http and https URLs with a host, a port or a path are good."""
    assert is_base_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com",
        "//host",
        "ftp://host",
        "file:///etc/passwd",
        "http://",
        "http:///x",
        "https://u:p@host",
        "https://@host",
        "http://host?x=1",
        "http://host?",
        "http://host#f",
        "http://host#",
        "http://ho st",
        "http://host\t",
        "ht\ntp://host",
        "http://host\\evil",
        "http://host:0",
        "http://host:",
        "http://host:99999",
        "http://host:x",
        "http://[::1",
        "http://[zz]",
        "http://[::1]x",
        "http://::1",
        "http://höst",
        "http://h/../x",
        "http://h/%2E%2e/x",
        "http://h/./x",
        "http://-host",
        "http://host.:-1",
    ],
)
def test_what_is_no_base_url_is_refused(url: str) -> None:
    """Everything that could lead elsewhere than it reads is refused."""
    assert not is_base_url(url)


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("127.0.0.1:4000", ("127.0.0.1", 4000)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:9464", ("::1", 9464)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_listen_addresses_are_split(text: str, split: tuple[str, int]) -> None:
    """Host and port come apart, an IPv6 address without its brackets."""
    assert split_listen(text) == split


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4000",
        ":4000",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "h:65536",
        "::1:4000",
        "[::1:40",
        "[x]:1",
        "h h:1",
        "h:٤",
        "h:000001",
        "u@h:1",
    ],
)
def test_what_is_no_listen_address_is_refused(text: str) -> None:
    """A missing or impossible host or port is refused."""
    assert split_listen(text) is None


@pytest.mark.parametrize("prefix", ["/", "/chat/", "/a/b-c/", "/~x/", "/a.b/"])
def test_prefixes_are_accepted(prefix: str) -> None:
    """A prefix starts and ends with a slash."""
    assert is_prefix(prefix)


@pytest.mark.parametrize(
    "prefix", ["", "chat", "/chat", "chat/", "//", "/a//b/", "/../", "/./", "/a?b/", "/a#/", "/%61/", "/a b/", "/ä/", "/a\\b/", "/a/\n"]
)
def test_what_is_no_prefix_is_refused(prefix: str) -> None:
    """What could never equal the start of a request target as it comes is refused."""
    assert not is_prefix(prefix)


@pytest.mark.parametrize(
    ("name", "is_good"),
    [
        ("openai", True),
        ("My-1.b_c/d", True),
        ("x" * 64, True),
        ("", False),
        ("x" * 65, False),
        ("-a", False),
        ("a b", False),
        ("ä", False),
        ("a\n", False),
    ],
)
def test_names_become_labels(name: str, is_good: bool) -> None:
    """Names are short and plain."""
    assert is_name(name) is is_good


@pytest.mark.parametrize(("text", "is_good"), [("a b", True), ("", False), ("a\nb", False), ("a\x1b[0m", False)])
def test_text_is_one_visible_line(text: str, is_good: bool) -> None:
    """Text has no control characters."""
    assert is_text(text) is is_good


@pytest.mark.parametrize(
    "section", [Settings, Admin, Upstream, Route, Tracing, Log, Prices, Balancing, Retries, Hedging, Breaker, Probes, Queue, Features]
)
def test_defaults_have_their_form(section: type) -> None:
    """A default is never something that an operator could not write."""
    for name in members(section):
        default = getattr(section() if section not in (Upstream, Route) else section("https://a", "b"), name)
        form = FORMS.get((section, name))
        assert form is None or default is None or section is Route or form.accepts(default), name


def test_every_form_belongs_to_a_setting() -> None:
    """A rule for a field that is not there would never be applied."""
    assert all(name in members(section) for section, name in (*FORMS, *PARTS, *KEYS))
    assert {members(section)[name].kind.entries is not None for section, name in KEYS} == {True}
    for section, name in PARTS:
        kind = members(section)[name].kind
        assert kind.entries or kind.items


@given(st.text(max_size=40))
def test_no_text_makes_the_rules_raise(text: str) -> None:
    """Whatever an operator writes is answered yes or no."""
    assert is_base_url(text) in (True, False)
    assert is_prefix(text) in (True, False)
    assert split_listen(text) is None or split_listen(text)[1] < 65536  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "good"), [("a+", True), (r"(?i)proj-\d+", True), ("", False), ("a*", False), ("(", False), ("x" * 5000, False), ("^|a", False)]
)
def test_patterns_find_something_rather_than_nothing(text: str, good: bool) -> None:
    """A pattern that matches an empty text would match everywhere."""
    assert is_pattern(text) is good


def test_content_is_bounded_by_a_bound_that_makes_sense() -> None:
    """Neither too small for a message nor too large for a collector."""
    accepts = FORMS[Content, "bytes_max"].accepts
    assert [accepts(size_bytes) for size_bytes in (1023, 1024, 2**20, 2**20 + 1)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("name", "is_good"),
    [
        ("gpt-4o", True),
        ("org/model:tag", True),
        ("model@20250514", True),
        ("a model", True),
        ("模型", True),
        ("x" * 200, True),
        ("x" * 201, False),
        ("", False),
        (" a", False),
        ("a\n", False),
        ("a\u200b", False),
    ],
)
def test_models_are_named_as_providers_name_them(name: str, is_good: bool) -> None:
    """Visible, on one line, not endless."""
    assert is_model(name) is is_good


@pytest.mark.parametrize(
    ("path", "is_good"),
    [
        ("/", True),
        ("/health", True),
        ("/openai/models?api-version=2024-10-21", True),
        ("health", False),
        ("", False),
        ("/a b", False),
        ("/a#b", False),
        ("/a/../b", False),
        ("/%2e%2e/b", False),
        ("/a\\b", False),
        ("http://h/health", False),
        ("/a\n", False),
    ],
)
def test_probe_paths_can_be_sent_as_they_are(path: str, is_good: bool) -> None:
    """A target in origin form, and nothing that could lead elsewhere."""
    assert is_probe_path(path) is is_good


_EXTREMES = [-1, -0.0, 0, 0.001, 0.5, 1, 1.001, 10, 11, 100_000, 100_001, 1_000_000, 1_000_001]


@pytest.mark.parametrize(
    ("section", "name", "least", "most"),
    [
        (Upstream, "weight", 0.001, 1_000_000),
        (Upstream, "quality", 0, 1),
        (Balancing, "window", 1, 100_000),
        (Balancing, "learning_rate", 0.001, 1),
        (Balancing, "threshold", 0, 1),
        (Balancing, "ejection_max", 0, 1),
        (Balancing, "panic", 0, 1),
        (Retries, "attempts", 1, 10),
        (Retries, "budget_share", 0, 1),
        (Retries, "budget_floor", 0, 1_000_000),
        (Hedging, "percentile", 0.001, 0.5),
        (Hedging, "share_max", 0, 1),
        (Breaker, "error_share", 0.001, 1),
        (Breaker, "slow_share", 0.001, 1),
        (Queue, "size", 0, 1_000_000),
    ],
)
def test_numbers_have_their_bounds(section: type, name: str, least: float, most: float) -> None:
    """Shares are shares, and nothing is negative."""
    accepts = FORMS[section, name].accepts
    assert [number for number in _EXTREMES if accepts(number)] == [number for number in _EXTREMES if least <= number <= most]


def test_lists_that_need_something_in_them_say_so() -> None:
    """A pool of nobody, or a group of nothing, is a mistake."""
    for place in ((Pool, "upstreams"), (ModelGroup, "models")):
        assert not FORMS[place].accepts([]) and FORMS[place].accepts(["a"])


def test_only_a_star_alone_stands_for_other_models() -> None:
    """As a pattern it would be taken for one, and never match; and nobody's model is called so."""
    assert [name for name in ("*", "gpt-*", "a") if KEYS[Upstream, "models"].accepts(name)] == ["*", "a"]
    assert [name for name in ("*", "gpt-*", "a") if PARTS[Upstream, "models"].accepts(name)] == ["gpt-*", "a"]


def test_choices_are_named_as_a_sentence_would() -> None:
    """Commas, and an or before the last."""
    assert name_choices(["a", "b", "c"]) == "a, b or c"
    assert name_choices(iter(["a", "b"])) == "a or b"
