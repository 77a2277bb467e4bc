"""Keys: whose answer it is, and what makes it another one."""

import base64
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import Cache
from sidecar.core.identify.wishes import NO_WISHES, Urgency, Wishes
from sidecar.core.reuse import cachekey
from sidecar.core.reuse.cachekey import CREDENTIALS, IGNORED, KEY_CHARS, Reader, Scope, make_key, read_scope, spell_offers
from sidecar.exchange import Header
from tests.core.reuse.calls import AUTHORIZATION, CHAT, EMBEDDINGS, HEADERS, KEY, ask, find_key, request, set_up
from tests.core.reuse.trees import HARD

TOKENS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~+/", min_size=1, max_size=40)
TENANTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
PAIRS = st.tuples(TOKENS, TOKENS) | st.tuples(TOKENS, TOKENS).map(lambda pair: (pair[0] + pair[1], pair[0] + pair[1][::-1] + "x"))
CARRIERS = st.sampled_from(
    ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization", "?key", "?access_token"]
)
KNOWN = CREDENTIALS | IGNORED
# Those that mean something to us, too.
NOT_JUST_IGNORED = CREDENTIALS | {b"connection", b"cache-control", b"accept-encoding", b"transfer-encoding", b"host", b"content-length"}
NAMES = (
    st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
    .map(str.encode)
    .filter(lambda name: name not in KNOWN and not name.startswith((b"x-sidecar-", b"x-stainless-", b"x-b3-", b"x-datadog-")))
)


def ask_as(tenant: str, carrier: str, token: str, **members: Any) -> str:
    """Return the key of one and the same call, made by somebody."""
    if carrier.startswith("?"):
        return find_key(request(ask(**members), target=f"{CHAT}?a=1&{carrier[1:]}={token}", tenant=tenant, headers=HEADERS))
    field = (carrier.title().encode(), token.encode())
    return find_key(request(ask(**members), field, target=f"{CHAT}?a=1", tenant=tenant, headers=HEADERS))


@HARD
@given(TENANTS, TENANTS, CARRIERS, CARRIERS, PAIRS)
def test_two_tenants_with_two_credentials_share_nothing(
    tenant: str, other_tenant: str, carrier: str, other_carrier: str, tokens: tuple[str, str]
) -> None:
    """Whoever differs in tenant or credential, or sends the same one elsewhere, has keys of its own; who does not has the same."""
    who = {(t, c, k) for t in (tenant, other_tenant) for c, k in zip((carrier, other_carrier), tokens, strict=True)}
    keys = {each: ask_as(*each) for each in who}
    assert len(set(keys.values())) == len(who)
    assert {each: ask_as(*each) for each in who} == keys


@HARD
@given(st.text("ab:|,\0 ", max_size=6), st.text("ab:|,\0 ", max_size=6), st.text("ab:|,\0 ", max_size=6), st.text("ab:|,\0 ", max_size=6))
def test_what_belongs_to_one_part_is_not_taken_for_another(tenant: str, token: str, other_tenant: str, other_token: str) -> None:
    """Where a tenant's name ends and a credential begins makes a difference."""
    one, _ = read_scope(tenant, [(b"authorization", token.encode())], "")
    other, _ = read_scope(other_tenant, [(b"authorization", other_token.encode())], "")
    assert (one == other) == ((tenant, token) == (other_tenant, other_token))


PARTS = st.fixed_dictionaries(
    {
        "scope": st.builds(Scope, st.text("ab", max_size=2), st.binary(max_size=2)),
        "route": st.text("ab", max_size=2),
        "method": st.text("ab", max_size=2),
        "path": st.text("ab", max_size=2),
        "query": st.text("ab", max_size=2),
        "fields": st.lists(st.tuples(st.binary(max_size=2), st.binary(max_size=2)), max_size=2),
        "offers": st.binary(max_size=2),
        "form": st.text("ab", max_size=2),
        "body": st.binary(max_size=3),
        "wishes": st.just(NO_WISHES)
        | st.builds(Wishes, st.none(), st.none() | st.just(0.5), st.none(), st.just(frozenset("ab")) | st.just(frozenset("a"))),
    }
)


