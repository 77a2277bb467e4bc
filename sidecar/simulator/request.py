"""What a caller of the OpenAI form asks for, judged as the provider judges it."""

from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec


class Form(StrEnum):
    """The interface that was called."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    RESPONSE = "response"


class Tool(NamedTuple):
    """A function that the caller offers: its name and the JSON schema of its arguments."""

    name: str
    parameters: dict[str, Any]


class Ask(NamedTuple):
    """One well-formed request."""

    form: Form
    model: str
    prompt: tuple[str, ...]  # messages, prompts or embedding inputs, each as text
    prompt_tokens: tuple[int, ...]  # of each of them
    stream: bool = False
    usage_asked: bool = False
    obfuscated: bool = True
    choices: int = 1
    tokens_max: int | None = None
    stops: tuple[str, ...] = ()
    tool: Tool | None = None
    json_asked: bool = False
    base64_asked: bool = False
    dimensions: int | None = None
    service_tier: str = "default"
    usage_running: bool = False  # with every chunk (vLLM)
    marked_parts: int | None = None  # parts at the prompt's beginning that the caller wants cached; None: nobody is asked
    written_tokens: int = 0  # of those parts
    written_1h_tokens: int = 0  # of them, the ones to be kept for an hour
    thinks: bool = True  # unless the caller declines it
    tells_details: bool = True  # False: the format has no place for cached and reasoning tokens
    background: bool = False  # the answer is not waited for
    stored: bool = False  # the answer can be fetched again
    thoughts_asked: bool = False  # reasoning is shown to those who ask for it (Gemini)
    batched: bool = False  # the inputs came as a list, be it of one (Gemini)


class Rejection(Exception):
    """The provider declines the request: status, the fields of an OpenAI error, and the model as far as it was told."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.model = ""  # where the path tells it


_CHOICES_MAX: Final = 16
_INPUTS_MAX: Final = 2048


def count_tokens(text: str) -> int:
    """The simulator's own tokenizer: four bytes of UTF-8 are a token, and none is free."""
    return (len(text.encode("utf-8", "surrogatepass")) + 3) // 4


def read_ask(form: Form, body: bytes) -> Ask:
    """Read a request body. Raises Rejection (400) where the provider would."""
    tree, model = read_tree(body)
    match form:
        case Form.CHAT:
            return _read_chat(tree, model)
        case Form.COMPLETION:
            return _read_completion(tree, model)
        case Form.EMBEDDING:
            return _read_embedding(tree, model)
        case Form.RESPONSE:
            return _read_response(tree, model)


def read_tree(body: bytes) -> tuple[dict[str, Any], str]:
    """The members of a request body, and the model that it names. Raises Rejection (400)."""
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejection(400, "We could not parse the JSON body of your request.") from error
    if not isinstance(tree, dict):
        raise Rejection(400, "The body of a request is a JSON object.")
    model = tree.get("model")
    if not isinstance(model, str) or not model:
        raise Rejection(400, "you must provide a model parameter", param="model")
    return tree, model


def _read_chat(tree: dict[str, Any], model: str) -> Ask:
    messages = tree.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise Rejection(400, "Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter")
    texts = tuple(f"{message.get('role')}: {text_of(message.get('content'))}" for message in messages)
    answers_tool = messages[-1].get("role") == "tool"  # its result is there: time to answer in words
    ask = Ask(
        Form.CHAT, model, texts, tuple(count_tokens(text) + 3 for text in texts),
        tool=None if answers_tool else tool_of(tree),
        json_asked=dict_of(tree, "response_format").get("type") in ("json_object", "json_schema"),
        tokens_max=_tokens_max(tree),
    )  # fmt: skip
    return _with_stream(ask, tree)


def _read_completion(tree: dict[str, Any], model: str) -> Ask:
    prompt = tree.get("prompt", "")
    if not isinstance(prompt, str | list):
        raise Rejection(400, "Invalid type for 'prompt'.", param="prompt", code="invalid_type")
    text = prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
    return _with_stream(Ask(Form.COMPLETION, model, (text,), (count_tokens(text) + 1,), tokens_max=_tokens_max(tree)), tree)


