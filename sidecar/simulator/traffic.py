"""Runs errands against a base URL and notes what each caller saw: the third account beside the
provider's ledger and the sidecar's records.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from sidecar.simulator.errands import Errand, choose_errand

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_EVENT_BYTES_MAX: Final = 1 << 24
_TOKEN_MEMBERS: Final = ("content", "refusal", "reasoning_content", "tool_calls")


class Sight(NamedTuple):
    """What one caller saw of its call."""

    number: int
    kind: str
    status: int | None  # None: no answer
    is_complete: bool  # the answer came to its end, as far as the caller can tell
    has_left: bool  # the caller hung up
    error: str | None  # what went wrong: the name of an exception, or of an error in the answer
    usage: dict[str, Any] | None
    body_sha256: str
    body_bytes: int
    started_s: float
    first_byte_s: float | None  # all times on the monotonic clock
    first_token_s: float | None  # of a stream
    ended_s: float
    chunks: int  # events of a stream, [DONE] not counted
    is_stream: bool = False


class Traffic(NamedTuple):
    """How much traffic: bounded in number, in time, in both, or only by being told to stop."""

    base_url: str
    seed: int = 1
    calls: int | None = None
    duration_s: float | None = None
    callers: int = 16  # at once
    odd_every: int = 0  # every so many calls one goes wrong
    think_s: float = 0.0  # mean pause of a caller between calls
    patience_s: float = 60.0  # no caller waits longer for an answer to end


async def run_traffic(traffic: Traffic, on_sight: Callable[[Sight], None], stop: asyncio.Event | None = None) -> None:
    """Run errands until their number or time is reached, or `stop` is set; calls under way are finished."""
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

    deadline_s = None if traffic.duration_s is None else time.monotonic() + traffic.duration_s
    numbers = iter(range(traffic.calls)) if traffic.calls is not None else count()
    connector = TCPConnector(limit=0, force_close=False)
    timeout = ClientTimeout(total=traffic.patience_s)
    async with ClientSession(connector=connector, timeout=timeout, cookie_jar=DummyCookieJar(), auto_decompress=True) as session:

        async def call_on() -> None:
            for number in numbers:
                errand = choose_errand(traffic.seed, number, odd_every=traffic.odd_every, think_s=traffic.think_s)
                if await _has_to_stop(stop, errand.think_s, deadline_s):
                    return
                on_sight(await run_errand(session, traffic.base_url, errand))

        async with asyncio.TaskGroup() as group:
            for _ in range(traffic.callers):
                group.create_task(call_on())


async def _has_to_stop(stop: asyncio.Event | None, think_s: float, deadline_s: float | None) -> bool:
    """Think, and say whether the time is over meanwhile."""
    left_s = think_s if deadline_s is None else min(think_s, deadline_s - time.monotonic())
    if stop is None:
        await asyncio.sleep(max(0.0, left_s))
    elif left_s > 0:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), left_s)
    return (stop is not None and stop.is_set()) or (deadline_s is not None and time.monotonic() >= deadline_s)


async def run_errand(session: "ClientSession", base_url: str, errand: Errand) -> Sight:
    """Make one call and say what came of it. Raises nothing but CancelledError."""
    from aiohttp import ClientError

    view = _View(errand)
    try:
        async with asyncio.timeout(errand.leaves_after_s):
            async with session.request(
                errand.method, base_url + errand.path, headers=errand.headers, data=errand.body or None
            ) as response:  # fmt: skip
                view.meet(response)
                async for piece in response.content.iter_any():
                    view.read(piece)
                    if view.has_enough:
                        response.close()  # hangs up: the connection is closed, not returned
                        break
        return view.tell(None)
    except TimeoutError as error:
        view.has_left = errand.leaves_after_s is not None
        return view.tell(None if view.has_left else type(error).__name__)
    except (ClientError, OSError) as error:
        return view.tell(type(error).__name__)


class _View:
    """An answer as its caller reads it."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._started_s = time.monotonic()
        self._first_byte_s: float | None = None
        self._first_token_s: float | None = None
        self._status: int | None = None
        self._is_stream = False
        self._digest = sha256()
        self._bytes = 0
        self._held = bytearray()
        self._chunks = 0
        self._is_done = False
        self._usage: dict[str, Any] | None = None
        self._error: str | None = None
        self.has_left = False

    def meet(self, response: "ClientResponse") -> None:
        """The head of the answer."""
        self._status = response.status
        self._is_stream = response.content_type == "text/event-stream"

    @property
    def has_enough(self) -> bool:
        """This caller leaves now."""
        after = self._errand.leaves_after_chunks
        self.has_left = after is not None and self._is_stream and self._chunks >= after
        return self.has_left

    def read(self, piece: bytes) -> None:
        """A piece of the body."""
        if self._first_byte_s is None:
            self._first_byte_s = time.monotonic()
        self._digest.update(piece)
        self._bytes += len(piece)
        if len(self._held) + len(piece) <= _EVENT_BYTES_MAX:
            self._held += piece
        if self._is_stream:
            for data in self._take_events():
                self._read_event(data)

    def _take_events(self) -> Iterator[bytes]:
        *whole, rest = bytes(self._held).split(b"\n\n")
        self._held = bytearray(rest)
        for event in whole:
            for line in event.split(b"\n"):
                if line.startswith(b"data: "):
                    yield line[6:]

    def _read_event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self._is_done = True
            return
        self._chunks += 1
        self._read_tree(data)

    def _read_tree(self, data: bytes) -> None:
        try:
            tree = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if not isinstance(tree, dict):
            return
        if isinstance(tree.get("usage"), dict):
            self._usage = tree["usage"]
        if isinstance(tree.get("error"), dict):
            self._error = str(tree["error"].get("code") or tree["error"].get("type"))
        for choice in tree.get("choices") or ():
            if choice.get("finish_reason"):
                self._is_done = True
            if self._first_token_s is None and _holds_token(choice):
                self._first_token_s = time.monotonic()

    def tell(self, failure: str | None) -> Sight:
        """Close the view."""
        if not self._is_stream:
            self._read_tree(bytes(self._held))
        error = failure or self._error
        is_complete = failure is None and not self.has_left and self._status is not None and (self._is_done or not self._is_stream)
        return Sight(
            self._errand.number, self._errand.kind, self._status, is_complete and error is None, self.has_left, error, self._usage,
            self._digest.hexdigest(), self._bytes, self._started_s, self._first_byte_s,
            self._first_token_s if self._is_stream else None, time.monotonic(), self._chunks, self._is_stream,
        )  # fmt: skip


def _holds_token(choice: dict[str, Any]) -> bool:
    """Whether a choice of a chunk holds anything that a model wrote: the role alone is nothing."""
    delta = choice.get("delta") or {}
    return bool(choice.get("text") or any(delta.get(member) for member in _TOKEN_MEMBERS))
