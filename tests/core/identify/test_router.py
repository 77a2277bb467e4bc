"""Which route takes a path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import BUILT_IN_ROUTES, Pool, Route, RouteKind
from sidecar.core.identify.router import Router, match_session, name_route
from sidecar.core.observe.dialects import OPAQUE, OPENAI_CHAT, OPENAI_EMBEDDINGS

ROUTES = (Route("/", "rest"), Route("/openai/", "openai"), Route("/openai/eu/", "eu", name="europe"), Route("/a/b/", "ab"))


@pytest.mark.parametrize(
    ("path", "route", "upstream", "rest"),
    [
        ("/openai/v1/models", "openai", "openai", "/v1/models"),
        ("/openai/eu/v1/models", "europe", "eu", "/v1/models"),
        ("/openai/", "openai", "openai", "/"),
        ("/openai", "default", "rest", "/openai"),
        ("/openai/euro", "openai", "openai", "/euro"),
        ("/OpenAI/v1", "default", "rest", "/OpenAI/v1"),
        ("/a/b//c", "a/b", "ab", "//c"),
        ("/%6fpenai/v1", "default", "rest", "/%6fpenai/v1"),
        ("/", "default", "rest", "/"),
    ],
)
def test_the_longest_prefix_takes_a_path(path: str, route: str, upstream: str, rest: str) -> None:
    """The prefix is compared as received, taken off, and the rest is left as it came."""
    match = Router(ROUTES).match("GET", path)
    assert match is not None
    assert match[:3] == (route, (upstream,), rest)


def test_a_route_to_a_pool_leads_to_all_its_upstreams() -> None:
    """By the pool's name, and in its order."""
    match = Router((Route("/chat/", pool="both"),), {"both": Pool(("b", "a"))}).match("POST", "/chat/v1/chat/completions")
    assert match is not None
    assert (match.upstreams, match.pool) == (("b", "a"), "both")


def test_without_a_route_for_all_an_unknown_path_goes_nowhere() -> None:
    """Nothing is guessed, and the prefixes can be told."""
    router = Router(BUILT_IN_ROUTES)
    assert router.match("POST", "/v1/chat/completions") is None
    assert router.match("POST", "/openai") is None
    assert router.prefixes == sorted(route.prefix for route in BUILT_IN_ROUTES)


@pytest.mark.parametrize(
    ("method", "path", "dialect", "template"),
    [
        ("POST", "/openai/v1/chat/completions", OPENAI_CHAT, "/openai/v1/chat/completions"),
        ("POST", "/openai/v1/embeddings", OPENAI_EMBEDDINGS, "/openai/v1/embeddings"),
        ("GET", "/openai/v1/chat/completions", OPAQUE, "/openai/*"),
        ("GET", "/openai/v1/files/file-123", OPAQUE, "/openai/*"),
        ("GET", "/anything", OPAQUE, "/*"),
        ("POST", "/openai/openai/deployments/callers-own/chat/completions", OPENAI_CHAT, "/openai/*/chat/completions"),
        ("POST", "/v1/chat/completions", OPENAI_CHAT, "/v1/chat/completions"),
    ],
)
def test_the_template_never_holds_an_unknown_path(method: str, path: str, dialect: object, template: str) -> None:
    """A known form shows its path; of everything else only the prefix is shown."""
    match = Router(ROUTES).match(method, path)
    assert match is not None
    assert (match.dialect, match.template) == (dialect, template)


@pytest.mark.parametrize(("route", "name"), [(ROUTES[0], "default"), (ROUTES[1], "openai"), (ROUTES[2], "europe"), (ROUTES[3], "a/b")])
def test_a_route_has_a_name(route: Route, name: str) -> None:
    """Its own, else its prefix without slashes; the one for everything is the default."""
    assert name_route(route) == name


def test_paths_without_number_are_decided_rightly() -> None:
    """Decisions that are no longer remembered are the same as those that are."""
    router = Router(ROUTES)
    for _ in range(2):
        for number in range(3000):
            match = router.match("GET", f"/openai/{number}")
            assert match is not None
            assert match.path == f"/{number}"


@given(st.text("/aopenib", max_size=12))
def test_a_prefix_and_the_rest_make_the_path(text: str) -> None:
    """Whatever the path, nothing of it is lost but the prefix without its last slash."""
    match = Router(ROUTES).match("GET", "/" + text)
    assert match is not None
    prefixes = {name_route(route): route.prefix for route in ROUTES}
    assert prefixes[match.route][:-1] + match.path == "/" + text


@pytest.mark.parametrize(
    ("method", "path", "tool"),
    [
        ("GET", "/tools/w/now", "now"), ("POST", "/tools/w/", "weather"), ("POST", "/tools/w/v1/chat/completions", "v1"),
        ("POST", "/a/x", None),
    ],
)  # fmt: skip
def test_on_a_tool_route_the_path_names_the_tool(method: str, path: str, tool: str | None) -> None:
    """And is never taken for a model's."""
    routes = (Route("/tools/w/", "w", name="weather", kind=RouteKind.TOOL), Route("/a/", "a"))
    match = Router(routes).match(method, path)
    assert match is not None
    assert (match.tool, match.dialect) == (tool, OPAQUE)
    assert match.template == ("/tools/w/*" if tool else "/a/*")


@pytest.mark.parametrize(
    ("path", "name", "template"),
    [
        ("/openai/v1/realtime", "openai_realtime", "/openai/v1/realtime"),
        ("/openai/eu/v1/responses", "openai_responses_session", "/openai/eu/v1/responses"),
        ("/openai/deployments/mine/realtime", "openai_realtime", "/openai/*/realtime"),
        ("/openai/v1/chat/completions", "opaque", "/openai/*"),
        ("/v1/secret", "opaque", "/*"),
    ],
)
def test_a_websocket_has_a_form_of_its_own(path: str, name: str, template: str) -> None:
    """Whatever an ordinary call to the same path would be; and nothing of an unknown path is shown."""
    match = Router(ROUTES).match("GET", path)
    assert match is not None
    session, dialect = match_session(match)
    assert (session.dialect.name, session.template, session.upstreams) == (name, template, match.upstreams)
    assert (dialect is None) == (name == "opaque")


def test_a_route_may_forbid_websockets() -> None:
    """It is the match that says so."""
    for allowed in (True, False):
        match = Router([Route("/a/", "a", websocket=allowed)]).match("GET", "/a/")
        assert match is not None
        assert match.websocket is allowed
