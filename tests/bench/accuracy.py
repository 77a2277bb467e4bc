"""The sidecar's numbers beside the provider's own, for scripted exchanges in every dialect: a markdown table.

    python tests/bench/accuracy.py [--rounds 5]

The provider's account is its ledger, the sidecar's is what its scrape grew by. Tokens are uncached
input, cached, written to the cache, output, reasoning. Times to the first token are each side's
own, the least difference of several rounds: what is above the least is the machine's noise.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.rig.exchanges import Account, Exchange, Watcher, ask_provider, carry, list_exchanges, list_upstreams
from tests.rig.process import run_sidecar, run_simulator

_FIRST_TOKEN_MAX_MS = 2.0
_USD_MAX = 1e-9


async def run(rounds: int) -> list[tuple[Exchange, Account, Account, float | None]]:
    """Carry every exchange `rounds` times; return both accounts of the last and the least difference in time, in ms."""
    found: dict[int, tuple[Exchange, Account, Account, float | None]] = {}
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
                        if earlier is not None and earlier[3] is not None and late_ms is not None:
                            late_ms = min(late_ms, earlier[3], key=abs)
                        found[number] = exchange, theirs, ours, late_ms
    return list(found.values())


def show(account: Account) -> str:
    """An account's tokens."""
    return " / ".join(map(str, account.tokens.values()))


def main() -> int:
    """Print the table; exit code 1 where the accounts differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 21), metavar="1-20")
    rows = asyncio.run(run(parser.parse_args().rounds))
    print("| exchange | ending | tokens: provider | tokens: sidecar | USD: provider | USD: sidecar | first token later by, ms | |")
    print("|---|---|---|---|---|---|---|---|")
    equal = 0
    for exchange, theirs, ours, late_ms in rows:
        good = (theirs.ending, theirs.tokens) == (ours.ending, ours.tokens) and abs(theirs.cost_usd - ours.cost_usd) < _USD_MAX
        good = good and (theirs.first_token_s is None) == (ours.first_token_s is None)
        good = good and (late_ms is None or abs(late_ms) <= _FIRST_TOKEN_MAX_MS)
        equal += good
        endings = ours.ending if ours.ending == theirs.ending else f"{theirs.ending} / {ours.ending}"
        late = "" if late_ms is None else f"{late_ms:.2f}"
        print(f"| {exchange.name} | {endings} | {show(theirs)} | {show(ours)} | {theirs.cost_usd:.8f} | {ours.cost_usd:.8f} | {late} | "
              f"{'equal' if good else 'DIFFERENT'} |")  # fmt: skip
    total = [sum(account.cost_usd for account in side) for side in zip(*((row[1], row[2]) for row in rows), strict=True)]
    print(f"\n{equal} of {len(rows)} equal; {total[0]:.6f} USD by the provider, {total[1]:.6f} USD by the sidecar")
    return 0 if equal == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
