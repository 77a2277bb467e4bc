"""The provider without its sockets: a request comes in, an entry of the ledger and a reply come out.

`/_sim/…` is the way to look at it and to steer it; such calls are no part of the ledger.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote

import msgspec
from msgspec.structs import replace

from sidecar.simulator.anthropic import render_count
from sidecar.simulator.anthropic_request import count_prompt
from sidecar.simulator.contract import Dialect
from sidecar.simulator.dialects import ANTHROPIC, OPENAI, find_dialect
from sidecar.simulator.ledger import Entry, Ledger
from sidecar.simulator.openai import render_error, render_model, render_models
from sidecar.simulator.plan import Plan, draw_fault, plan_reply
from sidecar.simulator.profile import Profile
from sidecar.simulator.prompts import PromptMemory
from sidecar.simulator.reply import ERROR_STATUS, Marks, Outcome, Reply, compose, compose_plain
from sidecar.simulator.request import Ask, Form, Rejection
from sidecar.simulator.responses import Replay
from sidecar.simulator.script import Fault, Script, ScriptError, read_script, read_scripts
from sidecar.simulator.stored import ResponseStore
from sidecar.simulator.talks import Talk
from sidecar.simulator.tools import TOOL, TOOL_PATH, run_tool
from sidecar.simulator.websocket import open_talk
from sidecar.simulator.wire import Fields

CONTROL_PREFIX: Final = "/_sim/"
_MODELS_SUFFIX: Final = "/models"
_RESPONSES_SUFFIX: Final = "/responses"
_REMEMBERING: Final = (Form.CHAT, Form.RESPONSE)  # their prompts are cached, where the format can tell it
_COUNT_SUFFIX: Final = "/messages/count_tokens"
_SCRIPTS_MAX: Final = 100_000
_PROBER: Final = "llm-sidecar/"  # how a sidecar names itself where it asks on its own account
_DOWN: Final = (Fault.RESET_BEFORE_HEAD, Fault.CLOSE_BEFORE_HEAD, Fault.GARBAGE_HTTP)


class Received(NamedTuple):
    """One request as it came in; header names are lower-case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    can_chunk: bool = True  # HTTP/1.1

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


