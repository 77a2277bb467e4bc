"""Words that do not belong in the project: they mean nothing to its readers."""

import re

from tests.house.source import ROOT, tracked

# Where words are input or somebody else's.
EXCEPT = ("LICENSE", "tests/corpus/", "tests/data/", "tests/house/test_words.py", "tests/house/test_bans.py")
WORDS = {
    "paths of one machine": re.compile(r"(?<![\w./-])/(?:home|Users|root|work|workspace|mnt)/\w"),
    "how the work was organised": re.compile(
        r"\b(?:this session|the brief|my part|colleagues?|the lead(?! to)|as instructed|per the issue)\b", re.IGNORECASE
    ),
    "numbers of issues": re.compile(r"\b(?:issue|ticket|PR) ?#?\d+", re.IGNORECASE),
    "marks of unfinished work": re.compile(r"\b(?:TODO|FIXME|XXX)\b"),
    "temporary environments": re.compile(r"/tmp/\w*venv|PIP_INDEX_URL|--index-url|--extra-index-url"),
}


def test_no_word_that_does_not_belong() -> None:
    """Files speak of the project, not of how it came to be."""
    found = []
    for path in tracked():
        if path.startswith(EXCEPT):
            continue
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for kind, pattern in WORDS.items():
            found += [f"{path}:{text.count(chr(10), 0, match.start()) + 1} {kind}: {match[0]}" for match in pattern.finditer(text)]
    assert found == []
