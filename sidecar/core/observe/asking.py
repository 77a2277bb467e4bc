"""Asking for usage on the caller's behalf, and taking out again what comes only because of it.

OpenAI reports the usage of a streamed chat only on request (`stream_options.include_usage`). Then
one more chunk comes at the end, with usage and without choices, and every other chunk gets
`"usage": null`. With both removed, the caller sees what it would have seen without asking.
"""

import itertools
import re
from typing import Any, Final

import msgspec

from sidecar.core.observe.salvage import UNREADABLE
from sidecar.core.observe.sse import BYTE_ORDER_MARK

HELD_BYTES_MAX: Final = 64 * 1024  # of an event that is not yet whole
PLACES_MAX: Final = 16  # where `usage` is looked for in one event

# With other options set, servers differ in what they make of include_usage: left alone.
_KNOWN_OPTIONS: Final = frozenset({"include_obfuscation"})
# Where any stream_options at all mean that usage is wanted: it must not be taken out again.
_IMPLYING: Final = frozenset({"vllm"})
# Azure declines stream_options in versions of its interface before this one, and with data sources of the caller's.
_AZURE: Final = "azure.ai.openai"
_AZURE_FIRST: Final = "2024-09-01"
_API_VERSION: Final = re.compile(r"(?:^|&)api-version=(\d{4}-\d{2}-\d{2})")
_DECLINED_WITH: Final = frozenset({"data_sources", "dataSources"})
# Of the extra chunk. If it tells anything else, the caller must get it.
_USAGE_CHUNK_MEMBERS: Final = frozenset(
    {"id", "object", "created", "model", "service_tier", "system_fingerprint", "choices", "usage", "obfuscation"}
)
_NULL_USAGE: Final = b',"usage":null'
_LF: Final = 0x0A
_CR: Final = 0x0D
_NO_CHOICES: Final = msgspec.Raw(b"[]")
_EVENT_END: Final = re.compile(rb"\n\r?\n")
_BARE_CR: Final = re.compile(rb"\r[^\n]")

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def add_usage_request(body: bytes, provider: str = "", query: str = "") -> bytes | None:
    """Return the body of a streamed chat with usage asked for; all other values stay byte for byte.

    None where nothing is to be changed: not an object, not streamed, the caller has set
    include_usage itself, has set options that we do not know, or speaks to a server that would
    decline the request or take it otherwise. `query` is that of the request.
    """
    version = _API_VERSION.search(query) if provider == _AZURE else None
    if version is not None and version[1] < _AZURE_FIRST:
        return None
    try:
        members = _decode_members(body)
        if bytes(members.get("stream", b"")) != b"true" or not members.keys().isdisjoint(_DECLINED_WITH):
            return None
        given = members.get("stream_options")
        if given is not None and provider in _IMPLYING:
            return None
        options = {} if given is None or bytes(given) == b"null" else _decode_members(given)
    except UNREADABLE:
        return None
    if not options.keys() <= _KNOWN_OPTIONS:
        return None
    options["include_usage"] = msgspec.Raw(b"true")
    members["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
    return msgspec.json.encode(members)


class _Event(msgspec.Struct, gc=False):
    usage: Any = msgspec.UNSET


_decode_event = msgspec.json.Decoder(_Event).decode


class UsageRemover:
    """Takes out of a stream of events what is in it only because usage was asked for.

    Works on whole events of one `data` line, ended by LF or CRLF. An event that is not whole yet is
    held back, up to `held_bytes_max`; longer events, and all else, pass as they are.
    """

    __slots__ = ("_held", "_held_bytes_max", "_passed")

    def __init__(self, held_bytes_max: int = HELD_BYTES_MAX) -> None:
        self._held_bytes_max = held_bytes_max
        self._held = b""
        self._passed: bytes | None = None  # within an event that is left alone: the last bytes sent of it

    def feed(self, data: bytes) -> bytes:
        """Return what may be sent on now. Never raises."""
        if self._passed is not None:
            return self._pass_on(data)
        if not self._held and data[-2:] == b"\n\n" and _LF not in data[:-2] and len(data) <= self._held_bytes_max:
            return _filter_event(data)  # nearly every piece is one whole event
        return self._filter(self._held + data)

    def flush(self) -> bytes:
        """Return what is held back: the stream has ended, wholly or not."""
        held, self._held = self._held, b""
        return held

    def _filter(self, data: bytes) -> bytes:
        """`data` begins where an event begins."""
        out: list[bytes] = []
        start = 0
        for end in _EVENT_END.finditer(data):
            event = data[start : end.end()]
            out.append(event if len(event) > self._held_bytes_max else _filter_event(event))
            start = end.end()
        rest = data[start:]
        self._held = rest
        if len(rest) > self._held_bytes_max or _BARE_CR.search(rest):
            self._held, self._passed = b"", rest[-2:]
            out.append(rest)
        return b"".join(out)

    def _pass_on(self, data: bytes) -> bytes:
        """Send on the rest of an event that is left alone; its end may be split between pieces."""
        passed = (self._passed or b"") + data
        end = _EVENT_END.search(passed)
        if end is None:
            self._passed = passed[-2:]
            return data
        self._passed = None
        cut = len(data) - (len(passed) - end.end())
        return data[:cut] + self._filter(data[cut:])


def _filter_event(event: bytes) -> bytes:
    """Return a whole event without what asking added; b"" or its leading blank lines if that was all."""
    line = event.strip(b"\r\n").removeprefix(BYTE_ORDER_MARK)
    if line[:5] != b"data:" or _LF in line or (_CR in event and _BARE_CR.search(event)):
        return event
    try:
        usage = _decode_event(line[5:]).usage
        if usage is msgspec.UNSET:
            return event
        if usage is None:
            start = event.rfind(_NULL_USAGE)
            end = start + len(_NULL_USAGE)
            # With one closing brace after it, and that at the end, the member is the event's own.
            if start > 0 and line[-1:] == b"}" and event.count(b"}", end) == 1:
                return event[:start] + event[end:]
            return event.replace(line, b"data:" + _remove_usage(line[5:]))
        return _filter_usage_chunk(event, line)
    except UNREADABLE:
        return event


def _filter_usage_chunk(event: bytes, line: bytes) -> bytes:
    members = _decode_members(line[5:])
    if members.get("choices") != _NO_CHOICES:
        return event
    if all(name in _USAGE_CHUNK_MEMBERS or bytes(value) == b"null" for name, value in members.items()):
        return event[: event.find(line)]
    return event.replace(line, b"data:" + _remove_usage(line[5:]))


def _remove_usage(text: bytes) -> bytes:
    """Return a JSON object without its own member `usage`, all else byte for byte.

    A member of that name may stand in inner objects too: each place is tried and the outcome
    compared, member by member.
    """
    members = _decode_members(text)
    usage = rb'"usage"\s*:\s*' + re.escape(bytes(members.pop("usage")))
    expected = {name: bytes(value) for name, value in members.items()}
    places = re.finditer(rb",\s*" + usage + rb"(?=\s*[,}])|" + usage + rb"\s*,\s*", text)
    for place in itertools.islice(places, PLACES_MAX):
        left = text[: place.start()] + text[place.end() :]
        try:
            found = {name: bytes(value) for name, value in _decode_members(left).items()}
        except UNREADABLE:
            continue
        if found == expected:
            return left
    return text
