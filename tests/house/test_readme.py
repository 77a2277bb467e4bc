"""What README.md says is so: commands, names, settings, addresses, files."""

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml

from sidecar import __version__, catalogue
from sidecar.cli import main
from sidecar.config import (
    BUILT_IN_ROUTES,
    Admin,
    Cache,
    Cacheable,
    Drain,
    DrainMode,
    Expiry,
    Features,
    Force,
    Limits,
    Pool,
    Settings,
    Strategy,
    Timeouts,
    Unit,
    Upstream,
)
from sidecar.core.choose.breaker import JITTER
from sidecar.core.identify.batch import BATCH_PATH, read_batch, read_entry
from sidecar.core.identify.wishes import Urgency
from sidecar.core.observe.dialects import OPAQUE, dialect_for
from sidecar.core.reuse.canonical import BYTES_MAX
from sidecar.core.reuse.directives import NONE, OWN, TTL_TIMES_MAX, read_directives
from sidecar.core.settings.environment import read_environment
from sidecar.core.settings.kinds import members
from sidecar.core.settings.terms import read_terms
from sidecar.core.settings.units import parse_duration
from sidecar.edge.documents import parse_value, read_document
from sidecar.edge.files import load
from sidecar.errors import CIRCUIT_OPEN, NOT_CACHED, OVERLOADED, WISH_UNMET
from sidecar.thresholds import Terms
from tests.core.attempt.calls import make_call
from tests.house.source import ROOT
from tests.promql import list_series
from tests.rig.exchanges import list_exchanges

README = (ROOT / "README.md").read_text(encoding="utf-8")
# As one line: for sentences that are broken across lines.
FLAT = re.sub(r"\s+", " ", README)
CODE = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
# Of configuration: one by itself, one with a pool, and one for each feature of cache, limits and budgets.
EXAMPLES = [text for language, text in CODE if language == "yaml" and not text.startswith(("thresholds:", "tls_server_config:"))]
(TERMS,) = [text for language, text in CODE if text.startswith("thresholds:")]
# What is done where an upstream fails.
FAILURES = README[README.index("## When an upstream fails") : README.index("\n## Cache, limits and budgets")]
SPANS = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", README, flags=re.DOTALL))


def read_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return what the command line says to `--help`."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_the_two_commands() -> None:
    """The set-up and the tests are one command each."""
    shell = [text.strip() for language, text in CODE if language == "sh"]
    assert shell[0] == "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/llm-sidecar demo"
    assert shell[1] == "tests/run"
    assert (ROOT / "tests/run").stat().st_mode & 0o111


def test_commands_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """Each verb and option that is named can be used."""
    text = "\n".join([*SPANS, *(text for language, text in CODE if language == "sh")])
    verbs = set(re.findall(r"llm-sidecar (\w+)", text))
    assert verbs >= {"demo", "run", "check", "explain", "catalogue", "render"}
    known = "".join(read_help([verb], capsys) for verb in sorted(verbs))  # fails for a verb that is not there
    of_programs = {"--all", "--quick", "--forms", "--prompts", "--zipf"}  # of tests/run and of what is in tests/bench
    assert [option for option in re.findall(r"(?<![\w-])--[a-z]+", text) if option not in known and option not in of_programs] == []


def test_links_and_paths_exist() -> None:
    """Nothing points at a file that is not there."""
    found = re.findall(r"\]\(([^)]+)\)", README)
    anchors, links = [link for link in found if link.startswith("#")], [link for link in found if not link.startswith("#")]
    headings = {"#" + re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in re.findall(r"^#+ (.+)$", README, re.MULTILINE)}
    assert [anchor for anchor in anchors if anchor not in headings] == []
    paths = [span for span in SPANS if re.fullmatch(r"(?:sidecar|tests|dashboards|alerts)/[\w./]+", span)]
    assert len(links) > 5
    made = {"sidecar/dashboards", "sidecar/alerts"}  # in the installed package only
    assert [path for path in (*links, *paths) if path not in made and not (ROOT / path).exists()] == []


def test_metrics_exist() -> None:
    """Each metric that is named is one of the catalogue."""
    named = {span for span in SPANS if re.match(r"(?:llm_sidecar|gen_ai|http)_\w{3,}$", span)}
    assert len(named) >= 4
    assert named - list_series().keys() - {metric.name for metric in catalogue.METRICS} == set()


