"""The files of the journal, one for each hour and each day (UTC): what reads them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from sidecar.core.reckon.snapshots import DAY_S, Snapshot, read_name, read_snapshot

FILE_BYTES_MAX: Final = 32 * 1024 * 1024  # ours have some KiB for each model


class FileProblem(NamedTuple):
    """A file that is left out, and why."""

    name: str
    problem: str


def read_snapshots(directory: Path, since: float) -> tuple[list[Snapshot], list[FileProblem]]:
    """Return what ended after `since` (seconds since the epoch), oldest first; changes nothing there. Raises OSError for a directory
    that cannot be read.

    No call is in two of them: of a day its hours, or the day itself where none of its hours is there.
    """
    snapshots: list[Snapshot] = []
    problems: list[FileProblem] = []
    for name, (_, ended) in sorted(list_files(directory), key=lambda file: (file[1], file[0])):
        if ended <= since:
            continue
        try:
            snapshots.append(read_file(directory, name))
        except FileNotFoundError:
            continue  # it was old, and is taken away at this moment
        except ValueError as error:
            problems.append(FileProblem(name, str(error)))
        except OSError as error:
            problems.append(FileProblem(name, error.strerror or type(error).__name__))
    told = {snapshot.began // DAY_S for snapshot in snapshots if not is_day(snapshot)}
    return [snapshot for snapshot in snapshots if not is_day(snapshot) or snapshot.began // DAY_S not in told], problems


def is_day(snapshot: Snapshot) -> bool:
    """Whether it tells of a day, not an hour."""
    return snapshot.ended - snapshot.began == DAY_S


def list_files(directory: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield each file of the journal: its name, when its time began and ended. Raises OSError."""
    for path in directory.iterdir():
        span = read_name(path.name)
        if span is not None:
            yield path.name, span


def read_file(directory: Path, name: str) -> Snapshot:
    """Return what one file tells. Raises OSError, ValueError where it is damaged."""
    with (directory / name).open("rb") as file:
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise ValueError("larger than any file of the journal")
    snapshot = read_snapshot(data)
    if (snapshot.began, snapshot.ended) != read_name(name):
        raise ValueError("of another time than its name says")
    return snapshot
