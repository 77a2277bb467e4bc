"""OpenAI's interfaces with something to hide in every place: requests, answers whole and in pieces, errors."""

import base64
import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tests.rig.canaries import ALL, event, mark, say, split

Tree = dict[str, Any]


class Form(NamedTuple):
    """How one interface is spoken: where to, what a request is, its answer whole and as the pieces of a stream, its errors."""

    name: str
    path: str  # below its route
    request: Callable[[bool], Tree]
    whole: Callable[[], Tree]
    error: Tree  # a refusal
    events: Callable[[], list[bytes]] | None = None  # None: there is no streamed form
    end: bytes = b""  # of a stream
    failed: bytes = b""  # an error within a stream
    media_type: str = "text/event-stream"
    streamed_path: str = ""  # where that is how a stream is asked for
    provider: str = "openai"
    query: str = ""  # of a streamed call


# What no capture may hold: images as they are, members that are not read, what an error says.
HIDDEN: Final = ("picture", "meta", "unknown", "extra", "refused")
_MODEL: Final = "gpt-4o-mini"


def hide_picture(form: str) -> str:
    """Return an image."""
    return base64.b64encode(mark(form, "picture").encode()).decode()


def escape(form: str, place: str) -> str:
    """Return a call's arguments as JSON text, something in it escaped twice."""
    return json.dumps({"to": say(form, place)}).replace("@", "\\u0040")


def describe_tool(form: str) -> Tree:
    """Return a tool as OpenAI's chat and Ollama's declare it."""
    return {"type": "function", "function": {"name": "find", "description": say(form, "tool"), "parameters": {"type": "object"}}}


def refuse(form: str) -> Tree:
    """Return an error body as OpenAI writes it; its code is prose, as some write it."""
    said = say(form, "refused")
    error = {"message": said, "type": f"bad key: {said}", "param": said, "code": f"no such key {said}", "innererror": {"text": said}}
    return {"error": error, mark(form, "extra"): said}


def ask_chat(form: str, stream: bool) -> Tree:
    """Return a chat."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + hide_picture(form)}}
    call = {"id": "c0", "type": "function", "function": {"name": "find", "arguments": escape(form, "past")}}
    messages = [
        {"role": "system", "content": say(form, "system")},
        {"role": "user", "content": [{"type": "text", "text": say(form, "user")}, picture]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c0", "content": say(form, "result")},
    ]  # fmt: skip
    meta = say(form, "meta")
    told: Tree = {
        "model": _MODEL, "messages": messages, "tools": [describe_tool(form)], "user": meta, "metadata": {"who": meta, meta: "x"},
        "safety_identifier": meta, "prompt_cache_key": meta, mark(form, "unknown"): say(form, "unknown"), "stream": stream,
        "logit_bias": {meta: 1}, "prediction": {"type": "content", "content": meta},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"description": meta}}},
        "web_search_options": {"user_location": {"approximate": {"city": meta}}},
    }  # fmt: skip
    return told


def answer_chat(form: str) -> Tree:
    """Return a whole chat answer, its call's arguments escaped twice."""
    call = {"id": "c1", "type": "function", "function": {"name": "send", "arguments": escape(form, "argument")}}
    message = {
        "role": "assistant", "content": say(form, "answer"), "reasoning_content": say(form, "reasoning"), "tool_calls": [call],
        "annotations": [say(form, "extra")],
    }  # fmt: skip
    extra = {"content_filter_results": {"custom_blocklists": say(form, "extra")}, "logprobs": {"content": [{"token": say(form, "extra")}]}}
    return {
        "id": "chatcmpl-1", "model": _MODEL, "choices": [{"index": 0, "message": message, "finish_reason": "stop", **extra}],
        mark(form, "extra"): say(form, "extra"), "system_fingerprint": mark(form, "extra"),
    }  # fmt: skip


