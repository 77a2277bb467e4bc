"""Shapes that text can have in settings."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.settings.shapes import (
    is_base_url,
    is_bcrypt,
    is_digest,
    is_ignorable_field,
    is_model,
    is_name,
    is_pattern,
    is_prefix,
    is_probe_path,
    is_redis_url,
    is_text,
    is_webhook_url,
    name_choices,
    split_listen,
)


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


@given(st.text(max_size=40))
def test_no_text_makes_the_rules_raise(text: str) -> None:
    """Whatever an operator writes is answered yes or no."""
    assert is_base_url(text) in (True, False)
    assert is_prefix(text) in (True, False)
    assert is_redis_url("redis://" + text) in (True, False)
    assert split_listen(text) is None or split_listen(text)[1] < 65536  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "good"), [("a+", True), (r"(?i)proj-\d+", True), ("", False), ("a*", False), ("(", False), ("x" * 5000, False), ("^|a", False)]
)
def test_patterns_find_something_rather_than_nothing(text: str, good: bool) -> None:
    """A pattern that matches an empty text would match everywhere."""
    assert is_pattern(text) is good


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


def test_choices_are_named_as_a_sentence_would() -> None:
    """Commas, and an or before the last."""
    assert name_choices(["a", "b", "c"]) == "a, b or c"
    assert name_choices(iter(["a", "b"])) == "a or b"


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("redis://redis.svc:6379/0", True),
        ("rediss://10.0.0.1", True),
        ("redis://[::1]:6380/15", True),
        ("redis://[::1]", True),
        ("redis://host/", True),
        ("", False),
        ("host:6379", False),
        ("http://host", False),
        ("unix:///run/redis.sock", False),
        ("redis://", False),
        ("redis:///0", False),
        ("redis://:password@host", False),
        ("redis://user:password@host:6379/0", False),
        ("redis://host/0?password=x", False),
        ("redis://host?db=1", False),
        ("redis://host#0", False),
        ("redis://host/zero", False),
        ("redis://host/0/1", False),
        ("redis://host:0", False),
        ("redis://host:", False),
        ("redis://host:99999", False),
        ("redis://one:6379,two:6379", False),
        ("redis://::1", False),
        ("redis://h\u00f6st", False),
        ("REDIS://host", False),
        ("redis://host\n", False),
    ],
)
def test_redis_is_reached_by_a_url_without_secrets(url: str, is_good: bool) -> None:
    """A server and perhaps a database; user and password have settings of their own."""
    assert is_redis_url(url) is is_good


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        (sha256(b"sk-test").hexdigest(), True),
        (sha256(b"sk-test").hexdigest().upper(), False),
        (sha256(b"").hexdigest(), False),
        ("sk-test", False),
        ("0" * 32, False),
        ("0" * 65, False),
        ("g" * 64, False),
        ("\u0660" * 64, False),
        ("0" * 64 + "\n", False),
    ],
)
def test_a_digest_is_one_of_something(text: str, is_good: bool) -> None:
    """That of nothing is what comes of a variable that was not set."""
    assert is_digest(text) is is_good


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        ("x-trace", True),
        ("user-agent", True),
        ("x_b3!", True),
        ("X-Trace", False),
        ("", False),
        ("a b", False),
        ("a:", False),
        ("authorization", False),
        ("x-api-key", False),
        ("x-goog-api-key", False),
        ("cookie", False),
        ("accept-encoding", False),
        ("x-sidecar-tenant", False),
        ("x" * 101, False),
    ],
)
def test_no_field_that_tells_whose_an_answer_is_can_be_ignored(text: str, is_good: bool) -> None:
    """Nor how it can be read."""
    assert is_ignorable_field(text) is is_good


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        ("https://hooks.test/services/T0/B0/x", True), ("http://127.0.0.1:9/", True), ("https://h.test/run?sig=a%2Fb&v=1.0", True),
        ("https://h.test", True), ("https://h.test?a=b?c", True), ("ftp://h.test/", False), ("https://user:key@h.test/", False),
        ("https://h.test/#part", False), ("https://h.test/?a=#part", False), ("https://h.test/?a=b c", False), ("hooks.test", False),
        ("https://h.test/?a=\\b", False), ("", False), ("?", False), ("https:///x", False), ("https://h.test/?é", False),
    ],
)  # fmt: skip
def test_a_webhook_has_an_address(text: str, is_good: bool) -> None:
    """Of a host, with a query perhaps; without what would be sent to nobody, or read otherwise than written."""
    assert is_webhook_url(text) is is_good


@pytest.mark.parametrize("minor", "aby")
@pytest.mark.parametrize("cost", ["04", "10", "18"])
def test_bcrypt_hashes_are_accepted(minor: str, cost: str) -> None:
    """Of each of today's writers, at costs that can be waited for."""
    assert is_bcrypt(f"$2{minor}${cost}$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG")


@pytest.mark.parametrize(
    "text",
    ["", "secret", "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7z",
     "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG ",
     "$2y$03$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG", "$2y$19$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG",
     "$2x$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG", "$2y$10$X0h1gDsPszWURQaxFh.zozbFi6DXncSjhoQNJgRrnGs7EsimhC7zG",
     "$2y$1$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG", "$apr1$X0h1gDsPszWURQaxFh"],
)  # fmt: skip
def test_what_is_no_bcrypt_hash_is_refused(text: str) -> None:
    """Other lengths, versions and costs, and salts that bcrypt would not read."""
    assert not is_bcrypt(text)
