"""Settings from environment variables, which go over the file's.

Every setting is `LLM_SIDECAR__SECTION__KEY`, upper case; maps and lists may be given whole, as YAML text. A few
have a short name. Other variables that begin with `LLM_SIDECAR_` are left alone: Kubernetes makes
`LLM_SIDECAR_PORT` and the like for a Service of our name.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from sidecar.config import Capture, Settings
from sidecar.core.settings.decode import suggest
from sidecar.core.settings.forms import ATTEMPTS_MAX
from sidecar.core.settings.kinds import Kind, members
from sidecar.core.settings.redaction import show
from sidecar.core.settings.tree import Fault, KeyPath

PREFIX: Final = "LLM_SIDECAR__"
FILE_VARIABLE: Final = "LLM_SIDECAR_CONFIG"
UPSTREAM_VARIABLE: Final = "LLM_SIDECAR_UPSTREAM"
UPSTREAM_NAME: Final = "default"

_SHORT: Final[Mapping[str, KeyPath]] = {
    "LLM_SIDECAR_LISTEN": ("listen",),
    "LLM_SIDECAR_ADMIN_LISTEN": ("admin", "listen"),
    UPSTREAM_VARIABLE: ("upstreams", UPSTREAM_NAME, "url"),
}
# From elsewhere, in milliseconds.
_MILLISECONDS: Final[Mapping[str, KeyPath]] = {
    "OPENROUTER_REQUEST_TIMEOUT": ("timeouts", "total"),
    "OPENROUTER_RETRY_DELAY": ("retries", "base"),
    "CACHE_DEFAULT_TTL": ("cache", "expiry", "answers"),
}
# From elsewhere, with the type of what they set.
_FOREIGN: Final[Mapping[str, tuple[KeyPath, type]]] = {
    "CIRCUIT_BREAKER_THRESHOLD": (("breaker", "consecutive"), int),
    "ENABLE_OPENROUTER_CIRCUIT_BREAKER": (("features", "breakers"), bool),
    "ENABLE_OPENROUTER_HEALTH_CHECKS": (("features", "probes"), bool),
    "ENABLE_OPENROUTER_ADVANCED_CACHING": (("features", "cache"), bool),
    "ENABLE_OPENROUTER_REQUEST_BATCHING": (("features", "batches"), bool),
}
# From elsewhere: repetitions, where `retries.attempts` counts the first one too.
_RETRIES_VARIABLE: Final = "OPENROUTER_MAX_RETRIES"

_WORDS: Final = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_INT_CHARS_MAX: Final = 20

# What the instrumentations of GenAI libraries understand; settings of our own go over it, the file's too. There are no
# events here, so what asks for both gets spans.
_CAPTURE_VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_CAPTURES: Final[Mapping[str, Capture]] = {
    "NO_CONTENT": Capture.OFF, "SPAN_ONLY": Capture.SPANS, "SPAN_AND_EVENT": Capture.SPANS,
}  # fmt: skip

# Where traces go, as the OTLP exporter reads it (OpenTelemetry: environment variable specification).
_TRACE_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

ParseText = Callable[[str], Any]


class Assignment(NamedTuple):
    """One variable that sets something."""

    path: KeyPath
    value: Any
    variable: str
    yields: bool = False  # a variable not of our own: the file goes over it


def read_environment(environ: Mapping[str, str], parse: ParseText) -> tuple[list[Assignment], list[Fault]]:
    """Return what the environment sets, in the order to apply it, and what is wrong with it.

    `parse` reads the YAML text of whole maps and lists; it raises ValueError with a safe sentence. Empty variables
    count as unset. Long names go over short ones, and the more specific over the less.
    """
    found: list[Assignment] = []
    faults: list[Fault] = []
    _sort(_read_foreign(environ), found, faults)
    found += [Assignment(path, environ[variable], variable) for variable, path in _SHORT.items() if environ.get(variable)]
    if capture := _CAPTURES.get(environ.get(_CAPTURE_VARIABLE, "").strip().upper()):
        found.append(Assignment(("content", "capture"), str(capture), _CAPTURE_VARIABLE, yields=True))
    # A section's name sorts before those of its keys.
    long = sorted(name for name in environ if name.startswith(PREFIX) and environ[name])
    _sort((_read_long(variable, environ[variable], parse) for variable in long), found, faults)
    return found, faults


def _sort(results: Iterable[Assignment | Fault], found: list[Assignment], faults: list[Fault]) -> None:
    for result in results:
        if isinstance(result, Fault):
            faults.append(result)
        else:
            found.append(result)


def name_trace_endpoint(environ: Mapping[str, str]) -> str | None:
    """Return the OTEL_ variable that switches tracing on, if one does and none switches it off."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER", "").lower() == "none":
        return None
    return next((name for name in _TRACE_ENDPOINTS if environ.get(name)), None)


def _read_foreign(environ: Mapping[str, str]) -> Iterator[Assignment | Fault]:
    for variable, path in _MILLISECONDS.items():
        if text := environ.get(variable):
            yield Assignment(path, f"{text}ms" if text.isdecimal() else text, variable)
    for variable, (path, scalar) in _FOREIGN.items():
        if text := environ.get(variable):
            yield Assignment(path, _read_text(scalar, text), variable)
    if text := environ.get(_RETRIES_VARIABLE):
        retries = _read_text(int, text)
        if not isinstance(retries, int) or not 0 <= retries < ATTEMPTS_MAX:
            yield Fault((_RETRIES_VARIABLE,), show(retries), f"a whole number from 0 to {ATTEMPTS_MAX - 1}")
            return
        yield Assignment(("retries", "attempts"), retries + 1, _RETRIES_VARIABLE)
        if retries:
            yield Assignment(("features", "retries"), True, _RETRIES_VARIABLE)


def _read_long(variable: str, text: str, parse: ParseText) -> Assignment | Fault:
    path = tuple(variable.removeprefix(PREFIX).lower().split("__"))
    kind = Kind(section=Settings)
    for step in path:
        if kind.section is not None:
            known = members(kind.section)
            if step not in known:
                return Fault((variable,), "a variable that is not known", ", ".join(known) + suggest(step, known))
            kind = known[step].kind
        elif kind.entries is not None and kind.entries.section is not None and step:
            kind = kind.entries
        else:
            # Models, too: a variable cannot spell their names.
            return Fault((variable,), "a variable that is not known", "the value above it as a whole, as YAML text")
    return _assign(kind, path, variable, text, parse)


def _assign(kind: Kind, path: KeyPath, variable: str, text: str, parse: ParseText) -> Assignment | Fault:
    if kind.scalar is not None:
        return Assignment(path, _read_text(kind.scalar, text), variable)
    try:
        return Assignment(path, parse(text), variable)
    except ValueError as error:
        return Fault((variable,), str(error), f"{'a list' if kind.items else 'a mapping'} as YAML text")


def _read_text(scalar: Any, text: str) -> Any:
    """Return text as the scalar it spells, or unchanged, for the decoder to refuse with the right words."""
    if scalar is bool:
        return _WORDS.get(text.lower(), text)
    if scalar in (int, float) and len(text) <= _INT_CHARS_MAX:
        try:
            return scalar(text)
        except ValueError:
            return text
    return text
