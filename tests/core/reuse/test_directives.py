"""What callers and servers say of keeping answers."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.reuse.directives import NONE, SECONDS_MAX, AnswerDirectives, Directives, read_answer_directives, read_directives

ANY = float("inf")


def read(*said: bytes, own: str | None = None) -> Directives:
    """Return what Cache-Control fields and x-sidecar-cache say together."""
    return read_directives(tuple((b"Cache-Control", value) for value in said), {} if own is None else {"x-sidecar-cache": own})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"", NONE),
        (b"no-store", Directives(no_store=True)),
        (b"No-Cache", Directives(no_cache=True)),
        (b"only-if-cached", Directives(only_if_cached=True)),
        (b"max-age=60", Directives(max_age_s=60.0)),
        (b'max-age="60"', Directives(max_age_s=60.0)),
        (b"max-age = 60", Directives(max_age_s=60.0)),
        (b"min-fresh=5 , max-stale=7", Directives(min_fresh_s=5.0, max_stale_s=7.0)),
        (b"max-stale", Directives(max_stale_s=ANY)),
        (b"max-age=99999999999999999999", Directives(max_age_s=float(SECONDS_MAX))),
        # Unknown ones are ignored, the others still count.
        (b'no-transform, community="a, no-cache", no-store', Directives(no_store=True)),
        (b"stale-if-error=60, ;;, =, ,max-age=1", Directives(max_age_s=1.0)),
        (b"no-storage, xno-store", NONE._replace()),
        (b"ttl=60", NONE._replace()),  # not Cache-Control's
        # Of contradictory ones the stricter.
        (b"max-age=60, max-age=5, max-age=600", Directives(max_age_s=5.0)),
        (b"max-stale, max-stale=5", Directives(max_stale_s=5.0)),
        (b"min-fresh=5, min-fresh=50", Directives(min_fresh_s=50.0)),
        # What cannot be read is the strictest.
        (b"max-age=soon", Directives(max_age_s=0.0)),
        (b"max-age", Directives(max_age_s=0.0)),
        (b"max-age=-1", Directives(max_age_s=0.0)),
        (b"max-age=6 0", Directives(max_age_s=0.0)),
        (b"max-age=\xb2", Directives(max_age_s=0.0)),
        (b"min-fresh=x", Directives(min_fresh_s=float(SECONDS_MAX))),
        (b"max-stale=x", Directives(max_stale_s=0.0)),
        (b'max-age="60, no-store', Directives(no_store=True, max_age_s=0.0)),
    ],
)
def test_cache_control(said: bytes, expected: Directives) -> None:
    """Each directive of a request, and what is none."""
    assert read(said) == expected


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("no-store", Directives(no_store=True)),
        ("no-cache", Directives(no_cache=True)),
        ("only-if-cached", Directives(only_if_cached=True)),
        ("ttl=90", Directives(ttl_s=90.0)),
        ("ttl=0", Directives(ttl_s=0.0)),
        ("ttl=90, ttl=9", Directives(ttl_s=9.0)),
        ("ttl=long", Directives(ttl_s=0.0)),
        ("TTL=5,No-Cache", Directives(no_cache=True, ttl_s=5.0)),
        ("max-age=5", Directives(max_age_s=5.0)),
        ("maybe", Directives()),
    ],
)
def test_our_own_field(own: str, expected: Directives) -> None:
    """It takes the same directives, and for how long."""
    assert read(own=own) == expected


def test_all_fields_count_together() -> None:
    """Several fields of Cache-Control, ours, and a Pragma of old."""
    assert read(b"max-age=9", b"no-cache", own="ttl=5, max-age=3") == Directives(no_cache=True, ttl_s=5.0, max_age_s=3.0)
    assert read_directives(((b"PRAGMA", b"No-Cache"),), {}) == Directives(no_cache=True)
    assert read_directives(((b"Pragma", b"something"), (b"Accept-Thing-X", b"no-store")), {}) is NONE
    assert read() is NONE


def test_answers() -> None:
    """What servers say: `no-cache` with names of fields is about these only, and age is taken off."""
    assert read_answer_directives(()) == AnswerDirectives()
    assert read_answer_directives((b"cache-control: private, NO-STORE",)).no_store
    assert read_answer_directives((b"Cache-Control: no-cache",)).no_cache
    assert not read_answer_directives((b'Cache-Control: no-cache="set-cookie, no-store"',)).no_cache
    assert read_answer_directives((b"Cache-Control: max-age=60", b"Age: 20")).max_age_s == 40.0
    assert read_answer_directives((b"Cache-Control: max-age=60, s-maxage=10",)).max_age_s == 10.0
    assert read_answer_directives((b"Cache-Control: max-age=60", b"Age: 90")).max_age_s == 0.0
    assert read_answer_directives((b"Cache-Control: max-age=60", b"Age: old")).max_age_s == 0.0
    assert read_answer_directives((b"Cache-Control: max-age",)).max_age_s == 0.0
    assert read_answer_directives((b"Vary: Origin, *", b"vary: A")).varies_by == {b"origin", b"*", b"a"}


@given(st.binary(max_size=80), st.text('",=\\ no-storecachmxage0129', max_size=60))
def test_nothing_raises(value: bytes, own: str) -> None:
    """Whatever stands there."""
    read(value, own=own)
    read_answer_directives((b"Cache-Control: " + value, value, b"Age:" + value, b"Vary:" + value))


@given(st.lists(st.sampled_from(["no-store", "no-cache", "x=1", 'y="a,b"', "max-age=5"]), max_size=5), st.randoms(use_true_random=False))
def test_how_they_are_spread_makes_no_difference(directives: list[str], chance: object) -> None:
    """One field with all of them says what several fields with one each say."""
    assert read(", ".join(directives).encode()) == read(*(directive.encode() for directive in directives))


@pytest.mark.parametrize(
    "said", [b'"' * 60_000, b'a="' * 20_000, b"a= " + b" " * 60_000 + b'"', b"," * 60_000, b'"\\' * 30_000, b"max-age=" + b"9" * 60_000]
)
def test_long_fields_take_no_time(said: bytes) -> None:
    """Reading takes time in proportion to the length, whatever is in it."""
    began = time.perf_counter()
    read(said)
    assert time.perf_counter() - began < 0.5
