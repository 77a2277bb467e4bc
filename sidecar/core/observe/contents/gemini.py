"""What is said in Gemini's generateContent and embedContent. A stream's events are whole answers in miniature."""

from typing import Any

from sidecar.core.observe.contents.contract import Message, Part, Prompt
from sidecar.core.observe.contents.parts import (
    as_dict,
    as_index,
    as_list,
    blob,
    message,
    other,
    parse,
    reasoning,
    text,
    tool_call,
    tool_response,
    typed,
    uri,
)  # fmt: skip
from sidecar.core.observe.contents.transcript import Transcript


class GeminiContent:
    """Reads the bodies of :generateContent and :streamGenerateContent."""

    def read_request(self, body: bytes) -> Prompt:
        """Return the system instruction apart, and the contents."""
        request = as_dict(parse(body))
        system = _get(request, "systemInstruction", "system_instruction")
        given = request.get("contents")
        contents = given if isinstance(given, list) else [given] if isinstance(given, dict) else []
        messages = [message(content.get("role"), _read_parts(content)) for content in map(as_dict, contents)]
        return Prompt(_read_parts(as_dict(system)), messages, as_list(request.get("tools")))

    def read_whole(self, body: bytes) -> list[Message]:
        """Return each candidate's message. A stream as a JSON array that came whole is read as well."""
        answer = parse(body)
        if isinstance(answer, list):
            return [found for one in answer for found in _read_candidates(as_dict(one))]
        return _read_candidates(as_dict(answer))

    def read_event(self, event: bytes, transcript: Transcript) -> None:
        """Add what each candidate says."""
        answer = parse(event)
        for one in answer if isinstance(answer, list) else [answer]:
            for candidate in map(as_dict, as_list(as_dict(one).get("candidates"))):
                index = as_index(candidate.get("index"))
                for part in map(as_dict, as_list(as_dict(candidate.get("content")).get("parts"))):
                    _add_part(part, index, transcript)


class GeminiEmbedContent:
    """Reads the bodies of :embedContent and :batchEmbedContents. The answer holds vectors."""

    def read_request(self, body: bytes) -> Prompt:
        """Return each content as a message."""
        request = as_dict(parse(body))
        contents = [as_dict(one).get("content") for one in as_list(request.get("requests"))] or [request.get("content")]
        return Prompt([], [message(content.get("role"), _read_parts(content)) for content in map(as_dict, contents)], [])

    def read_whole(self, body: bytes) -> list[Message]:
        """Return nothing."""
        return []

    def read_event(self, event: bytes, transcript: Transcript) -> None:
        """Do nothing: there is no streamed form."""


def _get(holder: dict[str, Any], camel: str, snake: str) -> Any:
    """The API takes members in either spelling."""
    return holder[camel] if camel in holder else holder.get(snake)


def _read_candidates(answer: dict[str, Any]) -> list[Message]:
    contents = [as_dict(as_dict(one).get("content")) for one in as_list(answer.get("candidates"))]
    return [message("assistant", _read_parts(content)) for content in contents]


def _read_parts(content: dict[str, Any]) -> list[Part]:
    return [read for part in map(as_dict, as_list(content.get("parts"))) for read in _read_part(part)]


def _read_part(part: dict[str, Any]) -> list[Part]:
    if isinstance(part.get("text"), str):
        return reasoning(part["text"]) if part.get("thought") is True else text(part["text"])
    call = as_dict(_get(part, "functionCall", "function_call"))
    if call:
        return [tool_call(call.get("name"), call.get("args"), call.get("id"))]
    answered = as_dict(_get(part, "functionResponse", "function_response"))
    if answered:
        return [tool_response(answered.get("response"), answered.get("id") or answered.get("name"))]
    inline = as_dict(_get(part, "inlineData", "inline_data"))
    if inline:
        return [blob(_get(inline, "mimeType", "mime_type"), inline.get("data"))]
    held = as_dict(_get(part, "fileData", "file_data"))
    if held:
        return [uri(_get(held, "fileUri", "file_uri"), _get(held, "mimeType", "mime_type"))]
    code = as_dict(_get(part, "executableCode", "executable_code"))
    ran = as_dict(_get(part, "codeExecutionResult", "code_execution_result"))
    if code or ran:
        return typed("code", code.get("code")) + typed("code_result", ran.get("output"))
    return [other(name) for name in part if name not in ("thought", "thoughtSignature", "thought_signature")][:1]


def _add_part(part: dict[str, Any], index: int, transcript: Transcript) -> None:
    for read in _read_part(part):
        if read["type"] == "tool_call":
            call = as_dict(_get(part, "functionCall", "function_call"))
            transcript.tell("tool_call", call.get("args"), index, id_=call.get("id"), name=call.get("name"))
        elif "content" in read:
            transcript.extend(read["content"], read["type"], index)
        else:
            transcript.begin(read["type"], index)
