"""The same boards and rules for those who compose their monitoring in Jsonnet (monitoring mixins)."""

from collections.abc import Iterable, Sequence
from typing import Final

_HEAD: Final = """\
// Boards, recordings and alerts as a monitoring mixin (https://monitoring.mixins.dev), for Jsonnet 0.18 and newer:
//
//   (import 'llm-sidecar/alerts/mixin.libsonnet') + { _config+:: { runbookUrl: 'https://wiki.example/llm-sidecar', burnRate: true } }
//
// Thresholds are those these files were made with: `llm-sidecar render DIR --thresholds FILE` makes them with others.
"""
_BODY: Final = """\
local rules = {{
{rules}
}};
local hasAlerts(group) = std.length([rule for rule in group.rules if std.objectHas(rule, 'alert')]) > 0;
{{
  _config+:: {{
    // Takes the place of the relative address in runbook_url; without, it stays as it is.
    runbookUrl: null,
    // Grafana's root address, put before dashboard_url.
    grafanaUrl: '',
    // Optional rule files.
{switches}
  }},

  local config = self._config,
  local link(annotations) = annotations {{
    [if std.objectHas(annotations, 'dashboard_url') then 'dashboard_url']: config.grafanaUrl + annotations.dashboard_url,
    [if std.objectHas(annotations, 'runbook_url') && config.runbookUrl != null then 'runbook_url']:
      config.runbookUrl + '#' + std.split(annotations.runbook_url, '#')[1],
  }},
  local finish(group) = group {{
    rules: [if std.objectHas(rule, 'alert') then rule {{ annotations: link(super.annotations) }} else rule for rule in group.rules],
  }},
  local groups = std.flattenArrays([
    [finish(group) for group in std.parseYaml(rules[name]).groups]
    for name in std.objectFields(rules)
    if name == 'rules' || config[name]
  ]),

  grafanaDashboards+:: {{
{boards}
  }},
  prometheusRules+:: {{ groups+: [group for group in groups if !hasAlerts(group)] }},
  prometheusAlerts+:: {{ groups+: [group for group in groups if hasAlerts(group)] }},
}}
"""


def render_mixin(boards: Iterable[str], optional: Sequence[str]) -> str:
    """Return mixin.libsonnet for board files (`dashboards/NAME.json`) and optional rule files (`alerts/NAME.yml`), by their names."""
    names = {name: _camel(name) for name in optional}
    rules = [f"  {field}: importstr '{name}.yml'," for name, field in {"rules": "rules", **names}.items()]
    switches = [f"    {field}: false," for field in names.values()]
    imports = [f"    'llm-sidecar-{name}.json': import '../dashboards/{name}.json'," for name in boards]
    return _HEAD + _BODY.format(rules="\n".join(rules), switches="\n".join(switches), boards="\n".join(imports))


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(word.capitalize() for word in rest)
