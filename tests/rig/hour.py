"""An hour of calls behind the admin port's own page, without waiting for it: two upstreams, one of which fails for a while."""

import random
import time
from collections.abc import Mapping
from typing import Any, Final

from sidecar.core.choose.views import BreakerView, UpstreamView
from sidecar.core.reckon.window import STEP_S, STEPS, Window
from sidecar.edge.inbound.admin import AdminServer, Respond
from sidecar.edge.inbound.live import Live
from sidecar.edge.inbound.pages import make_status_page
from sidecar.edge.inbound.statistics import Statistics
from sidecar.edge.telemetry.recent import Recent
from sidecar.exchange import Asked, Cost, Ending, Usage
from tests.edge.telemetry.records import make_attempt, make_seen, make_streamed

_CALLS: Final = 12  # in each step
_FAILING: Final = range(180, 200)
_LEVELS: Final = {"hot": (12, 34_567), "warm": (400, 3_456_789)}


class Hour:
    """The clock of an hour that has passed, and what it left behind. It goes on as time does."""

    def __init__(self, seed: int = 1) -> None:
        self._behind_s = STEPS * STEP_S
        self.window = Window(self.now)
        self.recent = Recent()
        self._draw = random.Random(seed)
        for step in range(STEPS):
            self._behind_s = (STEPS - step) * STEP_S
            for _ in range(_CALLS):
                self._call(is_failing=step in _FAILING and self._draw.random() < 0.4)
        self._behind_s = 0.0

    def now(self) -> float:
        """Return seconds, monotonic."""
        return time.monotonic() - self._behind_s

    def wall_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return time.time_ns() - round(self._behind_s * 1e9)

    def serve(self, paths: Mapping[str, Respond]) -> AdminServer:
        """Return an admin port with the page, and with what else it shall have."""
        statistics = Statistics(self.window, lambda: None, self, lambda: _LEVELS)
        pools = {"chat": ("first", "second")}
        live = Live(self.window, lambda: None, statistics.show, self.recent, self, lambda now: _VIEWS, pools, lambda: _LEVELS)
        told = {**statistics.list_paths(), **live.list_paths(), **paths}
        page = make_status_page([("/openai/", "https://api.openai.test")], lambda: "http://127.0.0.1:4000", told)
        return AdminServer({**page, **told})

    def _call(self, *, is_failing: bool) -> None:
        now, took_s = self.now(), self._draw.lognormvariate(1.2 if is_failing else 0.3, 0.6)
        began, first_token = now - took_s, now - took_s * 0.8
        first = make_attempt(
            upstream="second", outcome="upstream_error", status=503, started=began, connected=began + 0.01, sent=began + 0.02,
            head=began + 0.3 * took_s, ended=began + 0.4 * took_s,
        )  # fmt: skip
        last = make_attempt(
            upstream="first", outcome="cut" if is_failing else "completed", reused=True, started=began + 0.4 * took_s, connected=None,
            sent=began + 0.41 * took_s, head=began + 0.6 * took_s, ended=now,
        )  # fmt: skip
        record = make_streamed(
            id=f"{self._draw.getrandbits(64):016x}", accepted=began, accepted_ns=self.wall_ns() - round(took_s * 1e9), ended=now,
            ending=Ending.CUT if is_failing else Ending.COMPLETED, upstream="second" if is_failing else "first",
            attempts=(first, last), asked=Asked(model=self._draw.choice(("large", "small")), stream=True), cost=Cost(0.002, "table"),
            usage=Usage(100, 0, 0, round(took_s * 40), 0),
            seen=make_seen(first_chunk=first_token, first_token=first_token, last_chunk=now),
        )  # fmt: skip
        self.window.observe(record)
        self.recent.observe(record)


def _view(name: str, state: str, retry_after_s: float, **changes: Any) -> UpstreamView:
    breaker = BreakerView("default", state, retry_after_s)
    view = UpstreamView(name, True, None, state, (breaker,), 1, 3, 100, 1.0, 1.0, 1.2, 0.9, None, 40, 4, None, None)
    return view._replace(**changes)


_VIEWS: Final = (_view("first", "closed", 0.0), _view("second", "open", 23.4, healthy=False, reason="circuit_open"))
