"""What a board shows, fetched from a Prometheus as Grafana would ask for it: for tests that draw boards.

A board is Grafana's Classic JSON. Variables stand for all that there is. Times are Unix seconds.
"""

import httpx

from tests.rig.boards import Json, fill_in


def open_rows(board: Json) -> list[Json]:
    """Return rows and panels as they stand once every collapsed row was opened: what is below moves down."""
    shown, moved = list[Json](), 0
    for panel in sorted(board["panels"], key=lambda panel: (panel["gridPos"]["y"], panel["gridPos"]["x"])):
        shown.append(_move({**panel, "panels": []} if panel["type"] == "row" else panel, moved))
        inner = panel.get("panels", ()) if panel["type"] == "row" else ()
        if inner:
            top = min(one["gridPos"]["y"] for one in inner)
            end = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in inner)
            shown += (_move(one, panel["gridPos"]["y"] + 1 + moved - top) for one in inner)
            moved += end - top
    return shown


def _move(panel: Json, rows: int) -> Json:
    """Return the panel, some rows of the grid further down."""
    return {**panel, "gridPos": {**panel["gridPos"], "y": panel["gridPos"]["y"] + rows}}


class Asking:
    """Asks one Prometheus what a board asks, over one range of time."""

    def __init__(self, client: httpx.Client, board: Json, began_s: float, ended_s: float, step_s: float) -> None:
        """`client` has the server's URL as its base."""
        self._client = client
        self._board = board
        self._times = {"start": f"{began_s:.3f}", "end": f"{ended_s:.3f}"}
        self._steps = {**self._times, "step": f"{step_s:g}"}

    def ask_panel(self, panel: Json) -> Json:
        """Return the answer to each target by its refId."""
        return {target["refId"]: self._ask_target(target) for target in panel.get("targets", ()) if not target.get("hide")}

    def _ask_target(self, target: Json) -> Json:
        """Return what the server says: `resultType` and `result`, or `error`; `exemplars` where they are asked for."""
        text = fill_in(target["expr"], self._board)
        if target.get("instant"):
            found = self._get("query", query=text, time=self._times["end"])
        else:
            found = self._get("query_range", query=text, **self._steps)
        if target.get("exemplar"):
            found["exemplars"] = self._get("query_exemplars", query=text, **self._times).get("result", [])
        return found

    def ask_annotations(self) -> list[Json]:
        """Return each annotation that is enabled, with the answer to its query."""
        notes = [note for note in self._board["annotations"]["list"] if note.get("enable") and "expr" in note]
        return [{"note": note, **self._get("query_range", query=fill_in(note["expr"], self._board), **self._steps)} for note in notes]

    def _get(self, path: str, **parameters: str) -> Json:
        answer = self._client.get(f"/api/v1/{path}", params=parameters).json()
        if answer["status"] != "success":
            return {"error": answer.get("error", "unknown")}
        data = answer["data"]
        return dict(data) if isinstance(data, dict) else {"result": data}


def ask_board(client: httpx.Client, board: Json, began_s: float, ended_s: float, step_s: float = 1.0) -> Json:
    """Return a board with its rows open, and the answers to all it asks."""
    asking = Asking(client, board, began_s, ended_s, step_s)
    panels = open_rows(board)
    return {
        "board": {**board, "panels": panels},
        "from": began_s * 1000,
        "to": ended_s * 1000,
        "step": step_s * 1000,
        "answers": {str(panel["id"]): asking.ask_panel(panel) for panel in panels if panel["type"] != "row"},
        "annotations": asking.ask_annotations(),
    }
