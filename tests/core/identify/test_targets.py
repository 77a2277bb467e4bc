"""Which request targets may be forwarded at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.identify.targets import split_target
from sidecar.errors import BAD_TARGET, ClientFault

PIECES = [
    "/",
    ".",
    "..",
    "%2e",
    "%2E",
    "%2f",
    "%5c",
    "\\",
    ";",
    "?",
    "#",
    "a",
    "v1",
    "%",
    "%25",
    "%00",
    " ",
    "\t",
    "é",
    "\udcff",
    ":",
    "@",
    "//",
]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/v1/chat/completions", "/v1/chat/completions", ""),
        ("/v1beta/models/gemini:generateContent?alt=sse&key=a/../b", "/v1beta/models/gemini:generateContent", "alt=sse&key=a/../b"),
        ("/v1/files/a%2Fb", "/v1/files/a%2Fb", ""),
        ("/a//b;p=1,2/~user/!$&'()*+=@", "/a//b;p=1,2/~user/!$&'()*+=@", ""),
        ("/v1.5/model.name/...", "/v1.5/model.name/...", ""),
        ("/..a/a../.well-known/%2ehidden", "/..a/a../.well-known/%2ehidden", ""),
        ("/x?a?b=%2e%2e", "/x", "a?b=%2e%2e"),
        ("/x?", "/x", ""),
        ("/", "/", ""),
        ('/{"a"}[0]|^`', '/{"a"}[0]|^`', ""),
    ],
)
def test_ordinary_targets_are_split_and_not_altered(target: str, path: str, query: str) -> None:
    """Path and query come out byte for byte, encodings and odd characters included."""
    assert split_target(target) == (path, query)


@pytest.mark.parametrize(
    "target",
    [
        "", "*", "v1/models", "http://evil.test/", "https://evil.test", "evil.test:443",
        "?a", "#", "/a b", "/a\tb", "/a\r\nb", "/a\0b", "/a\x7f", "/é", "/\udcff", "/a#b", "/a\\b", "/a\\..\\b", "/a?b#c", "/a?b c",
        "/a?\\", "/a\n",
    ],
)  # fmt: skip
def test_other_forms_and_characters_are_refused(target: str) -> None:
    """Only an origin-form target of visible ASCII is forwarded."""
    with pytest.raises(ClientFault) as raised:
        split_target(target)
    assert raised.value.kind is BAD_TARGET


@pytest.mark.parametrize(
    "target",
    [
        "/..", "/.", "/../", "/a/..", "/a/../b", "/a/./b", "/./a", "/a/%2e%2e/b", "/a/%2E./b", "/a/.%2e", "/a/%2e", "/a/..;/b",
        "/a/..;x=1/b", "/a/.;", "/a/..%2fb", "/a/..%5Cb", "/a%2f../b", "/a%5c..%5cb", "/a%2F%2e%2e%2Fb", "/..?q", "/a/..?q",
    ],
)  # fmt: skip
def test_dot_segments_are_refused_in_every_spelling(target: str) -> None:
    """What two parsers could resolve to two paths is refused, not repaired."""
    with pytest.raises(ClientFault, match="dot segment"):
        split_target(target)


@given(st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: "/" + "".join(pieces)) | st.text(max_size=20))
def test_what_decides_is_what_is_forwarded(target: str) -> None:
    """A target is either refused, or its path and query are exactly what came."""
    try:
        path, query = split_target(target)
    except ClientFault as fault:
        assert fault.kind is BAD_TARGET
        return
    assert target in (path, f"{path}?{query}")
    assert path.startswith("/")
    assert path.isascii()
    assert not set(path + query) & set(" \t\r\n\0\\#")
    decoded = path.lower().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/")
    assert not {segment.partition(";")[0] for segment in decoded.split("/")} & {".", ".."}
