"""alerts/templates/: what people read, expanded by amtool as Alertmanager does."""

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pytest

from sidecar.render.alertmanager import render_alertmanager
from sidecar.render.messages import SHOWN, render_templates
from sidecar.thresholds import Links, Terms
from tests.rig.alertmanager import AMTOOL, needs_alertmanager

ROOT: Final = Path(__file__).resolve().parents[2]
TEXT: Final = render_templates(Terms())
AWKWARD: Final = 'a<!channel> & "b\\ c+d'
MATCHERS: Final = {"alertname": "LLMHighErrorRatio", "job": "sidecar", "namespace": "search", "severity": "critical"}
LINKS: Final = {"runbook_url": "https://wiki.example/r.md#x", "dashboard_url": "https://grafana.example/d/o?var-job=sidecar&var-route=a"}
SUMMARY: Final = "Many calls fail."


def make_alert(status: str = "firing", route: str = "openai", links: dict[str, str] = LINKS, **labels: str) -> dict[str, Any]:
    """Return an alert as Alertmanager hands it to templates: it began at noon, and if it is over, it was so for an hour and more."""
    return {
        "status": status,
        "labels": {**MATCHERS, "route": route, **labels},
        "annotations": {"summary": SUMMARY, "description": f"21.5% of the calls on route {route} failed.", **links},
        "startsAt": "2026-03-01T12:00:00Z",
        "endsAt": "2026-03-01T13:02:03.5Z" if status == "resolved" else "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph?g0.expr=a%3E1&g0.tab=1",
    }


