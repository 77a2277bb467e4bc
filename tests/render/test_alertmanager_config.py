"""AlertmanagerConfig: what the operator makes of it is alerts/alertmanager.yml, and its messages are those of the templates."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.render.alertmanager import build_alertmanager
from sidecar.render.alertmanager_config import OURS, SECRET, render_alertmanager_config
from sidecar.render.messages import render_templates
from sidecar.thresholds import Terms
from tests.render.terms import DEFAULT, OTHER
from tests.render.test_messages import make_alert, make_group
from tests.rig.alertmanager import AMTOOL, needs_alertmanager

OBJECT: Final[dict[str, Any]] = yaml.safe_load(render_alertmanager_config(DEFAULT))
FILE: Final = build_alertmanager()
# What the operator calls what it is given (its documentation of v1alpha1), and what the file has once for all receivers.
NAMES: Final = {
    "clientURL": "client_url", "apiURL": "api_url_file", "routingKey": "routing_key_file", "credentials": "credentials_file",
    "authPassword": "auth_password_file", "pagerDutyLinkConfigs": "links", "alt": "text", "sourceMatch": "source_matchers",
    "targetMatch": "target_matchers",
}  # fmt: skip
MAIL: Final = ("smarthost", "from", "auth_username", "auth_password_file")
BUILT_IN: Final = {"and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf",
                   "println", "slice", "urlquery"}  # fmt: skip


def read_object(tree: Any, name: str = "") -> Any:
    """Return what the operator makes of an object: the names of the file, matchers as text, secrets as the file they come from."""
    if isinstance(tree, dict) and tree.keys() == {"name", "matchType", "value"}:
        return f'{tree["name"]} {tree["matchType"]} "{tree["value"]}"'
    if isinstance(tree, dict) and tree.keys() == {"name", "key"}:
        assert tree["name"] == SECRET
        return tree["key"]
    if isinstance(tree, dict):
        return {NAMES.get(key, re.sub("([A-Z])", r"_\1", key).lower()): read_object(value, key) for key, value in tree.items()}
    if name in ("details", "headers"):
        return {item["key"]: read_object(item["value"]) for item in tree}
    if isinstance(tree, list):
        return [read_object(item) for item in tree]
    return tree.rsplit("\n", 1)[-1] if isinstance(tree, str) else tree  # without the templates in front of it


def strip_folders(tree: Any) -> Any:
    """Return the file's configuration with the names of secrets' files without their folder."""
    if isinstance(tree, dict):
        return {key: value.rsplit("/", 1)[1] if key.endswith("_file") else strip_folders(value) for key, value in tree.items()}
    return [strip_folders(item) for item in tree] if isinstance(tree, list) else tree


def list_texts(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Return path and text of everything that is expanded, in the object."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from list_texts(value, f"{path}.{key}")
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from list_texts(value, f"{path}.{number}")
    elif isinstance(tree, str) and "{{" in tree:
        yield path, tree


def test_what_the_operator_makes_of_it_is_the_file() -> None:
    """Routes, inhibitions and receivers, nothing more and nothing less; beyond them a matcher that keeps others' alerts away."""
    spec = read_object(OBJECT["spec"])
    assert spec["route"].pop("matchers") == [f'{OURS["name"]} {OURS["matchType"]} "{OURS["value"]}"']
    mails = [settings for receiver in spec["receivers"] for settings in receiver.get("email_configs", ())]
    common = [{name: settings.pop(name) for name in MAIL} for settings in mails]
    assert common == [{name: strip_folders(FILE["global"])[f"smtp_{name}"] for name in MAIL}]
    assert spec == {name: strip_folders(FILE[name]) for name in ("route", "inhibit_rules", "receivers")}


def test_each_alert_that_a_route_knows_comes_in() -> None:
    """The first route lets in whatever those below it name."""
    taken = re.compile(OURS["value"])
    for route in OBJECT["spec"]["route"]["routes"]:
        for name in ("LLMHighErrorRatio", "Watchdog", "LLMWatchdog"):
            if any(re.fullmatch(matcher["value"], name) for matcher in route["matchers"]):
                assert taken.fullmatch(name)


def test_addresses_use_what_every_template_has() -> None:
    """The operator reads them as Go's own templates: a function of Alertmanager's would make it refuse the object."""
    for terms in (DEFAULT, OTHER):
        addresses = [text for path, text in list_texts(yaml.safe_load(render_alertmanager_config(terms))) if path.endswith(("URL", "href"))]
        assert len(addresses) == 4
        for text in addresses:
            names = re.findall(r"(?:{{-? ?(?:if |else if |with )?|\(|\| )([a-zA-Z]+)\b", text)
            assert set(names) <= BUILT_IN | {"define", "template", "if", "else", "end", "with"}, text


@needs_alertmanager
@pytest.mark.parametrize("terms", [DEFAULT, OTHER], ids=["default", "other"])
def test_messages_are_those_of_the_templates(tmp_path: Path, terms: Terms) -> None:
    """Each text expands without a file to what it is with the file, for what fires and for what is over."""
    templates, data = tmp_path / "llm-sidecar.tmpl", tmp_path / "data.json"
    templates.write_text(render_templates(terms), encoding="utf-8")
    data.write_text(json.dumps(make_group(make_alert(), make_alert("resolved", route="b"))), encoding="utf-8")
    texts = dict(list_texts(yaml.safe_load(render_alertmanager_config(terms))["spec"]["receivers"]))
    distinct = {(text, "html" if path.endswith("html") else "text") for path, text in texts.items()}
    assert len(distinct) > 10
    for text, kind in distinct:
        named = text.rsplit("\n", 1)[-1]
        assert expand(data, text, kind) == expand(data, named, kind, f"--template.glob={templates}")


def expand(data: Path, text: str, kind: str, *options: str) -> str:
    """Return what amtool makes of a text."""
    command = [AMTOOL, "template", "render", f"--template.data={data}", f"--template.type={kind}", f"--template.text={text}", *options]
    if not options:
        command.append(f"--template.glob={data.parent / 'none*.tmpl'}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
