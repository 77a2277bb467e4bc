"""Which upstreams are asked whether they live, how, and what follows from what they say.

A probe is a request that costs nothing: it bills no tokens and runs no model. Whatever answers with a status below 500
lives, if only to say that it wants a key.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from sidecar import __version__
from sidecar.config import BUILT_IN_ROUTES, BUILT_IN_UPSTREAMS, Probing, Settings, Upstream
from sidecar.core.choose.places import Place
from sidecar.core.choose.views import ProbeView
from sidecar.core.identify.providers import HOSTED, UNKNOWN, name_provider

SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
OUTCOMES: Final = (SUCCEEDED, FAILED)
# One lost packet is no news: an upstream is called unhealthy after so many failures in a row, healthy after one success.
FAILURES_IN_A_ROW: Final = 2

_OPENAI_PATH: Final = b"/v1/models"
_PATHS: Final[Mapping[str, bytes]] = {
    **dict.fromkeys(("openai", "openrouter", "groq", "deepseek", "mistral_ai", "x_ai", "cohere", "moonshot_ai"), _OPENAI_PATH),
    "azure.ai.openai": b"/openai/v1/models",
    "anthropic": b"/v1/models",
    "gcp.gemini": b"/v1beta/models",
    "ollama": b"/api/version",
    "vllm": b"/health",
}
_FIELDS: Final[Mapping[str, bytes]] = {"anthropic": b"anthropic-version: 2023-06-01"}  # it answers nobody who does not say so


class Probe(NamedTuple):
    """How one upstream is asked."""

    upstream: str
    request: bytes  # a GET without a body; b"" where a connection says all there is to know


def plan_probes(settings: Settings, places: Mapping[str, Place]) -> tuple[Probe, ...]:
    """Return the probes of all upstreams that are to be probed."""
    if not settings.features.probes:
        return ()
    used = _list_used(settings)
    return tuple(
        Probe(name, compose_probe(places[name], upstream.probe_path))
        for name, upstream in settings.upstreams.items()
        if _is_probed(name, upstream, places[name], settings, used)
    )


def is_metered(place: Place) -> bool:
    """Tell whether calls there are billed, as far as that is known: by its host, or by what it is called."""
    return place.provider in HOSTED or name_provider(place.host, None) != UNKNOWN


def compose_probe(place: Place, path: str | None) -> bytes:
    """Return the request that asks `place`, with no credential but its own; b"" where no cheap path is known.

    `path`: the configured one, put behind the upstream's own.
    """
    chosen = _PATHS.get(place.provider) if path is None else path.encode("ascii")
    if chosen is None:
        return b""
    base = place.base_path
    version, slash, _ = chosen[1:].partition(b"/")
    if path is None and slash and base.endswith(b"/" + version):  # a url that names the version already
        base = base[: -len(version) - 1]
    lines = [b"GET %b%b HTTP/1.1" % (base, chosen), b"Host: " + place.authority, *place.credential]
    if place.provider in _FIELDS:
        lines.append(_FIELDS[place.provider])
    lines += [b"User-Agent: llm-sidecar/" + __version__.encode("ascii"), b"Accept: */*", b"Connection: close", b"\r\n"]
    return b"\r\n".join(lines)


class ProbeHistory:
    """What the probes of one upstream have come to."""

    def __init__(self) -> None:
        self.last: ProbeView | None = None

    def note(self, began: float, took_s: float, problem: str | None) -> bool | None:
        """Note how a probe went (`problem` None: well). Return what it says of the upstream's health; None: nothing yet."""
        before = self.last
        failures = 0 if problem is None else 1 if before is None else before.failures + 1
        verdict = True if not failures else False if failures >= FAILURES_IN_A_ROW else None
        known = None if before is None else before.healthy
        self.last = ProbeView(began, took_s, problem, failures, known if verdict is None else verdict)
        return verdict


def _is_probed(name: str, upstream: Upstream, place: Place, settings: Settings, used: frozenset[str]) -> bool:
    if upstream.probe is not Probing.AUTO:
        return upstream.probe is Probing.ON
    if BUILT_IN_UPSTREAMS.get(name) == upstream and name not in used:
        return False  # it is always there, whether there is such a thing on this machine or not
    return settings.features.metered_probes or not is_metered(place)


def _list_used(settings: Settings) -> frozenset[str]:
    """Return the upstreams that the configuration has a use for: those of pools, and of routes that are not built in."""
    routed = {route.upstream for route in settings.routes if route.upstream is not None and route not in BUILT_IN_ROUTES}
    return frozenset(routed.union(*(pool.upstreams for pool in settings.pools.values())))
