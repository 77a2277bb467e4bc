"""alerts/alertmanager.yml: everybody it names is there, nothing in it is secret, and each alert reaches whom it is for."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.render.alertmanager import CHAT, DEAD_MAN, INHIBITIONS, NOTES, PAGER, SECRETS, SERVICE, SPENDING, SUBJECT, render_alertmanager
from tests.rig.alertmanager import AMTOOL, needs_alertmanager

ALERTS: Final = Path(__file__).resolve().parents[2] / "alerts"
CONFIG: Final[dict[str, Any]] = yaml.safe_load(render_alertmanager())
RECEIVERS: Final = {
    "critical": (PAGER,),
    "warning": (CHAT,),
    "info": (NOTES,),
    "none": (DEAD_MAN,),
}
ALSO_MAILED: Final = {"LLMBudgetSpent", "LLMBudgetNearlySpent", "LLMSpendingStopped"}
# Names under which any receiver or the global part may hold a secret itself.
SECRET_NAMES: Final = re.compile(r"^(?:.*(?:password|secret|token|credentials|routing_key|service_key|api_key)|(?:slack_)?api_url)$")
_MATCHER: Final = re.compile(r'^(\w+) (=|!=|=~|!~) "([^"]*)"$')


OTHERS: Final = {("Watchdog", "none")}  # the heartbeat that many clusters have already


def list_alerts() -> list[tuple[str, str]]:
    """Return name and severity of every shipped alert, and of those of others that the routes know."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(ALERTS.glob("*.yml"))]
    rules = [rule for tree in files for group in tree.get("groups", ()) for rule in group["rules"] if "alert" in rule]
    return sorted({(rule["alert"], rule["labels"]["severity"]) for rule in rules} | OTHERS)


