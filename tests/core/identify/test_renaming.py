"""Models under an upstream's own name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.identify.renaming import name_model, rename, rename_in_path, rename_model
from sidecar.core.observe.dialects import dialect_for
from sidecar.core.observe.dialects.gemini_request import read_model

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("model"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.just("model"), inner, max_size=3),
    max_leaves=10,
)
_NEW = st.text(min_size=1, max_size=12) | st.just("org/model:tag")


@pytest.mark.parametrize(
    ("models", "asked", "name"),
    [
        ({}, "gpt-4o", None),
        ({"gpt-4o": "llama"}, "gpt-4o", "llama"),
        ({"gpt-4o": "llama"}, "GPT-4o", None),
        ({"gpt-4o": "llama"}, "gpt-4o-mini", None),
        ({"gpt-4o": "llama"}, None, None),
        ({"gpt-4o": "gpt-4o"}, "gpt-4o", None),
        ({"*": "llama"}, "anything", "llama"),
        ({"*": "llama"}, None, None),
        ({"*": "llama", "gpt-4o": "gpt-4o"}, "gpt-4o", None),
        ({"*": "llama", "gpt-4o": "gpt-5"}, "gpt-4o", "gpt-5"),
        ({"*": "llama"}, "llama", None),
        ({"*": "llama"}, "*", "llama"),
    ],
)
def test_names_are_matched_in_full_and_a_star_takes_the_rest(models: dict[str, str], asked: str | None, name: str | None) -> None:
    """Who asks for no model, or is called as it is here anyway, is left alone."""
    assert name_model(models, asked) == name


@pytest.mark.parametrize(
    ("body", "renamed"),
    [
        (b'{"model":"a"}', b'{"model":"new"}'),
        (b' {"messages":[{"model":"a"}],\n "model" : "a" ,"x":1.0e2} ', b' {"messages":[{"model":"a"}],\n "model" : "new" ,"x":1.0e2} '),
        (b'\xef\xbb\xbf{"mod\\u0065l":"\\u0061"}', b'\xef\xbb\xbf{"mod\\u0065l":"new"}'),
        (b'{"model":"a","model":null,"model":"b"}', b'{"model":"new","model":null,"model":"new"}'),
        (b'{"messages":[{"content":"\\ud83d"}],"model":"a"}', b'{"messages":[{"content":"\\ud83d"}],"model":"new"}'),
        (b'{"model":null}', None),
        (b'{"model":["a"]}', None),
        (b'{"x":{"model":"a"}}', None),
        (b"[]", None),
        (b"model=a", None),
        (b"", None),
    ],
)
def test_only_the_model_changes(body: bytes, renamed: bytes | None) -> None:
    """White space, spelling of numbers and escapes stay."""
    assert rename_model(body, "new") == renamed


@given(
    st.lists(st.tuples(st.text(max_size=4).filter("model".__ne__), _VALUES), max_size=4),
    st.integers(0, 4),
    st.text(max_size=6),
    _NEW,
    st.sampled_from([(",", ":"), (" ,\n", "\t: ")]),
    st.booleans(),
)
def test_a_parser_sees_another_model_and_nothing_else(
    others: list[tuple[str, Any]], place: int, old: str, new: str, separators: tuple[str, str], escaped: bool
) -> None:
    """Bytes before and behind it are the same ones."""
    between, colon = separators
    texts = [json.dumps(key, ensure_ascii=escaped) + colon + json.dumps(value, ensure_ascii=escaped) for key, value in others]
    before = "{" + "".join(text + between for text in texts[:place]) + '"model"' + colon
    after = "".join(between + text for text in texts[place:]) + "}"
    body = (before + json.dumps(old, ensure_ascii=escaped) + after).encode()
    renamed = rename_model(body, new)
    assert renamed is not None
    assert renamed.startswith(before.encode()) and renamed.endswith(after.encode())
    assert json.loads(renamed[len(before.encode()) : len(renamed) - len(after.encode())]) == new
    assert json.loads(renamed) == json.loads(body) | {"model": new}


@pytest.mark.parametrize(
    ("path", "new", "renamed"),
    [
        ("/v1beta/models/gemini-2.5-flash:generateContent", "gemini-2.5-pro", "/v1beta/models/gemini-2.5-pro:generateContent"),
        ("/v1beta/models/a:streamGenerateContent", "models/b", "/v1beta/models/b:streamGenerateContent"),
        ("/v1beta/tunedModels/a:generateContent", "b", "/v1beta/tunedModels/b:generateContent"),
        (
            "/v1/projects/p/locations/l/publishers/google/models/a:embedContent",
            "b@001",
            "/v1/projects/p/locations/l/publishers/google/models/b@001:embedContent",
        ),
        ("/v1beta/models/a%3Ab:batchEmbedContents", "c d:e", "/v1beta/models/c%20d%3Ae:batchEmbedContents"),
        ("/openai/deployments/mine/chat/completions", "theirs", "/openai/deployments/theirs/chat/completions"),
        ("/openai/deployments/mine/embeddings", "a/b", "/openai/deployments/a%2Fb/embeddings"),
        ("/v1/chat/completions", "b", "/v1/chat/completions"),
        ("/api/chat", "b", "/api/chat"),
    ],
)
def test_paths_name_the_new_model(path: str, new: str, renamed: str) -> None:
    """Where the form has it there; nothing that is in a name is read as the path's own."""
    dialect = dialect_for("POST", path)[0].name
    assert rename_in_path(dialect, path, new) == renamed
    assert dialect_for("POST", renamed)[0].name == dialect