def _read_embedding(tree: dict[str, Any], model: str) -> Ask:
    given: Any = tree.get("input")
    # One text, several texts, one list of token numbers, or several such lists.
    inputs: list[Any] = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    if not all(isinstance(each, str | list) and each for each in inputs) or len(inputs) > _INPUTS_MAX:
        raise Rejection(400, "'$.input' is invalid.", param="input")
    return Ask(
        Form.EMBEDDING, model, tuple(map(str, inputs)),
        tuple(count_tokens(each) if isinstance(each, str) else len(each) for each in inputs),
        base64_asked=tree.get("encoding_format") == "base64",
        dimensions=whole_number(tree, "dimensions", 1, 4096),
    )  # fmt: skip


def _read_response(tree: dict[str, Any], model: str) -> Ask:
    given = tree.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise Rejection(400, "Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
    texts = tuple(f"{item.get('role', item.get('type'))}: {text_of(item.get('content', item.get('output')))}" for item in items)
    if isinstance(tree.get("instructions"), str):
        texts = (f"developer: {tree['instructions']}", *texts)
    tools = tree.get("tools")
    functions = [{"function": tool} for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    answers_tool = items[-1].get("type") == "function_call_output"
    ask = Ask(
        Form.RESPONSE, model, texts, tuple(count_tokens(text) + 3 for text in texts),
        tool=None if answers_tool else tool_of({**tree, "tools": functions}),
        json_asked=dict_of(dict_of(tree, "text"), "format").get("type") in ("json_object", "json_schema"),
        tokens_max=whole_number(tree, "max_output_tokens", 1, 1 << 20),
        background=tree.get("background") is True, stored=tree.get("store") is not False,
    )  # fmt: skip
    return _with_stream(ask, tree)


def _with_stream(ask: Ask, tree: dict[str, Any]) -> Ask:
    """What chat and text completion have in common."""
    options = dict_of(tree, "stream_options")
    streamed = tree.get("stream") is True
    if options and not streamed:
        raise Rejection(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options")
    stop = tree.get("stop")
    stops = stop if isinstance(stop, list) else [stop]
    tier = tree.get("service_tier")
    return ask._replace(
        stream=streamed,
        usage_asked=options.get("include_usage") is True,
        obfuscated=options.get("include_obfuscation") is not False,
        choices=whole_number(tree, "n", 1, _CHOICES_MAX) or 1,
        stops=tuple(each for each in stops if isinstance(each, str) and each),
        service_tier=tier if isinstance(tier, str) and tier not in ("", "auto") else "default",
    )


def _tokens_max(tree: dict[str, Any]) -> int | None:
    name = "max_completion_tokens" if tree.get("max_completion_tokens") is not None else "max_tokens"
    return whole_number(tree, name, 1, 1 << 20)


def whole_number(tree: dict[str, Any], name: str, least: int, most: int) -> int | None:
    """A member that is a number within bounds, or None where it is missing. Raises Rejection (400)."""
    value = tree.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Rejection(400, f"Invalid '{name}': expected a whole number from {least} to {most}.", param=name, code="invalid_value")
    return value


def dict_of(tree: dict[str, Any], name: str) -> dict[str, Any]:
    """A member that is an object; an empty one where it is none."""
    value = tree.get(name)
    return value if isinstance(value, dict) else {}


def text_of(content: object) -> str:
    """The text of a message's content: a string, or parts of which some are text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return ""


def tool_of(tree: dict[str, Any]) -> Tool | None:
    """The first function offered, unless the caller wants none called."""
    tools = tree.get("tools")
    if not isinstance(tools, list) or tree.get("tool_choice") == "none":
        return None
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            return Tool(function["name"], dict_of(function, "parameters"))
    return None
