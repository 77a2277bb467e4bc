"""YAML files as plain trees."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.settings.tree import Document
from sidecar.edge.documents import FILE_BYTES_MAX, parse_value, read_document
from sidecar.errors import ConfigError, ConfigProblem


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    return tmp_path


def read(folder: Path, text: str | bytes) -> Document:
    """Read a file of this text."""
    file = folder / "f.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_document(str(file))


def problem_of(folder: Path, text: str | bytes) -> ConfigProblem:
    """Return the one problem of a file that cannot be taken."""
    with pytest.raises(ConfigError) as raised:
        read(folder, text)
    assert len(raised.value.problems) == 1
    return raised.value.problems[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", "a"),
        ("12", 12),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("1:30", "1:30"),
        ("2024-05-01", "2024-05-01"),
        ("0x1F", "0x1F"),
        ("012", 12),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("1" * 21, float("1" * 21)),
        ("3s", "3s"),
        ("[1, a]", [1, "a"]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        ("127.0.0.1:4000", "127.0.0.1:4000"),
        ("|\n  x\n  y", "x\ny"),
    ],
)
def test_values_are_read_as_they_look(text: str, value: Any) -> None:
    """Only numbers, true, false and null are more than text: none of the surprises of YAML 1.1."""
    read = parse_value(text)
    assert read == value
    assert type(read) is type(value)


def test_lines_of_every_part_are_known(folder: Path) -> None:
    """Keys and list entries have the lines they are written on."""
    document = read(folder, "# first\nlisten: a\nroutes:\n  - prefix: x\n\n  - {prefix: y,\n     upstream: z}\n")
    assert document.tree == {"listen": "a", "routes": [{"prefix": "x"}, {"prefix": "y", "upstream": "z"}]}
    lines = {("listen",): 2, ("routes",): 3, ("routes", 0): 4, ("routes", 0, "prefix"): 4, ("routes", 1): 6, ("routes", 1, "upstream"): 7}
    assert lines.items() <= document.lines.items()


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n", "\ufeff"])
def test_an_empty_file_is_an_empty_tree(folder: Path, text: str) -> None:
    """A file with nothing in it changes nothing."""
    assert read(folder, text).tree == {}


def test_a_byte_order_mark_is_no_part_of_the_first_key(folder: Path) -> None:
    """Editors that write one do no harm."""
    assert read(folder, b"\xef\xbb\xbflisten: a").tree == {"listen": "a"}


def test_aliases_and_merge_keys_stand_for_what_they_name(folder: Path) -> None:
    """A part can be written once and used twice; own keys go over merged ones, earlier merges over later."""
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 9}\nd: {<<: *b}\ne: *a\n"
    tree = read(folder, text).tree
    assert tree["c"] == {"x": 9, "y": 2, "z": 4}
    assert tree["d"] == {"y": 3, "z": 4}
    assert tree["e"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "path", "found"),
    [
        ("a: 1\nb: 2\na: 3\n", ("a",), "the same key on lines 1 and 3"),
        ("a:\n  b: 1\n  b: 1\n", ("a", "b"), "the same key on lines 2 and 3"),
        ("a: !x 1\n", ("a",), "a YAML tag"),
        ("a: ! 1\n", ("a",), "a YAML tag"),
        ("a: !!python/object/apply:os.system [true]\n", ("a",), "a YAML tag"),
        ("a: !!binary aGk=\n", ("a",), "a YAML tag"),
        ("? [a]\n: 1\n", (), "a key that is a mapping or a list"),
        ("a: {{ x }}\n", ("a",), "a key that is a mapping or a list"),
        ("a: {<<: 3}\n", ("a", "<<"), "a merge of something else"),
    ],
)
def test_what_yaml_allows_and_we_do_not_is_a_fault(folder: Path, text: str, path: tuple[str, ...], found: str) -> None:
    """Keys given twice, tags and odd keys are told with their place, and the rest is still read."""
    assert [(fault.path, fault.found) for fault in read(folder, text).faults] == [(path, found)]


def test_a_quoted_merge_sign_is_a_key() -> None:
    """Only the plain sign merges."""
    assert parse_value('{"<<": 3}') == {"<<": 3}


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("a: 1\n b: 2\n", 2, "text that is not YAML"),
        ("a: [1\n", 2, "text that is not YAML"),
        ("a: \x07\n", None, "text that is not YAML"),
        (b"a: 1\nb: \xff\n", 2, "bytes that are not UTF-8"),
        ("- a\n", 1, "a single value or a list"),
        ("a: 1\n---\nb: 2\n", 2, "a second document"),
        ("a: *b\n", 1, "an alias of an anchor that is not there yet"),
        ("a: &a [*a]\n", 1, "an alias of an anchor that is not there yet"),
        ("a: " + "[" * 5000, 1, "parts nested too deeply"),
        (b"a" * (FILE_BYTES_MAX + 1), None, "a file that is too large"),
        ("a: [" + "1," * 100_001 + "]", 1, "too many values, aliases counted in full"),
    ],
)
def test_what_cannot_be_taken_is_one_problem_of_the_file(folder: Path, text: str | bytes, line: int | None, found: str) -> None:
    """Broken and hostile files are refused as a whole, with the line where there is one."""
    problem = problem_of(folder, text)
    assert problem.found.startswith(found)
    assert problem.line == line
    assert problem.path.endswith("f.yaml")


def test_aliases_do_not_multiply_without_bound(folder: Path) -> None:
    """A few hundred bytes that stand for billions of values are refused, at the size they stand for."""
    text = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    assert problem_of(folder, text).found == "too many values, aliases counted in full"


@pytest.mark.parametrize("path", ["/nonexistent/x.yaml", "/", "a\0b"])
def test_a_file_that_cannot_be_read_is_a_problem(path: str) -> None:
    """Missing files, folders and impossible names are told, not raised."""
    with pytest.raises(ConfigError) as raised:
        read_document(path)
    assert raised.value.problems[0].found.startswith("no readable file (")


def test_syntax_errors_quote_nothing_of_the_text(folder: Path) -> None:
    """A secret beside a slip of the finger is not shown."""
    assert "hunter2" not in str(problem_of(folder, "key: hunter2: hunter2\n"))
    with pytest.raises(ValueError, match="YAML") as raised:
        parse_value("[hunter2")
    assert "hunter2" not in str(raised.value)


def test_faults_within_a_variables_text_are_refused() -> None:
    """Text that has no lines to point at is refused with its first fault."""
    with pytest.raises(ValueError, match="the same key"):
        parse_value("{a: 1, a: 2}")


_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    # What only YAML 1.2 takes for a number, such as 0E0, a writer of YAML 1.1 leaves without quotes.
    | st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF, exclude_characters="\x7f\x85\xa0\ufeff")).filter(
        lambda text: not re.fullmatch(r"[-+.0-9]+([eE][-+]?[0-9]+)?", text)
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc<", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(_PLAIN, st.booleans())
def test_what_a_yaml_writer_writes_is_read_back(value: Any, flow: bool) -> None:
    """Any plain value survives being written by an ordinary YAML writer."""
    assert parse_value(yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)) == value


@given(st.text(max_size=80) | st.text("{}[]:,-&*!|>'\"<a1 \n\t#?%@`", max_size=60))
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    """Any text is a value or a ValueError."""
    try:
        parse_value(text)
    except ValueError:
        pass