def stream_chat(form: str, reasoning: str = "reasoning_content") -> list[bytes]:
    """Return the same in pieces, without its end."""
    message = answer_chat(form)["choices"][0]["message"]
    deltas: list[Tree] = [{"role": "assistant", "content": "", "obfuscation": say(form, "extra")}]
    deltas += [{reasoning: piece} for piece in split(message["reasoning_content"])]
    deltas += [{"content": piece} for piece in split(message["content"])]
    deltas += [{"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "send", "arguments": ""}}]}]
    arguments = message["tool_calls"][0]["function"]["arguments"]
    deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in split(arguments)]
    extra = {mark(form, "extra"): say(form, "extra")}
    comment = f": {say(form, 'extra')}\n\nevent: {mark(form, 'extra')}\ndata: {json.dumps(extra)}\n\n".encode()
    return [comment, *(event({"model": _MODEL, "choices": [{"index": 0, "delta": delta}], **extra}) for delta in deltas)]


def _end_chat(form: str) -> bytes:
    last = {"index": 0, "delta": {"content": ""}, "finish_reason": "stop", "matched_stop": say(form, "extra")}
    return event({"model": _MODEL, "choices": [last]}) + b"data: [DONE]\n\n"


def make_chat(name: str, path: str = "/v1/chat/completions", provider: str = "openai", **more: Any) -> Form:
    """Return a form like OpenAI's chat."""
    return Form(
        name, path, lambda stream: ask_chat(name, stream), lambda: answer_chat(name), refuse(name), lambda: stream_chat(name),
        _end_chat(name), event(refuse(name)), provider=provider, **more,
    )  # fmt: skip


def make_openrouter() -> Form:
    """Return OpenRouter's flavour: comments, `reasoning`, an error within a chunk with the provider's own words."""
    name = "openrouter"
    error = {"code": 402, "message": say(name, "refused"), "metadata": {"raw": say(name, "refused"), "error_type": say(name, "refused")}}

    def ask(stream: bool) -> Tree:
        meta = say(name, "meta")
        return ask_chat(name, stream) | {"provider": {"only": [meta]}, "transforms": [meta], "plugins": [{"id": meta}], "session_id": meta}

    def answer() -> Tree:
        answered = answer_chat(name)
        message = answered["choices"][0]["message"]
        message["reasoning"] = message.pop("reasoning_content")
        message["reasoning_details"] = [{"type": "reasoning.text", "text": say(name, "extra"), "signature": say(name, "extra")}]
        return answered | {"provider": "Someone", "usage": None}

    failed = event({"id": "gen-1", "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}], "error": error})
    return Form(
        name, "/v1/chat/completions", ask, answer, {"error": error, "user_id": say(name, "extra")}, lambda: stream_chat(name, "reasoning"),
        _end_chat(name), failed, provider="openrouter",
    )  # fmt: skip


def make_completions() -> Form:
    """Return OpenAI's older form."""
    name = "openai_completions"

    def ask(stream: bool) -> Tree:
        meta = say(name, "meta")
        return {
            "model": _MODEL,
            "prompt": [say(name, "user")],
            "suffix": meta,
            "user": meta,
            "stream": stream,
            "unknown": say(name, "unknown"),
        }

    def answer() -> Tree:
        choice = {"index": 0, "text": say(name, "answer"), "finish_reason": "stop", "logprobs": {"tokens": [say(name, "extra")]}}
        return {"model": _MODEL, "choices": [choice]}

    def stream() -> list[bytes]:
        return [event({"model": _MODEL, "choices": [{"index": 0, "text": piece}]}) for piece in split(say(name, "answer"))]

    end = event({"model": _MODEL, "choices": [{"index": 0, "text": "", "finish_reason": "stop", "extra": say(name, "extra")}]})
    return Form(name, "/v1/completions", ask, answer, refuse(name), stream, end + b"data: [DONE]\n\n", event(refuse(name)))


def make_embeddings() -> Form:
    """Return embeddings; nothing is said in their answers."""
    name = "openai_embeddings"

    def ask(stream: bool) -> Tree:
        return {
            "model": "text-embedding-3-small",
            "input": [say(name, "user"), "x"],
            "user": say(name, "meta"),
            "more": say(name, "unknown"),
        }

    def answer() -> Tree:
        return {"model": "text-embedding-3-small", "data": [{"index": 0, "embedding": [0.5]}], "more": say(name, "extra")}

    return Form(name, "/v1/embeddings", ask, answer, refuse(name))


def make_responses() -> Form:
    """Return OpenAI's responses."""
    name = "openai_responses"

    def ask(stream: bool) -> Tree:
        meta = say(name, "meta")
        items = [
            {"role": "user", "content": [{"type": "input_text", "text": say(name, "user")},
                                         {"type": "input_image", "image_url": "data:image/png;base64," + hide_picture(name)}]},
            {"type": "function_call", "call_id": "c0", "name": "find", "arguments": escape(name, "past")},
            {"type": "function_call_output", "call_id": "c0", "output": say(name, "result")},
        ]  # fmt: skip
        return {
            "model": _MODEL, "instructions": say(name, "system"), "input": items, "stream": stream, "user": meta, "metadata": {"who": meta},
            "tools": [{"type": "function", "name": "find", "description": say(name, "tool")}], "prompt": {"variables": {"x": meta}},
            "safety_identifier": meta, "unknown": say(name, "unknown"),
        }  # fmt: skip

    def answer() -> Tree:
        output = [
            {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": say(name, "reasoning")}],
             "encrypted_content": say(name, "extra")},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": say(name, "answer"),
                                                                  "annotations": [say(name, "extra")]}]},
            {"type": "function_call", "call_id": "c1", "name": "send", "arguments": escape(name, "argument")},
        ]  # fmt: skip
        return {"id": "resp_1", "model": _MODEL, "status": "completed", "output": output, "metadata": {"who": say(name, "extra")}}

    def stream() -> list[bytes]:
        told: list[Tree] = [{"type": "response.created", "response": {"id": "resp_1", "model": _MODEL, "instructions": say(name, "extra")}}]
        kinds = (
            ("response.reasoning_summary_text.delta", say(name, "reasoning")), ("response.output_text.delta", say(name, "answer")),
            ("response.function_call_arguments.delta", escape(name, "argument")),
        )  # fmt: skip
        for index, (kind, text) in enumerate(kinds):
            if index == 2:
                item = {"type": "function_call", "call_id": "c1", "name": "send", "arguments": ""}
                told.append({"type": "response.output_item.added", "output_index": index, "item": item})
            told += [{"type": kind, "output_index": index, "delta": piece, "obfuscation": say(name, "extra")} for piece in split(text)]
        told.append({"type": mark(name, "extra"), "text": say(name, "extra")})
        return [event(each, each["type"]) for each in told]

    end = event({"type": "response.completed", "response": answer()}, "response.completed")
    code = f"{ALL} {say(name, 'refused')}"
    failure = {"id": "resp_1", "status": "failed", "error": {"code": code, "message": code}, "incomplete_details": {"reason": code}}
    failed = event({"type": "response.failed", "response": failure}, "response.failed")
    return Form(name, "/v1/responses", ask, answer, refuse(name), stream, end, failed)


OPENAI_FORMS: Final = (
    make_chat("openai_chat"),
    make_chat("azure_chat", "/openai/deployments/gpt-4o-mini/chat/completions", "azure.ai.openai", query="api-version=2025-01-01"),
    make_openrouter(), make_completions(), make_embeddings(), make_responses(),
)  # fmt: skip
