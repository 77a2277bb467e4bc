"""Overview."""

from sidecar.render.board import Board
from sidecar.thresholds import Terms


def make_board(terms: Terms) -> Board:
    """Return the board."""
    return Board("llm-sidecar-overview", "Overview", "", ("provider", "model"), ())
