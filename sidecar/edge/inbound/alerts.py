"""What the admin port tells of alerts."""

from collections.abc import Mapping

from aiohttp import web

from sidecar.core.reckon.alarm_messages import show_alarm
from sidecar.core.reckon.alarms import Alarms
from sidecar.edge.inbound.admin import Respond
from sidecar.edge.inbound.api import answer
from sidecar.edge.telemetry.webhook import Webhook
from sidecar.thresholds import Links


def make_alerts(alarms: Alarms, links: Links, webhook: Webhook | None) -> Mapping[str, Respond]:
    """Return the answer of the path. `webhook`: None where nobody is told."""

    async def respond(request: web.BaseRequest) -> web.Response:
        told = None if webhook is None else {"sent": webhook.sent, "waiting": webhook.waiting, "lost": webhook.lost}
        active = [show_alarm(alarm, links) for alarm in alarms.active()]
        past = [show_alarm(alarm, links) for alarm in reversed(alarms.past)]
        return answer({"active": active, "past": past, "webhook": told})

    return {"/api/alerts": respond}
