"""Who may change something by the admin port."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.identify.operators import Visitor, is_loopback, read_basic, refuse_change

JSON = ("application/json",)
TOKEN = "correct-horse"


def visit(
    *, authorization: tuple[str, ...] = (), host: tuple[str, ...] = ("127.0.0.1:9464",), origin: tuple[str, ...] = (),
    content_type: tuple[str, ...] = JSON, token: str | None = None, is_local: bool = True,
) -> int | None:  # fmt: skip
    """Return the status of the refusal."""
    refusal = refuse_change(Visitor(authorization, host, origin, content_type), token, is_local=is_local)
    return None if refusal is None else refusal.status


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9464", "127.0.0.1", "127.8.9.1:1", "localhost", "LocalHost:19464", "[::1]:9464", "[::1]"]
)  # fmt: skip
def test_programs_of_this_machine_may(host: str) -> None:
    """They name it, and send JSON."""
    assert visit(host=(host,)) is None
    assert visit(host=(host,), content_type=("Application/JSON; charset=utf-8",)) is None
    assert visit(host=(host,), origin=(f"http://{host}",)) is None


@pytest.mark.parametrize(
    "host",
    ["evil.test:9464", "localhost.evil.test", "127.0.0.1.evil.test", "evil.test#127.0.0.1", "127.0.0.1@evil.test", "127.0.0.1:80@evil.test",
     "", "[::1]evil.test", "[::1", "[::2]", "192.168.1.1", "0.0.0.0", "localhost:", "localhost:x", "2130706433", "127.1", "localhost.",
     "[::1]:", "[::1]:8x", "::1"],
)  # fmt: skip
def test_a_name_made_to_resolve_to_this_machine_may_not(host: str) -> None:
    """DNS rebinding: the browser sends the page's own host."""
    assert visit(host=(host,)) == 403


def test_hosts_that_are_not_one_may_not() -> None:
    """None, or two of which each reader picks another."""
    assert visit(host=()) == 403
    assert visit(host=("localhost", "evil.test")) == 403


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.test", "https://127.0.0.1:9464", "http://127.0.0.1:8000", "http://127.0.0.1", "", "file://"]
)
def test_pages_of_other_origins_may_not(origin: str) -> None:
    """Another port of the same machine is another origin."""
    assert visit(origin=(origin,)) == 403
    assert visit(origin=("http://127.0.0.1:9464", origin)) == 403


@pytest.mark.parametrize(
    "content_type",
    [(), ("text/plain",), ("application/x-www-form-urlencoded",), ("multipart/form-data; boundary=x",), ("",),
     ("text/plain; application/json",), ("application/jsonp",), ("application/json, text/plain",), ("application/json", "text/plain")],
)  # fmt: skip
def test_what_a_form_can_send_may_not(content_type: tuple[str, ...]) -> None:
    """These types need no leave of the server's to be sent across origins."""
    assert visit(content_type=content_type) == 415


@pytest.mark.parametrize("is_local", [True, False])
def test_where_there_is_a_token_it_decides(is_local: bool) -> None:
    """From wherever: with it no browser's defence is needed, for no browser sends it unasked."""
    right = (f"Bearer {TOKEN}",)
    assert visit(token=TOKEN, is_local=is_local, authorization=right, host=("sidecar.pods.svc:9464",), content_type=()) is None
    assert visit(token=TOKEN, is_local=is_local, authorization=(f"bearer  {TOKEN} ",)) is None
    assert visit(token=TOKEN, is_local=is_local) == 401


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN.upper()}",
     "Bearer \udcff", f"Bearer é{TOKEN}", f"Bearer\t{TOKEN}"],
)  # fmt: skip
def test_any_other_token_is_refused(authorization: str) -> None:
    """In one piece, in the right case, after the right scheme, and only once."""
    assert visit(token=TOKEN, authorization=(authorization,)) == 401
    assert visit(token=TOKEN, authorization=(f"Bearer {TOKEN}", authorization)) == 401


def test_without_a_token_nobody_may_from_elsewhere() -> None:
    """Where the port can be reached from other machines; and the answer says what to set."""
    refusal = refuse_change(Visitor((), ("localhost",), (), JSON), None, is_local=False)
    assert refusal is not None and refusal.status == 403 and "admin.token_file" in refusal.message


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("::1%lo", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False),
     ("localhost", False), ("", False)],
)  # fmt: skip
def test_addresses_of_loopback(host: str, local: bool) -> None:
    """As sockets tell them: numbers, never names."""
    assert is_loopback(host) is local


FIELD = st.lists(st.text(max_size=40), max_size=2).map(tuple)


@given(FIELD, FIELD, FIELD, FIELD)
def test_nothing_breaks_it_and_no_name_gets_in(
    authorization: tuple[str, ...], host: tuple[str, ...], origin: tuple[str, ...], content_type: tuple[str, ...]
) -> None:
    """Whatever the fields hold: refused, with one of the statuses there are."""
    visitor = Visitor(authorization, host, origin, content_type)
    for token, is_local in ((None, True), (None, False), (TOKEN, True)):
        refusal = refuse_change(visitor, token, is_local=is_local)
        assert refusal is not None and refusal.status in (401, 403, 415)


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "status"),
    [((), ("pod.svc:9464",), "https", None), (("https://pod.svc:9464",), ("pod.svc:9464",), "https", None),
     (("https://POD.svc:9464",), ("pod.svc:9464",), "https", None), (("http://pod.svc:9464",), ("pod.svc:9464",), "https", 403),
     (("https://pod.svc:9464",), ("pod.svc:9464",), "http", 403), (("https://evil.test",), ("pod.svc:9464",), "https", 403),
     (("https://pod.svc",), (), "https", 403), (("https://pod.svc",), ("pod.svc", "evil.test"), "https", 403),
     (("null",), ("a",), "http", 403)],
)  # fmt: skip
def test_who_gave_a_password_may_under_any_name(origin: tuple[str, ...], host: tuple[str, ...], scheme: str, status: int | None) -> None:
    """A browser knows passwords by origin; a page of another one may still make it send them."""
    visitor = Visitor((), host, origin, JSON)
    for token in (None, TOKEN):
        refusal = refuse_change(visitor, token, is_local=False, is_known=True, scheme=scheme)
        assert (None if refusal is None else refusal.status) == status
    assert refuse_change(visitor, None, is_local=False, scheme=scheme) is not None


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [(("Basic YTpi",), ("a", b"b")), (("bAsIc YTpi",), ("a", b"b")), (("Basic  YTpi ",), ("a", b"b")), (("Basic YTpiOmM=",), ("a", b"b:c")),
     (("Basic Og==",), ("", b"")), (("Basic YTr/",), ("a", b"\xff")), (("Basic w7w6w7w=",), ("ü", "ü".encode())),
     ((), None), (("Basic YTpi", "Basic YTpi"), None), (("Basic",), None), (("Basic YWI=",), None), (("Basic YTpi!",), None),
     (("Basic YTp",), None), (("Bearer YTpi",), None), (("Basic /zpi",), None), (("Basic \xfc",), None), (("Basic \udcff",), None)],
)  # fmt: skip
def test_user_and_password_are_read(authorization: tuple[str, ...], expected: tuple[str, bytes] | None) -> None:
    """Up to the first colon (RFC 7617, section 2); what is not of that form is nothing."""
    assert read_basic(authorization) == expected


@given(st.lists(st.text(), max_size=2))
def test_no_field_breaks_it(authorization: list[str]) -> None:
    """Whatever is sent."""
    read_basic(authorization)
    read_basic([f"Basic {each}" for each in authorization])
