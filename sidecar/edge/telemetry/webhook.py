"""Messages of alerts on their way to a webhook: one after the other, each tried again for some minutes, none in the way of a call.

Nothing goes anywhere but to the one address: redirects are not followed, cookies not kept, proxies of the environment not used.
"""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sidecar import catalogue
from sidecar.edge.tasks import spawn
from sidecar.edge.telemetry.logs import EventLog

if TYPE_CHECKING:
    from aiohttp import ClientSession

# One of aiohttp's libraries is in C++ and brings that language's runtime, more than a megabyte, for
# a list of callbacks that is read a few times. Its plain form serves as well.
os.environ.setdefault("FROZENLIST_NO_EXTENSIONS", "1")

WAITING_MAX: Final = 100  # messages
TRIES_MAX: Final = 10  # of one message: over six minutes
_TIMEOUT_S: Final = 10.0
_PAUSE_S: Final = 1.0  # after the first failure; twice as long after each further one
_PAUSE_MAX_S: Final = 60.0
_TRIED_AGAIN: Final = frozenset((408, 425, 429))  # and 5xx


class Webhook:
    """One receiver. `draw`: a number of 0 to 1, so that several sidecars do not all try again at once."""

    def __init__(self, url: str, token: str | None, log: EventLog, draw: Callable[[], float]) -> None:
        # Ten megabytes, which a sidecar without a webhook need not pay.
        from aiohttp import ClientError
        from yarl import URL

        self._failures = (ClientError, OSError, ValueError)
        self._url = URL(url, encoded=True)
        self._fields = {"Content-Type": "application/json", "User-Agent": "llm-sidecar"}
        if token is not None:
            self._fields["Authorization"] = f"Bearer {token}"
        self._log = log
        self._draw = draw
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._leaving = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.sent = self.lost = 0

    @property
    def waiting(self) -> int:
        """Messages that have not been taken yet."""
        return len(self._waiting)

    def take_over(self, former: "Webhook") -> None:
        """Go on with the messages that wait for another address, and with what was counted there: it sends no more."""
        self._waiting, self.sent, self.lost = former._waiting, former.sent, former.lost
        former._waiting = deque()
        self._news.set()

    def start(self) -> None:
        """Send from now on."""
        self._task = spawn(self._repeat(), name="alert webhook")

    async def stop(self, timeout_s: float = 0.0) -> None:
        """Send what waits, each message once more, for at most `timeout_s` seconds, and then nothing. What was not taken is lost."""
        task, self._task = self._task, None
        if task is None:
            return
        self._leaving.set()
        self._news.set()
        await asyncio.wait((task,), timeout=timeout_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        while self._waiting:
            self._waiting.popleft()
            self._lose("stopping")

    def put(self, message: bytes) -> None:
        """Have a message sent. The oldest one that waits makes room for it where there is none."""
        if len(self._waiting) >= WAITING_MAX:
            self._waiting.popleft()
            self._lose("too_many")
        self._waiting.append(message)
        self._news.set()

    async def _repeat(self) -> None:
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar

        async with ClientSession(cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=_TIMEOUT_S)) as session:
            while True:
                self._news.clear()
                while self._waiting:
                    await self._deliver(session, self._waiting[0])
                if self._leaving.is_set():
                    return
                await self._news.wait()

    async def _deliver(self, session: "ClientSession", message: bytes) -> None:
        for tried in range(1, TRIES_MAX + 1):
            is_last = tried == TRIES_MAX or self._leaving.is_set()
            problem, is_final = await self._send(session, message)
            if not self._waiting or self._waiting[0] is not message:
                return  # it has made room for another one meanwhile
            if problem is None:
                self._waiting.popleft()
                self.sent += 1
                return
            if is_final or is_last:
                self._waiting.popleft()
                self._lose(problem)
                return
            self._log.write(catalogue.WEBHOOK_FAILED, key=problem, reason=problem, lost=False)
            await self._pause(min(_PAUSE_S * 2 ** (tried - 1), _PAUSE_MAX_S) * (0.5 + 0.5 * self._draw()))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._leaving.wait()

    async def _send(self, session: "ClientSession", message: bytes) -> tuple[str | None, bool]:
        """Return what went wrong, None for nothing, and whether there is no use in trying again."""
        try:
            async with session.post(self._url, data=message, headers=self._fields, allow_redirects=False) as response:
                status = response.status
        except TimeoutError:
            return "timeout", False
        except self._failures as error:
            return type(error).__name__, False  # its text may hold the address, which may be a secret
        if 200 <= status < 300:
            return None, False
        return f"status_{status}", status < 500 and status not in _TRIED_AGAIN

    def _lose(self, problem: str) -> None:
        self.lost += 1
        self._log.write(catalogue.WEBHOOK_FAILED, key=f"{problem} lost", reason=problem, lost=True)
