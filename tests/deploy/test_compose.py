"""The stack of deploy/compose: its file by the Compose specification, and that its parts fit each other. No engine is needed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import yaml

from tests.rig.alertmanager import AMTOOL, needs_alertmanager
from tests.rig.compose import (
    COMPOSE,
    find_schema_faults,
    list_addresses,
    list_calls,
    list_listening,
    list_mounts,
    list_texts,
    needs_schema,
    read_environment,
    read_stack,
)  # fmt: skip
from tests.rig.process import ROOT
from tests.rig.prometheus import PROMTOOL, needs_promtool

STACK: Final = read_stack()
SERVICES: Final[dict[str, dict[str, Any]]] = STACK["services"]
OURS: Final = ("sidecar", "simulator", "standby", "app", "render")
# Who cannot be asked how they are: no server, at its end when it is good, nothing in the image that could ask.
UNASKED: Final = {"app", "render", "collector"}
GRAFANA: Final = "http://127.0.0.1:3000"
PROMETHEUS: Final = "http://127.0.0.1:9090"


def read_yaml(path: Path) -> Any:
    """Return what a file holds."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run what the service `render` runs."""
    folder = tmp_path_factory.mktemp("rendered")
    folder.chmod(0o750)  # as the image's is
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **SERVICES["render"]["environment"]}
    subprocess.run([sys.executable, str(COMPOSE / "render.py"), str(folder)], env=environ, check=True, timeout=60)
    return folder


# -- the file --------------------------------------------------------------------------------------------------------------


@needs_schema
def test_it_is_as_the_specification_says() -> None:
    """No unknown key, no value of a wrong kind; and one that is wrong is found."""
    assert find_schema_faults(STACK) == []
    spoilt = {**STACK, "services": {**SERVICES, "app": {**SERVICES["app"], "read_onyl": True}}}
    assert find_schema_faults(spoilt) != []


def test_images_are_pinned_and_of_no_host() -> None:
    """Each has a version from .env, which is a number; whoever mirrors them says so there."""
    environment = read_environment()
    text = (COMPOSE / "compose.yaml").read_text(encoding="utf-8")
    named = re.findall(r"^ +image: (\S+):\$\{(\w+_VERSION):\?\}$", text, re.MULTILINE)
    assert len(named) == len(re.findall(r"^ +image:", text, re.MULTILINE)) and {variable for _, variable in named} <= environment.keys()
    assert all(re.fullmatch(r"v?\d+\.\d+\.\d+", environment[variable]) for _, variable in named)
    assert [image for image, _ in named if "." in image.split("/")[0]] == []


def test_each_variable_is_used() -> None:
    """What .env says has an effect."""
    text = (COMPOSE / "compose.yaml").read_text(encoding="utf-8")
    assert [name for name in read_environment() if f"${{{name}:?}}" not in text] == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_do_no_more_than_it_has_to(name: str) -> None:
    """Read-only, no rights, a user who is not root, and as much memory as it gets."""
    service = SERVICES[name]
    user, group = service["user"].split(":")
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert user != "0" and user.isdigit() and group.isdigit() and re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "devices", "group_add"}


def test_ports_are_those_of_this_machine() -> None:
    """Whatever is published is on loopback, each port once, and something listens behind it."""
    listening = list_listening(STACK)
    published = [(name, port) for name, service in SERVICES.items() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for _, port in published)
    assert len({port.split(":")[1] for _, port in published}) == len(published)
    assert [(name, port) for name, port in published if int(port.split(":")[2]) not in listening[name]] == []


def test_health_is_asked_for_and_waited_for() -> None:
    """Each server tells how it is by a list of words, without a shell; nobody waits for the health of one that does not tell."""
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == UNASKED
    assert all(service["healthcheck"]["test"][0] == "CMD" for service in SERVICES.values() if "healthcheck" in service)
    for name, service in SERVICES.items():
        for other, told in service.get("depends_on", {}).items():
            ends = SERVICES[other]["restart"] == "no"
            wanted = "completed_successfully" if ends else "started" if other in UNASKED or name == "collector" else "healthy"
            assert told == {"condition": f"service_{wanted}"}, (name, other)


def test_nobody_waits_for_himself() -> None:
    """Services can be started one after the other."""
    started: set[str] = set()
    while ready := [name for name, service in SERVICES.items() if name not in started and service.get("depends_on", {}).keys() <= started]:
        started.update(ready)
    assert started == set(SERVICES)


