"""Requests for embeddings joined and their answers split, against a played provider that embeds each input as a function of it."""

import hashlib
import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.reuse.embedding_forms import Inputs, Share, join, read_inputs, split
from sidecar.exchange import Usage

OPENAI, OLLAMA, GEMINI = "openai_embeddings", "ollama_embed", "gemini_embed"
ONE, SEVERAL = "/v1beta/models/embed-1:embedContent", "/v1beta/models/embed-1:batchEmbedContents"


def vector_of(given_input: Any, *, base64: bool = False) -> Any:
    """Embed an input as a function of it."""
    digest = hashlib.sha256(json.dumps(given_input).encode()).digest()
    return b64encode(digest).decode() if base64 else [each / 1000 for each in digest[:4]]


def answer_openai(body: bytes, indent: int | None = None, **more: Any) -> bytes:
    """Play OpenAI: a token for each character."""
    request = json.loads(body)
    told = request["input"]
    several = told if isinstance(told, list) and not isinstance(told[0], int) else [told]
    base64 = request.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": vector_of(each, base64=base64)} for index, each in enumerate(several)
    ]  # fmt: skip
    tokens = sum(map(len, several))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens, **more}
    return json.dumps({"object": "list", "data": data, "model": request["model"], "usage": usage}, indent=indent).encode()


def answer_ollama(body: bytes) -> bytes:
    """Play Ollama."""
    request = json.loads(body)
    several = request["input"] if isinstance(request["input"], list) else [request["input"]]
    return json.dumps({
        "model": request["model"], "embeddings": [vector_of(each) for each in several], "total_duration": 14143917,
        "load_duration": 1019500, "prompt_eval_count": sum(map(len, several)),
    }).encode()  # fmt: skip


def answer_gemini(path: str, body: bytes) -> bytes:
    """Play Gemini, which asks for the model in each request of a batch."""
    request = json.loads(body)
    several = request["requests"] if path == SEVERAL else [request]
    texts = [["".join(part["text"] for part in one["content"]["parts"]), one.get("outputDimensionality")] for one in several]
    assert path == ONE or all(one["model"] == "models/embed-1" for one in several)
    tokens = sum(len(text) for text, _ in texts)
    usage = {"promptTokenCount": tokens, "totalTokenCount": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]}
    vectors = [{"values": vector_of(each)} for each in texts]
    told = {"embeddings": vectors} if path == SEVERAL else {"embedding": vectors[0]}
    return json.dumps({**told, "usageMetadata": usage}, indent=2).encode() + b"\n"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
TOKENS = st.lists(st.integers(0, 100_000), min_size=1, max_size=8)
REST = st.fixed_dictionaries(
    {"model": st.sampled_from(["m", "input"])}, optional={"encoding_format": st.just("base64"), "user": TEXT, "dimensions": st.just(4)}
)


@st.composite
def openai_bodies(draw: Any) -> list[bytes]:
    """Return bodies that differ in nothing but their input, in any spelling of JSON that all of them have."""
    rest, first, indent = draw(REST), draw(st.booleans()), draw(st.sampled_from([None, 1]))
    one = draw(st.sampled_from([TEXT, TOKENS]))
    told = draw(st.lists(st.one_of(one, st.lists(one, min_size=1, max_size=4)), min_size=2, max_size=6))
    return [json.dumps({"input": each, **rest} if first else {**rest, "input": each}, indent=indent).encode() for each in told]


def read(dialect_name: str, path: str, bodies: list[bytes]) -> list[Inputs]:
    """Read bodies that must be readable, of callers who may go together."""
    callers = [read_inputs(dialect_name, path, body) for body in bodies]
    assert all(callers)
    found = [caller for caller in callers if caller is not None]
    assert len({caller.form for caller in found}) == 1
    return found


def take_apart(callers: list[Inputs], answer: bytes) -> list[Share]:
    """Split an answer that can be split."""
    shares = split(callers, answer)
    assert shares is not None
    return shares


