"""Who is told of an alert, how soon, and what is left unsaid because something graver says it: Alertmanager's configuration.

The grammar is that of Alertmanager 0.25, which newer ones keep. Addresses are examples; secrets are files, never text.
"""

from typing import Any, Final, NamedTuple

from sidecar.render.alerting import Severity
from sidecar.render.yaml_text import dump_yaml

TEMPLATES: Final = "templates/llm-sidecar.tmpl"  # beside the configuration
# Where a Kubernetes secret of this name is mounted for Alertmanager by the Prometheus operator, and a good place elsewhere. Absolute:
# of the settings that name a file, only some are looked for beside the configuration.
SECRETS: Final = "/etc/alertmanager/secrets/llm-sidecar"
PAGER: Final = "llm-sidecar-pager"
CHAT: Final = "llm-sidecar-chat"
NOTES: Final = "llm-sidecar-notes"
SPENDING: Final = "llm-sidecar-spending"
DEAD_MAN: Final = "llm-sidecar-dead-man"

# What a service is: the sidecars of one job. A label that neither alert has counts as equal.
SERVICE: Final = ("cluster", "namespace", "job")
# What an alert of a service is about, each of those that it has.
SUBJECT: Final = (
    "route", "http_route", "provider", "model", "upstream", "tenant", "gen_ai_tool_name", "window", "kind", "limit", "label", "reason",
    "instance",
)  # fmt: skip

_HEAD: Final = f"""Whom alerts of llm-sidecar reach, for Alertmanager 0.25 and newer. Made by `llm-sidecar render`.

Put your own addresses in place of those at example.org, and these secrets, a file each, into {SECRETS}:
slack_url and slack_notes_url (incoming webhooks, one per channel), pagerduty_key (Events API v2), smtp_password,
dead_man_token. No newline behind the password: 0.25 would send it, too. Check with: amtool check-config alertmanager.yml"""
_ROUTES_HEAD: Final = """What one cause brings about is one message: alerts of the same name and service come together, and each message
lists what they are about. Critical pages somebody and is seen in the chat, a warning is for the chat, info for a channel
that nobody has to watch.
A team that wants the alerts of its services elsewhere gets a route of its own, as the first below `alertname =~ "LLM.+"`:
  - {receiver: team-search, matchers: ['namespace = "search"', 'severity =~ "critical|warning"']}"""
_INHIBITIONS_HEAD: Final = """What is left unsaid, because something else says it of the same service and the same thing:"""


class Inhibition(NamedTuple):
    """While a source fires, targets that agree with it in `equal` reach nobody."""

    reason: str
    source: tuple[str, ...]  # matchers
    target: tuple[str, ...]
    equal: tuple[str, ...]


INHIBITIONS: Final = (
    Inhibition(
        "the graver of two severities of the same alert",
        ('severity = "critical"', 'alertname =~ "LLM.+"'), ('severity =~ "warning|info"', 'alertname =~ "LLM.+"'),
        ("alertname", *SERVICE, *SUBJECT),
    ),
    Inhibition(
        "the same, one tier below",
        ('severity = "warning"', 'alertname =~ "LLM.+"'), ('severity = "info"', 'alertname =~ "LLM.+"'),
        ("alertname", *SERVICE, *SUBJECT),
    ),
    Inhibition(
        "calls that find no upstream are errors, too: for the minutes in which one alert takes over from the other",
        ('alertname = "LLMNoUpstreamAvailable"',), ('alertname = "LLMHighErrorRatio"',), (*SERVICE, "route"),
    ),
    Inhibition(
        "whoever is paged for errors need not be paged for the objective that they miss",
        ('alertname =~ "LLMNoUpstreamAvailable|LLMHighErrorRatio"', 'severity = "critical"'), ('alertname = "LLMErrorBudgetBurn"',),
        SERVICE,
    ),
    Inhibition(
        "a budget that is spent was nearly spent",
        ('alertname = "LLMBudgetSpent"',), ('alertname = "LLMBudgetNearlySpent"',), (*SERVICE, "tenant"),
    ),
    Inhibition(
        "a mean that is too high has slow calls in it",
        ('alertname = "LLMHighAverageLatency"',), ('alertname = "LLMHighLatencyP95"', 'severity = "warning"'), (*SERVICE, "http_route"),
    ),
    Inhibition(
        "the same, where both are critical",
        ('alertname = "LLMHighAverageLatency"', 'severity = "critical"'), ('alertname = "LLMHighLatencyP95"',), (*SERVICE, "http_route"),
    ),
    Inhibition(
        "what a sidecar said of itself before it was gone",
        ('alertname = "LLMSidecarDown"',), ('alertname =~ "LLM.+"', 'alertname != "LLMSidecarDown"', 'instance != ""'),
        (*SERVICE, "instance"),
    ),
)  # fmt: skip


