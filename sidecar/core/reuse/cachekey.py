"""What answers are kept under: everything that makes a difference to the answer, and on whose behalf it was given.

A key is a digest of whose call it is (the scope), how it reached us (route, method, path, query), the fields of its head
that could matter, what the caller asks of whoever answers, and the one form of its body. All of these have their
lengths told within it, so that none can pass for another. Nothing of a credential can be read in it: it is
digested once by itself, and once with the rest.

Which fields matter cannot be known: those count that are not known to make no difference.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from sidecar.core.attempt.heads import HOP_BY_HOP, narrow_codings, nominated_names
from sidecar.core.identify.wishes import NO_WISHES, Wishes
from sidecar.core.observe.inflate import CODINGS
from sidecar.exchange import Header, Headers

FORMAT: Final = 1  # what is kept under keys of another one is not found
KEY_CHARS: Final = 40

# Who calls. They are counted whatever the settings say, and whether or not the upstream gets a key of its own.
CREDENTIALS: Final = frozenset(
    {b"authorization", b"proxy-authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie"}
)  # fmt: skip
_SECRET_PARAMETERS: Final = frozenset({"key", "api_key", "api-key", "apikey", "access_token", "token", "sig", "signature"})

# Fields that make no difference to an answer: who wrote the client and in which version, identities of this one request,
# traces, lengths; what is read here and not passed on; and directives, which say how answers are kept and not what they are.
IGNORED: Final = HOP_BY_HOP | {
    b"accept-encoding", b"baggage", b"cache-control", b"content-length", b"date", b"dnt", b"expect", b"host", b"idempotency-key",
    b"pragma", b"user-agent", b"x-goog-api-client", b"x-idempotency-key",
    b"request-id", b"x-amzn-trace-id", b"x-client-request-id", b"x-cloud-trace-context", b"x-correlation-id",
    b"x-ms-client-request-id", b"x-request-id",
    b"b3", b"sentry-trace", b"traceparent", b"tracestate", b"uber-trace-id",
    b"mcp-session-id",  # what differs between sessions of one caller is the server's own affair
}  # fmt: skip
_IGNORED_BEGINNINGS: Final = (b"x-stainless-", b"x-sidecar-", b"x-b3-", b"x-datadog-")

_encode: Final = msgspec.msgpack.Encoder().encode
# Names and offers come from callers: only so many are remembered.
_REMEMBERED_MAX: Final = 1024
_REMEMBERED_BYTES_MAX: Final = 128
_IGNORE, _COUNT, _CREDENTIAL, _NOMINATE = range(4)
_READABLE_CODINGS: Final = CODINGS | {"identity"}
_offers: dict[bytes, bytes] = {}


class Scope(NamedTuple):
    """On whose behalf an answer is kept: nobody else gets it."""

    tenant: str
    credential: bytes  # a digest; of an empty list where there is none


class Head(NamedTuple):
    """What of a request's head makes a difference."""

    credentials: list[Header]  # names in lower case
    fields: list[Header]  # likewise, ordered by name; those of one name as they came


class Reader:
    """Tells apart the fields of request heads. `ignored`: further names that make no difference, credentials excepted."""

    def __init__(self, ignored: Iterable[str] = ()) -> None:
        self._ignored = IGNORED | {name.strip().lower().encode("utf-8") for name in ignored}
        self._classes: dict[bytes, tuple[int, bytes]] = {}

    def read(self, headers: Headers) -> Head:
        """Return what makes a difference."""
        classes = self._classes
        credentials: list[Header] = []
        fields: list[Header] = []
        nominated: frozenset[bytes] = frozenset()
        for name, value in headers:
            kind, low = classes.get(name) or self._classify(name)
            if kind == _COUNT:
                fields.append((low, value))
            elif kind == _CREDENTIAL:
                credentials.append((low, value))
            elif kind == _NOMINATE:
                nominated |= nominated_names(value)
        if nominated:
            fields = [field for field in fields if field[0] not in nominated]
        fields.sort(key=_name_of)
        credentials.sort(key=_name_of)
        return Head(credentials, fields)

    def _classify(self, name: bytes) -> tuple[int, bytes]:
        low = name.lower()
        kind = _COUNT
        if low in CREDENTIALS:
            kind = _CREDENTIAL
        elif low == b"connection":
            kind = _NOMINATE
        elif low in self._ignored or low.replace(b"_", b"-").startswith(_IGNORED_BEGINNINGS):
            kind = _IGNORE
        if len(self._classes) < _REMEMBERED_MAX and len(name) <= _REMEMBERED_BYTES_MAX:
            self._classes[name] = kind, low
        return kind, low


def read_scope(tenant: str, credentials: list[Header], query: str) -> tuple[Scope, str]:
    """Return on whose behalf a call is made, and its query without what tells so."""
    secrets: list[str] = []
    if query:
        parameters = query.split("&")
        secrets = [parameter for parameter in parameters if _is_secret(parameter)]
        if secrets:
            query = "&".join(parameter for parameter in parameters if not _is_secret(parameter))
    mark = blake2b(_encode((credentials, secrets)), digest_size=32, person=b"llm-sidecar who").digest()
    return Scope(tenant, mark), query


def make_key(
    scope: Scope, *, route: str, method: str, path: str, query: str, fields: list[Header], offers: bytes, wishes: Wishes, form: str,
    body: bytes,
) -> str:  # fmt: skip
    """Return the key, 40 hexadecimal digits.

    `offers`: the codings in which the answer may come. `form`: how `body` is meant, so that the one form of a JSON text is
    not taken for a body that is the same by chance. `query` is without credentials.
    """
    wanted = None if wishes is NO_WISHES else _spell_wishes(wishes)
    parts = (FORMAT, scope.tenant, scope.credential, route, method, path, query, fields, offers, wanted, form)
    digest = blake2b(_encode(parts), digest_size=KEY_CHARS // 2)  # which tells where it ends, so that the rest can follow
    digest.update(body)
    return digest.hexdigest()


def spell_offers(accept_encoding: bytes, *, narrowed: bool) -> bytes:
    """Return an Accept-Encoding in one spelling. `narrowed`: as the upstream gets it, where answers are read.

    The order of the codings does not count (RFC 9110 section 12.5.3), and that there is none is not the same as `identity`.
    """
    if not narrowed:
        return accept_encoding
    known = _offers.get(accept_encoding)
    if known is None:
        kept = narrow_codings(accept_encoding, _READABLE_CODINGS) if accept_encoding else None
        text = accept_encoding if kept is None else kept
        known = b",".join(sorted({offer.strip().replace(b" ", b"") for offer in text.lower().split(b",")}))
        if len(_offers) < _REMEMBERED_MAX and len(accept_encoding) <= _REMEMBERED_BYTES_MAX:
            _offers[accept_encoding] = known
    return known


def _name_of(field: Header) -> bytes:
    return field[0]


def _is_secret(parameter: str) -> bool:
    return parameter.partition("=")[0].lower() in _SECRET_PARAMETERS


def _spell_wishes(wishes: Wishes) -> tuple[object, ...]:
    return (
        wishes.max_response_time_s, wishes.min_quality, wishes.min_reliability, sorted(wishes.prefer), sorted(wishes.exclude),
        wishes.urgency,
    )  # fmt: skip
