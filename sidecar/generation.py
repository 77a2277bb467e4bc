"""What one set of settings comes to: made whole, before anything of it is in force."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from sidecar.config import Settings
from sidecar.core.choose.places import Place, read_places
from sidecar.core.identify.router import Router
from sidecar.core.identify.tenants import Tenancy
from sidecar.core.observe.overhearing import Listening, read_listening
from sidecar.core.observe.pricing import PriceTable
from sidecar.edge.files import find_unreadable, read_keys, read_token
from sidecar.edge.prices import load_prices
from sidecar.edge.telemetry.otlp import read_ratio
from sidecar.errors import ConfigError, ConfigProblem


class Material(NamedTuple):
    """What was read of the files that settings name, at one moment."""

    keys: Mapping[str, str]  # of upstreams, by name
    token: str | None  # of operators
    prices: PriceTable


class Generation(NamedTuple):
    """What follows from settings and files. A call keeps to the one that it began with."""

    settings: Settings  # with what the environment says of sampling
    places: Mapping[str, Place]
    prices: PriceTable
    token: str | None
    router: Router
    tenancy: Tenancy
    listening: Listening | None


def read_material(settings: Settings, source: str) -> Material:
    """Read the files that settings name. Raises ConfigError with all that is wrong with any of them. Waits for disks."""
    problems: list[ConfigProblem] = find_unreadable(settings)
    prices: PriceTable | None = None
    if not any(problem.path == "prices.file" for problem in problems):
        try:
            prices = load_prices(settings)
        except ConfigError as error:
            if not problems:
                raise
            problems += error.problems
    if problems or prices is None:
        raise ConfigError(source, problems)
    return Material(read_keys(settings), read_token(settings), prices)


def make_generation(settings: Settings, material: Material, environ: Mapping[str, str]) -> Generation:
    """Put together what needs nothing that is live. Raises ConfigError."""
    listening = read_listening(settings)
    return Generation(
        replace(settings, tracing=replace(settings.tracing, ratio=read_ratio(settings.tracing, environ))),
        read_places(settings.upstreams, material.keys), material.prices, material.token, Router(settings.routes, settings.pools),
        Tenancy(settings), listening if listening.is_on else None,
    )  # fmt: skip