def render_alertmanager() -> str:
    """Return the configuration. It is the same whatever the thresholds are: names and severities are all it depends on."""
    tree = build_alertmanager()
    reasons = "\n".join(f"{number}. {inhibition.reason}" for number, inhibition in enumerate(INHIBITIONS, 1))
    parts = (
        dump_yaml({"global": tree["global"], "templates": [TEMPLATES]}, _HEAD),
        dump_yaml({"route": tree["route"]}, _ROUTES_HEAD),
        dump_yaml({"inhibit_rules": tree["inhibit_rules"]}, f"{_INHIBITIONS_HEAD}\n{reasons}"),
        dump_yaml({"receivers": tree["receivers"]}),
    )
    return "\n".join(parts)


def build_alertmanager() -> dict[str, Any]:
    """Return the configuration as a tree, without its templates."""
    return {
        "global": _describe_global(),
        "route": _describe_routes(),
        "inhibit_rules": [_describe(inhibition) for inhibition in INHIBITIONS],
        "receivers": _list_receivers(),
    }


def _describe_global() -> dict[str, Any]:
    return {
        "resolve_timeout": "5m",
        "smtp_smarthost": "mail.example.org:587",
        "smtp_from": "llm-sidecar@example.org",
        "smtp_auth_username": "llm-sidecar@example.org",
        "smtp_auth_password_file": f"{SECRETS}/smtp_password",
    }


def _describe_routes() -> dict[str, Any]:
    return {
        "receiver": CHAT,  # what no route takes is still seen
        "group_by": ["alertname", *SERVICE],
        "group_wait": "30s",  # for what inhibits, and for what belongs to the same message
        "group_interval": "5m",
        "repeat_interval": "12h",
        "routes": [
            # A heartbeat: whoever misses it for some minutes says that alerting is broken. Repeated at each interval of the group.
            _route(DEAD_MAN, 'alertname =~ "LLMWatchdog|Watchdog"', group_wait="0s", group_interval="1m", repeat_interval="50s"),
            {
                "matchers": ['alertname =~ "LLM.+"'],
                "routes": [
                    _route(SPENDING, 'alertname =~ "LLMBudgetSpent|LLMBudgetNearlySpent|LLMSpendingStopped"', **{"continue": True}),
                    _route(PAGER, f'severity = "{Severity.CRITICAL}"', group_interval="2m", repeat_interval="4h"),
                    _route(CHAT, f'severity = "{Severity.WARNING}"'),
                    _route(NOTES, f'severity = "{Severity.INFO}"', group_wait="2m", group_interval="30m", repeat_interval="1d"),
                ],
            },
        ],
    }


def _route(receiver: str, matcher: str, **settings: Any) -> dict[str, Any]:
    return {"receiver": receiver, "matchers": [matcher], **settings}


def _describe(inhibition: Inhibition) -> dict[str, Any]:
    return {
        "source_matchers": list(inhibition.source),
        "target_matchers": list(inhibition.target),
        "equal": list(inhibition.equal),
    }


def _list_receivers() -> list[dict[str, Any]]:
    webhook = {
        "url": "https://dead-man.example.org/llm-sidecar",
        "send_resolved": False,
        "http_config": {"authorization": {"credentials_file": f"{SECRETS}/dead_man_token"}},
    }
    return [
        {"name": PAGER, "pagerduty_configs": [_page()], "slack_configs": [_write_chat("slack_url")]},
        {"name": CHAT, "slack_configs": [_write_chat("slack_url")]},
        {"name": NOTES, "slack_configs": [_write_chat("slack_notes_url") | {"send_resolved": False}]},
        {"name": SPENDING, "email_configs": [_write_mail()]},
        {"name": DEAD_MAN, "webhook_configs": [webhook]},
    ]


def _use(name: str) -> str:
    return f'{{{{ template "llm_sidecar.{name}" . }}}}'


def _page() -> dict[str, Any]:
    links = {"pager.runbook": "Runbook", "pager.dashboard": "Dashboard", "alerts": "Alertmanager"}
    return {
        "routing_key_file": f"{SECRETS}/pagerduty_key",
        "send_resolved": True,
        "description": _use("subject"),
        "severity": _use("pager.severity"),
        "client": "llm-sidecar",
        "client_url": _use("board"),
        "class": "{{ .CommonLabels.alertname }}",
        "component": "{{ .CommonLabels.job }}",
        "group": "{{ .CommonLabels.namespace }}",
        "details": {"summary": "{{ .CommonAnnotations.summary }}", "firing": _use("firing"), "resolved": _use("resolved")},
        "links": [{"href": _use(name), "text": text} for name, text in links.items()],
    }


def _write_chat(secret: str) -> dict[str, Any]:
    return {
        "api_url_file": f"{SECRETS}/{secret}",
        "send_resolved": True,
        "color": _use("chat.color"),
        "title": _use("chat.title"),
        "title_link": _use("board"),
        "fallback": _use("chat.title"),
        "text": _use("chat.text"),
    }


def _write_mail() -> dict[str, Any]:
    return {
        "to": "llm-budgets@example.org",
        "send_resolved": True,
        "headers": {"Subject": _use("subject")},
        "text": _use("mail.text"),
        "html": _use("mail.html"),
    }
