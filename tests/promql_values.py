"""What a panel's query comes to over series that are made up, by promtool: its own language for series, and Prometheus' own engine."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.linter import list_panels

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
# What Grafana puts in place of its variables: all of it, the window of rates, the time that is shown.
_RANGES: Final = {"$__rate_interval": "5m", "$__range": "1h"}


def find_query(board: Mapping[str, Any], title: str, number: int = 0) -> str:
    """Return a query of the panel of that title."""
    panel = next(panel for panel in list_panels(dict(board)) if panel["title"] == title)
    text: str = panel["targets"][number]["expr"]
    return text


def check_value(folder: Path, query: str, series: Mapping[str, str], at: str, expected: Mapping[str, float]) -> None:
    """Check what `query` comes to at a time (such as 10m), to a thousandth. Series have a value each minute."""
    check_values(folder, {query: expected}, series, at)


def check_values(folder: Path, expected: Mapping[str, Mapping[str, float]], series: Mapping[str, str], at: str) -> None:
    """Check what each query comes to at a time over the same series."""
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f"round({_fill(query)}, 0.001)", "eval_time": at,
                "exp_samples": [{"labels": labels, "value": value} for labels, value in values.items()],
            }
            for query, values in expected.items()
        ],
    }  # fmt: skip
    (folder / "rules.yml").write_text("groups: []\n", encoding="utf-8")
    tests = {"rule_files": ["rules.yml"], "tests": [case]}
    (folder / "tests.yml").write_text(yaml.safe_dump(tests, width=4096), encoding="utf-8")
    done = subprocess.run(["promtool", "test", "rules", "tests.yml"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _fill(query: str) -> str:
    for variable, value in _RANGES.items():
        query = query.replace(variable, value)
    return re.sub(r"\$\w+", ".*", query)
