"""On whose account a call runs."""

from typing import Final, NamedTuple


class Tenant(NamedTuple):
    """`name`: as it was told, part of what answers are kept under. `account`: whose limits and budgets count, and what metrics show."""

    name: str
    account: str


NOBODY: Final = Tenant("", "")  # of a call that no route took
