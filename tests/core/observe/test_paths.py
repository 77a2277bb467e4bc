"""Paths as they may be recorded."""

import pytest

from sidecar.core.observe.paths import show_path, show_tool_path

KEY = "sk-ant-api03-canary7f3a91canary7f3a91"
TOKEN = "eyJjYW5hcnkiOiJjYW5hcnkifQ.eyJjYW5hcnkiOiI3ZjNhOTEifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/openai/v1/chat/completions", "/gemini/v1beta/models/gemini-2.5-flash:generateContent", "/v1/files/file-4111111111111111",
        "/v1/responses/resp_68a2f3b1c0d88190a1b2c3d4e5f60718", "/reports/2026-11-20/030-123-456-789", "/a%20b/é;v=1//",
    ],
)  # fmt: skip
def test_ordinary_paths_stay(path: str) -> None:
    """Names, ids and dates are what a path is recorded for."""
    assert show_path(path) == path


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (f"/mcp/s/{KEY}/sse", "/mcp/s/[REDACTED:api_key]/sse"),
        (f"/in/{TOKEN}", "/in/[REDACTED:token]"),
        ("/users/some.one@example.com/files", "/users/[REDACTED:email]/files"),
        ("/users/some.one%40example.com", "/users/[REDACTED:email]"),
        (f"/{'x' * 300}/{KEY}", f"/{'x' * 300}/[REDACTED:api_key]"),
    ],
)
def test_secrets_do_not(path: str, shown: str) -> None:
    """Keys, tokens and e-mail addresses are taken out, however long the path is."""
    assert show_path(path) == shown


@pytest.mark.parametrize(
    ("prefix", "rest", "shown"),
    [
        ("/tools/", "/mcp", "/tools/mcp"),
        ("/tools/", "/", "/tools/"),
        ("/tools/", "/search/", "/tools/search/"),
        ("/tools/", "/search/what was asked/for", "/tools/search/*"),
        ("/tools/", "/search;q=asked", "/tools/search*"),
        ("/tools/", "/search;q=asked/more", "/tools/search/*"),
        ("/tools/", f"/{KEY}/mcp", "/tools/[REDACTED:api_key]/*"),
        ("/", "//a", "//*"),
    ],
)
def test_arguments_of_tools_do_not(prefix: str, rest: str, shown: str) -> None:
    """What follows a tool's name in a path is what it was asked."""
    assert show_tool_path(prefix, rest) == shown
