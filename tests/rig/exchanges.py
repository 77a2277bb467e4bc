"""Scripted exchanges in every dialect, carried one at a time, and what each side then says of them.

The provider's account is its ledger's entry of the call. The sidecar's is what its scrape shows
after the call and did not show before.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import httpx

from sidecar.simulator.accounts import KINDS, expected_ending, read_samples
from sidecar.simulator.reply import Outcome

LONG_PROMPT: Final = "Tell me of the order once more. " * 200  # long enough to be cached by the provider
_FIRST_TOKEN: Final = "llm_sidecar_time_to_first_token_seconds_sum"
_PATIENCE_S: Final = 5.0
_SILENCE_S: Final = 0.1  # between two chunks that come 0.25 s apart
_TOOL: Final = {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}}}


class Form(NamedTuple):
    """How one interface is called: path and body for a prompt."""

    name: str
    route: str
    make: Callable[..., tuple[str, dict[str, Any]]]  # (model, prompt, stream, tools) -> path below the route, body
    streams: bool = True
    thinks: bool = True
    calls_tools: bool = True


class Exchange(NamedTuple):
    """One call: which form, and what the provider shall make of it."""

    form: Form
    what: str
    stream: bool = False
    model: str = "sim-small"
    prompt: str = "Why was order 7 late?"
    tools: bool = False
    script: Mapping[str, Any] = MappingProxyType({})
    leaves_after_bytes: int | None = None  # the caller hangs up

    @property
    def name(self) -> str:
        """What the exchange is called in a table."""
        return f"{self.form.name}: {self.what}"


class Account(NamedTuple):
    """What one side says of an exchange."""

    ending: str
    tokens: dict[str, int]
    cost_usd: float
    first_token_s: float | None


def _openai_chat(model: str, prompt: str, stream: bool, tools: bool) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream}
    if tools:
        body["tools"] = [{"type": "function", "function": {"name": "look_up", "parameters": _TOOL}}]
    return "/v1/chat/completions", body


def _openai_completions(model: str, prompt: str, stream: bool, tools: bool) -> tuple[str, dict[str, Any]]:
    options = {"stream_options": {"include_usage": True}} if stream else {}
    return "/v1/completions", {"model": model, "prompt": prompt, "stream": stream, **options}


def _openai_embeddings(model: str, prompt: str, stream: bool, tools: bool) -> tuple[str, dict[str, Any]]:
    return "/v1/embeddings", {"model": "sim-embed", "input": [prompt, "one more"]}


def _ollama_chat(model: str, prompt: str, stream: bool, tools: bool) -> tuple[str, dict[str, Any]]:
    return "/api/chat", _openai_chat(model, prompt, stream, tools)[1]


def _ollama_generate(model: str, prompt: str, stream: bool, tools: bool) -> tuple[str, dict[str, Any]]:
    return "/api/generate", {"model": model, "prompt": prompt, "stream": stream}


def _ollama_embed(model: str, prompt: str, stream: bool, tools: bool) -> tuple[str, dict[str, Any]]:
    return "/api/embed", {"model": "sim-embed", "input": [prompt, "one more"]}


def _openrouter_chat(model: str, prompt: str, stream: bool, tools: bool) -> tuple[str, dict[str, Any]]:
    path, body = _openai_chat(model, prompt, stream, tools)
    return "/api" + path, body


def _vllm_chat(model: str, prompt: str, stream: bool, tools: bool) -> tuple[str, dict[str, Any]]:
    path, body = _openai_chat(model, prompt, stream, tools)
    options = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}} if stream else {}
    return "/vllm" + path, body | options


def _azure_chat(model: str, prompt: str, stream: bool, tools: bool) -> tuple[str, dict[str, Any]]:
    _, body = _openai_chat(model, prompt, stream, tools)
    return f"/openai/deployments/{body.pop('model')}/chat/completions?api-version=2024-10-21", body


def _openai_responses(model: str, prompt: str, stream: bool, tools: bool) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": model, "input": prompt, "stream": stream}
    if tools:
        body["tools"] = [{"type": "function", "name": "look_up", "parameters": _TOOL}]
    return "/v1/responses", body


def _gemini(model: str, prompt: str, stream: bool, tools: bool, alt: str = "?alt=sse") -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
    if tools:
        body["tools"] = [{"functionDeclarations": [{"name": "look_up", "parametersJsonSchema": _TOOL}]}]
    return f"/v1beta/models/{model}:" + ("streamGenerateContent" + alt if stream else "generateContent"), body


def _gemini_array(model: str, prompt: str, stream: bool, tools: bool) -> tuple[str, dict[str, Any]]:
    return _gemini(model, prompt, stream, tools, alt="")


def _gemini_embeddings(model: str, prompt: str, stream: bool, tools: bool) -> tuple[str, dict[str, Any]]:
    contents = [{"content": {"parts": [{"text": text}]}} for text in (prompt, "one more")]
    return "/v1beta/models/sim-embed:batchEmbedContents", {"requests": contents}


def _anthropic_messages(model: str, prompt: str, stream: bool, tools: bool) -> tuple[str, dict[str, Any]]:
    block = {"type": "text", "text": prompt, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    body: dict[str, Any] = {"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": [block]}], "stream": stream}
    if tools:
        body["tools"] = [{"name": "look_up", "input_schema": _TOOL}]
    return "/v1/messages", body


FORMS: Final = (
    Form("OpenAI chat", "openai", _openai_chat),
    Form("OpenAI responses", "openai", _openai_responses),
    Form("OpenAI completions", "openai", _openai_completions, thinks=False, calls_tools=False),
    Form("OpenAI embeddings", "openai", _openai_embeddings, streams=False, thinks=False, calls_tools=False),
    Form("Ollama chat", "ollama", _ollama_chat),
    Form("Ollama generate", "ollama", _ollama_generate, thinks=False, calls_tools=False),
    Form("Ollama embed", "ollama", _ollama_embed, streams=False, thinks=False, calls_tools=False),
    Form("OpenRouter chat", "openrouter", _openrouter_chat),
    Form("vLLM chat", "vllm", _vllm_chat),
    Form("Azure chat", "azure.ai.openai", _azure_chat),
    Form("Gemini", "gemini", _gemini),
    Form("Gemini, streams as an array", "gemini", _gemini_array),
    Form("Gemini embeddings", "gemini", _gemini_embeddings, streams=False, thinks=False, calls_tools=False),
    Form("Anthropic messages", "anthropic", _anthropic_messages),
)


def list_exchanges(forms: Iterable[Form] = FORMS) -> list[Exchange]:
    """Return the exchanges, in the order in which they must be carried (a prompt is cached by the call before)."""
    listed: list[Exchange] = []
    for form in forms:
        listed.append(Exchange(form, "whole", script={"tokens": 40}))
        listed.append(Exchange(form, "rate limited", script={"fault": "rate_limited"}))
        listed.append(Exchange(form, "server error", script={"fault": "server_error"}))
        if form.streams:
            listed += _list_streams(form)
        if form.thinks:
            listed.append(Exchange(form, "reasoning", model="sim-reasoning", script={"tokens": 30}))
            prompt = f"{form.name}: {LONG_PROMPT}"
            listed.append(Exchange(form, "prompt read first", prompt=prompt, model="sim-large", script={"tokens": 10}))
            listed.append(Exchange(form, "prompt cached", prompt=prompt, model="sim-large", script={"tokens": 10}))
        if form.calls_tools:
            listed.append(Exchange(form, "tool call", tools=True, stream=True))
    return listed


def _list_streams(form: Form) -> list[Exchange]:
    pace = {"ttft_ms": 60, "gap_ms": 2, "tokens": 30}
    return [
        Exchange(form, "streamed", True, script=pace),
        Exchange(form, "streamed, in pieces of 7 bytes", True, script={**pace, "tokens": 6, "chunk_bytes": 7}),
        Exchange(form, "streamed, error within", True, script={**pace, "fault": "error_event", "after_chunks": 9}),
        Exchange(form, "streamed, cut", True, script={**pace, "fault": "cut", "after_chunks": 12}),
        Exchange(form, "streamed, reset", True, script={**pace, "fault": "reset", "after_chunks": 12}),
        Exchange(form, "streamed, caller left", True, script={**pace, "gap_ms": 250, "tokens": 200}, leaves_after_bytes=400),
    ]


async def carry(exchange: Exchange, client: httpx.AsyncClient, base: str, tag: str) -> None:
    """Make the call through `base`, read it to whatever end it has, or leave when it is due."""
    path, body = exchange.form.make(exchange.model, exchange.prompt, exchange.stream, exchange.tools)
    headers = {"x-sim-seed": exchange.name, "x-sim-script": json.dumps(dict(exchange.script)), "x-sim-tag": tag}
    received = 0
    try:
        async with client.stream("POST", f"{base}/{exchange.form.route}{path}", json=body, headers=headers) as response:
            pieces = response.aiter_raw()
            async with asyncio.timeout(None) as patience:
                async for piece in pieces:
                    received += len(piece)
                    if exchange.leaves_after_bytes is not None and received >= exchange.leaves_after_bytes:
                        patience.reschedule(asyncio.get_running_loop().time() + _SILENCE_S)
    except TimeoutError:
        pass  # the caller has left, in a pause: what is on its way at that moment nobody could tell
    except httpx.TransportError:
        pass  # broken off, as it shall be when the provider broke off


async def ask_provider(client: httpx.AsyncClient, provider: str, tag: str) -> Account:
    """The provider's account of a call that has ended; waits until it has noticed the end."""
    for _ in range(round(_PATIENCE_S / 0.01)):
        entries = (await client.get(f"{provider}/_sim/ledger", params={"tag": tag})).json()
        if entries and entries[-1]["outcome"] != Outcome.OPEN:
            break
        await asyncio.sleep(0.01)
    entry = entries[-1]
    told = entry["told"]
    first = entry["first_token_s"]
    tokens = {
        "input": told["prompt"] - told["cached"] - told["written"], "cache_read": told["cached"], "cache_write": told["written"],
        "output": told["completion"] - told["reasoning"], "reasoning": told["reasoning"],
    }  # fmt: skip
    ending = str(expected_ending(entry["status"], Outcome(entry["outcome"])))
    return Account(ending, tokens, entry["told_usd"], None if first is None else first - entry["received_s"])


