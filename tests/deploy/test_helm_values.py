"""Values of the chart llm-sidecar: what makes no sense is refused with its path, what is allowed is explained."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rig.helm import (
    CHART,
    CHARTS,
    RefusedError,
    needs_helm,
    read_chart,
    read_values,
    render_chart,
)

pytestmark = needs_helm


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"dashboard": {}}, "dashboard"),
        ({"dashboards": {"enabled": "yes"}}, "/dashboards/enabled"),
        ({"dashboards": {"labels": {"grafana_dashboard": 1}}}, "/dashboards/labels/grafana_dashboard"),
        ({"commonLabels": {"team": "no spaces"}}, "/commonLabels/team"),
        ({"prometheusRule": {"groups": {"everything": True}}}, "/prometheusRule/groups"),
        ({"podMonitor": {"namespaceSelector": {"all": True}}}, "/podMonitor/namespaceSelector"),
        ({"alertmanagerConfig": {"receivers": {"nobody": {}}}}, "/alertmanagerConfig/receivers"),
        ({"alertmanagerConfig": {"secretName": ""}}, "/alertmanagerConfig/secretName"),
        ({"gateway": {"replicas": 2}}, "/gateway"),
        ({"gateway": {"replicaCount": "2"}}, "/gateway/replicaCount"),
        ({"gateway": {"image": {"tag": "latest"}}}, "/gateway/image/tag"),
        ({"gateway": {"image": {"digest": "abc"}}}, "/gateway/image/digest"),
        ({"gateway": {"config": {"listen": "0.0.0.0:80"}}}, "/gateway/config/listen"),
        ({"gateway": {"config": {"admin": {"listen": "127.0.0.1:9464"}}}}, "/gateway/config/admin/listen"),
        ({"gateway": {"config": {"timeouts": {"shutdown": "5s"}}}}, "/gateway/config/timeouts/shutdown"),
        ({"gateway": {"config": {"journal": {"directory": "/var"}}}}, "/gateway/config/journal/directory"),
        ({"gateway": {"existingSecrets": ["keys"]}}, "/gateway/existingSecrets/0"),
        ({"gateway": {"existingSecrets": [{"name": "keys", "items": [{"key": "a", "path": "/abs"}]}]}},
         "/gateway/existingSecrets/0/items/0/path"),
        ({"gateway": {"redis": {"url": "redis.cache:6379"}}}, "/gateway/redis/url"),
        ({"gateway": {"otlpEndpoint": "collector:4318"}}, "/gateway/otlpEndpoint"),
        ({"gateway": {"drainSeconds": 0}}, "/gateway/drainSeconds"),
        ({"gateway": {"service": {"port": 70000}}}, "/gateway/service/port"),
        ({"gateway": {"networkPolicy": {"egressPorts": ["https"]}}}, "/gateway/networkPolicy/egressPorts/0"),
        ({"gateway": {"resources": {"limits": {"memory": None}}}}, "/gateway/resources/limits"),
        ({"gateway": {"resources": {"requests": {"memory": "64 MB"}}}}, "/gateway/resources/requests/memory"),
        ({"gateway": {"extraEnv": [{"value": "1"}]}}, "/gateway/extraEnv/0"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)  # fmt: skip
def test_what_the_schema_forbids_stops_the_installation(values: dict[str, Any], path: str) -> None:
    """With the path of what is wrong."""
    with pytest.raises(RefusedError) as refused:
        render_chart(CHART, values)
    assert path in str(refused.value)


def test_the_schema_knows_each_value_and_no_other() -> None:
    """What values.yaml explains is what the schema allows."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    compare(read_values(CHART / "values.yaml"), schema, ("global", "enabled"))


def compare(values: dict[str, Any], schema: dict[str, Any], more: tuple[str, ...] = ()) -> None:
    """Assert that a section has the members that its schema lists, all the way down."""
    assert sorted(schema["properties"]) == sorted([*values, *more])
    for name, member in schema["properties"].items():
        if member.get("additionalProperties") is False and member["properties"] and values.get(name):
            compare(values[name], member)


def test_a_certificate_without_a_file_that_names_it_is_refused() -> None:
    """The sidecar would speak plain HTTP, and every probe and scrape TLS."""
    with pytest.raises(RefusedError, match=r"gateway\.admin\.webConfig\.tlsSecret"):
        read_chart({"gateway": {"enabled": True, "admin": {"webConfig": {"tlsSecret": "tls"}}}})


@pytest.mark.parametrize("file", [CHART / "README.md", CHART / "templates" / "NOTES.txt", CHARTS / "README.md"], ids=lambda file: file.name)
def test_documents_name_values_that_exist(file: Path) -> None:
    """Each dotted path of a part of the chart leads to a value."""
    values = read_values(CHART / "values.yaml")
    parts = "|".join(name for name, value in values.items() if isinstance(value, dict) and value)
    for path in re.findall(rf"(?:`|--set )((?:{parts})(?:\.\w+)+)", file.read_text(encoding="utf-8")):
        place: Any = values
        for name in path.split("."):
            assert name in place, path
            place = place[name]
    for text in re.findall(r"```yaml\n(.*?)```", file.read_text(encoding="utf-8"), re.DOTALL):
        render_chart(CHART, yaml.safe_load(text))
