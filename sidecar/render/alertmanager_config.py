"""Alertmanager's configuration as the Prometheus operator takes it: an AlertmanagerConfig, made of the very tree of alertmanager.yml.

v1alpha1 is the only version that is served without a webhook for conversion. Secrets are keys of one Secret, messages bring their
templates along: an object cannot name a file of them.
"""

import re
from typing import Any, Final

from sidecar.render.alertmanager import build_alertmanager
from sidecar.render.kubernetes import NAME, label_object
from sidecar.render.messages import inline_template, render_templates
from sidecar.render.yaml_text import dump_yaml
from sidecar.thresholds import Terms

SECRET: Final = f"{NAME}-alertmanager"
# The operator puts a matcher of the object's namespace to the first route: without one more, all that happens there would come here.
OURS: Final = {"name": "alertname", "matchType": "=~", "value": "LLM.+|Watchdog"}
_MATCHER: Final = re.compile(r'(\w+) (=~|!=|!~|=) "([^"]*)"')
_HEAD: Final = f"""\
alerts/alertmanager.yml as an AlertmanagerConfig, for the Prometheus operator. Put your own addresses in place of those at
example.org, and the secrets into a Secret `{SECRET}` of the same namespace, with the keys slack_url, slack_notes_url,
pagerduty_key, smtp_password and dead_man_token. Add the labels that your Alertmanager selects such objects by
(spec.alertmanagerConfigSelector); it cannot be the one of spec.alertmanagerConfiguration.
The operator lets it see alerts of its own namespace only, and thereby not the watchdog, which has none. For all of them, with
labels that your own alerts have, too: spec.alertmanagerConfigMatcherStrategy: {{type: None}}."""
# Names of the object where they are not those of the file in camel case.
_NAMES: Final = {"client_url": "clientURL", "api_url": "apiURL", "links": "pagerDutyLinkConfigs"}
_TEXT: Final = {"href": "href", "text": "alt"}  # of a link


def render_alertmanager_config(terms: Terms) -> str:
    """Return the object: routes, inhibitions and receivers, with the messages' templates for these terms in place."""
    tree = {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": {"name": NAME, "labels": label_object("alertmanager")},
        "spec": build_spec(render_templates(terms)),
    }
    return dump_yaml(tree, _HEAD)


def build_spec(templates: str) -> dict[str, Any]:
    """Return the spec. Settings that are global in the file stand with each receiver that they are for."""
    tree = build_alertmanager()
    route = _convert_route(tree["route"])
    mail = {name.removeprefix("smtp_"): value for name, value in tree["global"].items() if name.startswith("smtp_")}
    receivers = []
    for receiver in tree["receivers"]:
        kinds = {kind: settings for kind, settings in receiver.items() if kind != "name"}
        if "email_configs" in kinds:
            kinds["email_configs"] = [{**mail, **settings} for settings in kinds["email_configs"]]
        receivers.append({"name": receiver["name"], **_convert(kinds, templates)})
    return {
        "route": {"receiver": route.pop("receiver"), "matchers": [OURS], **route},
        "inhibitRules": [
            {
                "sourceMatch": [_convert_matcher(text) for text in rule["source_matchers"]],
                "targetMatch": [_convert_matcher(text) for text in rule["target_matchers"]],
                "equal": rule["equal"],
            }
            for rule in tree["inhibit_rules"]
        ],
        "receivers": receivers,
    }


def _convert_route(route: dict[str, Any]) -> dict[str, Any]:
    converted = {_rename(name): value for name, value in route.items()}
    if "matchers" in route:
        converted["matchers"] = [_convert_matcher(text) for text in route["matchers"]]
    if "routes" in route:
        converted["routes"] = [_convert_route(inner) for inner in route["routes"]]
    return converted


def _convert_matcher(text: str) -> dict[str, str]:
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise ValueError(f"not a matcher: {text}")
    return {"name": found[1], "matchType": found[2], "value": found[3]}


def _convert(tree: dict[str, Any], templates: str) -> dict[str, Any]:
    """Return settings of receivers under the names of the object, secrets as references."""
    converted: dict[str, Any] = {}
    for name, value in tree.items():
        if name.endswith("_file"):
            converted[_rename(name.removesuffix("_file"))] = {"name": SECRET, "key": value.rsplit("/", 1)[1]}
        elif name in ("details", "headers"):
            converted[name] = [{"key": key, "value": inline_template(text, templates)} for key, text in value.items()]
        elif name == "links":
            converted[_rename(name)] = [{_TEXT[key]: inline_template(text, templates) for key, text in link.items()} for link in value]
        elif isinstance(value, dict):
            converted[_rename(name)] = _convert(value, templates)
        elif isinstance(value, list):
            converted[_rename(name)] = [_convert(item, templates) for item in value]
        else:
            converted[_rename(name)] = inline_template(value, templates) if isinstance(value, str) else value
    return converted


def _rename(name: str) -> str:
    head, *rest = name.split("_")
    return _NAMES.get(name) or head + "".join(map(str.capitalize, rest))
