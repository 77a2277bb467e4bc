"""The dashboards, one module each."""

from typing import Final

from sidecar.render.board import Board
from sidecar.render.boards import cache, cost, itself, latency, overview, resilience
from sidecar.thresholds import Terms

# File names without their extension, in the order in which they lead from one to the next.
_MAKERS: Final = {
    "overview": overview.make_board,
    "latency": latency.make_board,
    "cost": cost.make_board,
    "resilience": resilience.make_board,
    "cache": cache.make_board,
    "sidecar": itself.make_board,
}


def list_boards(terms: Terms) -> dict[str, Board]:
    """Return every board by the name of its file."""
    return {name: make_board(terms) for name, make_board in _MAKERS.items()}
