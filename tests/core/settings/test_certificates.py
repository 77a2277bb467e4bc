"""From when until when a certificate is valid."""

import ssl
from datetime import UTC, datetime, timedelta

import trustme
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.settings.certificates import Validity, read_validity

AUTHORITY = trustme.CA()


def issue(begins: datetime, ends: datetime) -> bytes:
    """Return a certificate (DER) that is valid in between, made by other authors' code."""
    blob = AUTHORITY.issue_cert("localhost", not_before=begins, not_after=ends).cert_chain_pems[0]
    return ssl.PEM_cert_to_DER_cert(blob.bytes().decode())


def test_both_forms_of_dates_are_read() -> None:
    """Up to 2049 with two digits of the year, from 2050 on with four (RFC 5280, section 4.1.2.5)."""
    begins, ends = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert read_validity(issue(begins, ends)) == Validity(begins.timestamp(), ends.timestamp())
    later = ends + timedelta(seconds=1)
    assert read_validity(issue(begins, later)) == Validity(begins.timestamp(), later.timestamp())
    past = datetime(1999, 1, 1, tzinfo=UTC)
    assert read_validity(issue(past, ends)) == Validity(past.timestamp(), ends.timestamp())


def test_both_ends_belong_to_it() -> None:
    """And nothing beyond them."""
    validity = Validity(10.0, 20.0)
    assert [validity.holds_at(now_s) for now_s in (9.9, 10.0, 20.0, 20.1)] == [False, True, True, False]


def test_what_is_cut_is_nothing() -> None:
    """At whichever byte before the dates; what comes after them is not looked at."""
    der = issue(datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
    assert all(read_validity(der[:length]) is None for length in range(len(der)))
    assert read_validity(der + b"more") is not None


@given(st.binary(max_size=300), st.integers(0, 400))
def test_nothing_breaks_it(noise: bytes, at: int) -> None:
    """Whatever a file holds."""
    der = issue_once()
    for text in (noise, der[:at] + noise + der[at + len(noise) :]):
        found = read_validity(text)
        assert found is None or isinstance(found, Validity)


_KEPT: list[bytes] = []


def issue_once() -> bytes:
    """Return one and the same certificate."""
    if not _KEPT:
        _KEPT.append(issue(datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)))
    return _KEPT[0]
