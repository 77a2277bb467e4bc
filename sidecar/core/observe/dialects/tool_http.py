"""HTTP tools: nothing is known of their form but the path, and that tells which tool is called."""

from sidecar.core.observe.paths import show_path
from sidecar.core.observe.text import read_identifier


def name_tool(path: str, route: str) -> str:
    """Return the first segment of `path`, the route's prefix taken off, as the tool's name; without one the route's name.

    What follows a semicolon is a parameter (RFC 3986 section 3.3), and no part of the name. A key, as some
    servers take in their paths, is no name either.
    """
    segment = path[1:].partition("/")[0].partition(";")[0]
    name = read_identifier(segment)
    return name if name is not None and show_path(name) == name else route
