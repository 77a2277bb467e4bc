"""Writes that nobody waits for."""

import asyncio

from sidecar.edge.shared.puts import BYTES_MAX, Puts
from tests.edge.virtual import turn, virtually


class Sink:
    """Takes writes, one second each."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.at_once = 0
        self.most = 0
        self.dropped = 0

    async def send(self, key: str, data: bytes, ttl_s: float) -> None:
        """Take one."""
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(1)
        self.at_once -= 1
        self.keys.append(key)

    def note_dropped(self) -> None:
        """Take note."""
        self.dropped += 1


@virtually
async def test_a_few_at_once_in_order() -> None:
    """All are written, in the order in which they came, a few at once; nothing is left in line."""
    sink = Sink()
    puts = Puts(sink.send, 2, sink.note_dropped)
    for index in range(6):
        puts.add(str(index), b"data", 1.0)
    await asyncio.sleep(3.5)
    assert sink.keys == list("012345") and sink.most == 2 and puts.bytes == 0
    puts.add("6", b"data", 1.0)
    await asyncio.sleep(1.5)
    assert sink.keys[-1] == "6"


@virtually
async def test_the_line_is_bounded() -> None:
    """What finds no place is dropped and counted; so is a flood of nothing. Once there is room, all goes on."""
    sink = Sink()
    puts = Puts(sink.send, 1, sink.note_dropped)
    for _ in range(20):
        puts.add("large", bytes(1024 * 1024), 1.0)
    assert puts.bytes <= BYTES_MAX and sink.dropped == 20 - len(range(15))
    await asyncio.sleep(20)
    assert puts.bytes == 0
    for _ in range(200_000):
        puts.add("small", b"", 1.0)
    assert puts.bytes <= BYTES_MAX and sink.dropped > 100_000
    puts.clear()
    await turn()
    assert puts.bytes == 0
