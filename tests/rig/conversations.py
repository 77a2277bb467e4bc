"""Every interface spoken through a sidecar in every way that a call can go, and everything that came out of the sidecar."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.edge.telemetry.receiver import Receiver
from tests.rig.caller import Answer, Caller, compose, fetch
from tests.rig.canaries import (
    answer_fields,
    describe,
    dump_spans,
    explain,
    fields,
    list_marks,
    look_around,
    mark,
    query,
    settle,
    until_spans,
    write_answer,
    write_stream_head,
)
from tests.rig.forms import FORMS
from tests.rig.forms_openai import Form
from tests.rig.process import RunningSidecar, run_sidecar
from tests.rig.streams import write_chunk
from tests.rig.upstream import End, Script, Upstream

# How each kind of call ends; those that stream are made only where there is a streamed form.
WHOLE: Final = {
    "whole": "completed", "refused": "rejected", "failing": "upstream_error", "error at 200": "in_band_error",
    "silent": "first_byte_timeout",
    "not json": "completed", "short": "cut", "garbled": "completed", "gone early": "client_gone",
}  # fmt: skip
STREAMED: Final = {
    "stream": "completed", "cut": "cut", "stalled": "idle_timeout", "failed": "in_band_error", "gone": "client_gone", "garbage": "cut",
}  # fmt: skip


def list_calls(form: Form) -> dict[str, str]:
    """Return the kinds of calls of a form, and how each ends."""
    return WHOLE if form.events is None else WHOLE | STREAMED


def make_scripts(form: Form) -> dict[str, Script]:
    """Return an upstream's answers to one form, by the kind of call."""
    name = form.name
    whole, error = json.dumps(form.whole()).encode(), json.dumps(form.error).encode()
    scripts = {
        "whole": Script([write_answer(name, 200, whole)]), "refused": Script([write_answer(name, 400, error)]),
        "failing": Script([write_answer(name, 500, error)]), "error at 200": Script([write_answer(name, 200, error)]),
        "silent": Script([], End.HANG), "not json": Script([write_answer(name, 200, whole[:-3])]),
        "short": Script([write_answer(name, 200, whole, length=len(whole) + 9), 0.01], End.FIN),
        "garbled": Script([write_answer(name, 200, whole)]), "gone early": Script([], End.HANG),
    }  # fmt: skip
    if form.events is None:
        return scripts
    head = write_stream_head(name, form.media_type)
    events = [write_chunk(one) for one in form.events()]
    garbage = [write_chunk(one[:-9] + one[-2:]) for one in form.events()]
    return scripts | {
        "stream": Script([head, *events, write_chunk(form.end) + b"0\r\n\r\n"]), "cut": Script([head, 0, *events, 0.01], End.RST),
        "stalled": Script([head, *events], End.HANG), "failed": Script([head, *events[:3], write_chunk(form.failed) + b"0\r\n\r\n"]),
        "gone": Script([head, *events], End.HANG), "garbage": Script([head, *garbage, b"0\r\n\r\n"]),
    }  # fmt: skip


def list_asked(form: Form) -> dict[str, str]:
    """Return every canary in the requests of a form, by its place."""
    return list_marks(form.name, form.request(False), fields(form.name), query(form.name))


def list_answered(form: Form) -> dict[str, str]:
    """Return every canary in the answers to a form, by its place."""
    events = form.events() if form.events is not None else ()
    return list_marks(form.name, form.whole(), form.error, form.end, form.failed, answer_fields(form.name), *events)


async def call(url: str, form: Form, kind: str) -> Answer:
    """Make one call."""
    is_stream = kind in STREAMED
    path = form.streamed_path if is_stream and form.streamed_path else form.path
    body = json.dumps(form.request(is_stream)).encode()
    request = compose(
        f"/{form.name}{path}{query(form.name, form.query if is_stream or not form.streamed_path else '')}",
        body[:-2] if kind == "garbled" else body, fields=fields(form.name), name=f"{form.name} {kind}",
    )  # fmt: skip
    if not kind.startswith("gone"):
        return await fetch(url, request)
    caller = await Caller.connect(url)
    caller.send(request)
    if kind == "gone":
        await caller.until_bytes(200)
        await asyncio.sleep(0.1)
    else:
        await asyncio.sleep(0.2)  # before the deadline of the first byte, after the request was sent on
    caller.leave(reset=kind == "gone")
    return caller.answer


class Told(NamedTuple):
    """What came of all calls. `heard` and `answered`: all that an upstream was sent and its callers got, by form."""

    out: dict[str, bytes]
    heard: dict[str, bytes]
    answered: dict[str, bytes]


async def converse(folder: Path, receiver: Receiver, forms: dict[str, Form] = FORMS, **settings: Any) -> Told:
    """Make every call of every form through a sidecar; return what came out of it, by where."""
    upstream = Upstream()
    await upstream.start()
    upstream.scripts = {f"{name} {kind}": script for name, form in forms.items() for kind, script in make_scripts(form).items()}
    told = settle({name: (upstream.url, form.provider) for name, form in forms.items()}, settings)
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_HEADERS": f"x-token={mark('otlp', 'header')}"}
    answers: dict[str, list[Answer]] = {}
    with run_sidecar(folder, upstream.url, environ, **told) as side:
        await asyncio.gather(*(_call_all(side, form, answers) for form in forms.values()))
        await until_spans(receiver, sum(len(list_calls(form)) for form in forms.values()))
        out = await look_around(side)
        out["explain"] = await asyncio.to_thread(explain, side, environ)
    await upstream.stop()
    out["log"] = side.program.output.encode()
    out["own answers"] = describe(answer for given in answers.values() for answer in given)
    out["spans"] = dump_spans(receiver)
    assert "Traceback" not in side.program.output
    heard = {
        name: b"".join(
            b" ".join([visit.target.encode(), *(value for _, value in visit.headers), bytes(visit.body)])
            for visit in upstream.visits
            if visit.name.partition(" ")[0] == name
        )
        for name in forms
    }  # fmt: skip
    given = {name: b"".join(repr(one.headers).encode() + one.body for one in list_) for name, list_ in answers.items()}
    return Told(out, heard, given)


async def _call_all(side: RunningSidecar, form: Form, answers: dict[str, list[Answer]]) -> None:
    answers[form.name] = list(await asyncio.gather(*(call(side.url, form, kind) for kind in list_calls(form))))
