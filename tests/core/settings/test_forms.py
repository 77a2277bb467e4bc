"""What single settings must look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import Admin, Content, Log, Prices, Route, Settings, Tracing, Upstream
from sidecar.core.settings.forms import FORMS, is_base_url, is_name, is_pattern, is_prefix, is_text, split_listen
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


@pytest.mark.parametrize("section", [Settings, Admin, Upstream, Route, Tracing, Log, Prices])
def test_defaults_have_their_form(section: type) -> None:
    """A default is never something that an operator could not write."""
    for name in members(section):
        default = getattr(section() if section not in (Upstream, Route) else section("https://a", "b"), name)
        form = FORMS.get((section, name))
        assert form is None or default is None or section is Route or form.accepts(default), name


def test_every_form_belongs_to_a_setting() -> None:
    """A rule for a field that is not there would never be applied."""
    assert all(name in members(section) for section, name in FORMS)


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