@HARD
@given(PARTS, PARTS)
def test_keys_are_equal_where_all_parts_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    """No part of a key passes for another one, or for a piece of it."""
    assert (make_key(**one) == make_key(**other)) == (one == other)


@HARD
@given(TENANTS, CARRIERS, TOKENS)
def test_nothing_of_a_credential_is_in_a_key(tenant: str, carrier: str, token: str) -> None:
    """Six characters of it are not, nor six bytes as hexadecimal digits or base64, nor a digest of it that would tell whose key it is."""
    key, other = ask_as(tenant, carrier, token), ask_as(tenant, carrier, token, n=2)
    assert [key[at : at + 10] for at in range(KEY_CHARS - 9) if key[at : at + 10] in other] == []
    assert re.fullmatch(f"[0-9a-f]{{{KEY_CHARS}}}", key)  # so that whatever is not made of these digits is not in it
    material = token.encode()
    for at in range(len(material) - 5):
        window = material[at : at + 6]
        assert (
            window.hex() not in key
            and base64.b64encode(window).decode() not in key
            and base64.urlsafe_b64encode(window).decode() not in key
        )


@pytest.mark.parametrize("seed", range(20))
def test_nothing_of_a_hexadecimal_credential_is_in_a_key(seed: int) -> None:
    """Where keys and credentials have the same alphabet, six digits of one are not in the other, but for chance (1 in 16 million)."""
    token = random.Random(seed).randbytes(16).hex()
    key = ask_as("a", "authorization", token)
    assert [token[at : at + 6] for at in range(len(token) - 5) if token[at : at + 6] in key] == []


def test_a_scope_does_not_hold_the_credential() -> None:
    """What goes on to other parts of the sidecar is a digest."""
    scope, query = read_scope("a", [(b"authorization", b"Bearer " + KEY)], f"b=1&key={KEY.decode()}&alt=sse")
    assert KEY not in scope.credential and len(scope.credential) == 32
    assert query == "b=1&alt=sse"
    assert read_scope("a", [], "") != read_scope("a", [(b"authorization", b"")], "")


@pytest.mark.parametrize("name", sorted(CREDENTIALS))
def test_credentials_cannot_be_ignored(name: bytes) -> None:
    """An operator's list of fields that make no difference does not open answers to others."""
    settings = set_up(Cache(ignore_headers=(name.decode(), name.decode().upper())))
    keys = {find_key(request(ask(), (name, value), headers=HEADERS), settings) for value in (b"one", b"two")}
    assert len(keys) == 2


def test_a_caller_cannot_have_its_credential_left_out() -> None:
    """Fields that `Connection` names are not sent on, but a credential is one all the same."""
    dropped = (b"Connection", b"Authorization, X-Tag")
    one = find_key(request(ask(), dropped, AUTHORIZATION, headers=()))
    assert one != find_key(request(ask(), dropped, (b"Authorization", b"Bearer other"), headers=()))
    assert one == find_key(request(ask(), dropped, AUTHORIZATION, (b"X-Tag", b"1"), headers=()))  # not sent on: no difference
    assert one != find_key(request(ask(), AUTHORIZATION, (b"X-Tag", b"1"), headers=()))


@pytest.mark.parametrize(
    "field",
    [
        *((name, b"x") for name in sorted(IGNORED - NOT_JUST_IGNORED)),
        (b"Content-Length", b"7"),
        (b"X-Stainless-Retry-Count", b"2"),
        (b"x-stainless-anything", b"1"),
        (b"X-B3-TraceId", b"1"),
        (b"X-Datadog-Trace-Id", b"1"),
        (b"X-Sidecar-Urgency", b"high"),
        (b"x_sidecar_anything", b"1"),
        (b"Cache-Control", b"max-age=60"),
        (b"Pragma", b"x"),
    ],
    ids=lambda field: field[0].decode(),
)
def test_some_fields_make_no_difference(field: Header) -> None:
    """Who wrote the client, identities of one request, traces and directives do not count."""
    plain = request(ask())
    assert find_key(request(ask(), field)) == find_key(plain)


