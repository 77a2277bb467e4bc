"""What the admin port tells of alerts."""

from collections.abc import Callable, Mapping

from sidecar.core.reckon.alarm_messages import show_alarm
from sidecar.core.reckon.alarms import Alarms
from sidecar.edge.inbound import web
from sidecar.edge.inbound.admin import Respond
from sidecar.edge.inbound.api import answer
from sidecar.edge.telemetry.webhook import Webhook
from sidecar.thresholds import Links


def make_alerts(alarms: Alarms, links: Links, find_webhook: Callable[[], Webhook | None]) -> Mapping[str, Respond]:
    """Return the answer of the path. `find_webhook`: returns who is told now, None where nobody is."""

    async def respond(request: web.Request) -> web.Response:
        webhook = find_webhook()
        told = None if webhook is None else {"sent": webhook.sent, "waiting": webhook.waiting, "lost": webhook.lost}
        active = [show_alarm(alarm, links) for alarm in alarms.active()]
        past = [show_alarm(alarm, links) for alarm in reversed(alarms.past)]
        return answer({"active": active, "past": past, "webhook": told})

    return {"/api/alerts": respond}
