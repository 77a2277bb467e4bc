"""The sidecar's numbers beside the provider's own, for scripted exchanges in every dialect: a markdown table.

    python tests/bench/accuracy.py [--rounds 5] [--forms]

The provider's account is its ledger, the sidecar's is what its scrape grew by. Tokens are uncached
input, cached, written to the cache, output, reasoning. Times to the first token are each side's
own, the least difference of several rounds: what is above the least is the machine's noise.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sidecar.simulator.accounts import KINDS
from tests.rig.exchanges import Account, Exchange, Watcher, ask_provider, carry, list_exchanges, list_upstreams
from tests.rig.process import run_sidecar, run_simulator

_FIRST_TOKEN_MAX_MS = 2.0
_USD_MAX = 1e-9


async def run(rounds: int) -> list["Row"]:
    """Carry every exchange `rounds` times; return both accounts of the last and the least difference in time, in ms."""
    found: dict[int, Row] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name, run_simulator(Path(name), {"speed": 0}) as provider:
            upstreams = list_upstreams(provider)
            routes = [{"prefix": f"/{each}/", "upstream": each} for each in upstreams]
            with run_sidecar(Path(name), provider, upstreams=upstreams, routes=routes) as side:
                async with httpx.AsyncClient(timeout=30) as client:
                    watcher = Watcher(client, side.admin_url)
                    for number, exchange in enumerate(list_exchanges()):
                        await carry(exchange, client, side.url, f"t{number}")
                        theirs, ours = await ask_provider(client, provider, f"t{number}"), await watcher.wait()
                        late_ms = None
                        if theirs.first_token_s is not None and ours.first_token_s is not None:
                            late_ms = (ours.first_token_s - theirs.first_token_s) * 1000
                        earlier = found.get(number)
                        if earlier is not None and earlier.late_ms is not None and late_ms is not None:
                            late_ms = min(late_ms, earlier.late_ms, key=abs)
                        found[number] = Row(exchange, theirs, ours, late_ms)
    return list(found.values())


class Row(NamedTuple):
    """One exchange in both accounts, and by how much later the sidecar saw the first token."""

    exchange: Exchange
    theirs: Account
    ours: Account
    late_ms: float | None

    @property
    def is_equal(self) -> bool:
        """Whether the accounts agree: to the token, to the cent's millionth part, and within 2 ms."""
        theirs, ours = self.theirs, self.ours
        return (
            (theirs.ending, theirs.tokens) == (ours.ending, ours.tokens)
            and abs(theirs.cost_usd - ours.cost_usd) < _USD_MAX
            and (theirs.first_token_s is None) == (ours.first_token_s is None)
            and (self.late_ms is None or abs(self.late_ms) <= _FIRST_TOKEN_MAX_MS)
        )


def show(*accounts: Account) -> str:
    """The tokens of accounts together."""
    return " / ".join(str(sum(account.tokens[kind] for account in accounts)) for kind in KINDS)


def print_rows(rows: Sequence[Row]) -> None:
    """One line an exchange."""
    print("| exchange | ending | tokens: provider | tokens: sidecar | USD: provider | USD: sidecar | first token later by, ms | |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        theirs, ours = row.theirs, row.ours
        ending = ours.ending if ours.ending == theirs.ending else f"{theirs.ending} / {ours.ending}"
        late = "" if row.late_ms is None else f"{row.late_ms:.2f}"
        print(f"| {row.exchange.name} | {ending} | {show(theirs)} | {show(ours)} | {theirs.cost_usd:.8f} | {ours.cost_usd:.8f} | {late} | "
              f"{'equal' if row.is_equal else 'DIFFERENT'} |")  # fmt: skip


def print_forms(rows: Sequence[Row]) -> None:
    """One line an interface."""
    print(
        "| interface | exchanges | equal | tokens: provider | tokens: sidecar | USD: provider | USD: sidecar | first token later by, ms |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for form in dict.fromkeys(row.exchange.form.name for row in rows):
        some = [row for row in rows if row.exchange.form.name == form]
        late = [abs(row.late_ms) for row in some if row.late_ms is not None]
        theirs, ours = [row.theirs for row in some], [row.ours for row in some]
        usd = " | ".join(f"{sum(account.cost_usd for account in side):.6f}" for side in (theirs, ours))
        print(f"| {form} | {len(some)} | {sum(row.is_equal for row in some)} | {show(*theirs)} | {show(*ours)} | {usd} | "
              f"{f'≤ {max(late):.1f}' if late else ''} |")  # fmt: skip


def main() -> int:
    """Print the table; exit code 1 where the accounts differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 21), metavar="1-20")
    parser.add_argument("--forms", action="store_true", help="one line an interface")
    arguments = parser.parse_args()
    rows = asyncio.run(run(arguments.rounds))
    (print_forms if arguments.forms else print_rows)(rows)
    equal = sum(row.is_equal for row in rows)
    totals = [sum(account.cost_usd for account in side) for side in ([row.theirs for row in rows], [row.ours for row in rows])]
    print(f"\n{equal} of {len(rows)} equal; {totals[0]:.6f} USD by the provider, {totals[1]:.6f} USD by the sidecar")
    return 0 if equal == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
