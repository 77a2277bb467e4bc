"""Ollama's own form on the wire: one JSON object, or a line of them per token.

Members, their order and their absence are those of an Ollama server: counts of 0 are left out, the
time differs in every line, durations are nanoseconds, a call comes whole in one line, and a request
without a prompt only loads the model. There are neither ids nor rate limits.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import msgspec

from sidecar.simulator.contract import Event
from sidecar.simulator.plan import Choice, Plan
from sidecar.simulator.profile import Profile
from sidecar.simulator.request import Ask, Form, Rejection, count_tokens, dict_of, read_tree, tool_of, whole_number
from sidecar.simulator.script import NEWLINES, Newline, Script
from sidecar.simulator.wire import Fields

_BAD_KEY: Final = "Bearer sk-bad"
_FORMS: Final = {"/api/chat": Form.CHAT, "/api/generate": Form.COMPLETION, "/api/embed": Form.EMBEDDING}
_TURN_TOKENS: Final = 4  # of the template around each message
_LOAD_NS: Final = 84_209_375
_LINE_NS: Final = 21_377_113  # between lines where the pace has no gaps
_NS: Final = 1_000_000_000


class Ollama:
    """The dialect of /api/chat, /api/generate and /api/embed."""

    name = "ollama"
    provider = "ollama"
    fee = 0.0
    garbage = b'{"model":"sim-small","message":{"role":"assistant","content":"never clo'
    not_utf8 = b'{"model":"sim-small","message":{"role":"assistant","content":"\xc3\x28\xff"},"response":"\xc3\x28\xff","done":false}'

    def form_of(self, method: str, path: str) -> Form | None:
        """By the path's end."""
        return next((form for end, form in _FORMS.items() if path.endswith(end)), None) if method == "POST" else None

    def read_ask(self, form: Form, target: str, body: bytes) -> Ask:
        """Read a request body. Raises Rejection."""
        tree, model = read_tree(body)
        if form is Form.EMBEDDING:
            return _read_embed(tree, model)
        prompt = _read_messages(tree) if form is Form.CHAT else _read_prompt(tree)
        most = whole_number(dict_of(tree, "options"), "num_predict", -2, 1 << 20)
        stop = dict_of(tree, "options").get("stop")
        answers_tool = form is Form.CHAT and bool(prompt) and prompt[-1].startswith("tool: ")
        return Ask(
            form, model, prompt, tuple(count_tokens(text) + _TURN_TOKENS for text in prompt),
            stream=bool(prompt) and tree.get("stream") is not False, choices=1 if prompt else 0,
            tokens_max=None if most is None or most < 1 else most,
            stops=tuple(each for each in (stop if isinstance(stop, list) else [stop]) if isinstance(each, str) and each),
            tool=tool_of(tree) if form is Form.CHAT and not answers_tool else None, json_asked=bool(tree.get("format")),
            thinks=tree.get("think") is not False, tells_details=False,
        )  # fmt: skip

    def is_known(self, headers: Mapping[str, str]) -> bool:
        """Every key is good but one, and none is needed."""
        return headers.get("authorization") != _BAD_KEY

    def name_answer(self, plan: Plan) -> str:
        """Answers have no id."""
        return ""

    def stream_type(self, ask: Ask) -> str:
        """Lines of JSON."""
        return "application/x-ndjson"

    def render_whole(self, plan: Plan) -> bytes:
        """The body of an answer that is not streamed."""
        if plan.ask.form is Form.EMBEDDING:
            return _render_embeddings(plan)
        if not plan.choices:
            return msgspec.json.encode({**_stem(plan, 0), **_put(plan, {}), "done": True, "done_reason": "load"})
        (choice,) = plan.choices
        output = {"content": "" if choice.member == "tool_calls" else choice.text}
        if choice.reasoning:
            output["thinking"] = "".join(choice.reasoning)
        if choice.member == "tool_calls":
            output |= _call(choice)
        return msgspec.json.encode({**_stem(plan, round(plan.duration_s * _NS)), **_put(plan, output), **_end(plan, choice)})

    def stream_events(self, plan: Plan) -> list[Event]:
        """All lines of a complete stream."""
        (choice,) = plan.choices
        pace = iter(plan.gaps_s)
        wait_s, at_ns = plan.first_token_s - plan.first_byte_s, 0
        events: list[Event] = []
        for output, tokens, reasoning in _outputs(choice):
            wait_s += sum(next(pace, 0.0) for _ in range(tokens - 1))
            at_ns += _LINE_NS + round(wait_s * _NS)
            line = msgspec.json.encode({**_stem(plan, at_ns), **_put(plan, output), "done": False})
            events.append(Event(line, wait_s, tokens, reasoning))
            wait_s = next(pace, 0.0)
        last = msgspec.json.encode({**_stem(plan, at_ns + _LINE_NS), **_put(plan, {}), **_end(plan, choice)})
        return [*events, Event(last, finishes=True, tells=plan.told_tokens)]

    def error_event(self, status: int, message: str) -> Event:
        """An error within a stream has the form of an error answer."""
        return Event(self.render_error(status, message))

    def frame_event(self, event: Event, script: Script, *, first: bool, last: bool) -> bytes:
        """One line; a CR alone ends none."""
        return event.data + (b"\r\n" if script.newline is Newline.CR else NEWLINES[script.newline])

    def render_error(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> bytes:
        """The body of an error answer: a message and nothing else."""
        return msgspec.json.encode({"error": message})

    def fields(self, profile: Profile, request_id: str, processing_s: float, prompt_tokens: int, draw: int) -> Fields:
        """The header fields of every answer: none tells of limits."""
        return [("server", "simulator")]


def _read_messages(tree: dict[str, Any]) -> tuple[str, ...]:
    messages = tree.get("messages") or []
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Rejection(400, "json: cannot unmarshal string into Go struct field ChatRequest.messages of type []api.Message")
    return tuple(f"{message.get('role')}: {message.get('content') or ''}" for message in messages)


def _read_prompt(tree: dict[str, Any]) -> tuple[str, ...]:
    prompt = tree.get("prompt") or ""
    if not isinstance(prompt, str):
        raise Rejection(400, "json: cannot unmarshal array into Go struct field GenerateRequest.prompt of type string")
    return (prompt,) if prompt else ()


def _read_embed(tree: dict[str, Any], model: str) -> Ask:
    given = tree.get("input")
    inputs = tuple(given) if isinstance(given, list) else (given,)
    if not all(isinstance(each, str) and each for each in inputs):
        raise Rejection(400, "invalid input type")
    return Ask(
        Form.EMBEDDING, model, inputs, tuple(map(count_tokens, inputs)), dimensions=whole_number(tree, "dimensions", 1, 4096),
        tells_details=False,
    )  # fmt: skip


def _stem(plan: Plan, after_ns: int) -> dict[str, Any]:
    """What every line begins with; `after_ns` after the request."""
    seconds, nanoseconds = divmod(plan.created_s * _NS + int(plan.name[:7], 16) + after_ns, _NS)
    moment = datetime.fromtimestamp(seconds, UTC)
    return {"model": plan.ask.model, "created_at": f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"}


def _put(plan: Plan, output: dict[str, Any]) -> dict[str, Any]:
    """Output in the place where the interface has it."""
    content = output.get("content", "")
    if plan.ask.form is Form.CHAT:
        return {"message": {"role": "assistant", "content": content, **{name: output[name] for name in output if name != "content"}}}
    return {"response": content}


def _call(choice: Choice) -> dict[str, Any]:
    """A call with its arguments as an object; a text that was cut short has none left."""
    try:
        arguments = msgspec.json.decode(choice.text)
    except msgspec.DecodeError:
        arguments = {}
    return {"tool_calls": [{"id": choice.tool_call_id, "function": {"index": 0, "name": choice.tool_name, "arguments": arguments}}]}


def _outputs(choice: Choice) -> Iterator[tuple[dict[str, Any], int, int]]:
    """What each line brings, its tokens, and those of reasoning among them."""
    for piece in choice.reasoning:
        yield {"content": "", "thinking": piece}, 1, 1
    if choice.member != "tool_calls":
        for piece in choice.pieces:
            yield {"content": piece}, 1, 0
    elif choice.pieces:
        yield {"content": "", **_call(choice)}, len(choice.pieces), 0


def _end(plan: Plan, choice: Choice) -> dict[str, Any]:
    """What the last line has more than others."""
    read_ns, written_ns = round(plan.first_token_s * _NS) + 1, round(sum(plan.gaps_s) * _NS) + 1
    counts = {
        "total_duration": _LOAD_NS + read_ns + written_ns, "load_duration": _LOAD_NS,
        "prompt_eval_count": plan.prompt_tokens, "prompt_eval_duration": read_ns,
        "eval_count": plan.completion_tokens, "eval_duration": written_ns,
    }  # fmt: skip
    tree: dict[str, Any] = {"done": True, "done_reason": "length" if choice.finish_reason == "length" else "stop"}
    if plan.ask.form is Form.COMPLETION:
        tree["context"] = list(range(plan.prompt_tokens + plan.completion_tokens))
    return {**tree, **{name: count for name, count in counts.items() if count}}


def _render_embeddings(plan: Plan) -> bytes:
    vectors = []
    for text in plan.ask.prompt:
        random = Random(f"{plan.ask.model}/{text}")
        vectors.append([round(random.uniform(-0.1, 0.1), 9) for _ in range(plan.dimensions)])
    tree: dict[str, Any] = {"model": plan.ask.model, "embeddings": vectors}
    tree |= {"total_duration": round(plan.duration_s * _NS) + _LOAD_NS, "load_duration": _LOAD_NS}
    if plan.prompt_tokens:
        tree["prompt_eval_count"] = plan.prompt_tokens
    return msgspec.json.encode(tree)
