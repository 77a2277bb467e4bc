"""The composition root: settings in, a running sidecar out; the order of start, drain and stop."""

import os
import platform
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final

from sidecar import __version__, catalogue
from sidecar.config import Settings
from sidecar.console import Console
from sidecar.core.choose.places import list_kept
from sidecar.core.settings.changes import Outcome
from sidecar.core.settings.resolution import Loaded
from sidecar.economy import Economy, Prepared
from sidecar.edge.aside import do_aside
from sidecar.edge.clock import SystemClock
from sidecar.edge.files import NO_FILE
from sidecar.edge.inbound.admin import AdminServer
from sidecar.edge.inbound.gate import Gate
from sidecar.edge.inbound.server import DataServer
from sidecar.edge.memory import Memory
from sidecar.edge.outbound.upstreams import Upstreams
from sidecar.edge.sources import look_at
from sidecar.edge.tasks import end_all, end_together, spawn
from sidecar.edge.telemetry.announcements import Announcements, announce_reach
from sidecar.edge.telemetry.exposition import Exposition
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.reload_announcements import ReloadAnnouncements
from sidecar.errands import Errand, ErrandClient
from sidecar.errors import ConfigError, ConfigProblem
from sidecar.generation import Generation, Material, make_generation, read_material
from sidecar.insight import Insight, Outlook, Sources
from sidecar.pipeline import Pipeline
from sidecar.ports import Sink
from sidecar.recording import Recording
from sidecar.reloading import Load, Reloading
from sidecar.switchboard import Switchboard
from sidecar.vitals import Vitals

# Given at the end to what is to be written and sent. Beyond the grace there is less.
_FLUSH_S: Final = 3.0
_FLUSHED_S: Final = 2.0
_MARGIN_S: Final = 0.1  # for what gives up by itself to say so
_ADMIN_S: Final = 0.2
_TASKS_S: Final = 0.2
_REQUEST_ID_BITS: Final = 64


