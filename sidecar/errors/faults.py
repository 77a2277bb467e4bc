"""What is raised."""

from typing import NamedTuple

from sidecar.errors.kinds import ErrorKind


class Fault(Exception):
    """A failure that ends an exchange: what kind, and one safe sentence of detail.

    `detail` reaches the caller and the logs: it never holds headers, bodies or query strings.
    """

    def __init__(self, kind: ErrorKind, detail: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{kind.id}: {detail or kind.summary}")
        self.kind = kind
        self.detail = detail
        self.retry_after_s = retry_after_s


class ClientFault(Fault):
    """The caller did it."""


class Refused(Fault):
    """Our policy declined the call."""


class UpstreamFault(Fault):
    """The upstream, or the way to it, did it."""


class SidecarFault(Fault):
    """We did it."""


class ClientGone(Exception):
    """The caller is no longer there, or takes nothing any more: an ending, not an error."""


class ConfigProblem(NamedTuple):
    """One thing wrong with the configuration: where, what was found, what is allowed."""

    path: str
    found: str
    allowed: str
    line: int | None = None  # of the file it stands in, from 1

    def __str__(self) -> str:
        return f"{self.path}: found {self.found}; allowed: {self.allowed}"


class ConfigError(Exception):
    """All that is wrong with a configuration, at once."""

    def __init__(self, source: str, problems: list[ConfigProblem]) -> None:
        super().__init__(f"{source}: " + "; ".join(map(str, problems)))
        self.source = source
        self.problems = problems