def test_fields_of_the_operators_choice_make_no_difference() -> None:
    """By any case; they do where they are not named."""
    settings = set_up(Cache(ignore_headers=("X-Build", "x-node ")))
    assert find_key(request(ask(), (b"x-build", b"1"), (b"X-NODE", b"2")), settings) == find_key(request(ask()), settings)
    assert find_key(request(ask(), (b"x-build", b"1"))) != find_key(request(ask()))


@HARD
@given(NAMES, TOKENS, TOKENS)
def test_every_other_field_makes_a_difference(name: bytes, value: str, other: str) -> None:
    """What is not known to be indifferent counts, with its value."""
    with_one, with_other = (find_key(request(ask(), (name, each.encode()))) for each in (value, other))
    assert with_one != find_key(request(ask()))
    assert (with_one == with_other) == (value == other)


def test_order_of_fields_counts_within_a_name_only() -> None:
    """Between names the order means nothing (RFC 9110 section 5.3), and neither does their case."""
    a, b, c = (b"X-A", b"1"), (b"X-B", b"1"), (b"x-a", b"2")
    assert find_key(request(ask(), a, b, c)) == find_key(request(ask(), b, (b"x-A", b"1"), c))
    assert find_key(request(ask(), a, b, c)) != find_key(request(ask(), c, b, a))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"gzip, deflate", b"deflate,gzip", True),
        (b"gzip, deflate, br, zstd", b"gzip, deflate", True),  # what could not be read is not offered on
        (b"GZIP", b"gzip", True),
        (b"br", b"identity", True),
        (b"gzip", b"identity", False),
        (b"", b"identity", False),
        (b"gzip;q=0, identity", b"gzip, identity", False),
    ],
)
def test_codings_count_as_they_are_offered_on(one: bytes, other: bytes, same: bool) -> None:
    """An answer comes in a coding that its caller can read; where answers are not read, offers go on as they are."""
    assert (spell_offers(one, narrowed=True) == spell_offers(other, narrowed=True)) is same
    assert spell_offers(one, narrowed=False) == one


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(1.0),
        Wishes(min_quality=0.5),
        Wishes(min_reliability=0.5),
        Wishes(prefer=frozenset({"b"})),
        Wishes(exclude=frozenset({"b"})),
        Wishes(urgency=Urgency.HIGH),
        Wishes(exclude=frozenset({"b", "c"})),
    ],
)
def test_wishes_count(wishes: Wishes) -> None:
    """An answer that was good enough for one caller need not be for another."""
    assert find_key(request(ask(), wishes=wishes)) != find_key(request(ask()))
    assert find_key(request(ask(), wishes=wishes)) == find_key(request(ask(), wishes=wishes._replace()))


@pytest.mark.parametrize("target", [f"{CHAT}?a=1", f"{CHAT}?", "/openrouter/v1/chat/completions", "/openai/v2/chat/completions"])
def test_where_a_call_goes_counts(target: str) -> None:
    """Route, path and query do; an empty query is none."""
    assert (find_key(request(ask(), target=target)) == find_key(request(ask()))) is target.endswith("?")


def test_what_is_asked_for_counts() -> None:
    """The body as a whole, the form it is in, and the address."""
    bodies = [
        {"model": "a", "input": "x"},
        {"model": "a", "input": ["x"]},
        {"model": "A", "input": "x"},
        {"model": "a", "input": "x", "n": None},
    ]
    assert len({find_key(request(body, target=EMBEDDINGS)) for body in bodies}) == len(bodies)


def test_the_format_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of another format are other keys."""
    before = find_key(request(ask()))
    monkeypatch.setattr(cachekey, "FORMAT", cachekey.FORMAT + 1)
    assert find_key(request(ask())) != before


def test_only_so_many_names_are_remembered() -> None:
    """Names come from callers; those beyond are told apart all the same."""
    reader = Reader(["x-ignored-9999"])
    for number in range(3000):
        reader.read(((b"x-name-%d" % number, b"1"),))
    assert reader.read(((b"X-Ignored-9999", b"1"), (b"x-counts-9999", b"1"))).fields == [(b"x-counts-9999", b"1")]
    assert reader.read(((b"Authorization", b"1"),)).credentials == [(b"authorization", b"1")]
