"""What will the model say? The step between a conversation and the engine, for every dialect of chat."""

from dataclasses import dataclass

from gateway.simulator import prompt, tokens
from gateway.simulator.bodies.generating import ChatBody, NamedChoice, Sampling, Tool, turns
from gateway.simulator.bodies.sampling import check_sampling
from gateway.simulator.content import calls, prose, sql
from gateway.simulator.errors import bad_request
from gateway.simulator.plan import Limits, Plan, plan
from gateway.simulator.service import Service


@dataclass(frozen=True, slots=True)
class Prepared:
    """A conversation that may go to the engine."""

    text: str
    prompt_tokens: int
    plans: list[Plan]
    may_call: bool


def prepare(service: Service, body: ChatBody, budget_param: str | None = None) -> Prepared:
    """Render the conversation and plan its choices; `budget_param` is the dialect's own name for the cap on tokens.

    Raises:
        Refusal: 400 for what vLLM refuses: tools without a parser, bad sampling, a prompt that is too long.
    """
    options = service.options
    _check_tools(service, body)
    given_as = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
    _check_budget(service, body.wanted_tokens, budget_param or given_as)
    tools = [tool.model_dump(exclude_none=True) for tool in body.tools or ()]
    text = prompt.render(turns(body.messages), tools, service.model)
    count = fitted(service, text, body.truncate_prompt_tokens)
    check_sampling(body, body.wanted_tokens)
    limits = limits_of(body, body.wanted_tokens, options.max_model_len - count)
    variants = [_say(service, body, text, variant) for variant in range(body.n or 1)]
    return Prepared(text, count, [plan(said, limits) for said in variants], may_call=_may_call(service, body))


def fitted(service: Service, given: str | list[int], truncate: int | None) -> int:
    """The length in tokens of a text or of token ids, cut where the request asks for it (-1: to the context less one).

    Raises:
        Refusal: 400 when it is too long and was not to be cut.
    """
    if truncate is not None:
        whole = tokens.count(given) if isinstance(given, str) else len(given)
        return min(whole, service.options.max_model_len - 1 if truncate == -1 else truncate)
    if isinstance(given, str):
        return len(service.tokens_of(given))
    service.check_length(len(given))
    return len(given)


def limits_of(body: Sampling, wanted: int | None, room: int) -> Limits:
    """Where a sequence stops. More than the context has room for is clamped without a word."""
    return Limits(
        max_tokens=room if wanted is None else min(wanted, room),
        min_tokens=body.min_tokens,
        ignore_eos=body.ignore_eos,
        stop=body.stops,
        stop_token_ids=frozenset(body.stop_token_ids or ()),
        keep_stop=body.include_stop_str_in_output,
    )


def _check_budget(service: Service, wanted: int | None, param: str) -> None:
    most = service.options.max_model_len
    if wanted is not None and wanted > most:
        raise bad_request(
            f"{param}={wanted} cannot be greater than max_model_len={most}. Please request fewer output tokens.",
            param,
            wanted,
        )


def _check_tools(service: Service, body: ChatBody) -> None:
    choice, options = body.tool_choice, service.options
    if choice in (None, "none") or not body.tools:
        return
    if choice == "auto" and not options.auto_tools:
        raise bad_request('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')
    if choice == "required" and not options.tool_parser:
        raise bad_request('tool_choice="required" requires --tool-call-parser to be set')
    if isinstance(choice, NamedChoice) and not options.tool_parser:
        raise bad_request(f'tool_choice=function "{choice.function.name}" requires --tool-call-parser to be set')


def _may_call(service: Service, body: ChatBody) -> bool:
    """Whether the answer is read for tool calls."""
    if not body.tools or body.tool_choice in (None, "none"):
        return False
    return service.options.auto_tools if body.tool_choice == "auto" else True


def _say(service: Service, body: ChatBody, text: str, variant: int) -> str:
    asked = prompt.question(turns(body.messages), service.model)
    call = _call(service, body, asked) if _may_call(service, body) else None
    if call is not None:
        return call
    result = prompt.tool_result(turns(body.messages), service.model)
    if result is not None:
        return prose.after_tool(result)
    form = body.response_format.type if body.response_format else "text"
    if body.response_format and form == "json_schema":
        schema = (body.response_format.json_schema or {}).get("schema") or {}
        return calls.spaced_json(calls.value_for(schema, asked))
    if form == "json_object":
        return calls.spaced_json({"answer": prose.answer(asked, variant)})
    if service.options.kind == "text2sql":
        return sql.answer(text, asked)
    return prose.answer(asked, variant)


def _call(service: Service, body: ChatBody, asked: str) -> str | None:
    """The call that the model makes: it must where one is required or named, else when a tool fits the question."""
    tools: list[Tool] = body.tools or []
    if isinstance(body.tool_choice, NamedChoice):
        name = body.tool_choice.function.name
        chosen = next(tool for tool in tools if tool.function.name == name)
    else:
        best, shared = calls.best_tool(asked, [(tool.function.name, tool.function.description or "") for tool in tools])
        after_a_result = prompt.tool_result(turns(body.messages), service.model) is not None
        if body.tool_choice == "auto" and (after_a_result or not shared):
            return None
        chosen = tools[best]
    return calls.hermes(chosen.function.name, chosen.function.parameters, asked)