@given(_NEW.filter(str.isprintable))
def test_a_name_in_geminis_path_is_read_again_as_it_was_meant(new: str) -> None:
    """Whatever stands in it, but for the collection."""
    model = read_model(rename_in_path("gemini_generate", "/v1beta/models/a:generateContent", new))
    assert model == (new.rpartition("/")[2] or None)


def test_a_path_of_geminis_form_without_method_is_left_alone() -> None:
    """It names no model in a way that we know."""
    assert rename_in_path("gemini_generate", "/v1beta/models", "b") == "/v1beta/models"


@pytest.mark.parametrize(
    ("path", "body", "expected_path", "expected_body"),
    [
        ("/v1/chat/completions", b'{"model":"a"}', "/v1/chat/completions", b'{"model":"x/b"}'),
        ("/v1/messages", b'{"max_tokens":1,"model":"a"}', "/v1/messages", b'{"max_tokens":1,"model":"x/b"}'),
        ("/openai/deployments/a/chat/completions", b'{"messages":[]}', "/openai/deployments/x%2Fb/chat/completions", b'{"messages":[]}'),
        ("/v1beta/models/a:generateContent", b'{"contents":[]}', "/v1beta/models/b:generateContent", b'{"contents":[]}'),
        ("/v1beta/models/a:embedContent", b'{"model":"models/a"}', "/v1beta/models/b:embedContent", b'{"model":"models/b"}'),
        (
            "/v1beta/models/a:batchEmbedContents",
            b'{"requests": [ {"model":"models\\/a","content":{"model":"a"}} ,{"content":{}, "model" : "a"}, 3 ]}',
            "/v1beta/models/b:batchEmbedContents",
            b'{"requests": [ {"model":"models\\/b","content":{"model":"a"}} ,{"content":{}, "model" : "b"}, 3 ]}',
        ),
        (
            "/v1beta/models/a:generateContent",
            b'{"requests":[{"model":"a"}]}',
            "/v1beta/models/b:generateContent",
            b'{"requests":[{"model":"a"}]}',
        ),
    ],
)
def test_a_call_is_renamed_wherever_it_names_the_model(path: str, body: bytes, expected_path: str, expected_body: bytes) -> None:
    """In the path, in the body, and for Gemini's embeddings in both."""
    assert rename(dialect_for("POST", path)[0].name, path, body, "x/b") == (expected_path, expected_body)
