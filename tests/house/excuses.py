"""What may break a rule of the house, each with its reason. Lists only shrink: an excuse that is not needed fails."""

from typing import Final

# Files of more than 300 lines.
LONG_FILES: Final[dict[str, str]] = {}

# Functions of more than 50 lines, as `path:qualified name`.
LONG_FUNCTIONS: Final[dict[str, str]] = {}

# Modules of core and edge without a test file of their own.
UNTESTED: Final[dict[str, str]] = {}
