"""The ledger of budgets as text: one event to a line, each with its own checksum.

    8e7c5a1b ["reserved",17,"team-a","2026-11-20",1500000]

In front stands the CRC-32 of what follows the space, in hexadecimal; money is in nano-dollars. A ledger begins with a line that
says what it is, then the sums and the open reservations of the time at which it was written, then what has happened since:

    ["llm-sidecar ledger",1,INSTANCE]       format version; who writes it, by the name that other sidecars know
    ["spent",ACCOUNT,PERIOD,NANO]           up to here, without what is reserved; "" is everybody together
    ["reserved",NUMBER,ACCOUNT,DAY,NANO]
    ["settled",NUMBER,ACCOUNT,DAY,NANO]
    ["stopped",ACCOUNT,true or false]

Each line tells all that it means, so that one that cannot be read takes no other with it: a reservation whose settlement is lost
counts as spent at its estimate, and a settlement counts without its reservation. A line that is there twice counts once.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from sidecar.core.admit.spending_sums import ALL, Reservation, State
from sidecar.core.admit.spending_windows import is_day, is_period, name_month

VERSION: Final = 1
LINE_BYTES_MAX: Final = 1024  # of one that is ours: names of accounts are short
_NAME: Final = "llm-sidecar ledger"
_CHECKSUM_CHARS: Final = 8
_INSTANCE_CHARS_MAX: Final = 64
_FOREIGN_LINES: Final = 1000  # after so many of which none is ours none will be

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class Told(NamedTuple):
    """What a ledger tells. `instance` None: its first line says nothing, or that it is another's."""

    instance: str | None
    state: State
    lines: int  # that were read
    damaged: int  # lines that could not be


def tell_reserved(reservation: Reservation) -> bytes:
    """Return the line of a reservation that was made."""
    return _seal(["reserved", reservation.number, reservation.account, reservation.day, reservation.nano])


def tell_settled(reservation: Reservation, nano: int) -> bytes:
    """Return the line of one that was settled, for so much."""
    return _seal(["settled", reservation.number, reservation.account, reservation.day, nano])


def tell_stopped(account: str, *, is_stopped: bool) -> bytes:
    """Return the line of a stop, or of its end."""
    return _seal(["stopped", account, is_stopped])


def tell_state(state: State, instance: str) -> Iterator[bytes]:
    """Yield the lines that a ledger begins with."""
    yield _seal([_NAME, VERSION, instance])
    for (account, period), nano in state.spent.items():
        yield _seal(["spent", account, period, nano])
    for account in sorted(state.stopped):
        yield _seal(["stopped", account, True])
    for reservation in state.open:
        yield tell_reserved(reservation)


def read_ledger(lines: Iterable[bytes]) -> Told:
    """Return what the lines of a ledger tell, the last one perhaps without its end. Never raises.

    All lines count that can be read, those behind a damaged one too. Of another version none is.
    """
    reader = _Reader()
    instance: str | None = None
    count = damaged = 0
    for count, line in enumerate(lines, 1):
        members = _open(line)
        if members is not None and members[:1] == [_NAME]:
            if members[1:2] != [VERSION]:
                return Told(None, _Reader().state(), count, count)
            instance = _read_instance(members)
        elif members is None or not reader.take(members) or count == 1:
            damaged += 1
            if damaged == count > _FOREIGN_LINES:
                break
    return Told(instance, reader.state(), count, damaged)


class _Reader:
    def __init__(self) -> None:
        self._spent: dict[tuple[str, str], int] = {}
        self._open: dict[int, Reservation] = {}
        self._settled: set[int] = set()
        self._stopped: set[str] = set()

    def take(self, members: list[Any]) -> bool:
        """Take note of one line; tell whether it means anything."""
        match members:
            case ["spent", str(account), period, int(nano)] if is_period(period) and nano >= 0:
                self._spent[(account, period)] = nano
            case ["reserved", int(number), str(account), day, int(nano)] if _is_sound(day, nano):
                if number not in self._settled:
                    self._open[number] = Reservation(number, account, day, nano)
            case ["settled", int(number), str(account), day, int(nano)] if _is_sound(day, nano):
                if number not in self._settled:
                    self._settled.add(number)
                    self._open.pop(number, None)
                    self._add(account, day, nano)
            case ["stopped", str(account), bool(is_stopped)]:
                (self._stopped.add if is_stopped else self._stopped.discard)(account)
            case _:
                return False
        return True

    def state(self) -> State:
        return State(self._spent, list(self._open.values()), frozenset(self._stopped))

    def _add(self, account: str, day: str, nano: int) -> None:
        for owner in dict.fromkeys((account, ALL)):
            for period in (day, name_month(day)):
                self._spent[(owner, period)] = self._spent.get((owner, period), 0) + nano


def _seal(members: list[Any]) -> bytes:
    payload = _encode(members)
    return b"%08x %b\n" % (crc32(payload), payload)


def _open(line: bytes) -> list[Any] | None:
    """Return the members of a line, or None where it is not as it was written."""
    payload = line[_CHECKSUM_CHARS + 1 : -1]
    if len(line) > LINE_BYTES_MAX or line[-1:] != b"\n" or line[: _CHECKSUM_CHARS + 1] != b"%08x " % crc32(payload):
        return None
    try:
        members = _decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return members if isinstance(members, list) else None


def _read_instance(members: list[Any]) -> str | None:
    name = members[2] if len(members) > 2 else None
    return name if isinstance(name, str) and len(name) <= _INSTANCE_CHARS_MAX else None


def _is_sound(day: object, nano: int) -> bool:
    return nano >= 0 and is_period(day) and is_day(str(day))
