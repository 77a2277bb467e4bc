"""Every span and its attributes."""

from typing import Final

from sidecar.catalogue.kinds import Attribute, Span
from sidecar.catalogue.resilience import CANDIDATE_REASONS, CAUSES, CHOICE_REASONS, DEGRADATION_STEPS, REFUSAL_REASONS
from sidecar.catalogue.reuse import CACHE_LEVELS, CACHE_STATUSES, LIMITS, ORIGINS


def _list(words: tuple[str, ...]) -> str:
    return ", ".join(words)


def _attributes(type_: str, *names: str) -> tuple[Attribute, ...]:
    return tuple(Attribute(name, type_) for name in names)


_OUTCOME: Final = (*_attributes("string", "error.type"), *_attributes("int", "http.response.status_code"))
_SERVER: Final = (*_attributes("string", "server.address"), *_attributes("int", "server.port"))
# Of the span of a call and of its logical GenAI call alike.
_WAY: Final = (
    Attribute("llm_sidecar.pool", "string", "The pool whose upstreams the call could be given to."),
    Attribute("llm_sidecar.degraded", "string", "The step below the full policy at which the call was served: simple or emergency."),
    Attribute("llm_sidecar.queue.wait", "double", "Seconds the call waited for room at an upstream."),
    Attribute("llm_sidecar.tenant", "string", "On whose account the call ran."),
    Attribute("llm_sidecar.origin", "string", f"Who made it, where that was no caller: {_list(ORIGINS[1:])}."),
    Attribute(
        "llm_sidecar.cache",
        "string",
        f"How it was answered where answers are kept or shared: {_list(CACHE_STATUSES)}; with the first three nobody was asked for it.",
    ),
    Attribute("llm_sidecar.cache.level", "string", f"Where a kept answer was found: {_list(CACHE_LEVELS)}."),
    Attribute("llm_sidecar.saved_usd", "double", "What its answer had cost the call it was made for, in US dollars."),
    Attribute("llm_sidecar.limited", "string", f"What refused it: {_list(LIMITS)}."),
)
# Of each attempt for which there was a choice, and of a call for which there was nobody to choose.
_DECISION: Final = (
    Attribute("llm_sidecar.decision.strategy", "string", "The pool's strategy."),
    Attribute("llm_sidecar.decision.step", "string", f"At which step of the policy: {_list(DEGRADATION_STEPS)}."),
    Attribute(
        "llm_sidecar.decision.reason",
        "string",
        f"Why it was decided so: {_list(CHOICE_REASONS)}; and where nobody was chosen {_list(REFUSAL_REASONS)}.",
    ),
    Attribute("llm_sidecar.decision.score", "double", "What the chosen upstream scored: the higher the better."),
    Attribute(
        "llm_sidecar.decision.alternatives",
        "string[]",
        f"The other upstreams: what each scored, or why it could not be chosen: {_list(CANDIDATE_REASONS)}.",
    ),
)
SERVER_SPAN: Final = Span(
    "server", "SERVER", "{http.request.method} {http.route}", "Every exchange of a kept trace.",
    (*_attributes("string", "http.request.method", "http.request.method_original", "http.route", "url.path", "url.scheme"), *_OUTCOME,
     *_attributes("int", "http.request.body.size", "http.response.body.size"),
     *_attributes("string", "mcp.method.name"),
     Attribute("llm_sidecar.request.id", "string", "The id in x-sidecar-request-id and the log."),
     Attribute("llm_sidecar.route", "string", "The route's name."),
     Attribute("llm_sidecar.ending", "string", "How the exchange ended, as in llm_sidecar_requests_total."),
     Attribute("llm_sidecar.error.id", "string", "The error id of an answer of our own."),
     Attribute("llm_sidecar.websocket.close_code", "int", "The code of a WebSocket's first Close frame."),
     Attribute("llm_sidecar.websocket.messages.to_upstream", "int", "Messages of a WebSocket's client."),
     Attribute("llm_sidecar.websocket.messages.to_client", "int", "Messages of a WebSocket's server."),
     *_WAY,
     Attribute("llm_sidecar.queue.shed", "string", "Why there was no room for the call, as in llm_sidecar_shed_requests_total."),
     *_DECISION,
     Attribute("llm_sidecar.overhead.request", "double", "Seconds the sidecar added before the request was sent on."),
     Attribute("llm_sidecar.overhead.response", "double", "Seconds the sidecar added to the answer.")),
)  # fmt: skip
# In the order of what a call says: instructions, input, tools, output.
CONTENT: Final = (
    ("gen_ai.system_instructions", "instructions that stand apart from the messages"),
    ("gen_ai.input.messages", "the messages of the request"),
    ("gen_ai.tool.definitions", "the tools that it offers"),
    ("gen_ai.output.messages", "the messages of the answer, one per choice"),
)
GENAI_SPAN: Final = Span(
    "gen_ai", "CLIENT", "{gen_ai.operation.name} {gen_ai.request.model}", "Exchanges in a form that is understood.",
    (*_attributes("string", "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model"),
     *_attributes("string", "gen_ai.response.id", "gen_ai.output.type", "gen_ai.request.reasoning.level", "error.type"),
     *_attributes("string[]", "gen_ai.response.finish_reasons", "gen_ai.request.stop_sequences", "gen_ai.request.encoding_formats"),
     *_attributes("boolean", "gen_ai.request.stream"), *_SERVER,
     *_attributes("int", "gen_ai.request.max_tokens", "gen_ai.request.choice.count", "gen_ai.request.seed", "gen_ai.request.top_k"),
     *_attributes("double", "gen_ai.request.temperature", "gen_ai.request.top_p", "gen_ai.request.frequency_penalty"),
     *_attributes("double", "gen_ai.request.presence_penalty", "gen_ai.response.time_to_first_chunk"),
     *_attributes("int", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.cache_read.input_tokens"),
     *_attributes("int", "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.reasoning.output_tokens"),
     *_attributes("int", "gen_ai.embeddings.dimension.count"),
     Attribute("llm_sidecar.response.replayed", "boolean", "True where the provider repeated an earlier answer from a cache of its own."),
     Attribute("llm_sidecar.response.served_by", "string", "The true provider, as a broker such as OpenRouter names it."),
     *_attributes("string", "gen_ai.conversation.id", "gen_ai.request.previous_response.id"),
     *_attributes("string", "openai.api.type", "openai.request.service_tier", "openai.response.service_tier"),
     Attribute("llm_sidecar.request.service_tier", "string", "The service tier asked for, of providers other than OpenAI."),
     Attribute("llm_sidecar.response.service_tier", "string", "The service tier that served the call, of providers other than OpenAI."),
     *(Attribute(name, "string", f"JSON; only where content.capture is spans, redacted and bounded: {what}.") for name, what in CONTENT),
     *_WAY,
     Attribute("llm_sidecar.usage.estimated_input_tokens", "int", "An estimate, where the provider reported no usage."),
     Attribute("llm_sidecar.usage.estimated_output_tokens", "int", "An estimate, where the provider reported no usage."),
     Attribute("llm_sidecar.usage.source", "string", "Where the token counts came from: reported, apportioned, estimated or absent."),
     Attribute("llm_sidecar.cost_usd", "double", "What the answer cost, in US dollars."),
     Attribute("llm_sidecar.cost.source", "string", "The provider, the price table, or estimated: the table, for estimated tokens.")),
)  # fmt: skip
TOOL_SPAN: Final = Span(
    "execute_tool", "INTERNAL", "execute_tool {gen_ai.tool.name}", "Calls of a tool, on routes of kind tool.",
    _attributes("string", "gen_ai.operation.name", "gen_ai.tool.name", "mcp.method.name", "error.type"),
)  # fmt: skip
ATTEMPT_SPAN: Final = Span(
    "attempt", "CLIENT", "{http.request.method}", "Each attempt against an upstream.",
    (*_attributes("string", "http.request.method", "http.request.method_original", "url.full"), *_SERVER, *_OUTCOME,
     *_attributes("int", "http.request.resend_count"),
     Attribute("llm_sidecar.upstream", "string", "The upstream's name."),
     Attribute("llm_sidecar.attempt.outcome", "string", "How the attempt ended, as in llm_sidecar_attempts_total."),
     Attribute("llm_sidecar.connection.reused", "boolean", "Whether the connection had carried a call before."),
     Attribute("llm_sidecar.circuit_breaker.state", "string", "Of the breaker that let the attempt through: closed or half_open."),
     Attribute("llm_sidecar.attempt.model", "string", "What the model is called at this upstream, where that is another name."),
     Attribute("llm_sidecar.attempt.hedge", "boolean", "True where the attempt was made beside another one."),
     Attribute("llm_sidecar.attempt.backoff", "double", "Seconds waited before the attempt."),
     Attribute("llm_sidecar.attempt.cause", "string", f"What was wrong with it, where another was made: {_list(CAUSES)}."),
     Attribute("llm_sidecar.attempt.cost_usd", "double", "What the attempt cost, in US dollars, where it lost and that is known."),
     *_DECISION,
     Attribute("llm_sidecar.attempt.time_to_connection", "double", "Seconds until a connection was there."),
     Attribute("llm_sidecar.attempt.time_to_head", "double", "Seconds until the response head had arrived.")),
)  # fmt: skip
SPANS: Final = (SERVER_SPAN, GENAI_SPAN, TOOL_SPAN, ATTEMPT_SPAN)