def make_group(*alerts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a group of alerts; what they have in common is what the first has, but for the route."""
    common = {name: value for name, value in alerts[0]["labels"].items() if name != "route"}
    status = "firing" if any(alert["status"] == "firing" for alert in alerts) else "resolved"
    notes = alerts[0]["annotations"] if len(alerts) == 1 else {"summary": SUMMARY}
    return {
        "receiver": "llm-sidecar-pager", "status": status, "alerts": list(alerts), "commonLabels": common, "commonAnnotations": notes,
        "groupLabels": {"alertname": common["alertname"]}, "externalURL": "http://alertmanager.example", **more,
    }  # fmt: skip


def expand(folder: Path, name: str, group: dict[str, Any], terms: Terms = Terms(), kind: str = "text") -> str:  # noqa: B008 - immutable
    """Return what a template makes of a group."""
    data, text = folder / "data.json", folder / "llm-sidecar.tmpl"
    data.write_text(json.dumps(group), encoding="utf-8")
    text.write_text(render_templates(terms), encoding="utf-8")
    command = [
        AMTOOL, "template", "render", f"--template.glob={text}", f"--template.data={data}", f"--template.type={kind}",
        f'--template.text={{{{ template "llm_sidecar.{name}" . }}}}',
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.removesuffix("\n")


def read_silence(link: str) -> dict[str, str]:
    """Return the matchers that a link to a new silence fills in."""
    found = re.fullmatch(r"http://alertmanager\.example/#/silences/new\?filter=(\S+)", html.unescape(link))
    assert found, link
    inner = re.fullmatch(r"\{(.*)\}", unquote(found[1]))
    assert inner, link
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*")', inner[1])
    assert ",".join(f"{name}={value}" for name, value in pairs) == inner[1]
    return {name: json.loads(value) for name, value in pairs}


def test_the_committed_file_is_what_is_rendered() -> None:
    """Nobody wrote in it by hand."""
    assert (ROOT / "alerts" / "templates" / "llm-sidecar.tmpl").read_text(encoding="utf-8") == TEXT


def test_every_template_is_there_once_and_used() -> None:
    """What the configuration and the templates name is defined, and nothing is defined that nobody names."""
    defined = re.findall(r'{{ define "([\w.]+)"', TEXT)
    used = set(re.findall(r'{{-? ?template "([\w.]+)"', TEXT + render_alertmanager()))
    assert len(defined) == len(set(defined)) and set(defined) == used


@needs_alertmanager
def test_the_chat_reads_cause_number_and_links(tmp_path: Path) -> None:
    """Summary, description with its number, what it is about, since when, and four links."""
    text = expand(tmp_path, "chat.text", make_group(make_alert()))
    lines = text.splitlines()
    assert lines[0] == "*Many calls fail.* 21.5% of the calls on route openai failed."
    assert lines[1] == "_job=sidecar, namespace=search, route=openai; since 2026-03-01 12:00:00 UTC_"
    links = dict(reversed(pair) for pair in re.findall(r"<([^|>]+)\|(\w+)>", lines[2]))  # type: ignore[misc]
    assert links.keys() == {"Runbook", "Dashboard", "Query", "Silence"}
    assert links["Dashboard"] == html.escape(LINKS["dashboard_url"])
    assert read_silence(links["Silence"]) == {**MATCHERS, "route": "openai"}
    assert expand(tmp_path, "chat.title", make_group(make_alert())) == "[FIRING:1] LLMHighErrorRatio (critical) search sidecar"


@needs_alertmanager
@pytest.mark.parametrize("name", ["firing", "mail.text"])
def test_pager_and_mail_read_the_same(tmp_path: Path, name: str) -> None:
    """Summary, description, labels and time, a line each, and the addresses in full."""
    text = expand(tmp_path, name, make_group(make_alert())).removeprefix("Firing\n\n")
    lines = text.splitlines()
    assert lines[:2] == [SUMMARY, "21.5% of the calls on route openai failed."]
    assert lines[2] == "job=sidecar, namespace=search, route=openai; since 2026-03-01 12:00:00 UTC"
    assert [line.split(": ")[0] for line in lines[3:7]] == ["Runbook", "Dashboard", "Query", "Silence"]
    assert lines[3:5] == [f"Runbook: {LINKS['runbook_url']}", f"Dashboard: {LINKS['dashboard_url']}"]


@needs_alertmanager
def test_labels_of_callers_are_harmless(tmp_path: Path) -> None:
    """Nobody calls a whole channel by the name of a model, and the silence is for that very name."""
    group = make_group(make_alert(route=AWKWARD))
    text = expand(tmp_path, "chat.text", group)
    assert "<!channel>" not in text and html.escape(AWKWARD, quote=False) in text
    silences = [
        text.split("<")[-1].split("|")[0],
        expand(tmp_path, "firing", group).split("Silence: ")[1].strip(),
        expand(tmp_path, "mail.html", group, kind="html").split('">Silence')[0].split('"')[-1],
    ]
    assert [read_silence(link)["route"] for link in silences] == [AWKWARD] * 3
    assert "<!channel>" not in expand(tmp_path, "mail.html", group, kind="html")


@needs_alertmanager
@pytest.mark.parametrize("name", ["chat.text", "resolved", "mail.text", "mail.html"])
def test_what_is_over_says_for_how_long(tmp_path: Path, name: str) -> None:
    """Without a silence: there is nothing to silence."""
    text = expand(tmp_path, name, make_group(make_alert("resolved")), kind="html" if name.endswith("html") else "text")
    assert "was so for 1h2m3s, until 2026-03-01 13:02:03 UTC" in text and "21.5%" in text
    assert "since" not in text and "silences" not in text and "Firing" not in text


@needs_alertmanager
@pytest.mark.parametrize("name", ["chat.text", "mail.text", "mail.html"])
def test_a_great_many_are_counted(tmp_path: Path, name: str) -> None:
    """A message stays one that can be read: the first ones are told, of the others how many there are."""
    alerts = [*(make_alert(route=f"r{number:02}") for number in range(SHOWN + 3)), *(make_alert("resolved", f"s{n}") for n in range(2))]
    text = expand(tmp_path, name, make_group(*alerts), kind="html" if name.endswith("html") else "text")
    assert text.count(" UTC") == SHOWN + 2 and f"And more: {SHOWN + 3} in all." in text
    assert "and more that" not in text.lower() and f"r{SHOWN:02}" not in text
    assert "And more" not in expand(tmp_path, name, make_group(*alerts[3:]), kind="html" if name.endswith("html") else "text")


@needs_alertmanager
@pytest.mark.parametrize("name", ["chat.text", "mail.html"])
def test_links_that_lead_nowhere_are_text(tmp_path: Path, name: str) -> None:
    """As committed, links are relative: they can be read, and nobody clicks on them."""
    links = {"runbook_url": "alerts/runbook.md#x", "dashboard_url": "/d/o?var-job=sidecar"}
    text = expand(tmp_path, name, make_group(make_alert(links=links)), kind="html" if name.endswith("html") else "text")
    assert "Runbook: alerts/runbook.md#x" in text and "Dashboard: /d/o?var-job=sidecar" in text
    assert text.count("<http" if name == "chat.text" else "<a href") == (2 if name == "chat.text" else 3)
    assert [expand(tmp_path, f"pager.{link}", make_group(make_alert(links=links))) for link in ("runbook", "dashboard")] == ["", ""]


@needs_alertmanager
def test_a_message_leads_to_the_board(tmp_path: Path) -> None:
    """Of its alert; of several alerts to the overview of their service, if it is known where that is, else to Alertmanager."""
    one, two = make_group(make_alert()), make_group(make_alert(), make_alert(route="other"))
    terms = Terms(links=Links(dashboards="https://grafana.example/"))
    assert expand(tmp_path, "board", one) == LINKS["dashboard_url"]
    assert expand(tmp_path, "board", two) == "http://alertmanager.example/#/alerts?receiver=llm-sidecar-pager"
    assert expand(tmp_path, "board", two, terms) == "https://grafana.example/d/llm-sidecar-overview?var-job=sidecar"


@needs_alertmanager
@pytest.mark.parametrize(
    ("severity", "color", "grade"),
    [("critical", "danger", "critical"), ("warning", "warning", "warning"), ("info", "#439fe0", "info"), ("page", "warning", "error")],
)
def test_severities_are_seen(tmp_path: Path, severity: str, color: str, grade: str) -> None:
    """In the colour of the chat and in PagerDuty's own words; what is over is green."""
    group = make_group(make_alert(severity=severity))
    assert expand(tmp_path, "chat.color", group) == color
    assert expand(tmp_path, "pager.severity", group) == grade
    assert expand(tmp_path, "chat.color", make_group(make_alert("resolved", severity=severity))) == "good"


@needs_alertmanager
def test_a_subject_says_it_in_one_line(tmp_path: Path) -> None:
    """What, how grave, whose, and in words; also of what has neither service nor summary."""
    assert (
        expand(tmp_path, "subject", make_group(make_alert())) == "[FIRING:1] LLMHighErrorRatio (critical) search/sidecar: Many calls fail."
    )
    bare = make_alert() | {"labels": {"alertname": "Other"}, "annotations": {}}
    assert expand(tmp_path, "subject", make_group(bare, commonAnnotations={})) == "[FIRING:1] Other"
    assert expand(tmp_path, "chat.title", make_group(bare, commonAnnotations={})) == "[FIRING:1] Other"
