"""Can a request be sampled like that? The rules that vLLM checks after the fields have been read."""

import math

from gateway.simulator.bodies.generating import Sampling
from gateway.simulator.errors import Refusal, bad_request

_MAX_CHOICES = 16_384
_MAX_LOGPROBS = 20
_HOTTEST = 2

Rule = tuple[bool, str, str | None, object]
"""Whether it is broken, what to say, which field to blame, and the field's value if the message repeats it."""


def check_sampling(body: Sampling, max_tokens: int | None) -> None:
    """The rules that vLLM checks after the fields have been read.

    Raises:
        Refusal: 400 `BadRequestError` naming the field.
    """
    for broken, message, param, value in [*_count_rules(body, max_tokens), *_range_rules(body)]:
        if broken:
            raise bad_request(message, param, value)


def check_logprobs(wanted: int | None) -> Refusal | None:
    """What only the engine refuses: in a stream it is the first event, after the 200."""
    if wanted is None or wanted <= _MAX_LOGPROBS:
        return None
    message = f"Requested sample logprobs of {wanted}, which is greater than max allowed: {_MAX_LOGPROBS}"
    return bad_request(message, "logprobs", wanted)


def _count_rules(body: Sampling, max_tokens: int | None) -> list[Rule]:
    n = 1 if body.n is None else body.n
    most = (
        f"n must be at most {_MAX_CHOICES}, got {n}. "
        "To increase this limit, set the VLLM_MAX_N_SEQUENCES environment variable."
    )
    rules: list[Rule] = [
        (n < 1, f"n must be at least 1, got {n}.", None, None),
        (n > _MAX_CHOICES, most, None, None),
        (body.min_tokens < 0, f"min_tokens must be greater than or equal to 0, got {body.min_tokens}.", None, None),
        (any(not stop for stop in body.stops), "stop cannot contain an empty string.", None, None),
        (body.temperature == 0 and n > 1, f"n must be 1 when using greedy sampling, got {n}.", None, None),
    ]
    if max_tokens is not None:
        rules.append((max_tokens < 1, f"max_tokens must be at least 1, got {max_tokens}.", "max_tokens", max_tokens))
    return rules


def _range_rules(body: Sampling) -> list[Rule]:
    """Bounds of the numbers; an absent field breaks none."""
    rules: list[Rule] = []
    if (heat := body.temperature) is not None:
        rules += [
            (not math.isfinite(heat), f"temperature must be a finite number, got {heat}.", "temperature", heat),
            (heat < 0, f"temperature must be non-negative, got {heat}.", "temperature", heat),
            (heat > _HOTTEST, f"temperature must be in [0, 2], got {heat}.", "temperature", heat),
        ]
    if (top_p := body.top_p) is not None:
        rules.append((not 0 < top_p <= 1, f"top_p must be in (0, 1], got {top_p}.", "top_p", top_p))
    if (top_k := body.top_k) is not None:
        rules.append((top_k < -1, f"top_k must be 0 (disable), or at least 1, got {top_k}.", None, None))
    if (min_p := body.min_p) is not None:
        rules.append((not 0 <= min_p <= 1, f"min_p must be in [0, 1], got {min_p}.", None, None))
    for name in ("presence_penalty", "frequency_penalty"):
        if (penalty := getattr(body, name)) is not None:
            rules.append(
                (not -_HOTTEST <= penalty <= _HOTTEST, f"{name} must be in [-2, 2], got {penalty}.", None, None)
            )
    if (repetition := body.repetition_penalty) is not None:
        message = f"repetition_penalty must be greater than zero, got {repetition}."
        rules.append((repetition <= 0, message, None, None))
    return rules