def list_upstreams(provider: str) -> dict[str, dict[str, str]]:
    """One upstream for each route that the exchanges use, all at the simulated provider."""
    return {form.route: {"url": provider, "provider": form.route} for form in FORMS}


class Watcher:
    """What the scrape shows now and did not show before."""

    def __init__(self, client: httpx.AsyncClient, admin: str) -> None:
        self._client = client
        self._admin = admin
        self._before: dict[tuple[str, str], float] = {}

    async def look(self) -> Account | None:
        """The exchanges since the last look, as one account; None where there was none yet."""
        text = (await self._client.get(f"{self._admin}/metrics", headers={"accept": "text/plain;version=0.0.4"})).text
        now = {(name, json.dumps(labels, sort_keys=True)): value for name, labels, value in read_samples(text)}
        tokens, cost_usd, ending, first_s = dict.fromkeys(KINDS, 0), 0.0, "", None
        for (name, labels), value in now.items():
            grown = value - self._before.get((name, labels), 0.0)
            if grown <= 0:
                continue
            told = json.loads(labels)
            if name == "llm_sidecar_requests_total":
                ending += told["ending"]
            elif name == "llm_sidecar_tokens_total" and told["source"] == "reported":
                tokens[told["type"]] += round(grown)
            elif name == "llm_sidecar_cost_usd_total":
                cost_usd += grown
            elif name == _FIRST_TOKEN:
                first_s = grown
        if not ending:
            return None
        self._before = now
        return Account(ending, tokens, cost_usd, first_s)

    async def wait(self) -> Account:
        """The account of the exchange that was just carried."""
        for _ in range(round(_PATIENCE_S / 0.01)):
            found = await self.look()
            if found is not None:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError("the sidecar recorded nothing")
