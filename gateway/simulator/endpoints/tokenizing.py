"""POST /tokenize and /detokenize: which tokens is a text, and which text are some tokens?"""

from gateway.simulator import prompt, tokens
from gateway.simulator.bodies.generating import turns
from gateway.simulator.bodies.parsing import validate
from gateway.simulator.bodies.reading import DetokenizeBody, TokenizeBody
from gateway.simulator.errors import bad_request, wrong_model
from gateway.simulator.exchange import Exchange
from gateway.simulator.service import Service

_START, _END = 0, 2
"""The marks that an encoder's tokenizer puts around a text."""


async def tokenize(service: Service, exchange: Exchange, data: object) -> None:
    """Answer with a prompt's or a conversation's token ids, however many there are."""
    body = validate(TokenizeBody, data)
    _check_model(service, exchange, body.model)
    if body.prompt is not None:
        ids = tokens.encode(body.prompt)
        if service.options.pooling and body.add_special_tokens is not False:
            ids = [_START, *ids, _END]
    else:
        tools = [tool.model_dump(exclude_none=True) for tool in body.tools or ()]
        ids = tokens.encode(prompt.render(turns(body.messages or ()), tools, service.model))
    answer = {
        "count": len(ids),
        "max_model_len": service.options.max_model_len,
        "tokens": ids,
        "token_strs": [tokens.decode([token]) for token in ids] if body.return_token_strs else None,
    }
    await exchange.json(answer)


async def detokenize(service: Service, exchange: Exchange, data: object) -> None:
    """Answer with the text that token ids spell."""
    body = validate(DetokenizeBody, data)
    _check_model(service, exchange, body.model)
    if any(token >= tokens.BEYOND for token in body.tokens):
        raise bad_request("number too large to fit in target type")
    await exchange.json({"prompt": tokens.decode(body.tokens)})


def _check_model(service: Service, exchange: Exchange, model: str | None) -> None:
    """On these paths a pooling server names its aliases, too."""
    exchange.entry.model = model
    if model and model not in service.options.served:
        raise wrong_model(model, service.options.served)
