"""Names of HTTP tools."""

import pytest

from sidecar.core.observe.dialects.tool_http import name_tool


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "tools/weather"), ("/forecast", "forecast"), ("/forecast/today/2", "forecast"), ("//forecast", "tools/weather"),
        ("/forecast;v=2/x", "forecast"), ("/;v=2", "tools/weather"), ("/a%2Fb", "a%2Fb"),
        ("/sk-ant-api03-canary7f3a91/mcp", "tools/weather"), ("/some.one@example.com", "tools/weather"), ("/" + "a" * 1000, "a" * 256),
    ],
)  # fmt: skip
def test_a_tool_is_named_by_its_first_segment(path: str, name: str) -> None:
    """Or by its route, where the path names none."""
    assert name_tool(path, "tools/weather") == name
