"""On-policy candidates: what a bot itself finds for every training context (METHOD: beyond the paper)."""

from collections.abc import Sequence
from dataclasses import replace

from g2r.bot import Bot
from g2r.dialogue import RETRIEVED, Candidate, Example, Examples
from g2r.errors import ConfigError
from g2r.progress import Progress, silent

CONTEXTS_AT_ONCE = 64


def retrieve(
    examples: Sequence[Example], bot: Bot, *, top: int = 30, progress: Progress = silent
) -> Examples:
    """Return the examples, those of split "train" with the bot's best `top` responses as further candidates.

    They are what the bot would say, by its own rules, best first, and have no scores: the score stage gives
    them. In training they have a place in the distillation term alone, for nobody wrote them as answers. One
    that is a candidate already stays what it is; candidates retrieved before, by another bot, are taken away.

    `counts`: contexts searched for, responses retrieved, and of these the ones that were candidates already.

    Args:
        examples: contexts with their candidates.
        bot: its student, its bank, its rules.
        top: responses retrieved for a context.
        progress: told of finished contexts.

    Raises:
        ConfigError: there is nothing to retrieve for.
    """
    train = [i for i, e in enumerate(examples) if e.split == "train"]
    if not train or top < 1:
        raise ConfigError(
            f"{len(train)} examples of split 'train' and top {top}; expected one at least of both"
        )
    found = list(examples)
    retrieved = known = 0
    for start in range(0, len(train), CONTEXTS_AT_ONCE):
        rows = train[start : start + CONTEXTS_AT_ONCE]
        replies = bot.reply_batch([examples[i].context for i in rows], candidates=top)
        for i, reply in zip(rows, replies, strict=True):
            texts = [candidate.text for candidate in reply.candidates]
            found[i] = with_retrieved(examples[i], texts)
            retrieved += len(texts)
            known += len(texts) - (len(found[i].candidates) - len(found[i].written))
        progress(start + len(rows), len(train))
    counts = {"contexts": len(train), "retrieved": retrieved, "candidates_already": known}
    return Examples(tuple(found), counts)


def with_retrieved(example: Example, texts: Sequence[str]) -> Example:
    """The example with `texts` as its retrieved candidates, those that nobody wrote for it already."""
    own = {candidate.text for candidate in example.written}
    new = tuple(Candidate(text, RETRIEVED) for text in dict.fromkeys(texts) if text not in own)
    return replace(example, candidates=(*example.written, *new))