def test_configuration_is_valid(tmp_path: Path) -> None:
    """The examples load without a problem."""
    loaded = []
    for number, example in enumerate(EXAMPLES):
        file = tmp_path / f"{number}.yaml"
        file.write_text(example, encoding="utf-8")
        loaded.append(load(str(file), {}).settings)
    alone, several, kept, accounts, limits, budgets, warming, shared = loaded
    assert alone.upstreams["vllm"].provider == "vllm"
    assert (several.upstreams["openai"].url, several.upstreams["openai"].weight) == ("https://api.openai.com", 3)
    assert several.pools["chat"].upstreams == ("openai", "vllm")
    assert several.upstreams["vllm"].models["*"] and several.breaker.groups["large"].models
    assert kept.features.stale and {route.prefix: route.tools for route in kept.routes}["/tools/weather/"] == {"book": 0.0}
    assert list(accounts.tenants.keys.values()) == list(limits.limits.rates.tenants) == list(budgets.budgets.tenants) == ["acme"]
    assert limits.features.limits and budgets.features.budgets and warming.features.warming and warming.warming.every
    assert shared.redis.url is not None and shared.redis.encryption_key_file is not None


def test_the_file_of_thresholds_is_valid(tmp_path: Path) -> None:
    """The example is taken, and each of its values is another than the default."""
    file = tmp_path / "thresholds.yaml"
    file.write_text(TERMS, encoding="utf-8")
    terms, default = read_terms(read_document(str(file))), Terms()
    for name in yaml.safe_load(TERMS)["thresholds"]:
        assert getattr(terms.thresholds, name) != getattr(default.thresholds, name), name
    assert [part for part, same in zip(terms, default, strict=True) if part == same] == []


def test_each_feature_is_told() -> None:
    """Whatever is off and belongs there: what it does, what it costs, what it never does; in a row of its own."""
    part = README[README.index("## Cache, limits and budgets") : README.index("### What is kept")]
    rows = {name: cells.split(" | ") for name, cells in re.findall(r"^\| `(\w+)` \| (.*) \|$", part, re.MULTILINE)}
    assert rows.keys() == {name for name in members(Features) if not getattr(Features(), name)} - {"retries", "hedging", "metered_probes"}
    assert all(len(cells) == 3 for cells in rows.values())
    for section, name in re.findall(r"`(\w+(?:\.\w+)*)\.(\w+)`", part):
        value: object = Settings()
        for step in section.split("."):
            value = getattr(value, step)
        assert hasattr(value, name), (section, name)


def test_sharing_is_as_told() -> None:
    """The extra that is to be installed is one, and the time that Redis is given is the default."""
    part = README[README.index("### Shared through Redis") : README.index("### Settings of cache")]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert re.findall(r"`pip install 'llm-sidecar\[(\w+)\]'`", part) == ["redis"] and "redis" in extras
    assert f"`redis.timeout` ({Settings().redis.timeout * 1000:.0f} ms)" in part


def test_variables_are_read() -> None:
    """Each environment variable that is named does what is said of it."""
    named = dict(re.findall(r"\b(LLM_SIDECAR_\w+)=([^\s`]+)", README))
    assert named.keys() == {"LLM_SIDECAR_UPSTREAM", "LLM_SIDECAR_ADMIN_LISTEN", "LLM_SIDECAR__TIMEOUTS__TOTAL"}
    foreign = set(re.findall(r"\b(?:(?:ENABLE_)?OPENROUTER|CIRCUIT_BREAKER|CACHE)_\w+", README))
    assert len(foreign) == 9
    found, faults = read_environment(named | dict.fromkeys(foreign, "1"), parse_value)
    assert faults == []
    assert {assignment.variable for assignment in found} == named.keys() | foreign


def test_every_setting_of_resilience_is_told_with_its_default() -> None:
    """No setting is left out, and none has another default than it is told to have."""
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.*) \|$", FAILURES[FAILURES.index("### Its settings") :], re.MULTILINE))
    assert rows.keys() == {"upstreams.NAME", "features", "retries", "breaker", "hedging", "probes", "queue", "balancing"}
    for section, text in rows.items():
        value = Upstream("") if section == "upstreams.NAME" else getattr(Settings(), section)
        names = members(type(value)).keys() - (
            {"url", "provider", "api_key_file", "keep_alive", "max_age"} if section == "upstreams.NAME" else set()
        )
        assert [name for name in sorted(names) if f"`{name}`" not in text] == [], section
        assert [told for told in re.findall(r"`(\w+)` \([\w.]+\)", text) if told not in names] == [], section
        for name, told in re.findall(r"`(\w+)` \(([\w.]+)\)", text):
            default, kind = getattr(value, name), members(type(value))[name].kind
            expected = parse_duration(told) if kind.scalar is Unit.DURATION else yaml.safe_load(told)
            assert default == expected, (section, name)
    on, off = rows["features"].split("Off: ")
    assert {name: f"`{name}`" in on for name in members(Features)} == {name: getattr(Features(), name) for name in members(Features)}
    assert {name for name in members(Features) if f"`{name}`" in off} == {
        name for name in members(Features) if not getattr(Features(), name)
    }
    assert [strategy for strategy in Strategy if f"| `{strategy}`" not in FAILURES] == []
    assert f"| `{Pool(()).strategy}` (the default)" in FAILURES


