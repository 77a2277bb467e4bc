"""Whether and where spans are exported: our settings, and the standard OTEL_* variables under them.

Without an endpoint there is no exporter. The variables follow the OpenTelemetry specification
("SDK environment variables", "OTLP exporter configuration"); what was set for us by name wins over
what was set for every SDK in the environment.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from sidecar.config import Tracing
from sidecar.errors import ConfigError, ConfigProblem

HTTP: Final = "http/protobuf"
GRPC: Final = "grpc"
_PATH: Final = "/v1/traces"
_DEFAULT_ENDPOINT: Final = {HTTP: "http://localhost:4318", GRPC: "http://localhost:4317"}
_NAMED_SAMPLERS: Final = {"always_on": 1.0, "always_off": 0.0}


class Export(NamedTuple):
    """Where spans go, and how. Times in seconds, sizes in spans."""

    endpoint: str  # for HTTP with its path
    protocol: str
    headers: tuple[tuple[str, str], ...]  # may hold credentials: never logged
    timeout_s: float
    is_compressed: bool
    ca_file: str | None
    certificate_file: str | None
    key_file: str | None
    queue_spans: int
    batch_spans: int
    delay_s: float


def read_export(tracing: Tracing, environ: Mapping[str, str]) -> Export | None:
    """Return where spans go, or None where nobody asked for them. Raises ConfigError."""
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter not in ("", "otlp"):
        return None
    own = tracing.endpoint
    given = own or _otlp(environ, "ENDPOINT")
    if not given and not exporter:
        return None
    problems: list[ConfigProblem] = []
    protocol = tracing.protocol or _otlp(environ, "PROTOCOL") or HTTP
    if protocol not in _DEFAULT_ENDPOINT:
        problems.append(ConfigProblem(_name(environ, "PROTOCOL", own=tracing.protocol), protocol, f"{HTTP}, {GRPC}"))
        protocol = HTTP
    endpoint = given or _DEFAULT_ENDPOINT[protocol]
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = endpoint.rpartition("@")[2]  # without credentials
        problems.append(ConfigProblem(_name(environ, "ENDPOINT", own=own), shown, "an http:// or https:// URL"))
    if protocol == HTTP and (own or not environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")) and not parts.path.endswith(_PATH):
        endpoint = endpoint.rstrip("/") + _PATH
    export = Export(
        endpoint, protocol, _read_pairs(_otlp(environ, "HEADERS"), lower=True),
        _read_number(environ, _name(environ, "TIMEOUT"), 10.0, problems),
        _otlp(environ, "COMPRESSION").lower() == "gzip",
        _otlp(environ, "CERTIFICATE") or None, _otlp(environ, "CLIENT_CERTIFICATE") or None, _otlp(environ, "CLIENT_KEY") or None,
        int(_read_number(environ, "OTEL_BSP_MAX_QUEUE_SIZE", tracing.queue, problems)),
        int(_read_number(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, problems)),
        _read_number(environ, "OTEL_BSP_SCHEDULE_DELAY", 1000, problems) / 1000,
    )  # fmt: skip
    if problems:
        raise ConfigError("tracing", problems)
    return export


def read_ratio(tracing: Tracing, environ: Mapping[str, str]) -> float:
    """Return the share of root traces that is sampled: our setting, else OTEL_TRACES_SAMPLER's.

    A remote parent's decision is always respected, so `always_on` means `parentbased_always_on`.
    """
    sampler = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower().removeprefix("parentbased_")
    if tracing.ratio != Tracing().ratio:
        return tracing.ratio
    if sampler == "traceidratio":
        problems: list[ConfigProblem] = []
        ratio = _read_number(environ, "OTEL_TRACES_SAMPLER_ARG", 1.0, problems, most=1.0)
        if problems:
            raise ConfigError("tracing", problems)
        return ratio
    return _NAMED_SAMPLERS.get(sampler, tracing.ratio)


def read_resource(environ: Mapping[str, str], *, version: str, instance_id: str) -> dict[str, str]:
    """Return what describes this process: defaults, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME."""
    resource = {
        "service.name": "llm-sidecar",
        "service.version": version,
        "service.instance.id": instance_id,
        "telemetry.sdk.name": "llm-sidecar",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": version,
    }
    resource.update(_read_pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", "")))
    if environ.get("OTEL_SERVICE_NAME"):
        resource["service.name"] = environ["OTEL_SERVICE_NAME"]
    return resource


def _otlp(environ: Mapping[str, str], what: str) -> str:
    return (environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{what}") or environ.get(f"OTEL_EXPORTER_OTLP_{what}") or "").strip()


def _name(environ: Mapping[str, str], what: str, *, own: str | None = None) -> str:
    """Return where a value came from, as a problem names it."""
    if own is not None:
        return f"tracing.{what.lower()}"
    specific = f"OTEL_EXPORTER_OTLP_TRACES_{what}"
    return specific if environ.get(specific) else f"OTEL_EXPORTER_OTLP_{what}"


def _read_pairs(text: str, *, lower: bool = False) -> tuple[tuple[str, str], ...]:
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return tuple((key.strip().lower() if lower else key.strip(), unquote(value.strip())) for key, _, value in pairs)


def _read_number(
    environ: Mapping[str, str], name: str, default: float, problems: list[ConfigProblem], *, most: float = float("inf")
) -> float:
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if 0 <= number <= most:
        return number
    problems.append(ConfigProblem(name, text, "a number, not negative" if most > 1 else "a number of 0 to 1"))
    return default
