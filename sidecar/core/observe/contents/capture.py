"""What was said in a call, as it may leave the process: read, redacted and bounded. Called where nobody waits for it."""

from typing import Final

from sidecar.core.observe.contents import find_reader
from sidecar.core.observe.contents.bounds import TRUNCATED, bound_messages, bound_parts
from sidecar.core.observe.contents.contract import Content, Message, Part, Prompt
from sidecar.core.observe.contents.parts import message, tool_call, typed
from sidecar.core.observe.inflate import decode_body
from sidecar.core.observe.redaction import Redactor
from sidecar.exchange import Said, Spoken

_NO_PROMPT: Final = Prompt([], [], [])


class Composer:
    """Composes the content of calls. `bytes_max`: of each of the four; `decoded_bytes_max`: of a compressed request."""

    def __init__(self, redactor: Redactor, *, bytes_max: int, decoded_bytes_max: int) -> None:
        self._redactor = redactor
        self._bytes_max = bytes_max
        self._decoded_bytes_max = decoded_bytes_max

    def compose(self, said: Said) -> Content:
        """Return what was said. Raises nothing: what cannot be read is left out and told."""
        try:
            return self._compose(said)
        except Exception:  # no input is known that does this; none may cost more than its content
            return Content(None, None, None, None, True)

    def _compose(self, said: Said) -> Content:
        prompt, is_read = self._read_prompt(said)
        output, is_heard = _read_output(said)
        return Content(
            bound_parts(prompt.system, self._redactor, self._bytes_max) if prompt.system else None,
            bound_messages(prompt.messages, self._redactor, self._bytes_max, newest_first=True) if prompt.messages else None,
            bound_parts(prompt.tools, self._redactor, self._bytes_max) if prompt.tools else None,
            bound_messages(output, self._redactor, self._bytes_max, newest_first=False) if output else None,
            not (is_read and is_heard),
        )

    def _read_prompt(self, said: Said) -> tuple[Prompt, bool]:
        reader, body = find_reader(said.dialect), said.request
        if reader is None or not body:
            return _NO_PROMPT, True
        try:
            return reader.read_request(decode_body(body, said.coding, self._decoded_bytes_max)), True
        except ValueError:
            return _NO_PROMPT, False


def _read_output(said: Said) -> tuple[list[Message], bool]:
    if said.spoken:
        return _join(said.spoken), True
    reader = find_reader(said.dialect)
    if reader is None or not said.answer:
        return [], True
    try:
        return [found for found in reader.read_whole(said.answer) if found["parts"]], True
    except ValueError:
        return [], False


def _join(spoken: tuple[Spoken, ...]) -> list[Message]:
    by_choice: dict[int, list[Part]] = {}
    for part in spoken:
        by_choice.setdefault(part.choice, []).extend(_read_part(part))
    return [message("assistant", parts) for parts in by_choice.values() if parts]


def _read_part(part: Spoken) -> list[Part]:
    is_call = part.kind == "tool_call"
    parts = [tool_call(part.name, part.text, part.id)] if is_call else typed(part.kind, part.text) or [{"type": part.kind}]
    if part.is_cut:
        parts[0][TRUNCATED] = True
    return parts