def test_inline_settings_are_valid(tmp_path: Path) -> None:
    """Each setting that stands in a sentence loads, too."""
    inline = [span for span in SPANS if re.match(r"(?:content|usage|features|tenants): \{", span)]
    assert len(inline) >= 7
    for number, text in enumerate(inline):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text, encoding="utf-8")
        load(str(file), {})


@pytest.mark.parametrize(
    "name",
    [
        "tracing.ratio",
        "timeouts.shutdown",
        "drain.mode",
        "drain.quiet",
        "response_headers",
        "content.capture",
        "content.cpu_share",
        "content.redact.timeout",
    ],
)
def test_settings_exist(name: str) -> None:
    """Settings that are named by their path exist."""
    assert name in FLAT
    value: object = Settings()
    for step in name.split("."):
        value = getattr(value, step)


def test_numbers_are_the_defaults() -> None:
    """Addresses, times and sizes that are told are the ones in force."""
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", README)) == {"4000", "9464", "4318"}
    assert (Settings().listen, Admin().listen) == ("127.0.0.1:4000", "127.0.0.1:9464")
    assert f"`timeouts.shutdown` ({Timeouts().shutdown:.0f} s)" in FLAT
    assert f"`drain.quiet` ({Drain().quiet:.0f} s)" in FLAT
    assert Drain().mode is DrainMode.FINISH and "`finish`, the default," in FLAT
    assert f"above {Limits().body >> 20} MiB" in FLAT
    assert f"`limits.websockets` ({Limits().websockets})" in FLAT
    assert "an hour without a byte (`timeouts.websocket_idle`)" in FLAT and Timeouts().websocket_idle == 3600
    content = Settings().content
    assert f"`content.file_bytes_max` ({content.file_bytes_max >> 20} MiB)" in FLAT
    assert f"`content.bytes_max` ({content.bytes_max >> 10} KiB)" in FLAT
    assert f"`content.redact.timeout` ({content.redact.timeout * 1000:.0f} ms)" in FLAT
    assert f"`content.cpu_share` ({content.cpu_share * 100:.0f} %)" in FLAT
    example = yaml.safe_load(EXAMPLES[0])
    assert example["timeouts"] == {"connect": "5s", "first_byte": "60s", "idle": "180s", "total": "10m"}
    told = Timeouts()
    assert (told.connect, told.first_byte, told.idle, told.total) == (5.0, 60.0, 180.0, 600.0)
    assert f"Version {__version__}" in README


def test_headers_are_all_told() -> None:
    """Each header of our own is named, and no other."""
    named = set(re.findall(r"`(x-sidecar-[a-z-]+[a-z])", README))
    assert named == {header.name for header in catalogue.HEADERS}
    for urgency in Urgency:
        assert f"`{urgency.name.lower()}`" in FAILURES
    for kind in (CIRCUIT_OPEN, OVERLOADED, WISH_UNMET):
        assert f"{kind.status} `{kind.id}`" in FLAT
    for step in catalogue.DEGRADATION_STEPS[1:]:
        assert f"`x-sidecar-degraded: {step}`" in FLAT


def test_hedging_is_as_told() -> None:
    """How late a first token is, and how many are asked twice, are the defaults."""
    told = Settings().hedging
    assert (told.percentile, told.share_max) == (0.95, 0.05)
    assert "than it is in 95 of 100 calls" in FLAT and "one call in twenty is asked twice" in FLAT
    retries = Settings().retries
    assert (retries.budget_share, retries.budget_expiry, retries.budget_floor) == (0.2, 10.0, 10.0)
    assert "a fifth of the calls of the last ten seconds, and ten a second" in FLAT


def test_breakers_are_as_told() -> None:
    """The numbers by which a breaker moves are the defaults, and an upstream can hold it in the states that are named."""
    told = Settings().breaker
    assert f"on {told.consecutive} failures in a row" in FLAT
    assert told.error_share == 0.5 and f"half of at least {told.calls_min} calls of the last {told.window:.0f} s have failed" in FLAT
    assert told.slow_share == 1.0 and f"all were slow to begin ({told.slow:.0f} s)" in FLAT
    assert f"stays open for {told.open:.0f} s, then {told.open_max:.0f} s, and up to a tenth longer" in FLAT
    assert (JITTER, told.open_max / told.open) == (0.1, 2.0)
    assert f"{told.probes} calls at once are let through: one failure opens it again, {told.successes} successes close it" in FLAT
    assert {Force(name) for name in ("open", "closed", "disabled")} == set(Force) - {Upstream("http://up.test").breaker}


