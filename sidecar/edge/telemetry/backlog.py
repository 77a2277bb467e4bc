"""How many bytes of captured content wait to be redacted: a bound on memory, shared by two threads."""

import threading


class Backlog:
    """Counts what is taken on by one thread and done with by another."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._bytes = 0
        self._counting = threading.Lock()

    def take(self, size_bytes: int) -> bool:
        """Take on so many bytes; return whether there was room for them."""
        with self._counting:
            if self._bytes + size_bytes > self.bytes_max:
                return False
            self._bytes += size_bytes
            return True

    def release(self, size_bytes: int) -> None:
        """Be done with so many bytes."""
        with self._counting:
            self._bytes -= size_bytes
