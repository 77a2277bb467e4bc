"""WebSocket sessions: what the path does differently where a call asks to become one.

Up to the upstream's 101 it is a call like any other. Then the two connections are joined, and the
path waits for them to close. A session may last for an hour, so it does not stand among the calls
of its upstream's pool, nor under `timeouts.total`; it has a limit and a time of silence of its own.
"""

from asyncio import CancelledError
from collections.abc import Sequence
from functools import partial
from typing import Final

from sidecar.config import Settings
from sidecar.core.attempt.compose import compose_switch
from sidecar.core.attempt.endings import end_session
from sidecar.core.attempt.handshake import check_answer, check_request
from sidecar.core.identify.router import Match, match_session
from sidecar.core.observe.pricing import PriceTable
from sidecar.core.observe.sessions import SessionObserver
from sidecar.errors import INTERNAL, NOT_UPGRADABLE, STOPPING, WEBSOCKET_REFUSED, WEBSOCKETS_FULL, ClientFault, Refused, SidecarFault
from sidecar.exchange import Asked, Departure, Session
from sidecar.ports import Clock, Level, Tunnel, Upgradable
from sidecar.progress import Exchange

_RETRY_AFTER_S: Final = 1.0


class Sessions:
    """Admits, carries and counts WebSockets.

    `level`: how many there are, handshakes included. It counts those that began under other settings, too.
    """

    def __init__(self, settings: Settings, prices: PriceTable, clock: Clock, level: Level) -> None:
        self._settings = settings
        self._prices = prices
        self._clock = clock
        self._level = level

    def admit(self, exchange: Exchange, match: Match) -> None:
        """Take a call that asks for an upgrade, or refuse it. Raises ClientFault, Refused and SidecarFault."""
        check_request(exchange.call)
        if not isinstance(exchange.client, Upgradable):
            raise ClientFault(NOT_UPGRADABLE)
        if not match.websocket:
            raise Refused(WEBSOCKET_REFUSED)
        if self._level.value >= self._settings.limits.websockets:
            raise SidecarFault(WEBSOCKETS_FULL, retry_after_s=_RETRY_AFTER_S)
        exchange.match, dialect = match_session(match)
        exchange.dialect = exchange.match.dialect
        exchange.session = SessionObserver(dialect, exchange.query, self._settings.limits.line)
        self._level.inc()  # dismissed if it has an observer: both or neither

    def dismiss(self, exchange: Exchange) -> None:
        """Count a session no more: its exchange has ended."""
        if exchange.session is not None:
            self._level.dec()

    async def carry(self, exchange: Exchange, own: Sequence[bytes]) -> None:
        """Answer the handshake, and carry the session until both sides are closed. Raises Fault while it is a handshake."""
        trial = exchange.trial
        answer, head, observer = trial.answer, trial.head, exchange.session
        client = exchange.client
        if answer is None or head is None or observer is None or not isinstance(client, Upgradable):
            raise SidecarFault(INTERNAL, "no session to carry")
        check_answer(exchange.call, head)
        observer.tally.charge = partial(self._prices.charge, trial.place.provider)  # of whoever took it
        idle_s = self._settings.timeouts.websocket_idle
        tunnel = answer.open_tunnel(client, compose_switch(head, own), observer, idle_s)
        exchange.committed, exchange.status = True, head.status
        opened = exchange.committed_at = self._clock.now()
        try:
            departure = await tunnel.until_closed()
        except CancelledError:
            tunnel.dismiss(Departure.STOPPING, STOPPING)
            _note_end(exchange, observer, tunnel, Departure.STOPPING, opened)
            raise
        _note_end(exchange, observer, tunnel, departure, opened)


def _note_end(exchange: Exchange, observer: SessionObserver, tunnel: Tunnel, departure: Departure, opened: float) -> None:
    observer.finish()
    tally = observer.tally
    exchange.ending, exchange.kind, tally.seen.error_type = end_session(
        departure, closed_by_server=observer.closed_by_server, close_code=observer.close_code, is_answering=tally.is_answering,
        error_type=tally.seen.error_type,
    )  # fmt: skip
    exchange.asked = Asked(model=tally.model)
    exchange.request_bytes = tunnel.request_bytes
    exchange.became = Session(opened, observer.close_code, *observer.messages)
