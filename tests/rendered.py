"""The boards as they are rendered: for the terms that are committed, and for others, with which everything must hold, too."""

from functools import cache
from typing import Any, Final

from sidecar.render.board import build_board
from sidecar.render.boards import list_boards
from sidecar.thresholds import Terms
from tests.render.terms import DEFAULT, OTHER

Json = dict[str, Any]

TERMS: Final[dict[str, Terms]] = {"committed": DEFAULT, "other": OTHER}


@cache
def build_boards(terms: str) -> dict[str, Json]:
    """Return every board for the terms of that name, by its file name."""
    return {name: build_board(board) for name, board in list_boards(TERMS[terms]).items()}