class Provider:
    """What the provider knows from one request to the next. All of it changes in plain functions."""

    def __init__(
        self, profile: Profile, connections: Callable[[], list[dict[str, Any]]] = list, *, ledger: Ledger | None = None, name: str = ""
    ) -> None:  # fmt: skip
        """`ledger`: one that is kept together with other providers. `name`: of this one, in there."""
        self.profile = profile
        self.ledger = Ledger() if ledger is None else ledger
        self._name = name
        self._exposed = 0  # requests that an outage could have struck
        self._connections = connections
        self._prompts = PromptMemory(profile.cached_from_tokens)
        self._scripts: deque[Script] = deque()
        self._stored = ResponseStore()
        self._number = 0

    def receive(self, received: Received, now: float) -> tuple[Entry | None, Reply]:
        """Take a request; the entry is None for one that steers the simulator itself, and for a sidecar's probe, which is no call."""
        if received.path.startswith(CONTROL_PREFIX):
            return None, self._control(received)
        if received.headers.get("user-agent", "").startswith(_PROBER):
            return None, compose_plain(200, b"{}")
        entry = self._make_entry(received, now)
        dialect, form = find_dialect(received.method, received.target) or (_find_other(received.path), None)
        entry.provider = dialect.provider
        try:
            reply = self._answer_other(received, entry) if form is None else self._answer(dialect, form, received, entry)
        except Rejection as rejection:
            entry.model = entry.model or rejection.model
            error = dialect.render_error(rejection.status, rejection.message, param=rejection.param, code=rejection.code)
            reply = compose_plain(rejection.status, error, self._fields(dialect, entry, 0.0, 0))
        entry.status, entry.marks, entry.is_billed = reply.status, reply.marks, reply.is_billed
        self.ledger.begin(entry)
        return entry, reply

    def open_session(self, received: Received, now: float) -> tuple[Entry, Talk | Reply]:
        """Take a WebSocket's handshake: the script of the session, or the reply where it is refused."""
        entry = self._make_entry(received, now)
        told: Talk | Reply | None = open_talk(received.target)
        if told is None:
            told = compose_plain(404, render_error(404, f"Invalid URL (GET {received.path})", code="unknown_url"))
        elif not OPENAI.is_known(received.headers):
            told = compose_plain(401, render_error(401, "Incorrect API key provided: sk-bad.", code="invalid_api_key"))
        entry.provider = OPENAI.provider if isinstance(told, Reply) else told.provider
        entry.status = told.status if isinstance(told, Reply) else 101
        self.ledger.begin(entry)
        return entry, told

    def _make_entry(self, received: Received, now: float) -> Entry:
        self._number += 1
        entry = Entry(self._number, received.method, received.path, now)
        entry.upstream = self._name
        entry.tag = received.headers.get("x-sim-tag", "")
        entry.traceparent = received.headers.get("traceparent")
        entry.header_names = tuple(received.headers)
        entry.request_id = f"req_{self._number:030x}"
        return entry

    def _answer(self, dialect: Dialect, form: Form, received: Received, entry: Entry) -> Reply:
        """The reply to a request of the provider's own interface. Raises Rejection."""
        script = self._script_for(received.headers)
        ask = dialect.read_ask(form, received.target, received.body)
        entry.model, entry.stream = ask.model, ask.stream
        if not dialect.is_known(received.headers):
            raise Rejection(401, "Incorrect API key provided: sk-bad.", code="invalid_api_key")
        model = self.profile.models.get(ask.model)
        if model is None:
            raise Rejection(404, f"The model `{ask.model}` does not exist or you do not have access to it.", code="model_not_found")
        if model.embeds != (form is Form.EMBEDDING):
            raise Rejection(403, f"You are not allowed to use `{ask.model}` on this endpoint.", param="model")
        identity = received.headers.get("x-sim-seed", str(entry.number))
        fault = script.fault if script else self._draw_fault(dialect.provider, identity)
        prices = model.prices.with_fee(dialect.fee)
        plan = self._plan(ask, script or Script(), fault, identity)._replace(prices=prices)
        entry.id, entry.request_id, entry.fault = dialect.name_answer(plan), plan.request_id, fault.value if fault else None
        entry.prompt_tokens, entry.cached_tokens, entry.prices = plan.prompt_tokens, plan.cached_tokens, prices
        entry.written_tokens, entry.written_1h_tokens = plan.written_tokens, plan.written_1h_tokens
        accepts_gzip = "gzip" in received.headers.get("accept-encoding", "")
        fields = self._fields(dialect, entry, plan.duration_s, int(plan.request_id[-6:], 16))
        reply = compose(dialect, plan, fields, accepts_gzip=accepts_gzip, can_chunk=received.can_chunk)
        if ask.stored and reply.status == 200:
            self._stored.keep(entry.id, plan, entry.received_s + plan.duration_s)
        return reply

    def _draw_fault(self, provider: str, identity: str) -> Fault | None:
        """What strikes a request to the interface of `provider` that comes without a script, if anything does."""
        outage, outages = None, self.profile.outages
        if outages is not None and outages.provider in (None, provider):
            outage = outages.find_fault(self._exposed)
            self._exposed += 1
        return outage or draw_fault(self.profile, identity)

    def _plan(self, ask: Ask, script: Script, fault: Fault | None, identity: str) -> Plan:
        is_read = fault is None or (fault not in ERROR_STATUS and fault not in _DOWN and fault is not Fault.STATUS)
        cached = 0
        if ask.written_tokens < self.profile.cached_from_tokens:
            ask = ask._replace(written_tokens=0, written_1h_tokens=0)
        if is_read and ask.form in _REMEMBERING and ask.tells_details:
            step = {} if ask.marked_parts is None else {"step_tokens": 1}
            kept = slice(ask.marked_parts)
            cached = self._prompts.recall(ask.model, ask.prompt[kept], ask.prompt_tokens[kept], **step)
        return plan_reply(ask, script, fault, self.profile, identity, cached)

    def _answer_other(self, received: Received, entry: Entry) -> Reply:
        """A tool, model lists, stored responses, prompts that are only counted; everything else does not exist."""
        if received.method == "GET" and received.path == TOOL_PATH:
            entry.provider, identity = TOOL, received.headers.get("x-sim-seed", str(entry.number))
            return run_tool(received.target, self.profile, identity, self._draw_fault(TOOL, identity))
        fields = self._fields(OPENAI, entry, 0.0, 0)
        if received.method == "POST" and received.path.endswith(_COUNT_SUFFIX):
            tokens = count_prompt(received.body)
            return compose_plain(200, render_count(tokens), self._fields(ANTHROPIC, entry, 0.0, tokens))
        stem, _, name = received.path.rpartition("/")
        if received.method == "GET" and stem.endswith(_RESPONSES_SUFFIX):
            return self._fetch(received, entry, name)
        if received.method in ("GET", "HEAD") and received.path.endswith(_MODELS_SUFFIX):
            return compose_plain(200, render_models(self.profile.models), fields)
        if received.method in ("GET", "HEAD") and stem.endswith(_MODELS_SUFFIX) and unquote(name) in self.profile.models:
            return compose_plain(200, render_model(unquote(name)), fields)
        raise Rejection(404, f"Invalid URL ({received.method} {received.path})", code="unknown_url")

    def _fetch(self, received: Received, entry: Entry, name: str) -> Reply:
        """A stored response, again: nothing is generated or billed."""
        stored = self._stored.find(name)
        if stored is None:
            raise Rejection(404, f"Response with id '{name}' not found.")
        query = parse_qs(received.target.partition("?")[2])
        script = self._script_for(received.headers) or Script()
        after = query.get("starting_after", ["-1"])[-1]
        dialect = Replay(None if entry.received_s >= stored.ready_s else "in_progress", int(after) if after.isdecimal() else -1)
        entry.id, entry.fault, entry.stream = name, script.fault.value if script.fault else None, query.get("stream") == ["true"]
        plan = stored.plan._replace(
            ask=stored.plan.ask._replace(stream=entry.stream), script=replace(script, failed=stored.plan.script.failed),
            fault=script.fault, first_token_s=0.0, gaps_s=(),
        )  # fmt: skip
        accepts_gzip = "gzip" in received.headers.get("accept-encoding", "")
        reply = compose(dialect, plan, self._fields(dialect, entry, 0.0, 0), accepts_gzip=accepts_gzip, can_chunk=received.can_chunk)
        fetched = script.fault is None  # whatever had become of the response
        return reply._replace(is_billed=False, marks=Marks(streamed=entry.stream), outcome=Outcome.COMPLETE if fetched else reply.outcome)

    def _script_for(self, headers: Mapping[str, str]) -> Script | None:
        """The request's own script, else the next of the queue; None where nothing is told."""
        told = headers.get("x-sim-script")
        if told is not None:
            try:
                return read_script(told)
            except ScriptError as error:
                raise Rejection(400, f"x-sim-script: {error}", param="x-sim-script") from error
        return self._scripts.popleft() if self._scripts else None

    def _fields(self, dialect: Dialect, entry: Entry, processing_s: float, draw: int) -> Fields:
        """The header fields of every answer of the interface."""
        return dialect.fields(self.profile, entry.request_id, processing_s, entry.prompt_tokens, draw)

    def _control(self, received: Received) -> Reply:
        """Calls under `/_sim/`."""
        match received.method, received.path.removeprefix(CONTROL_PREFIX):
            case "GET", "ledger":
                tree: Any = [entry.tell() for entry in self._entries_asked(received.target)]
            case "DELETE", "ledger":
                self.ledger.clear()
                tree = {"cleared": True}
            case "GET", "totals":
                tree = self.ledger.tell_totals()
            case "GET", "connections":
                tree = self._connections()
            case "POST", "script":
                return self._queue(received.body)
            case "DELETE", "script":
                tree = {"dropped": len(self._scripts)}
                self._scripts.clear()
            case _:
                return compose_plain(404, render_error(404, "No such control call.", code="unknown_url"))
        return compose_plain(200, msgspec.json.encode(tree))

    def _entries_asked(self, target: str) -> tuple[Entry, ...]:
        """Entries, of late or (`?tag=`) of one tag."""
        tags = parse_qs(target.partition("?")[2]).get("tag", [])
        entries = self.ledger.entries
        return tuple(entry for entry in entries if entry.tag in tags) if tags else entries

    def _queue(self, body: bytes) -> Reply:
        try:
            scripts = read_scripts(body)
        except ScriptError as error:
            return compose_plain(400, render_error(400, str(error)))
        if len(self._scripts) + len(scripts) > _SCRIPTS_MAX:
            return compose_plain(400, render_error(400, f"At most {_SCRIPTS_MAX} scripts wait."))
        self._scripts.extend(scripts)
        return compose_plain(200, msgspec.json.encode({"queued": len(self._scripts)}))


def _find_other(path: str) -> Dialect:
    """Whose form an answer has that belongs to no interface with a prompt."""
    return ANTHROPIC if path.endswith(_COUNT_SUFFIX) else OPENAI
