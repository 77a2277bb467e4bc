// Boards, recordings and alerts as a monitoring mixin (https://monitoring.mixins.dev), for Jsonnet 0.18 and newer:
//
//   (import 'llm-sidecar/alerts/mixin.libsonnet') + { _config+:: { runbookUrl: 'https://wiki.example/llm-sidecar', burnRate: true } }
//
// Thresholds are those these files were made with: `llm-sidecar render DIR --thresholds FILE` makes them with others.
local rules = {
  rules: importstr 'rules.yml',
  burnRate: importstr 'burn-rate.yml',
  watchdog: importstr 'watchdog.yml',
  lowTraffic: importstr 'low-traffic.yml',
  lowQuality: importstr 'low-quality.yml',
};
local hasAlerts(group) = std.length([rule for rule in group.rules if std.objectHas(rule, 'alert')]) > 0;
{
  _config+:: {
    // Takes the place of the relative address in runbook_url; without, it stays as it is.
    runbookUrl: null,
    // Grafana's root address, put before dashboard_url.
    grafanaUrl: '',
    // Optional rule files.
    burnRate: false,
    watchdog: false,
    lowTraffic: false,
    lowQuality: false,
  },

  local config = self._config,
  local link(annotations) = annotations {
    [if std.objectHas(annotations, 'dashboard_url') then 'dashboard_url']: config.grafanaUrl + annotations.dashboard_url,
    [if std.objectHas(annotations, 'runbook_url') && config.runbookUrl != null then 'runbook_url']:
      config.runbookUrl + '#' + std.split(annotations.runbook_url, '#')[1],
  },
  local finish(group) = group {
    rules: [if std.objectHas(rule, 'alert') then rule { annotations: link(super.annotations) } else rule for rule in group.rules],
  },
  local groups = std.flattenArrays([
    [finish(group) for group in std.parseYaml(rules[name]).groups]
    for name in std.objectFields(rules)
    if name == 'rules' || config[name]
  ]),

  grafanaDashboards+:: {
    'llm-sidecar-overview.json': import '../dashboards/overview.json',
    'llm-sidecar-latency.json': import '../dashboards/latency.json',
    'llm-sidecar-cost.json': import '../dashboards/cost.json',
    'llm-sidecar-resilience.json': import '../dashboards/resilience.json',
    'llm-sidecar-cache.json': import '../dashboards/cache.json',
    'llm-sidecar-sidecar.json': import '../dashboards/sidecar.json',
  },
  prometheusRules+:: { groups+: [group for group in groups if !hasAlerts(group)] },
  prometheusAlerts+:: { groups+: [group for group in groups if hasAlerts(group)] },
}