def test_health_is_asked_where_it_is() -> None:
    """A check that names an address asks the service itself, at a port on which it listens."""
    listening = list_listening(STACK)
    for name, service in SERVICES.items():
        text = " ".join(service.get("healthcheck", {}).get("test", ()))
        assert [(host, port) for host, port in list_addresses(text) if host != "127.0.0.1" or port not in listening[name]] == [], name


def test_what_is_mounted_is_there() -> None:
    """Files come with the repository, read-only and for each target one; volumes are declared and used."""
    used = set()
    for name, service in SERVICES.items():
        mounts = list_mounts(service)
        assert len({mount.target for mount in mounts}) == len(mounts), name
        for mount in mounts:
            if mount.path is None:
                used.add(mount.source)
                continue
            assert mount.is_read_only and mount.path.exists() and mount.path.is_relative_to(ROOT), (name, mount)
            assert mount.path.stat().st_mode & 0o004, f"{mount.path} cannot be read by others"
    assert used == STACK["volumes"].keys()


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "command" in service])
def test_a_file_that_is_named_is_mounted(name: str) -> None:
    """Each absolute path on a command line is within something that is mounted."""
    targets = [mount.target for mount in list_mounts(SERVICES[name])]
    paths = re.findall(r"(?<![\w/:])/(?!/)[\w./-]+", " ".join(SERVICES[name]["command"]).replace("=", " "))
    assert [path for path in paths if path != "/" and not any(f"{path}/".startswith(f"{target}/") for target in targets)] == []


def test_each_image_of_ours_is_built_alike() -> None:
    """One image, by the Dockerfile that is there; what runs in it is its own program, or its Python."""
    assert len({json.dumps(SERVICES[name]["build"]) for name in OURS}) == 1
    build = SERVICES["sidecar"]["build"]
    assert ((COMPOSE / build["context"]).resolve() / build["dockerfile"]).is_file()
    assert {name: SERVICES[name].get("entrypoint", ["llm-sidecar"]) for name in OURS} == {
        "sidecar": ["llm-sidecar"], "simulator": ["llm-sidecar"], "standby": ["llm-sidecar"], "app": ["python"], "render": ["python"],
    }  # fmt: skip


# -- how its parts fit -----------------------------------------------------------------------------------------------------


def test_whoever_is_called_is_there() -> None:
    """Each `host:port` in a command, an environment or a file names a service, and a port on which it listens."""
    listening = list_listening(STACK)
    calls = list(list_calls(STACK))
    assert [call for call in calls if call[3] not in listening.get(call[2], ())] == []
    assert {(name, host) for name, _, host, _ in calls} >= {
        ("app", "sidecar"), ("sidecar", "simulator"), ("sidecar", "standby"), ("sidecar", "collector"), ("collector", "tempo"),
        ("prometheus", "sidecar"), ("prometheus", "collector"), ("prometheus", "alertmanager"), ("prometheus", "tempo"),
        ("grafana", "prometheus"), ("grafana", "tempo"), ("grafana", "alertmanager"),
    }  # fmt: skip


def test_whoever_is_called_from_the_start_on_is_started_first() -> None:
    """Prometheus asks again; everybody else waits for those that they call."""
    for name, _, host, _ in list_calls(STACK):
        if name != "prometheus" or host == "alertmanager":
            assert host in SERVICES[name].get("depends_on", {}), (name, host)


def test_the_sidecar_takes_its_configuration() -> None:
    """As `llm-sidecar check` says; each place that a call may go to is within the stack, and so are its traces."""
    from sidecar.edge.files import load
    from sidecar.simulator.scenario import ROUTES

    settings = load(str(COMPOSE / "sidecar.yaml"), {}).settings
    hosts = {name: urlsplit(upstream.url).hostname for name, upstream in settings.upstreams.items()}
    assert set(hosts.values()) == {"simulator", "standby"}
    assert {route.prefix for route in settings.routes} >= {f"/{name}/" for name in (*ROUTES, "tools")}
    assert settings.tracing.endpoint == "http://collector:4318" and settings.tracing.ratio == 1.0
    written = [settings.journal.directory, settings.budgets.file]
    volume = next(mount.target for mount in list_mounts(SERVICES["sidecar"]) if mount.source == "sidecar")
    assert all(path is not None and path.startswith(f"{volume}/") for path in written)