def list_routes(route: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return a route and all below it."""
    yield route
    for inner in route.get("routes", ()):
        yield from list_routes(inner)


def list_matchers() -> list[tuple[str, str, str]]:
    """Return label, operator and value of every matcher."""
    texts = [text for route in list_routes(CONFIG["route"]) for text in route.get("matchers", ())]
    texts += [text for rule in CONFIG["inhibit_rules"] for text in (*rule["source_matchers"], *rule["target_matchers"])]
    found = [_MATCHER.fullmatch(text) for text in texts]
    assert all(found), texts
    return [(match[1], match[2], match[3]) for match in found if match]


def list_members(tree: Any) -> Iterator[tuple[str, Any]]:
    """Return every member of every object in a tree."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield name, value
            yield from list_members(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from list_members(value)


def test_the_committed_file_is_what_is_rendered() -> None:
    """Nobody wrote in it by hand."""
    assert (ALERTS / "alertmanager.yml").read_text(encoding="utf-8") == render_alertmanager()


def test_secrets_are_files() -> None:
    """No member can hold a secret itself; each that names a file names one of those that the head lists, absolutely."""
    members = list(list_members(CONFIG))
    assert [name for name, _ in members if SECRET_NAMES.match(name)] == []
    files = [value for name, value in members if name.endswith("_file")]
    assert len(files) >= 6 and all(value.startswith(f"{SECRETS}/") for value in files)
    head = render_alertmanager().split("\nglobal:")[0]
    assert [value for value in files if value.rsplit("/", 1)[1] not in head] == []


def test_every_receiver_is_used_and_every_used_one_is_there() -> None:
    """A route leads nowhere else, and nobody waits in vain."""
    used = {route["receiver"] for route in list_routes(CONFIG["route"]) if "receiver" in route}
    assert used == {receiver["name"] for receiver in CONFIG["receivers"]}


def test_every_way_of_telling_is_shown() -> None:
    """Slack, PagerDuty, mail and a webhook each have an example that works; the pager's is seen in the chat, too."""
    ways = {receiver["name"]: receiver.keys() - {"name"} for receiver in CONFIG["receivers"]}
    assert ways[PAGER] == {"pagerduty_configs", "slack_configs"}
    assert set().union(*ways.values()) == {"pagerduty_configs", "slack_configs", "email_configs", "webhook_configs"}


def test_matchers_name_what_there_is() -> None:
    """Severities and names of alerts are those of the rules; every alternative of a pattern names one."""
    alerts = list_alerts()
    names, severities = {name for name, _ in alerts}, {severity for _, severity in alerts}
    for label, operator, value in list_matchers():
        known = {"alertname": names, "severity": severities}.get(label)
        for part in value.split("|") if known and value else ():
            pattern = part if "~" in operator else re.escape(part)
            assert any(re.fullmatch(pattern, each) for each in known or ()), (label, value)
    assert {label for label, _, _ in list_matchers()} == {"alertname", "severity", "instance"}


def test_severities_inhibit_for_the_same_thing_only() -> None:
    """Whatever labels the alerts have that come in more than one severity, two of them that differ in one are not the same."""
    severities: dict[str, set[str]] = {}
    for name, severity in list_alerts():
        severities.setdefault(name, set()).add(severity)
    labels: set[str] = set()
    for path in ALERTS.glob("*tests.yml"):
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for check in case.get("alert_rule_test", ()):
                if len(severities.get(check["alertname"], ())) > 1:
                    labels = labels.union(*(alert["exp_labels"] for alert in check.get("exp_alerts", ())))
    assert labels - {"severity", "long", "short"} <= {*SERVICE, *SUBJECT} and "http_route" in labels
    for rule in CONFIG["inhibit_rules"]:
        assert set(rule["equal"]) >= set(SERVICE)


def test_each_inhibition_has_its_reason() -> None:
    """The file says of each why; they stand in the same order."""
    text = render_alertmanager()
    numbered = re.findall(r"^# \d+\. (.+)$", text, re.MULTILINE)
    assert numbered == [inhibition.reason for inhibition in INHIBITIONS] and len(numbered) == len(CONFIG["inhibit_rules"])


def test_waits_are_in_order() -> None:
    """What is graver comes no later and is repeated no less often; the heartbeat comes each minute."""
    root = CONFIG["route"]
    routes = {route.get("receiver"): {**root, **route} for route in list_routes(root) if route is not root}

    def seconds(receiver: str, key: str) -> int:
        number, unit = re.fullmatch(r"(\d+)([smhd])", routes[receiver][key]).groups()  # type: ignore[union-attr]
        return int(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]

    for key in ("group_wait", "group_interval", "repeat_interval"):
        waits = [seconds(receiver, key) for receiver in (PAGER, CHAT, NOTES)]
        assert waits == sorted(waits)
    # A repeat that is as long as the interval would be due a moment after each flush, and so come with every second one.
    assert seconds(DEAD_MAN, "repeat_interval") < seconds(DEAD_MAN, "group_interval") <= 60


def run_amtool(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run amtool beside the shipped files."""
    return subprocess.run([AMTOOL, *arguments], cwd=ALERTS, input=text, capture_output=True, text=True, check=False)


@needs_alertmanager
def test_alertmanager_takes_it() -> None:
    """The configuration loads, its templates with it."""
    done = run_amtool("check-config", "alertmanager.yml")
    assert done.returncode == 0 and "1 templates" in done.stdout, done.stdout + done.stderr


@needs_alertmanager
@pytest.mark.parametrize(("name", "severity"), list_alerts())
def test_each_alert_reaches_whom_it_is_for(name: str, severity: str) -> None:
    """By its severity; what is about a budget is also mailed; nothing but what is critical reaches the pager."""
    expected = ((SPENDING,) if name in ALSO_MAILED else ()) + RECEIVERS[severity]
    labels = (f"alertname={name}", f"severity={severity}", "job=sidecar", "tenant=acme")
    done = run_amtool("config", "routes", "test", "--config.file=alertmanager.yml", f"--verify.receivers={','.join(expected)}", *labels)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_alertmanager
def test_what_is_not_ours_is_seen_and_pages_nobody(tmp_path: Path) -> None:
    """An alert of somebody else, whatever its severity, goes to the chat."""
    done = run_amtool("config", "routes", "test", "--config.file=alertmanager.yml", f"--verify.receivers={CHAT}", "alertname=DiskFull",
                      "severity=critical")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@needs_alertmanager
def test_the_route_of_a_team_works_as_described(tmp_path: Path) -> None:
    """The example of the comment, put where the comment says, loads and takes what it says."""
    example = yaml.safe_load(re.search(r"^#   - (\{receiver: .+\})$", render_alertmanager(), re.MULTILINE)[1])  # type: ignore[index]
    tree = yaml.safe_load(render_alertmanager())
    (ours,) = [route for route in tree["route"]["routes"] if route["matchers"] == ['alertname =~ "LLM.+"']]
    ours["routes"].insert(0, example)
    tree["receivers"].append({"name": example["receiver"]})
    tree["templates"] = []
    path = tmp_path / "alertmanager.yml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    for namespace, receiver in (("search", example["receiver"]), ("other", PAGER)):
        labels = ("alertname=LLMHighErrorRatio", "severity=critical", f"namespace={namespace}")
        done = run_amtool("config", "routes", "test", f"--config.file={path}", f"--verify.receivers={receiver}", *labels)
        assert done.returncode == 0, done.stdout + done.stderr