@given(openai_bodies(), st.sampled_from([None, 2]))
def test_each_caller_gets_what_it_would_have_got_alone(bodies: list[bytes], indent: int | None) -> None:
    """OpenAI's form, to the byte: for any mix of texts or tokens, however the provider prints its answers."""
    callers = read(OPENAI, "/v1/embeddings", bodies)
    shares = take_apart(callers, answer_openai(join(callers), indent))
    assert [share.body for share in shares] == [answer_openai(body, indent) for body in bodies]
    told = [json.loads(body)["input"] for body in bodies]
    lengths = [len(each) if isinstance(each, str) or isinstance(each[0], int) else sum(map(len, each)) for each in told]
    assert [caller.weight for caller in callers] == lengths
    assert [share.seen.usage for share in shares] == [Usage(length) for length in lengths]
    assert {share.seen.model for share in shares} == {json.loads(bodies[0])["model"]}


@given(st.lists(st.one_of(TEXT, st.lists(TEXT, min_size=1, max_size=4)), min_size=2, max_size=6))
def test_ollama_likewise(told: list[Any]) -> None:
    """To the byte: the times it took are everybody's, the tokens each caller's own."""
    bodies = [json.dumps({"model": "m", "input": each, "truncate": True}).encode() for each in told]
    callers = read(OLLAMA, "/api/embed", bodies)
    shares = take_apart(callers, answer_ollama(join(callers)))
    assert [share.body for share in shares] == [answer_ollama(body) for body in bodies]
    assert all(share.seen.usage is not None for share in shares)


@st.composite
def gemini_calls(draw: Any) -> tuple[str, bytes]:
    """Return a call for one embedding, or for several."""

    def one() -> dict[str, Any]:
        parts = [{"text": text} for text in draw(st.lists(TEXT, min_size=1, max_size=3))]
        return {"content": {"parts": parts}, **draw(st.fixed_dictionaries({}, optional={"outputDimensionality": st.just(8)}))}

    if draw(st.booleans()):
        return ONE, json.dumps({**one(), **({"model": "models/embed-1"} if draw(st.booleans()) else {})}).encode()
    requests = [{"model": "models/embed-1", **one()} for _ in range(draw(st.integers(1, 3)))]
    return SEVERAL, json.dumps({"requests": requests}, indent=draw(st.sampled_from([None, 2]))).encode()


@given(st.lists(gemini_calls(), min_size=2, max_size=6))
def test_gemini_likewise_one_and_several_together(calls: list[tuple[str, bytes]]) -> None:
    """A call for one goes as one of a batch, and is answered as a call for one."""
    callers = [caller for path, body in calls if (caller := read_inputs(GEMINI, path, body)) is not None]
    assert len(callers) == len(calls)
    assert len({caller.form for caller in callers}) == 1
    assert callers[0].path == SEVERAL
    shares = take_apart(callers, answer_gemini(SEVERAL, join(callers)))
    assert [json.loads(share.body) for share in shares] == [json.loads(answer_gemini(*call)) for call in calls]
    for share, (path, body) in zip(shares, calls, strict=True):
        if path == SEVERAL:
            assert share.body == answer_gemini(path, body)
        assert share.seen.usage is not None
        assert share.seen.usage.input == json.loads(share.body)["usageMetadata"]["promptTokenCount"]


@given(st.lists(TEXT, min_size=2, max_size=6), st.integers(0, 10_000), st.integers(0, 10_000))
def test_shares_sum_up_to_what_was_reported(texts: list[str], prompt: int, total: int) -> None:
    """Whatever the provider counted, and each of its counts by itself."""
    callers = read(OPENAI, "/v1/embeddings", [json.dumps({"model": "m", "input": text}).encode() for text in texts])
    told = {"prompt_tokens": prompt, "total_tokens": total, "cost": 0.00014, "prompt_tokens_details": {"cached_tokens": 1, "x": "7"}}
    shares = take_apart(callers, answer_openai(join(callers), **told))
    used = [json.loads(share.body)["usage"] for share in shares]
    assert sum(each["prompt_tokens"] for each in used) == prompt
    assert sum(each["total_tokens"] for each in used) == total
    assert sum(each["prompt_tokens_details"]["cached_tokens"] for each in used) == 1
    assert sum(each["cost"] for each in used) == pytest.approx(0.00014, rel=1e-12)
    assert {each["prompt_tokens_details"]["x"] for each in used} == {"7"}


