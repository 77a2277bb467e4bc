"""Content of Ollama's own API."""

from sidecar.core.observe.contents.ollama import OllamaChatContent, OllamaEmbedContent, OllamaGenerateContent
from tests.core.observe.contents.reading import answer, hear, read, tell

CHAT, GENERATE, EMBED = OllamaChatContent(), OllamaGenerateContent(), OllamaEmbedContent()
CALL = {"function": {"name": "find", "arguments": {"q": "x"}}}


def test_chat_says_the_same_streamed_and_whole() -> None:
    """Thinking, text and calls."""
    lines = [
        {"message": {"role": "assistant", "content": "", "thinking": "H"}}, {"message": {"thinking": "m"}}, {"message": {"content": "Hel"}},
        {"message": {"content": "lo"}}, {"message": {"content": "", "tool_calls": [CALL]}}, {"done": True, "eval_count": 3},
    ]  # fmt: skip
    whole = answer(CHAT, {"message": {"role": "assistant", "thinking": "Hm", "content": "Hello", "tool_calls": [CALL]}, "done": True})
    assert tell("ollama_chat", hear(CHAT, lines)) == whole == [
        {"role": "assistant", "parts": [
            {"type": "reasoning", "content": "Hm"}, {"type": "text", "content": "Hello"},
            {"type": "tool_call", "name": "find", "arguments": {"q": "x"}},
        ]}
    ]  # fmt: skip
    assert answer(CHAT, {"error": "no"}) == []


def test_a_chat_request_is_read() -> None:
    """Images are described; a tool's answer is one."""
    messages = [{"role": "user", "content": "hi", "images": ["AAAA"]}, {"role": "tool", "tool_name": "find", "content": "{}"}]
    prompt = read(CHAT, {"messages": messages, "tools": [{"type": "function"}]})
    assert prompt.messages == [
        {"role": "user", "parts": [{"type": "text", "content": "hi"}, {"type": "blob", "bytes": 3}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "find", "response": {}}]},
    ]
    assert prompt.tools == [{"type": "function"}]


def test_generate_is_read() -> None:
    """A prompt with its own instructions; the answer as text and thinking."""
    prompt = read(GENERATE, {"prompt": "hi", "system": "be kind", "images": ["AAAA"]})
    assert prompt.system == [{"type": "text", "content": "be kind"}]
    assert prompt.messages == [{"role": "user", "parts": [{"type": "text", "content": "hi"}, {"type": "blob", "bytes": 3}]}]
    lines = [{"thinking": "H"}, {"response": "Hel"}, {"response": "lo"}, {"done": True, "context": [1, 2]}]
    assert tell("ollama_generate", hear(GENERATE, lines)) == answer(GENERATE, {"thinking": "H", "response": "Hello"})
    assert (read(GENERATE, {"keep_alive": 0}).messages, answer(GENERATE, {"done_reason": "load", "response": ""})) == ([], [])


def test_embed_has_only_an_input() -> None:
    """In its new form and in the old one."""
    assert len(read(EMBED, {"input": ["a", "b"]}).messages) == 2
    assert len(read(EMBED, {"prompt": "a"}).messages) == 1
    assert answer(EMBED, {"embeddings": [[1]]}) == []
    assert hear(EMBED, [{}]).is_empty
