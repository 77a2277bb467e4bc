"""An alert that always fires: watchdog.yml, by choice. Whoever stops hearing it knows that nobody would be told of anything."""

from typing import Final

from sidecar.render.alerting import Alert, Article, Severity, Tier
from sidecar.thresholds import Terms

HEAD: Final = """\
A dead man's switch: an alert that always fires, so that its silence tells that Prometheus or Alertmanager does not work.

By choice. Route it to a service that calls you when it has not been heard of for some minutes. kube-prometheus has one already."""


def list_rules(terms: Terms) -> tuple[Alert, ...]:
    """Return the one alert. It is the same whatever the terms."""
    del terms
    return (
        Alert(
            "LLMWatchdog",
            (Tier(Severity.NONE, "vector(1)", "", "Alerts can be heard."),),
            "This alert always fires. Where it is not heard, Prometheus, Alertmanager or the way from them to you does not work.",
            "llm-sidecar-sidecar",
            Article(
                "It always fires. Prometheus evaluates the rules, and Alertmanager sends what they say.",
                "None while it fires. While it is silent, no other alert can be heard either.",
                "Where it is silent: whether Prometheus runs, has loaded the rules (`/rules`) and reaches Alertmanager (`/status`); "
                "whether Alertmanager runs and its receiver takes messages (`alertmanager_notifications_failed_total`).",
                "Mend what does not work. Send it to a service that raises the alarm when it stays away: nothing that it watches can.",
                ('count by (alertname, severity) (ALERTS{alertstate="firing"})',),
            ),
        ),
    )
