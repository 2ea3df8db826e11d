"""The OpenAI protocol, as far as it is needed: what asks a server to go on with a prompt, and how its answer is read.

There are two routes, with two shapes of questions and of answers. llama.cpp gives the answer of the second on both.
"""

from typing import NamedTuple

ROUTES = {"completions": "/completions", "chat": "/chat/completions"}
TOKENS = 5  # of an answer: a word, and what a model likes to write before it


class Step(NamedTuple):
    """A token that the server wrote."""

    token: str
    log_p: float  # in nats
    top: list  # [(token, log P), ...] of the most probable ones, best first; the token itself is among them


class Answer(NamedTuple):
    text: str
    steps: list | None  # of Step; None: the server gave no log-probabilities


def question(api: str, model: str, prompt: str, top: int) -> dict:
    """The JSON that asks for a few tokens after a prompt at temperature 0, and the `top` likeliest at each; 0: none."""
    fields = {"model": model, "max_tokens": TOKENS, "temperature": 0}
    if api == "chat":
        fields["messages"] = [{"role": "user", "content": prompt}]
        return fields | ({"logprobs": True, "top_logprobs": top} if top else {})
    return fields | {"prompt": prompt} | ({"logprobs": top} if top else {})


def answer(found) -> Answer:
    """The JSON of an answer, of either route -> an Answer. Raises ValueError if it has another shape."""
    try:
        choice = found["choices"][0]
        text = choice["text"] if "text" in choice else choice["message"]["content"]
        logs, steps = choice.get("logprobs") or {}, None
        if logs.get("content"):  # [{"token": ..., "logprob": ..., "top_logprobs": [{"token": ..., "logprob": ...}]}]
            steps = [step(one["token"], one["logprob"], pairs(one.get("top_logprobs"))) for one in logs["content"]]
        elif logs.get("tokens") and logs.get("top_logprobs"):  # three lists: a token, its log P, {token: log P, ...}
            tops = [list((top or {}).items()) for top in logs["top_logprobs"]]
            steps = [step(*one) for one in zip(logs["tokens"], logs["token_logprobs"], tops, strict=True)]
        return Answer(str(text or ""), steps)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"no answer of an OpenAI-compatible server: {error!r}") from None


def pairs(top) -> list:
    return [(one["token"], one["logprob"]) for one in top or ()]


def step(token, own, top) -> Step:
    """A token, its log P and [(token, log P), ...] -> a Step, with every number checked."""
    top = [(str(name), log_p(number)) for name, number in top]
    top += [] if token in dict(top) else [(str(token), log_p(own))]
    return Step(str(token), log_p(own), sorted(top, key=lambda pair: -pair[1]))


def log_p(number) -> float:
    """A number from a server as a log-probability. Raises ValueError if it can be none."""
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not number <= 1e-3:  # NaN is not, either
        raise ValueError(f"{number!r:.40} is no log-probability")
    return min(float(number), 0.0)