CALLERS = read(OPENAI, "/v1/embeddings", [b'{"model":"m","input":"a"}', b'{"model":"m","input":["b","c"]}'])


def spoil(**changes: Any) -> bytes:
    """Return an answer to CALLERS with other members."""
    return json.dumps({**json.loads(answer_openai(join(CALLERS))), **changes}).encode()


def test_vectors_are_told_apart_by_their_numbers() -> None:
    """The order in which they come does not count, where they are numbered; where they are not, it does."""
    data = json.loads(answer_openai(join(CALLERS)))["data"]
    expected = [json.loads(share.body)["data"] for share in take_apart(CALLERS, answer_openai(join(CALLERS)))]
    assert [json.loads(share.body)["data"] for share in take_apart(CALLERS, spoil(data=data[::-1]))] == expected
    for one in data:
        del one["index"]
    assert [json.loads(share.body)["data"] for share in take_apart(CALLERS, spoil(data=data))] == [data[:1], data[1:]]


def test_an_answer_without_usage_is_split_without() -> None:
    """A missing number is not zero."""
    answer = json.loads(answer_openai(join(CALLERS)))
    del answer["usage"]
    shares = take_apart(CALLERS, json.dumps(answer).encode())
    assert [share.seen.usage for share in shares] == [None, None]
    assert [len(json.loads(share.body)["data"]) for share in shares] == [1, 2]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense",
        b'{"error": {"message": "no"}}',
        spoil(data=[]),
        spoil(data={}),
        spoil(data=None),
        spoil(data=[{"index": 0}, {"index": 1}]),
        spoil(data=[{"index": 0}, {"index": 1}, {"index": 1}]),
        spoil(data=[{"index": 0}, {"index": 1}, {"index": 3}]),
        spoil(data=[{"index": 0}, {"index": 1}, {}]),
        spoil(data=[{"index": 0}, {"index": 1}, 2]),
        spoil(data=[{"index": 0}, {"index": 1}, {"index": "2"}]),
        spoil(usage={"prompt_tokens": 10**50}),
        answer_openai(join(CALLERS))[:-1],
        answer_openai(join(CALLERS))[:-1] + b',"data":[]}',
        answer_openai(join(CALLERS))[:-1] + b',"usage":{}}',
        b'{"data":[1,NaN,2]' + b" " * 2**20 + b"}",
    ],
)
def test_an_answer_that_does_not_tell_whose_is_whose_is_not_split(answer: bytes) -> None:
    """Too few vectors, too many, numbered twice, cut, two of what should be one, or no vectors at all."""
    assert split(CALLERS, answer) is None


def test_a_list_whose_key_is_hidden_is_not_made_single() -> None:
    """An escaped key is not found by another text that looks like it."""
    callers = [caller for text in "ab" if (caller := read_inputs(GEMINI, ONE, b'{"content":{"parts":[{"text":"%s"}]}}' % text.encode()))]
    assert len(callers) == 2
    assert split(callers, b'{"x":"embeddings","embedd\\u0069ngs":[{"values":[1]},{"values":[2]}]}') is None
    assert split(callers, b'{"embeddings":[{"values":[1]},{"values":[2]}]}') is not None


