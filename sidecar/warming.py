"""Prompts that are asked before anybody does, so that their answers are there when somebody does.

The file has one prompt on each line, a JSON object:

    {"path": "/openai/v1/chat/completions", "body": {…}, "tenant": "a", "headers": {"anthropic-version": "2023-06-01"}}

`path` is what a caller would ask the sidecar for, `body` is sent as it is written there; without one it is a GET.
`tenant` says whose answers these are, by default those of callers who tell no tenant; on whose account they are asked for is
`warming.tenant`. An answer is found again by those who send the same request, so `headers` are those that callers
send. The credential, which is part of what an answer is kept under, is that of `warming.key_file`; where it belongs is known for
each form of model calls, or told by `{key}` in the value of a field.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Final, NamedTuple

import msgspec

from sidecar.catalogue import ORIGINS
from sidecar.config import Settings
from sidecar.core.identify.batch import OWN_PATHS, is_field
from sidecar.core.identify.router import Match, Router
from sidecar.core.identify.targets import split_target
from sidecar.core.identify.tenants import Tenant, is_tenant
from sidecar.core.observe.salvage import UNREADABLE
from sidecar.errands import Errand, ErrandClient, make_call
from sidecar.errors import ClientFault, ConfigError, ConfigProblem
from sidecar.exchange import Header, Headers
from sidecar.ports import Clock

ORIGIN: Final = ORIGINS[1]
FILE_BYTES_MAX: Final = 16 * 1024 * 1024
_PROMPTS_MAX: Final = 10_000
_REPORTS_MAX: Final = 20  # of one reading
_KEY_MARK: Final = "{key}"
_CREDENTIALS: Final = frozenset({"authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"})
# What SDKs send, where a prompt does not say otherwise.
_USUAL: Final = (("Accept", "application/json"), ("Accept-Encoding", "gzip, deflate"), ("Content-Type", "application/json"))
_AZURE: Final = "/deployments/"

Carry = Callable[[ErrandClient, Errand], Awaitable[None]]
Report = Callable[[int, str], None]  # the number of a line, from 1 on, and what is wrong with it


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    body: msgspec.Raw = msgspec.Raw()
    tenant: str | None = None
    headers: dict[str, str] = {}


class Prompt(NamedTuple):
    """One call to be made."""

    method: str
    target: str
    headers: Headers  # the credential among them
    body: bytes
    tenant: str | None


_decode_line: Final = msgspec.json.Decoder(_Line).decode


def read_prompt(line: bytes, router: Router, key: str | None, body_bytes_max: int) -> Prompt:
    """Return the prompt that a line tells. Raises ValueError with what is wrong, which repeats no value of it."""
    try:
        told = _decode_line(line)
    except UNREADABLE as error:
        raise ValueError(f"not a prompt: {error}") from None
    body = bytes(told.body)
    if body == b"null":
        body = b""
    if len(body) > body_bytes_max:
        raise ValueError("the body is longer than limits.body")
    if told.tenant is not None and not is_tenant(told.tenant):
        raise ValueError("tenant is no name of one")
    method = "POST" if body else "GET"
    try:
        path, _ = split_target(told.path)
    except ClientFault as fault:
        raise ValueError(f"path: {fault.detail or fault.kind.summary}") from None
    match = None if path.startswith(OWN_PATHS) else router.match(method, path)
    if match is None:
        raise ValueError("no route takes its path")
    return Prompt(method, told.path, _read_fields(told.headers, match, key, has_body=bool(body)), body, told.tenant)


class Warming:
    """Asks the prompts of a file, one after another, at start and on a schedule.

    `read`: returns what is in the file now, raises OSError; it may be called in a thread. `carry`: carries an errand from
    accept to record. `name_call`: draws an id. `rest`: lets seconds pass. `report`: is told of lines that are no prompts,
    a bounded number of them; `note_ended` of how many prompts were asked, each time all were.
    """

    def __init__(
        self, settings: Settings, key: str | None, router: Router, clock: Clock, carry: Carry, *, name_call: Callable[[], str],
        read: Callable[[], bytes], rest: Callable[[float], Awaitable[None]], report: Report,
        note_ended: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._settings = settings
        self._key = key
        self._router = router
        self._clock = clock
        self._carry = carry
        self._name_call = name_call
        self._read = read
        self._rest = rest
        self._report = report
        self._note_ended = note_ended
        self._prompts: Sequence[Prompt] = ()
        self._problems: Sequence[tuple[int, str]] = ()

    def read(self) -> None:
        """Read the file. May be called in a thread. Raises ConfigError where it cannot be read."""
        try:
            self._prompts, self._problems = self._load()
        except OSError as error:
            problem = ConfigProblem("warming.file", f"a file that cannot be read ({error.strerror})", "a readable file of JSON lines")
            raise ConfigError("warming.file", [problem]) from None

    def start(self) -> None:
        """Read the file, and tell of lines that are no prompts. Raises ConfigError where it cannot be read."""
        self.read()
        self.tell_problems()

    def tell_problems(self) -> None:
        """Tell of the lines that were last read and are no prompts, once."""
        problems, self._problems = self._problems, ()
        for number, problem in problems[:_REPORTS_MAX]:
            self._report(number, problem)
        if len(problems) > _REPORTS_MAX:
            self._report(problems[_REPORTS_MAX][0], f"and {len(problems) - _REPORTS_MAX - 1} more lines that are no prompts")

    def asks_as(self, other: "Warming") -> bool:
        """Whether another one asks the same prompts in the same way, so that nothing would be gained by beginning anew."""
        return (self._settings.warming, self._settings.tenants.default, self._key, self._prompts) == (
            other._settings.warming, other._settings.tenants.default, other._key, other._prompts
        )  # fmt: skip

    def adopt(self, settings: Settings, router: Router) -> None:
        """Read the file by other settings from now on."""
        self._settings, self._router = settings, router

    async def run(self) -> None:
        """Ask every prompt; where there is a schedule, read the file again and ask them again, until cancelled."""
        settings = self._settings.warming  # another one is another beginning
        while True:
            for number, prompt in enumerate(self._prompts):
                if number:
                    await self._rest(settings.pace)
                await self._ask(prompt)
            self._note_ended(len(self._prompts))
            if settings.every is None:
                return
            await self._rest(settings.every)
            try:
                self._prompts, self._problems = await asyncio.to_thread(self._load)
                self.tell_problems()
            except OSError as error:  # what was there before is still good
                self._report(0, f"the file cannot be read ({error.strerror})")

    async def _ask(self, prompt: Prompt) -> None:
        now, now_ns = self._clock.now(), self._clock.wall_ns()
        call = make_call(self._name_call(), prompt.method, prompt.target, prompt.headers, prompt.body, now=now, now_ns=now_ns)
        name = prompt.tenant or self._settings.tenants.default
        errand = Errand(call, prompt.body, ORIGIN, Tenant(name, self._settings.warming.tenant))
        await self._carry(ErrandClient(errand), errand)

    def _load(self) -> tuple[Sequence[Prompt], Sequence[tuple[int, str]]]:
        """Return the prompts, and what is wrong with lines that are none. Raises OSError."""
        data = self._read()
        prompts: list[Prompt] = []
        problems: list[tuple[int, str]] = []
        for number, line in zip(count(1), data[:FILE_BYTES_MAX].split(b"\n")):
            if not line.strip():
                continue
            if len(prompts) == _PROMPTS_MAX:
                problems.append((number, f"more than {_PROMPTS_MAX} prompts; the rest is passed over"))
                break
            try:
                prompts.append(read_prompt(line, self._router, self._key, self._settings.limits.body))
            except ValueError as error:
                problems.append((number, str(error)))
        if len(data) > FILE_BYTES_MAX:
            problems.append((0, f"the file is longer than {FILE_BYTES_MAX} bytes; the rest is passed over"))
        return prompts, problems


def _read_fields(told: Mapping[str, str], match: Match, key: str | None, *, has_body: bool) -> Headers:
    """Return the head's fields: those told, the usual ones, and the credential in its place. Raises ValueError."""
    fields: list[Header] = []
    names = set()
    for name, value in told.items():
        low = name.lower()
        if low in _CREDENTIALS and _KEY_MARK not in value:
            raise ValueError(f"headers.{low} is a credential: it belongs in warming.key_file, and here is only {_KEY_MARK}")
        if _KEY_MARK in value and key is None:
            raise ValueError(f"there is {_KEY_MARK} in headers, and no warming.key_file")
        text = value.replace(_KEY_MARK, key or "")
        if not is_field(name, text):
            raise ValueError("headers has what is no field of HTTP")
        fields.append((name.encode(), text.encode("latin-1")))
        names.add(low)
    # A tool is not shown the key of a model's provider unless it is told to be.
    if key is not None and match.tool is None and not any(_KEY_MARK in value for value in told.values()):
        fields.append(_place_credential(match, key))
    usual = _USUAL if has_body else _USUAL[:-1]
    return *fields, *((name.encode(), value.encode()) for name, value in usual if name.lower() not in names)


def _place_credential(match: Match, key: str) -> Header:
    """Return the field in which the SDK of that form has a key."""
    if match.dialect.name.startswith("gemini_"):
        return b"x-goog-api-key", key.encode()
    if _AZURE in match.path:
        return b"api-key", key.encode()
    return b"Authorization", b"Bearer " + key.encode()
