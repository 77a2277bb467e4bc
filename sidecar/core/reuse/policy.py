"""Whether a call may be answered with what is kept, under which key, and for how long its answer may be kept.

By default only what is deterministic is: embeddings, and what is asked for with temperature 0 or with a seed. What a
provider is to remember, or remembers already, is never answered from here: such a call is more than its answer.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from sidecar.config import Cacheable, Route, RouteKind, Settings
from sidecar.core.identify.router import Match
from sidecar.core.identify.wishes import Wishes
from sidecar.core.observe.contract import Dialect
from sidecar.core.observe.dialects import OPAQUE
from sidecar.core.observe.inflate import decode_body
from sidecar.core.reuse.cachekey import Reader, make_key, read_scope, spell_offers
from sidecar.core.reuse.canonical import BYTES_MAX, canonicalise
from sidecar.core.reuse.directives import TTL_TIMES_MAX, Directives, read_directives
from sidecar.core.reuse.origins import NONE, Atlas, Origins
from sidecar.core.reuse.requests import Nature, may_be_deterministic, read_nature
from sidecar.core.reuse.toolcalls import Body, read_tool_call
from sidecar.exchange import Asked, Headers

_MODEL_LISTS: Final = ("/models", "/api/tags")
_FETCH: Final = "openai_responses_fetch"
_MCP: Final = "mcp"
_NOT_DETERMINISTIC: Final = "not_deterministic"
_NO_BODY: Final = Body("bytes", b"")


class Request(NamedTuple):
    """One call, as far as it is looked at here."""

    method: str
    match: Match
    query: str
    headers: Headers
    own: Mapping[str, str]
    accept_encoding: bytes
    coding: bytes  # of the body
    body: bytes
    whole: bool  # `body` is all of it
    dialect: Dialect
    asked: Asked
    tenant: str
    wishes: Wishes
    tool: str | None  # on a tool route: the tool's name as the path tells it


class Terms(NamedTuple):
    """How one call may use what is kept."""

    key: str  # 40 hexadecimal digits; "" on bypass
    kind: str  # one of catalogue.CACHE_KINDS; "" on bypass
    bypass: str | None  # one of catalogue.BYPASS_REASONS
    ttl_s: float  # for how long the answer is kept
    life_s: float  # for how long it would be by the settings alone
    origins: Origins  # who may have given it
    reads: bool
    stores: bool
    only_cached: bool  # nobody is to be asked: true of a call that bypasses, too
    max_age_s: float | None  # of what is read
    max_stale_s: float | None  # it may have expired so long ago
    shares: bool  # may join a call in progress


class _Case(NamedTuple):
    """What may be kept of a call, and for how long by the settings."""

    kind: str
    body: Body
    ttl_s: float


class Policy:
    """Judges calls. One instance serves all of them."""

    def __init__(self, settings: Settings) -> None:
        self._cache = settings.cache
        self._keeps = settings.features.cache
        self._shares = settings.features.coalescing
        self._keeps_all = settings.cache.what is Cacheable.ALL
        expiry = settings.cache.expiry
        self._expiry = {
            "answers": expiry.answers, "tool_results": expiry.tool_results, "conversations": expiry.conversations,
            "embeddings": expiry.embeddings, "models": expiry.models,
        }  # fmt: skip
        self._tool_routes = {route.prefix: route for route in settings.routes if route.kind is RouteKind.TOOL}
        self._reader = Reader(settings.cache.ignore_headers)
        self._atlas = Atlas(settings.upstreams)

    def judge(self, request: Request) -> Terms:
        """Return how a call may use what is kept. Never raises."""
        said = read_directives(request.headers, request.own)
        found = "directive" if said.no_store else self._look(request)
        if isinstance(found, str):
            return Terms("", "", found, 0.0, 0.0, NONE, False, False, said.only_if_cached, None, None, False)
        return self._agree(self._make_key(request, found.body), found, said, self._atlas.find(request.match.upstreams))

    def _look(self, request: Request) -> _Case | str:
        if not request.whole:
            return "body"
        if request.match.tool is not None:
            return self._look_at_tool(request)
        dialect = request.dialect
        if dialect is OPAQUE:
            return self._look_at_list(request)
        if dialect.name == _FETCH:
            return "stateful"
        body = request.body
        if request.coding:
            try:
                body = decode_body(body, request.coding, BYTES_MAX)
            except ValueError:
                return "body"
        if not self._keeps_all and request.asked.readable and not may_be_deterministic(dialect.name, body):
            return _NOT_DETERMINISTIC
        canonical = canonicalise(body)
        if canonical is None or not isinstance(canonical.tree, dict):
            return "body"
        nature = read_nature(dialect.name, canonical.tree)
        if nature is None:
            return "form"
        reason = self._refuse(nature)
        if reason is not None:
            return reason
        kind = "embeddings" if dialect.operation == "embeddings" else _name_kind(nature)
        return _Case(kind, Body("json", canonical.text), self._expiry[kind])

    def _look_at_list(self, request: Request) -> _Case | str:
        if request.method != "GET":
            return "form" if request.method == "POST" else "method"
        if request.body or not request.match.path.endswith(_MODEL_LISTS):
            return "method"
        return _Case("models", _NO_BODY, self._expiry["models"])

    def _look_at_tool(self, request: Request) -> _Case | str:
        route, asked = self._tool_routes.get(request.match.prefix), request.asked
        ttl_s = 0.0 if route is None else _find_expiry(route, asked.tool)
        if ttl_s <= 0:
            return "route"
        is_mcp = request.dialect.name == _MCP
        body = read_tool_call(request.method, request.headers, asked, request.coding, request.body, is_mcp=is_mcp)
        return body if isinstance(body, str) else _Case("tools", body, ttl_s)

    def _refuse(self, nature: Nature) -> str | None:
        if nature.is_stateful:
            return "stateful"
        if not (nature.is_deterministic or self._keeps_all):
            return _NOT_DETERMINISTIC
        if (nature.offers_tools or nature.ends_with_tool) and not self._cache.tools:
            return "tools"
        if nature.is_conversation and not nature.ends_with_tool and not self._cache.conversations:
            return "conversation"
        return None

    def _make_key(self, request: Request, body: Body) -> str:
        match, head = request.match, self._reader.read(request.headers)
        scope, query = read_scope(request.tenant, head.credentials, request.query)
        offers = spell_offers(request.accept_encoding, narrowed=request.dialect is not OPAQUE)
        return make_key(
            scope, route=match.route, method=request.method, path=match.prefix + match.path[1:], query=query, fields=head.fields,
            offers=offers, wishes=request.wishes, form=body.form, body=body.text,
        )  # fmt: skip

    def _agree(self, key: str, case: _Case, said: Directives, origins: Origins) -> Terms:
        """Return the terms that settings and caller agree on: of two limits the stricter."""
        ttl_s = case.ttl_s if said.ttl_s is None else min(said.ttl_s, case.ttl_s * TTL_TIMES_MAX)
        max_age_s = said.max_age_s
        if said.min_fresh_s is not None:
            left_s = max(0.0, ttl_s - said.min_fresh_s)
            max_age_s = left_s if max_age_s is None else min(max_age_s, left_s)
        is_fresh_wanted = said.no_cache or max_age_s == 0
        is_kept = self._keeps and case.ttl_s > 0
        return Terms(
            key, case.kind, None, ttl_s, case.ttl_s, origins, is_kept and not is_fresh_wanted, is_kept and ttl_s > 0, said.only_if_cached,
            max_age_s, None if said.max_stale_s is None else min(said.max_stale_s, self._cache.stale),
            self._shares and not is_fresh_wanted and not said.only_if_cached,
        )  # fmt: skip


def _name_kind(nature: Nature) -> str:
    return "tool_results" if nature.ends_with_tool else "conversations" if nature.is_conversation else "answers"


def _find_expiry(route: Route, tool: str | None) -> float:
    """Return for how long answers of a tool are kept; 0 for never."""
    expiry_s = route.cache if tool is None else route.tools.get(tool, route.cache)
    return expiry_s or 0.0
