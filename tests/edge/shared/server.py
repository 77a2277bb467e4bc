"""A server that speaks Redis' protocol and answers with bytes that a test chooses."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Command = tuple[bytes, ...]


class Server:
    """What came, and what is answered: bytes, or b"" for an end of the connection."""

    def __init__(self) -> None:
        self.asked: list[Command] = []
        self.connections = 0
        self.port = 0
        self.answer: Callable[[Command], bytes] = lambda command: b"+OK\r\n"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the commands of one connection."""
        self.connections += 1
        try:
            while line := await reader.readline():
                command = []
                for _ in range(int(line[1:])):
                    size = int((await reader.readline())[1:])
                    command.append((await reader.readexactly(size + 2))[:-2])
                self.asked.append(tuple(command))
                data = self.answer(tuple(command))
                if not data:
                    break
                writer.write(data)
        finally:
            writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """Give a server on a port of its own."""
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
