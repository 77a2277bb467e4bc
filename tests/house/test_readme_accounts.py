"""What README.md says of the settings of cache, limits, budgets and tenants is so."""

import os
import re
import subprocess

import pytest
import yaml

from sidecar.config import Budget, Cache, Rate, Rates, Route, Settings, TenantSource, Unit
from sidecar.core.identify.tenants import OTHER, Tenancy
from sidecar.core.settings.decode import decode
from sidecar.core.settings.kinds import Kind, members
from sidecar.core.settings.units import parse_duration, parse_size
from sidecar.edge.documents import parse_value
from sidecar.errors import BAD_TENANT
from tests.core.attempt.calls import make_call
from tests.house.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PART = README[README.index("## Cache, limits and budgets") : README.index("\n## Tools")]
FLAT = re.sub(r"\s+", " ", PART)
ROWS = dict(re.findall(r"^\| `([\w.\[\]]+)` \| (.*) \|$", PART[PART.index("### Settings of cache") :], re.MULTILINE))
# What a route has of it.
OF_ROUTES = {"cache", "tools"}


def find_default(section: str) -> object:
    """Return a section as it is where nothing is said."""
    if section == "routes[]":
        return Route("/a/")
    value: object = Settings()
    for step in section.split("."):
        value = getattr(value, step)
    return value


def read(kind: Kind, told: str) -> object:
    """Return what a default that is told stands for."""
    if kind.scalar is Unit.DURATION:
        return parse_duration(told)
    return parse_size(told) if kind.scalar is Unit.SIZE else yaml.safe_load(told)


def test_each_section_is_told() -> None:
    """All that `config.reuse` and `config.accounts` declare, and what routes have of it."""
    of_cache = {f"cache.{name}" for name, member in members(Cache).items() if member.kind.section is not None}
    assert of_cache == {"cache.expiry", "cache.hot", "cache.warm"}
    ours = ("sidecar.config.reuse", "sidecar.config.accounts")
    sections = {name for name in members(Settings) if type(getattr(Settings(), name)).__module__ in ours}
    assert ROWS.keys() == sections | of_cache | {"limits.rates", "routes[]"}


@pytest.mark.parametrize("section", ROWS)
def test_every_setting_is_told_with_its_default(section: str) -> None:
    """No setting is left out, and none has another default than it is told to have."""
    value, text = find_default(section), ROWS[section]
    known = {name: member for name, member in members(type(value)).items() if section != "routes[]" or name in OF_ROUTES}
    told = dict(re.findall(r"`(\w+)` \(([^() ]+)\)", text))
    assert told.keys() <= known.keys()
    for name, member in known.items():
        default = getattr(value, name)
        if member.kind.section is not None and f"{section}.{name}" in ROWS:
            continue
        assert f"`{name}`" in text, name
        if member.kind.scalar is not None and default is not None:
            assert read(member.kind, told[name]) == default, name
        else:
            assert name not in told, name


def test_limits_and_sums_are_told_to_the_last() -> None:
    """What each rate and each budget may say."""
    assert [name for name in (*members(Rates), *members(Rate)) if f"`{name}`" not in ROWS["limits.rates"]] == []
    assert [name for name in members(Budget) if f"`{name}`" not in ROWS["budgets"]] == []


def test_tenants_are_as_told() -> None:
    """Each source tells as it is said to, in the order that holds, and the command makes what a key is known by."""
    assert f"`sources`: `[{', '.join(Settings().tenants.sources)}]`" in PART
    assert all(f"`{source}` (" in FLAT for source in TenantSource)
    assert f"{BAD_TENANT.status} `{BAD_TENANT.id}`" in FLAT and f"the account `{OTHER}`" in FLAT
    (command,) = re.findall(r"```sh\n(.*?)\n```", PART, re.DOTALL)
    credential = "sk-test-123"
    printed = subprocess.run(
        ["sh", "-c", command], env={**os.environ, "OPENAI_API_KEY": credential}, capture_output=True, text=True, check=True, timeout=10
    )  # fmt: skip
    tenants = {"keys": {printed.stdout.split()[0]: "acme"}, "sources": ["path", "key"]}
    settings, faults = decode(Settings, {"tenants": tenants})
    assert settings is not None and faults == []
    call = make_call((b"Authorization", f"Bearer {credential}".encode()))
    assert Tenancy(settings).identify(call, "/x", "")[0].account == "acme"
    (path,) = re.findall(r"`path` \(`([^…]+)…`", FLAT)
    assert Tenancy(settings).identify(call, path, "")[1] == "/openai/v1/"


def test_prompts_are_written_as_told() -> None:
    """A line of the warming file is JSON."""
    (line,) = re.findall(r"JSON lines such as `([^`]+)`", ROWS["warming"])
    assert parse_value(line).keys() == {"path", "body"}
