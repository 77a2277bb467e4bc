"""Every interface that is understood, with something to hide in every place. One more entry is all that another one needs."""

import json
from typing import Any, Final

from tests.rig.canaries import ALL, event, mark, say, split
from tests.rig.forms_openai import OPENAI_FORMS, Form, Tree, answer_chat, ask_chat, describe_tool, escape, hide_picture


def make_anthropic() -> Form:
    """Return Anthropic's messages."""
    name = "anthropic"

    def ask(stream: bool) -> Tree:
        picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": hide_picture(name)}}
        messages = [
            {"role": "user", "content": [{"type": "text", "text": say(name, "user")}, picture]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t0", "name": "find", "input": {"to": say(name, "past")}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t0", "content": say(name, "result")}]},
        ]  # fmt: skip
        return {
            "model": "claude-sonnet-4-5", "max_tokens": 9, "stream": stream, "system": [{"type": "text", "text": say(name, "system")}],
            "messages": messages, "tools": [{"name": "find", "description": say(name, "tool"), "input_schema": {}}],
            "metadata": {"user_id": say(name, "meta")}, "container": say(name, "meta"), "unknown": say(name, "unknown"),
            "mcp_servers": [{"type": "url", "url": f"https://x/{mark(name, 'meta')}", "authorization_token": say(name, "meta")}],
        }  # fmt: skip

    def answer() -> Tree:
        content = [
            {"type": "thinking", "thinking": say(name, "reasoning"), "signature": say(name, "extra")},
            {"type": "text", "text": say(name, "answer"), "citations": [say(name, "extra")]},
            {"type": "tool_use", "id": "t1", "name": "send", "input": {"to": say(name, "argument")}},
        ]
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": content,
                "stop_reason": "tool_use", "stop_sequence": say(name, "extra"), "container": {"id": say(name, "extra")}}  # fmt: skip

    def stream() -> list[bytes]:
        start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []}
        told: list[Tree] = [{"type": "message_start", "message": start}, {"type": "ping"}]
        blocks = (
            ({"type": "thinking", "thinking": ""}, "thinking_delta", "thinking", say(name, "reasoning")),
            ({"type": "text", "text": ""}, "text_delta", "text", say(name, "answer")),
            ({"type": "tool_use", "id": "t1", "name": "send", "input": {}}, "input_json_delta", "partial_json", escape(name, "argument")),
        )
        for index, (block, kind, member, text) in enumerate(blocks):
            told.append({"type": "content_block_start", "index": index, "content_block": block})
            told += [{"type": "content_block_delta", "index": index, "delta": {"type": kind, member: piece}} for piece in split(text)]
            told += [{"type": "content_block_delta", "index": index, "delta": {"type": "signature_delta", "signature": say(name, "extra")}}]
            told.append({"type": "content_block_stop", "index": index})
        told.append({"type": mark(name, "extra"), "delta": {"text": say(name, "extra")}})
        return [event(each, each["type"]) for each in told]

    end = event({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": say(name, "extra")}}, "message_delta")
    end += event({"type": "message_stop"}, "message_stop")
    details = {"error_code": say(name, "refused"), "error_visibility": say(name, "refused")}
    error = {"type": "error", "error": {"type": say(name, "refused"), "message": say(name, "refused"), "details": details}}
    return Form(
        name, "/v1/messages", ask, answer, {**error, "request_id": say(name, "extra")}, stream, end, event(error, "error"),
        provider="anthropic",
    )  # fmt: skip


def make_gemini(name: str, method: str, media_type: str = "text/event-stream", query: str = "alt=sse") -> Form:
    """Return Gemini's generateContent, its streams as events or as a JSON array."""

    def ask(stream: bool) -> Tree:
        contents = [
            {"role": "user", "parts": [{"text": say(name, "user")}, {"inlineData": {"mimeType": "image/png", "data": hide_picture(name)}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "find", "args": {"to": say(name, "past")}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "find", "response": {"result": say(name, "result")}}}]},
        ]  # fmt: skip
        meta = say(name, "meta")
        return {
            "contents": contents, "systemInstruction": {"parts": [{"text": say(name, "system")}]}, "cachedContent": meta,
            "tools": [{"functionDeclarations": [{"name": "find", "description": say(name, "tool")}]}], "labels": {"who": meta},
            "generationConfig": {"responseSchema": {"description": meta}}, "unknown": say(name, "unknown"),
        }  # fmt: skip

    def parts() -> list[Tree]:
        call = {"functionCall": {"name": "send", "args": {"to": say(name, "argument")}}, "thoughtSignature": say(name, "extra")}
        return [{"text": say(name, "reasoning"), "thought": True}, {"text": say(name, "answer")}, call]

    def wrap(part: list[Tree], **more: Any) -> Tree:
        extra = {"citationMetadata": {"citationSources": [{"uri": say(name, "extra")}]}, "avgLogprobs": say(name, "extra")}
        candidate = {"index": 0, "content": {"role": "model", "parts": part}, **extra, **more}
        return {"candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "r1", "unknown": say(name, "extra")}

    def answer() -> Tree:
        return wrap(parts(), finishReason="STOP", finishMessage=say(name, "extra"))

    def write(told: Tree) -> bytes:
        return event(told) if media_type == "text/event-stream" else json.dumps(told).encode() + b"\n,\r\n"

    def stream() -> list[bytes]:
        pieces = [[{**part, "text": piece}] for part in parts() if "text" in part for piece in split(part["text"])]
        events = [write(wrap(piece)) for piece in [*pieces, parts()[2:]]]
        return events if media_type == "text/event-stream" else [b"[" + events[0], *events[1:]]

    last = wrap([{"text": ""}], finishReason="STOP", finishMessage=say(name, "extra"))
    said = say(name, "refused")
    error = {"error": {"code": 400, "message": said, "status": f"no {said}", "details": [{"@type": said, "reason": said}]}}
    is_array = media_type != "text/event-stream"
    return Form(
        name, f"/v1beta/models/gemini-2.5-flash:{method}", ask, answer, error, stream,
        json.dumps(last).encode() + b"]" if is_array else event(last), json.dumps(error).encode() + b"]" if is_array else event(error),
        media_type, "/v1beta/models/gemini-2.5-flash:streamGenerateContent", "gcp.gemini", query,
    )  # fmt: skip


def make_gemini_embed() -> Form:
    """Return Gemini's embeddings."""
    name = "gemini_embed"

    def ask(stream: bool) -> Tree:
        content = {"parts": [{"text": say(name, "user")}]}
        return {
            "requests": [{"model": "models/gemini-embedding-001", "content": content, "title": say(name, "meta")}],
            "x": say(name, "unknown"),
        }

    error = {"error": {"code": 400, "message": say(name, "refused"), "status": "INVALID_ARGUMENT"}}
    path = "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    return Form(
        name, path, ask, lambda: {"embeddings": [{"values": [0.5]}], "x": say(name, "extra")}, error, provider="gcp.gemini",
    )  # fmt: skip


def _line(told: Tree) -> bytes:
    return json.dumps({"model": "llama3.2", **told}).encode() + b"\n"


def make_ollama_chat() -> Form:
    """Return Ollama's chat; a call's arguments are an object."""
    name = "ollama_chat"

    def ask(stream: bool) -> Tree:
        messages = ask_chat(name, stream)["messages"]
        user = {"role": "user", "content": messages[1]["content"][0]["text"], "images": [hide_picture(name)]}
        past = {"role": "assistant", "tool_calls": [{"function": {"name": "find", "arguments": {"to": say(name, "past")}}}]}
        return {
            "model": "llama3.2", "stream": stream, "messages": [messages[0], user, past, messages[3]], "tools": [describe_tool(name)],
            "format": {"description": say(name, "meta")}, "unknown": say(name, "unknown"),
        }  # fmt: skip

    def message() -> Tree:
        said = answer_chat(name)["choices"][0]["message"]
        call = {"function": {"name": "send", "arguments": {"to": say(name, "argument")}}}
        return {"role": "assistant", "thinking": said["reasoning_content"], "content": said["content"], "tool_calls": [call]}

    def answer() -> Tree:
        return {"model": "llama3.2", "message": message(), "done": True, "done_reason": "stop", "context": say(name, "extra")}

    def stream() -> list[bytes]:
        messages: list[Tree] = [{"content": "", "thinking": piece} for piece in split(say(name, "reasoning"))]
        messages += [{"content": piece} for piece in split(say(name, "answer"))]
        messages += [{"content": "", "tool_calls": message()["tool_calls"]}]
        return [_line({"message": each, "done": False, "extra": say(name, "extra")}) for each in messages]

    end = _line({"message": {"content": ""}, "done": True, "done_reason": "stop", "extra": say(name, "extra")})
    error = {"error": say(name, "refused")}
    return Form(
        name, "/api/chat", ask, answer, error, stream, end, json.dumps(error).encode() + b"\n", "application/x-ndjson", provider="ollama"
    )  # fmt: skip


def make_ollama_generate() -> Form:
    """Return Ollama's generate."""
    name = "ollama_generate"

    def ask(stream: bool) -> Tree:
        return {
            "model": "llama3.2", "stream": stream, "prompt": say(name, "user"), "system": say(name, "system"),
            "images": [hide_picture(name)], "template": say(name, "meta"), "suffix": say(name, "meta"), "unknown": say(name, "unknown"),
        }  # fmt: skip

    def answer() -> Tree:
        said = {"response": say(name, "answer"), "thinking": say(name, "reasoning")}
        return {"model": "llama3.2", **said, "done": True, "done_reason": "stop", "context": [say(name, "extra")]}

    def stream() -> list[bytes]:
        lines: list[Tree] = [{"response": "", "thinking": piece} for piece in split(say(name, "reasoning"))]
        lines += [{"response": piece} for piece in split(say(name, "answer"))]
        return [_line({**each, "done": False}) for each in lines]

    end = _line({"response": "", "done": True, "done_reason": "stop", "context": [say(name, "extra")]})
    error = {"error": {"message": say(name, "refused"), "type": ALL}}
    return Form(
        name, "/api/generate", ask, answer, error, stream, end, json.dumps(error).encode() + b"\n", "application/x-ndjson",
        provider="ollama",
    )  # fmt: skip


def make_ollama_embed() -> Form:
    """Return Ollama's embeddings."""
    name = "ollama_embed"

    def ask(stream: bool) -> Tree:
        return {"model": "nomic-embed-text", "input": [say(name, "user")], "options": {"x": say(name, "meta")}, "x": say(name, "unknown")}

    error = {"error": say(name, "refused")}
    return Form(
        name, "/api/embed", ask, lambda: {"model": "nomic-embed-text", "embeddings": [[0.5]], "x": say(name, "extra")}, error,
        provider="ollama",
    )  # fmt: skip


FORMS: Final = {
    form.name: form
    for form in (
        *OPENAI_FORMS, make_anthropic(), make_gemini("gemini_sse", "generateContent"),
        make_gemini("gemini_array", "generateContent", "application/json", ""), make_gemini_embed(),
        make_ollama_chat(), make_ollama_generate(), make_ollama_embed(),
    )
}  # fmt: skip