@pytest.mark.parametrize(
    ("dialect_name", "path", "body"),
    [
        (OPENAI, "/v1/embeddings", b""),
        (OPENAI, "/v1/embeddings", b"[]"),
        (OPENAI, "/v1/embeddings", b'{"model":"m"}'),
        (OPENAI, "/v1/embeddings", b'{"input":null}'),
        (OPENAI, "/v1/embeddings", b'{"input":""}'),
        (OPENAI, "/v1/embeddings", b'{"input":[]}'),
        (OPENAI, "/v1/embeddings", b'{"input":["a",""]}'),
        (OPENAI, "/v1/embeddings", b'{"input":["a",[1]]}'),
        (OPENAI, "/v1/embeddings", b'{"input":[1,"a"]}'),
        (OPENAI, "/v1/embeddings", b'{"input":[1,true]}'),
        (OPENAI, "/v1/embeddings", b'{"input":[[1],[]]}'),
        (OPENAI, "/v1/embeddings", b'{"input":[1.5]}'),
        (OPENAI, "/v1/embeddings", b'{"input":[{"content":[]}]}'),
        (OPENAI, "/v1/embeddings", b'{"input":"a","input":"b"}'),
        (OPENAI, "/v1/embeddings", b'{"input":"a","\\u0069nput":"b"}'),
        (OPENAI, "/v1/embeddings", b'{"input":"\\ud83d"}'),
        (OPENAI, "/v1/embeddings", b'{"input":"a"'),
        (OLLAMA, "/api/embeddings", b'{"prompt":"a","input":"a"}'),
        (OLLAMA, "/api/embed", b'{"input":[1,2]}'),
        (GEMINI, SEVERAL, b'{"requests":[]}'),
        (GEMINI, SEVERAL, b'{"requests":[{"content":{"parts":[]}}]}'),
        (GEMINI, SEVERAL, b'{"requests":[{"content":{"parts":[{"text":"a"}]}},{}]}'),
        (GEMINI, SEVERAL, b'{"requests":[{"content":{"parts":[{"text":"a","inlineData":{}}]}}]}'),
        (GEMINI, ONE, b'{"content":{"parts":[{"inlineData":{}}]}}'),
        (GEMINI, "/v1/projects/p/locations/l/publishers/google/models/m:embedContent", b'{"content":{"parts":[{"text":"a"}]}}'),
        (GEMINI, "/v1beta/models/m%22:embedContent", b'{"content":{"parts":[{"text":"a"}]}}'),
        (GEMINI, "/v1beta/models/m:other", b'{"content":{"parts":[{"text":"a"}]}}'),
        ("openai_chat", "/v1/chat/completions", b'{"input":"a"}'),
    ],
)
def test_what_cannot_go_together_goes_alone(dialect_name: str, path: str, body: bytes) -> None:
    """What is not understood in every member, and what the provider would refuse for everybody."""
    assert read_inputs(dialect_name, path, body) is None


@given(st.sampled_from([OPENAI, OLLAMA, GEMINI, "x"]), st.sampled_from(["/v1/embeddings", "/api/embed", ONE, SEVERAL]), st.binary())
def test_reading_never_raises(dialect_name: str, path: str, body: bytes) -> None:
    """Whatever a caller sends, and whatever an upstream answers."""
    read_inputs(dialect_name, path, body)
    read_inputs(dialect_name, path, b'{"input":' + body)
    read_inputs(dialect_name, path, b'{"requests":[' + body)
    split(CALLERS, body)
    split(CALLERS, b'{"data":[{},{},' + body)


def test_depth_is_no_bomb() -> None:
    """Neither asked for nor answered."""
    deep = b"[" * 100_000
    assert read_inputs(OPENAI, "/v1/embeddings", b'{"input":' + deep + b"]" * 100_000 + b"}") is None
    assert split(CALLERS, b'{"data":' + deep + b"]" * 100_000 + b"}") is None


def test_what_a_caller_says_besides_keeps_others_away() -> None:
    """One member more, another model, or texts beside tokens: another call."""
    bodies = [
        b'{"model":"m","input":"a"}',
        b'{"model":"n","input":"a"}',
        b'{"model":"m","input":[1]}',
        b'{"model":"m","input":"a","user":"u"}',
    ]
    forms = [caller.form for body in bodies if (caller := read_inputs(OPENAI, "/v1/embeddings", body)) is not None]
    assert len(set(forms)) == 4
