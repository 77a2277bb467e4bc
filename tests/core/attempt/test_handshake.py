"""The opening handshake: what is let through, towards the upstream and back."""

import pytest

from sidecar.core.attempt.handshake import check_answer, check_request
from sidecar.core.attempt.heads import read_answer
from sidecar.errors import BAD_REQUEST, NOT_UPGRADABLE, UPSTREAM_MALFORMED, ClientFault, UpstreamFault
from tests.core.attempt.calls import make_call

# RFC 6455 section 1.3.
KEY, ACCEPT = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
FIELDS = {b"Connection": b"Upgrade", b"Upgrade": b"websocket", b"Sec-WebSocket-Key": KEY, b"Sec-WebSocket-Version": b"13"}


def fields(**changes: bytes | None) -> list[tuple[bytes, bytes]]:
    """The fields of a handshake, some changed or, with None, left out."""
    changed = {name.replace("_", "-").lower().encode(): value for name, value in changes.items()}
    return [(name, changed.get(name.lower(), value) or b"") for name, value in FIELDS.items() if changed.get(name.lower(), b"") is not None]


@pytest.mark.parametrize("upgrade", [b"websocket", b"WebSocket", b" websocket "])
def test_a_handshake_passes(upgrade: bytes) -> None:
    """As section 4.2.1 has it; names of protocols have no case."""
    check_request(make_call(*fields(upgrade=upgrade), method="GET"))


@pytest.mark.parametrize("upgrade", [b"h2c", b"", b"websocket, h2c", b"websocket/13"])
def test_other_protocols_are_not_carried(upgrade: bytes) -> None:
    """Nor is a choice of several."""
    with pytest.raises(ClientFault) as caught:
        check_request(make_call(*fields(upgrade=upgrade), method="GET"))
    assert caught.value.kind is NOT_UPGRADABLE


def test_two_upgrade_fields_are_not_one() -> None:
    """What two servers could read in two ways is refused."""
    with pytest.raises(ClientFault) as caught:
        check_request(make_call(*fields(), (b"upgrade", b"h2c"), method="GET"))
    assert caught.value.kind is NOT_UPGRADABLE


@pytest.mark.parametrize(
    ("changes", "more", "call"),
    [
        ({"sec_websocket_version": b"8"}, [], {}),
        ({"sec_websocket_version": None}, [], {}),
        ({}, [(b"Sec-WebSocket-Version", b"13")], {}),
        ({"sec_websocket_key": None}, [], {}),
        ({"sec_websocket_key": b"c2hvcnQ="}, [], {}),
        ({"sec_websocket_key": b"not base64 at all!!!!!!!"}, [], {}),
        ({}, [(b"Sec-WebSocket-Key", KEY)], {}),
        ({}, [], {"method": "POST"}),
        ({}, [], {"version": (1, 0)}),
        ({}, [], {"has_body": True}),
    ],
)
def test_what_is_no_handshake_is_refused(
    changes: dict[str, bytes | None], more: list[tuple[bytes, bytes]], call: dict[str, object]
) -> None:
    """With a sentence that says what is wrong, and without the value."""
    with pytest.raises(ClientFault) as caught:
        check_request(make_call(*fields(**changes), *more, **{"method": "GET", **call}))  # type: ignore[arg-type]
    assert caught.value.kind is BAD_REQUEST
    assert "not base64" not in caught.value.detail


@pytest.mark.parametrize(
    ("lines", "fits"),
    [
        ([b"Sec-WebSocket-Accept: " + ACCEPT], True),
        ([b"sec-websocket-accept:" + ACCEPT, b"Sec-WebSocket-Protocol: realtime"], True),
        ([], False),
        ([b"Sec-WebSocket-Accept: " + ACCEPT[::-1]], False),
        ([b"Sec-WebSocket-Accept: " + ACCEPT] * 2, False),
        ([b"Sec-WebSocket-Accept: " + ACCEPT, b"Sec-WebSocket-Extensions: permessage-deflate"], False),
    ],
)
def test_an_answer_must_fit_the_key(lines: list[bytes], fits: bool) -> None:
    """Else the upstream may not have meant a WebSocket; and an extension that was not offered cannot be agreed on."""
    call = make_call(*fields(), method="GET")
    head = read_answer("GET", 101, b"\r\n".join([b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", *lines]))
    if fits:
        check_answer(call, head)
        return
    with pytest.raises(UpstreamFault) as caught:
        check_answer(call, head)
    assert caught.value.kind is UPSTREAM_MALFORMED