def test_what_is_kept_is_as_told() -> None:
    """Kinds, expiries and bounds of what is kept are the defaults."""
    part = README[README.index("### What is kept, and for how long") : README.index("\n### Tenants")]
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| ([^|]+) \|$", part, re.MULTILINE))
    assert tuple(rows) == catalogue.CACHE_KINDS
    expiry = Settings().cache.expiry
    for kind in members(Expiry):
        number, unit = rows[kind].split()
        assert int(number) * {"minute": 60, "hour": 3600}[unit.rstrip("s")] == getattr(expiry, kind), kind
    assert f"bodies above {BYTES_MAX >> 20} MiB" in FLAT
    assert TTL_TIMES_MAX == 10 and "at most ten times as long as its kind" in FLAT
    assert f"{NOT_CACHED.status} `{NOT_CACHED.id}`" in part
    told = set(re.findall(r"`([a-z-]+)(?:=[N0])?`", part[part.index("| directive |") : part.index("Of an answer's own")]))
    assert told >= {"no-store", "no-cache", "only-if-cached", "max-age", "min-fresh", "max-stale", "ttl"}
    for directive in told - {"x-sidecar-cache"}:
        assert read_directives((), {OWN: directive}) != NONE, directive
    assert not Settings().features.cache and Settings().cache == Cache(what=Cacheable.DETERMINISTIC, tools=False, conversations=False)


def test_base_urls_lead_somewhere() -> None:
    """Each address an SDK is pointed at begins with a route that is always there."""
    prefixes = {route.prefix for route in BUILT_IN_ROUTES}
    urls = re.findall(r"http://127\.0\.0\.1:4000(/[\w/]+)", README)
    assert {"/" + url.split("/")[1] + "/" for url in urls} == prefixes


def test_what_is_understood() -> None:
    """The forms that are said to be understood are, and the ones that are not are not."""
    told = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]*\|$", README[README.index("### What it understands") :], re.MULTILINE))
    assert {"chat completions, completions", "messages", "chat, generate, embed"} <= told.keys()
    openai = ("/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings")
    for path in (*openai, "/api/chat", "/api/generate", "/api/embed", "/v1/messages"):
        assert dialect_for("POST", path)[0] is not OPAQUE
    assert {"`generateContent`, `streamGenerateContent`", "`embedContent`, `batchEmbedContents`"} <= told.keys()
    for method in ("generateContent", "streamGenerateContent", "embedContent", "batchEmbedContents"):
        for stem in ("/v1beta", "/v1/projects/p/locations/l/publishers/google"):
            assert dialect_for("POST", f"{stem}/models/gemini:{method}")[0] is not OPAQUE
    for path in ("/v1/messages/count_tokens", "/v1beta/models/gemini:countTokens"):
        assert dialect_for("POST", path)[0] is OPAQUE


def test_the_accounts_told_are_of_the_exchanges_there_are() -> None:
    """A line for each interface with as many exchanges as are carried, all equal, and the sum that is told."""
    part = README[README.index("## Numbers you can check") : README.index("## What it promises")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines() if re.match(r"\| \w.* \| \d+ \|", line)]
    carried = Counter(exchange.form.name for exchange in list_exchanges())
    assert {row[0]: int(row[1]) for row in rows} == carried
    assert [row[0] for row in rows if (row[1], row[3], row[5]) != (row[2], row[4], row[6])] == []
    assert f"carries {carried.total()} scripted exchanges" in FLAT and f"in {carried.total()} of {carried.total()}" in FLAT
    (sum_usd,) = re.findall(r"\(([0-9.]+) USD on both sides\)", FLAT)
    assert float(sum_usd) == pytest.approx(sum(float(row[5]) for row in rows), abs=1e-5)


def test_tools_are_as_told() -> None:
    """The example's tool route is one, the batch is where it is said to be, and its entries can be read."""
    example = yaml.safe_load(EXAMPLES[0])
    assert [route["prefix"] for route in example["routes"] if route.get("kind") == "tool"] == ["/tools/weather/"]
    assert f"`POST {BATCH_PATH}` runs up to {Limits().batch} calls of tools (`limits.batch`)" in FLAT
    (batch,) = [text for language, text in CODE if language == "json"]
    outer = make_call((b"Content-Type", b"application/json"), target=BATCH_PATH)
    calls = [
        read_entry(entry, 0, outer, None, None, now=0.0, now_ns=0)[0] for entry in read_batch(outer.headers, batch.encode(), Limits().batch)
    ]
    assert [call.method for call in calls] == ["POST", "GET"]
