"""What does the chat model answer? A few plausible sentences about what was asked, the same ones every time."""

import random
import zlib

from gateway.simulator.content.words import keywords

_OPENINGS = (
    "Here is a short answer about {topic}.",
    "Let us look at {topic} step by step.",
    "You asked about {topic}; this is what matters most.",
    "The short version on {topic} is this.",
)
_BODIES = (
    "The first thing to know is that {a} and {b} belong together, and that one seldom makes sense without the other.",
    "In practice {a} decides most of it, while {b} only shows in the details.",
    "A good way to begin is to write down what {a} should do, and then to see what that means for {b}.",
    "People often start with {b}, although {a} is the part that takes the time.",
    "It helps to try {a} on a small example before you rely on {b}.",
    "When {a} changes, look at {b} again: they are easier to keep in step than to mend later.",
)
_CLOSINGS = (
    "If you tell me more about {topic}, I can be more exact.",
    "That is enough to begin with {topic}.",
    "Would you like an example for {topic}?",
)


def answer(question: str, variant: int = 0) -> str:
    """An answer of four to six sentences.

    Args:
        question: what the user said last.
        variant: tells the choices of one request apart; 0 is the answer that a greedy model gives.
    """
    noise = random.Random(zlib.crc32(question.encode("utf-8", "replace")) + variant)  # noqa: S311 -- a choice of words
    found = keywords(question) or ["your question"]
    topic = " ".join(found[:3])
    sentences = [noise.choice(_OPENINGS).format(topic=topic)]
    sentences += [
        body.format(a=noise.choice(found), b=noise.choice([*found, "the rest"]))
        for body in noise.sample(_BODIES, noise.randint(2, 4))
    ]
    sentences.append(noise.choice(_CLOSINGS).format(topic=topic))
    return " ".join(sentences)


def after_tool(result: str) -> str:
    """What the model makes of a tool's result."""
    return f"The tool answered: {' '.join(result.split())[:400]}. That should settle your question."