class Sidecar:
    """One sidecar. Raises ConfigError where settings name files or ports that cannot be used.

    `sinks`: further readers of its records, which must not raise. `source`: where settings came from. `load`: loads them anew, from
    that file; without it they stay, and only the files that they name are read anew.
    """

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], log: EventLog | None = None,
        *, sinks: Sequence[Sink] = (), source: str = "a program", load: Load | None = None,
    ) -> None:  # fmt: skip
        self._environ = environ
        self._log = log or EventLog(settings.log.level)
        self._clock = SystemClock()
        self._random = random.Random(os.urandom(32))
        file = None if load is None or source == NO_FILE else source
        first = look_at(file, settings)
        self._generation = made = make_generation(settings, read_material(settings, source), environ)
        self._gate = Gate(settings.admin.web_config_file, self._clock, self._log)
        self._meter = Meter(settings.limits, settings.upstreams, version=__version__, python=platform.python_version())
        for part in (self._meter.resilience, self._meter.reuse, self._meter.accounts):
            part.prepare(settings)
        self._reloading = Reloading(
            file, source, load or (lambda _: Loaded(settings, {}, source)), settings, first, self._prepare, self._clock,
            ReloadAnnouncements(self._meter, self._log),
        )  # fmt: skip
        self._upstreams = Upstreams(
            settings.upstreams, made.places, settings.dns, self._clock, environ, head_bytes_max=settings.limits.head,
            draw=self._random.random,
        )  # fmt: skip
        self._economy = Economy(
            made.settings, made.places, made.prices, made.router, self._clock, self._random.random, self._meter, self._log,
            carry=self._carry_errand, name_call=self._draw_id,
        )  # fmt: skip
        self._switchboard = Switchboard(
            made.settings, made.places, made.prices, self._upstreams, self._upstreams, self._clock, self._random.random,
            self._meter.resilience, Announcements(self._log), made.listening, spending=self._economy.spending,
        )  # fmt: skip
        self._vitals = Vitals(
            made.settings, made.places, self._switchboard, self._economy, self._meter, self._reloading.describe,
            is_ready=lambda: self._ready, is_draining=lambda: self._draining, urls=lambda: (self.data_url, self.admin_url), gate=self._gate,
        )  # fmt: skip
        self._insight = Insight(made.settings, self._clock, self._meter, self._log, self._name_sources())
        self._vitals.describe_journal = self._insight.describe_journal
        self._console = Console(
            self._switchboard, self._economy, self._insight, Exposition(self._meter), self._clock, lambda: self._ready,
            lambda: self.data_url, partial(self.reload, "endpoint"),
        )  # fmt: skip
        self._memory = Memory()
        self._recording = Recording(self._meter, self._log, sinks)
        self._pipeline: Pipeline | None = None
        self._data: DataServer | None = None
        self._admin: AdminServer | None = None
        self._ready = self._draining = False
        self.data_url = ""
        self.admin_url = ""

    def _name_sources(self) -> Sources:
        switchboard, economy = self._switchboard, self._economy
        return Sources(
            economy.describe_levels, self._vitals.collect, switchboard.note_quality, switchboard.describe, economy.describe_spending,
            self._random.random,
        )  # fmt: skip

    async def start(self) -> None:
        """Open both ports. Nothing is half-started: what was opened is closed again on failure."""
        settings = self._generation.settings
        try:
            self._recording.start(settings, self._environ)
            self._vitals.tracer = self._recording.tracer
            self._pipeline = pipeline = self._make_pipeline()
            self._data = DataServer(pipeline.carry, pipeline.refuse_malformed, self._clock, settings.timeouts, self._draw_id)
            self.data_url = await _listen(self._data.start, settings.listen, "listen", "http")
            self._admin = AdminServer(*self._console.list_all(self._generation), token=self._generation.token, gate=self._gate)
            self.admin_url = await _listen(self._admin.start, settings.admin.listen, "admin.listen", self._gate.scheme)
            await self._economy.start()
            self._gate.start()
            self._vitals.start()
            self._insight.start()
            await self._reloading.start()
        except BaseException:
            await self.stop(grace_s=0)
            raise
        self._meter.before_scrape(self._count_connections)
        self._meter.before_scrape(self._switchboard.refresh)
        self._meter.before_scrape(lambda: self._meter.show_memory_limit(self._memory.read_limit()))
        self._meter.before_scrape(self._economy.refresh)
        self._switchboard.probes.start()
        self._ready = True
        announce_reach(self._log, self._vitals.read_reach())

    def _make_pipeline(self) -> Pipeline:
        made, attempts, economy, tracer = self._generation, self._switchboard.attempts, self._economy, self._recording.tracer
        return Pipeline(
            made.settings, made.router, made.places, made.prices, made.tenancy, attempts, self._clock, self._meter.in_flight,
            self._meter.websockets, (*self._insight.sinks, *self._recording.sinks), self._random.getrandbits, self._report,
            has_room=None if tracer is None else tracer.has_room, listening=made.listening, limiting=economy.limiting,
            spending=economy.spending, reuse=economy.make_reuse(attempts, self._report, made.listening),
        )  # fmt: skip

    async def reload(self, trigger: str) -> Outcome:
        """Load the configuration anew, whole or not at all, and the web configuration. `trigger`: who wants it, for the log."""
        outcome = await self._reloading.ask(trigger)
        return outcome._replace(access=await self._gate.look())

    async def _prepare(self, settings: Settings, material: Material) -> Callable[[], None]:
        """Make what follows from settings, and return what puts it in force. Raises ConfigError."""
        made = make_generation(settings, material, self._environ)
        upstreams = self._upstreams.succeed(settings.upstreams, made.places, settings.dns, head_bytes_max=settings.limits.head)
        insight = await do_aside(partial(self._insight.prepare, made.settings), name="webhook files")
        economy = await self._economy.prepare(made.settings, made.places, made.prices, made.router)
        return partial(self._adopt, made, upstreams, economy, insight)

    def _adopt(self, made: Generation, upstreams: Upstreams, economy: Prepared, insight: Outlook) -> None:
        """Go on with another generation, in one turn. Calls in progress keep the one that they began with."""
        settings, now = made.settings, self._clock.now()
        self._recording.flush()
        kept = list_kept(self._generation.places, made.places)
        self._economy.adopt(economy, now)
        self._switchboard.adopt(
            settings, made.places, made.prices, upstreams, upstreams, made.listening, self._economy.spending, now
        )  # fmt: skip
        self._upstreams.retire(upstreams)
        self._upstreams, self._generation = upstreams, made
        self._insight.adopt(insight)
        self._meter.adopt(settings, kept)
        self._vitals.adopt(settings, made.places)
        self._recording.adopt(settings, self._clock.wall_ns())
        self._pipeline = pipeline = self._make_pipeline()
        if self._data is not None and self._admin is not None:
            self._data.adopt(pipeline.carry, pipeline.refuse_malformed, settings.timeouts)
            self._admin.adopt(*self._console.list_all(made), made.token)

    @property
    def grace_s(self) -> float:
        """How long calls in progress have from the moment it is told to stop."""
        return self._generation.settings.timeouts.shutdown if self._ready else 0.0

    async def stop(self, grace_s: float | None = None) -> None:
        """Let calls come to their end within `grace_s` seconds, by default `timeouts.shutdown`, as `drain` says; then end everything.

        Metrics and health are there to the end, which comes less than 3 s after the grace, whatever hangs.
        """
        grace_s = self.grace_s if grace_s is None else grace_s
        flushed = self._clock.now() + grace_s + _FLUSHED_S
        self._ready, self._draining = False, self._ready
        quiet = (self._reloading.stop(), self._switchboard.probes.stop(), self._economy.quieten())
        quietening = spawn(end_together(quiet, grace_s + _FLUSHED_S), name="quieten")
        if self._data is not None:
            await self._data.stop(grace_s, self._generation.settings.drain, self._close_pipeline)
        await quietening
        flush_s = min(_FLUSH_S, flushed - self._clock.now())
        self._upstreams.close()
        ends = (self._economy.stop(flush_s), self._insight.stop(flush_s), self._recording.stop(flush_s))
        await end_together(ends, flush_s + _MARGIN_S)
        if self._admin is not None:
            await self._admin.stop(_ADMIN_S)
        await end_all(_TASKS_S)

    def _close_pipeline(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close()

    async def _carry_errand(self, client: ErrandClient, errand: Errand) -> None:
        if self._pipeline is not None:
            await self._pipeline.carry(client, errand=errand)

    def _draw_id(self) -> str:
        return f"{self._random.getrandbits(_REQUEST_ID_BITS):016x}"

    def _report(self, call_id: str, error: Exception) -> None:
        # Where, and what kind: an exception's text may quote what it choked on.
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = "" if trace is None else f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
        self._log.write(catalogue.EXCHANGE_FAILED, request=call_id, reason=type(error).__name__, place=place)

    def _count_connections(self) -> None:
        for upstream, (idle, busy) in self._upstreams.count_connections().items():
            self._meter.upstream_connections(upstream, "idle").set(idle)
            self._meter.upstream_connections(upstream, "active").set(busy)


async def _listen(start: Callable[[str, int], Coroutine[Any, Any, tuple[str, int]]], address: str, setting: str, scheme: str) -> str:
    host, _, port = address.rpartition(":")
    try:
        bound_host, bound_port = await start(host.strip("[]"), int(port))
    except OSError as error:
        reason = f"{address!r}, which cannot be listened on ({error.strerror or error})"
        raise ConfigError("start", [ConfigProblem(setting, reason, "a free address of this machine")]) from None
    shown = f"[{bound_host}]" if ":" in bound_host else bound_host
    return f"{scheme}://{shown}:{bound_port}"