def test_the_simulators_take_their_profile() -> None:
    """Outages are those of the first provider alone."""
    from sidecar.simulator.profile import read_profile

    profile = read_profile((COMPOSE / "profile.yaml").read_text(encoding="utf-8"))
    assert profile.outages is not None and profile.outages.provider == "openai"
    assert "--profile" in SERVICES["simulator"]["command"] and "--profile" not in SERVICES["standby"]["command"]


def test_the_grace_is_longer_than_what_the_sidecar_needs() -> None:
    """Docker ends a container by force after it."""
    from sidecar.edge.files import load

    seconds = int(SERVICES["sidecar"]["stop_grace_period"].removesuffix("s"))
    assert seconds >= load(str(COMPOSE / "sidecar.yaml"), {}).settings.timeouts.shutdown + 5


def test_others_can_read_what_is_rendered(rendered: Path) -> None:
    """It is written by one user, and read by another."""
    assert [path for path in (rendered, *rendered.rglob("*")) if path.stat().st_mode & 0o004 == 0] == []


@needs_promtool
def test_prometheus_takes_its_configuration(rendered: Path, tmp_path: Path) -> None:
    """By its own tool, with the rules that it would have."""
    path = tmp_path / "prometheus.yml"
    text = (COMPOSE / "prometheus.yml").read_text(encoding="utf-8").replace("/rendered", str(rendered))
    path.write_text(text, encoding="utf-8")
    done = subprocess.run([PROMTOOL, "check", "config", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and text.count(str(rendered)) == 3 == done.stdout.count("rules found"), done.stdout + done.stderr


def test_prometheus_keeps_exemplars_and_shows_the_runbook(rendered: Path) -> None:
    """It scrapes as often as Grafana believes, and what it serves beside is there."""
    command, config = SERVICES["prometheus"]["command"], read_yaml(COMPOSE / "prometheus.yml")
    assert "--enable-feature=exemplar-storage" in command and "--web.user-assets=/rendered/pages" in command
    sources = read_yaml(ROOT / "dashboards/provisioning/datasources.yml")["datasources"]
    (interval,) = (source["jsonData"]["timeInterval"] for source in sources if source["type"] == "prometheus")
    assert config["global"]["scrape_interval"] == interval
    assert (rendered / "pages/runbook.html").is_file()


@needs_alertmanager
def test_alertmanager_takes_its_configuration(rendered: Path) -> None:
    """By its own tool; templates are found beside it."""
    done = subprocess.run([AMTOOL, "check-config", str(rendered / "alerts/alertmanager.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "1 templates" in done.stdout, done.stdout + done.stderr


def test_alertmanager_routes_as_the_shipped_one_and_tells_nobody(rendered: Path) -> None:
    """Routes, inhibitions and templates are the shipped ones; receivers are names, so there is no secret."""
    shipped, ours = read_yaml(ROOT / "alerts/alertmanager.yml"), read_yaml(rendered / "alerts/alertmanager.yml")
    assert all(ours[key] == shipped[key] for key in ("route", "inhibit_rules", "templates"))
    assert ours["receivers"] == [{"name": receiver["name"]} for receiver in shipped["receivers"]]
    assert "_file" not in (rendered / "alerts/alertmanager.yml").read_text(encoding="utf-8")


def test_alerts_lead_to_this_stack(rendered: Path) -> None:
    """Each alert's runbook is a heading of the page that Prometheus serves, and its board is one that Grafana has."""
    ids = set(re.findall(r'<h\d id="([^"]+)">', (rendered / "pages/runbook.html").read_text(encoding="utf-8")))
    boards = {json.loads(path.read_text(encoding="utf-8"))["uid"] for path in (ROOT / "dashboards").glob("*.json")}
    files = [rendered.parent / name.lstrip("/").replace("rendered", rendered.name, 1) for name in _list_rule_files()]
    rules = [rule for file in files for group in read_yaml(file)["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(rules) > 20
    for rule in rules:
        runbook, board = rule["annotations"]["runbook_url"], rule["annotations"]["dashboard_url"]
        assert runbook.removeprefix(f"{PROMETHEUS}/user/runbook.html#") in ids, runbook
        assert board.removeprefix(f"{GRAFANA}/d/").split("?")[0] in boards, board


def _list_rule_files() -> list[str]:
    found: list[str] = read_yaml(COMPOSE / "prometheus.yml")["rule_files"]
    return found


def test_addresses_of_links_are_those_that_are_published() -> None:
    """What is said of itself, and what links lead to, is where it is found on this machine."""
    published = {name: [f"http://{port.rpartition(':')[0]}" for port in service.get("ports", ())] for name, service in SERVICES.items()}
    told = SERVICES["render"]["environment"]
    assert told == {"GRAFANA_URL": published["grafana"][0], "PROMETHEUS_URL": published["prometheus"][0]}
    assert SERVICES["grafana"]["environment"]["GF_SERVER_ROOT_URL"] == f"{published['grafana'][0]}/"
    for name in ("prometheus", "alertmanager"):
        assert f"--web.external-url={published[name][0]}/" in SERVICES[name]["command"]


def test_the_collector_knows_what_it_names() -> None:
    """Each part of a pipeline is declared, each declared part is in one, and what it exports goes to Tempo's port for OTLP."""
    tree = read_yaml(COMPOSE / "collector.yaml")
    for kind in ("receivers", "processors", "exporters"):
        used = {name for pipeline in tree["service"]["pipelines"].values() for name in pipeline[kind]}
        assert used == tree[kind].keys()
    tempo = read_yaml(COMPOSE / "tempo.yaml")["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    assert tree["exporters"]["otlp/tempo"]["endpoint"] == f"tempo:{tempo.rpartition(':')[2]}"
    limits = tree["processors"]["memory_limiter"]
    assert limits["limit_mib"] < int(SERVICES["collector"]["mem_limit"].removesuffix("m"))
    assert tree["service"]["pipelines"]["traces"]["processors"][0] == "memory_limiter"


def test_tempo_writes_into_its_volume() -> None:
    """Blocks and the write-ahead log."""
    (volume,) = (mount.target for mount in list_mounts(SERVICES["tempo"]) if mount.source == "tempo")
    trace = read_yaml(COMPOSE / "tempo.yaml")["storage"]["trace"]
    assert trace["local"]["path"].startswith(f"{volume}/") and trace["wal"]["path"].startswith(f"{volume}/")


def test_grafana_finds_boards_and_sources() -> None:
    """Files of provisioning are where it looks, boards where they say, and each source that a board or a source names is there."""
    mounts = {mount.target: mount.path for mount in list_mounts(SERVICES["grafana"]) if mount.path}
    (provider,) = read_yaml(mounts["/etc/grafana/provisioning/dashboards/llm-sidecar.yml"])["providers"]
    assert mounts[provider["options"]["path"]] == ROOT / "dashboards"
    sources = read_yaml(mounts["/etc/grafana/provisioning/datasources/llm-sidecar.yml"])["datasources"]
    by_uid, types = {source["uid"]: source["type"] for source in sources}, {source["type"] for source in sources}
    (prometheus,) = (source for source in sources if source["type"] == "prometheus")
    (exemplar,) = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert prometheus["isDefault"] and by_uid[exemplar["datasourceUid"]] == "tempo"
    for path in (ROOT / "dashboards").glob("*.json"):
        board = json.loads(path.read_text(encoding="utf-8"))
        asked = {variable["query"] for variable in board["templating"]["list"] if variable["type"] == "datasource"}
        assert asked and asked <= types, path.name
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "dashboards" / Path(home).name).is_file() and str(Path(home).parent) == provider["options"]["path"]


def test_grafana_asks_nobody_and_lets_nobody_in() -> None:
    """No login and no first administrator with a known password; nothing is fetched from or told to anybody outside."""
    told = SERVICES["grafana"]["environment"]
    assert told["GF_AUTH_ANONYMOUS_ENABLED"] == "true" and told["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Editor"
    assert told["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == told["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert (
        told["GF_AUTH_BASIC_ENABLED"] == told["GF_ANALYTICS_REPORTING_ENABLED"] == "false"
        and told["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
    )


def test_nothing_is_a_secret() -> None:
    """There is nothing to keep."""
    texts = "\n".join(text for service in SERVICES.values() for text in list_texts(service).values())
    assert re.findall(r"(?i)(?:password|api_key|token|secret)(?:_\w+)?\s*[:=]\s*\S+", texts) == []
