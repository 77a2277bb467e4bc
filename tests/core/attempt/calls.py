"""Calls and places for tests of what is sent on."""

from sidecar.core.attempt.heads import read_request
from sidecar.core.choose.places import Place
from sidecar.exchange import Call, Headers

PLACE = Place("main", "openai", "https", "api.test", 443, b"/base", b"api.test", True, ())


def make_call(
    *headers: tuple[bytes, bytes], method: str = "POST", version: tuple[int, int] = (1, 1), has_body: bool = False,
    keep_alive: bool = True, target: str = "/v1/chat/completions", accepted: float = 100.0,
) -> Call:  # fmt: skip
    """Return a call as the data port makes it."""
    fields: Headers = headers
    return Call(
        id="0123456789abcdef", method=method, target=target, headers=fields, http_version=version, has_body=has_body,
        keep_alive=keep_alive, wanted=read_request(fields), accepted=accepted, accepted_ns=1_700_000_000_000_000_000,
    )  # fmt: skip
