"""The environment over a file."""

from typing import Any

from sidecar.config import BUILT_IN_UPSTREAMS
from sidecar.core.settings.environment import Assignment
from sidecar.core.settings.merge import merge
from sidecar.core.settings.tree import Document


def document(tree: dict[Any, Any], **lines: int) -> Document:
    """Return a file with lines for its outermost keys."""
    return Document("file", tree, {(key,): line for key, line in lines.items()})


def test_a_variable_goes_over_the_file_and_leaves_its_neighbours() -> None:
    """One key is replaced, the others stay, and each knows where it is from."""
    merged = merge(document({"timeouts": {"idle": 1, "total": 2}}, timeouts=3), [Assignment(("timeouts", "idle"), "9s", "V")])
    assert merged.tree == {"timeouts": {"idle": "9s", "total": 2}}
    assert merged.place(("timeouts", "idle")) == "V"
    assert merged.place(("timeouts", "total")) == 3


def test_the_document_itself_is_not_changed() -> None:
    """A file can be merged again with another environment."""
    tree: dict[Any, Any] = {"timeouts": {"idle": 1}}
    merge(document(tree), [Assignment(("timeouts", "idle"), 2, "V")])
    assert tree == {"timeouts": {"idle": 1}}


def test_missing_and_empty_sections_are_made() -> None:
    """A variable may set what the file does not mention."""
    assignments = [Assignment(("timeouts", "idle"), 1, "A"), Assignment(("admin", "listen"), 2, "B")]
    assert merge(document({"admin": None}), assignments).tree == {"admin": {"listen": 2}, "timeouts": {"idle": 1}}


def test_a_section_that_is_none_is_left_for_the_decoder() -> None:
    """A variable does not hide that the file has text where a section belongs."""
    assert merge(document({"timeouts": "soon"}), [Assignment(("timeouts", "idle"), 1, "V")]).tree == {"timeouts": "soon"}


def test_names_are_matched_without_case_and_hyphens() -> None:
    """Variables cannot spell every name; they mean the one in the file."""
    merged = merge(document({"upstreams": {"My-One": {"url": "a"}}}), [Assignment(("upstreams", "my_one", "url"), "b", "V")])
    assert merged.tree == {"upstreams": {"My-One": {"url": "b"}}}
    assert merged.place(("upstreams", "My-One", "url")) == "V"


def test_a_whole_section_takes_the_place_of_the_files() -> None:
    """Nothing of the file's section is left, in value or in origin."""
    file = Document("file", {"timeouts": {"idle": 1}}, {("timeouts",): 1, ("timeouts", "idle"): 2})
    merged = merge(file, [Assignment(("timeouts",), {"total": 5}, "V")])
    assert merged.tree == {"timeouts": {"total": 5}}
    assert merged.place(("timeouts", "idle")) == "V"
    assert not merged.has(("timeouts", "idle"))
    assert merged.has(("timeouts", "total"))


def test_the_upstream_variable_takes_every_other_path() -> None:
    """`LLM_SIDECAR_UPSTREAM` makes an upstream and a route with prefix `/`."""
    merged = merge(
        document({"routes": [{"prefix": "/a/", "upstream": "x"}]}),
        [Assignment(("upstreams", "default", "url"), "u", "LLM_SIDECAR_UPSTREAM")],
    )
    assert merged.tree["upstreams"]["default"] == {"url": "u"}
    assert merged.tree["routes"] == [{"prefix": "/a/", "upstream": "x"}, {"prefix": "/", "upstream": "default"}]
    assert merged.place(("routes", 1, "prefix")) == "LLM_SIDECAR_UPSTREAM"


def test_the_upstream_variable_replaces_the_files_last_resort() -> None:
    """A route with prefix `/` in the file gives way, in its place."""
    file = document({"routes": [{"prefix": "/", "upstream": "x"}, {"prefix": "/a/", "upstream": "x"}]})
    merged = merge(file, [Assignment(("upstreams", "default", "url"), "u", "LLM_SIDECAR_UPSTREAM")])
    assert merged.tree["routes"] == [{"prefix": "/", "upstream": "default"}, {"prefix": "/a/", "upstream": "x"}]


def test_a_built_in_upstream_without_url_is_adjusted() -> None:
    """What an entry of a built-in name leaves out comes from the built-in, as a default."""
    merged = merge(document({"upstreams": {"openai": {"connections": 7}}}, upstreams=1), [])
    entry = merged.tree["upstreams"]["openai"]
    assert (entry["url"], entry["provider"], entry["connections"]) == (BUILT_IN_UPSTREAMS["openai"].url, "openai", 7)
    assert merged.place(("upstreams", "openai", "url")) is None
    assert merged.place(("upstreams", "openai", "connections")) == 1


def test_a_built_in_upstream_with_url_is_replaced() -> None:
    """An entry with a url is another upstream: nothing of the built-in stays."""
    assert merge(document({"upstreams": {"openai": {"url": "http://a"}}}), []).tree == {"upstreams": {"openai": {"url": "http://a"}}}


def test_odd_trees_are_left_for_the_decoder() -> None:
    """Parts of the wrong type neither break merging nor are repaired by it."""
    tree = {"upstreams": {"openai": "x", "gemini": None}, "routes": "y"}
    merged = merge(document(tree), [Assignment(("upstreams", "default", "url"), "u", "LLM_SIDECAR_UPSTREAM")])
    assert merged.tree["upstreams"]["openai"] == "x"
    assert merged.tree["upstreams"]["gemini"]["url"] == BUILT_IN_UPSTREAMS["gemini"].url
    assert merged.tree["routes"] == "y"
    assert merge(document({"upstreams": []}), []).tree == {"upstreams": []}


def test_a_variable_of_other_programs_yields() -> None:
    """To the file, and to a variable of our own; where neither speaks, it counts."""
    theirs = Assignment(("content", "capture"), "spans", "OTEL_X", yields=True)
    ours = Assignment(("content", "capture"), "file", "LLM_SIDECAR__CONTENT__CAPTURE")
    assert merge(document({"content": {"capture": "off"}}), [theirs]).tree == {"content": {"capture": "off"}}
    assert merge(document({}), [theirs, ours]).tree == {"content": {"capture": "file"}}
    merged = merge(document({"content": {"file": "x"}}), [theirs])
    assert merged.tree == {"content": {"file": "x", "capture": "spans"}}
    assert merged.place(("content", "capture")) == "OTEL_X"
