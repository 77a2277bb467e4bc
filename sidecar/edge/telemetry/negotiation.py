"""Which exposition format and coding a scraper gets (RFC 9110 section 12.5)."""

from typing import Final, NamedTuple


class Format(NamedTuple):
    """One exposition format."""

    content_type: str
    is_openmetrics: bool


TEXT: Final = Format("text/plain; version=0.0.4; charset=utf-8", False)
OPENMETRICS: Final = Format("application/openmetrics-text; version=1.0.0; charset=utf-8", True)
_HEADER_CHARACTERS_MAX: Final = 4096  # Prometheus 3 sends about 400


def choose_format(accept: str) -> Format:
    """Return what `accept` likes best of what we have; the first of equals; text if nothing fits."""
    best, best_quality = TEXT, 0.0
    for name, parameters, quality in _split(accept):
        fits = _match(name, parameters.get("version"))
        if fits is not None and quality > best_quality:
            best, best_quality = fits, quality
    return best


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether a gzip answer is acceptable."""
    qualities = {name: quality for name, _, quality in _split(accept_encoding)}
    return qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0))) > 0


def _match(name: str, version: str | None) -> Format | None:
    if name == "application/openmetrics-text":
        return OPENMETRICS if version in (None, "1.0.0") else None
    if name in ("text/plain", "text/*", "*/*"):
        return TEXT if version in (None, "0.0.4") else None
    return None


def _split(header: str) -> list[tuple[str, dict[str, str], float]]:
    """Return each element of a header: name, parameters, and quality (0 where it is malformed)."""
    found = []
    for element in header[:_HEADER_CHARACTERS_MAX].lower().split(","):
        name, *rest = (part.strip() for part in element.split(";"))
        parameters = {key.strip(): value.strip(' \t"') for key, _, value in (part.partition("=") for part in rest)}
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            quality = 0.0
        found.append((name, parameters, quality if 0 <= quality <= 1 else 0.0))
    return found
