"""YAML as people write it."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from sidecar.render.yaml_text import dump_yaml

# Texts of people: line ends are "\n", and no other control characters.
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), include_characters="\n"))
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20
)


@given(TREES)
def test_what_is_written_is_read_back(tree: object) -> None:
    """Whatever the texts are."""
    assert yaml.safe_load(dump_yaml(tree)) == tree


def test_order_blocks_and_comments() -> None:
    """Keys keep their order, lists are indented, long lines stay whole, the head is a comment."""
    text = dump_yaml({"b": ["x" * 200], "a": "one\ntwo"}, "A head\n\nof three lines")
    assert text == f"# A head\n#\n# of three lines\nb:\n  - {'x' * 200}\na: |-\n  one\n  two\n"


def test_nothing_is_abbreviated() -> None:
    """The same thing twice is written twice: readers of configuration know no anchors."""
    same = {"k": [1]}
    assert "&" not in dump_yaml([same, same])
