"""From what sources hold to examples: histories cut, bad ones dropped and counted, splits that do not leak."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import repeat

from g2r.config import DataConfig
from g2r.dialogue import HUMAN, SPLITS, Candidate, Context, Example, Examples, clean_text
from g2r.duplicates import normal_form
from g2r.errors import InputError
from g2r.reading.entries import Dialogue, Entry, Exchange

_RANK = {split: rank for rank, split in enumerate(SPLITS)}


def build_examples(
    sources: Iterable[Sequence[Entry]], config: DataConfig, *, limits: Iterable[int | None] = repeat(None)
) -> Examples:
    """Turn the entries of one or more sources into examples.

    `limits` are the most training examples drawn from each source, `config.max_examples` from all together.

    The counts are `dialogues`, `examples`, `candidates`, the examples of each split, and what was dropped,
    under keys that are there only where something was:

    - dialogues: `dropped_single_turn`;
    - responses: `dropped_empty` (they, or the turn they answer), `dropped_short`, `dropped_long`,
      `dropped_long_context`, `dropped_duplicate` (met before in the same context);
    - examples: `dropped_split_duplicate` (the context stands in a split held out, too: test before valid
      before train; case and punctuation make no difference), `dropped_max_examples`.

    Raises:
        InputError: nothing is left; the message holds the counts.
    """
    counts: Counter[str] = Counter()
    dialogues: set[str] = set()
    found: list[Example] = []
    for entries, limit in zip(sources, limits):  # noqa: B905, limits may go on for ever
        read: list[Example] = []
        for entry in _with_splits(entries, config):
            dialogues.add(entry.dialogue_id if isinstance(entry, Exchange) else entry.id)
            read += _entry_examples(entry, config, counts)
        found += _draw(read, limit, config.seed, counts)
    merged = _merge(_drop_split_duplicates(found, counts), counts)
    items = _draw(merged, config.max_examples, config.seed, counts)
    if not items:
        dropped = ", ".join(f"{key} {counts[key]}" for key in sorted(counts)) or "no responses"
        raise InputError(
            f"no examples are left of {len(dialogues)} dialogues ({dropped}); "
            "give dialogues of two or more turns, or wider min_words, max_words, max_context_words"
        )
    splits = Counter(example.split for example in items)
    return Examples(
        tuple(items),
        {
            "dialogues": len(dialogues),
            "examples": len(items),
            "candidates": sum(len(example.candidates) for example in items),
            **{split: splits[split] for split in SPLITS},
            **{key: counts[key] for key in sorted(counts)},
        },
    )


def drawn_split(dialogue_id: str, config: DataConfig, splits: Sequence[str] = ("test", "valid")) -> str:
    """Return the split of a dialogue: it depends on its id and the seed alone, never on other dialogues.

    Splits that are not among `splits` are not drawn: their dialogues stay in train.
    """
    digest = hashlib.sha256(f"{config.seed}:{dialogue_id}".encode(errors="replace")).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < config.test_fraction:
        return "test" if "test" in splits else "train"
    if place < config.test_fraction + config.valid_fraction:
        return "valid" if "valid" in splits else "train"
    return "train"


def _with_splits(entries: Sequence[Entry], config: DataConfig) -> Iterator[Entry]:
    """Entries with a split each: the named one, but where the source holds out none of a kind, one is drawn."""
    named = {entry.split for entry in entries}
    drawn = [split for split in ("test", "valid") if split not in named]
    for entry in entries:
        if entry.split in ("", "train"):
            key = entry.dialogue_id if isinstance(entry, Exchange) else entry.id
            yield replace(entry, split=drawn_split(key, config, drawn))
        else:
            yield entry


def _entry_examples(entry: Entry, config: DataConfig, counts: Counter[str]) -> Iterator[Example]:
    """The examples of one dialogue or exchange, each with the candidates that pass the filters."""
    exchanges = _exchanges(entry, config, counts) if isinstance(entry, Dialogue) else [_cleaned(entry)]
    for exchange in exchanges:
        context = tuple(turn for turn in exchange.context[-config.history :] if turn)
        if not (context and exchange.context[-1]):
            counts["dropped_empty"] += len(exchange.candidates)
        elif sum(map(_words, context)) > config.max_context_words:
            counts["dropped_long_context"] += len(exchange.candidates)
        elif kept := tuple(c for c in exchange.candidates if _passes(c, config, counts)):
            yield Example(context, kept, exchange.dialogue_id, exchange.split)


def _exchanges(dialogue: Dialogue, config: DataConfig, counts: Counter[str]) -> Iterator[Exchange]:
    """Every turn of the bot's with the turns before it."""
    turns = tuple(map(clean_text, dialogue.turns))
    if sum(map(bool, turns)) < 2:
        counts["dropped_single_turn"] += 1
        return
    start, step = {"any": (1, 1), "first": (2, 2), "second": (1, 2)}[config.bot]
    for i in range(start, len(turns), step):
        said = Candidate(turns[i], HUMAN, original=True)
        yield Exchange(turns[max(0, i - config.history) : i], (said,), dialogue.id, dialogue.split)


def _cleaned(exchange: Exchange) -> Exchange:
    return replace(
        exchange,
        context=tuple(map(clean_text, exchange.context)),
        candidates=tuple(replace(c, text=clean_text(c.text)) for c in exchange.candidates),
    )


def _words(text: str) -> int:
    """Words of a cleaned text."""
    return text.count(" ") + 1 if text else 0


def _passes(candidate: Candidate, config: DataConfig, counts: Counter[str]) -> bool:
    words = _words(candidate.text)
    if config.min_words <= words <= config.max_words:
        return True
    counts[
        "dropped_empty" if not words else "dropped_short" if words < config.min_words else "dropped_long"
    ] += 1
    return False


def _drop_split_duplicates(examples: Sequence[Example], counts: Counter[str]) -> Iterator[Example]:
    """Leave out the examples whose context stands in a split of higher rank, too."""
    form = cache(normal_form)
    keys = [tuple(map(form, example.context)) for example in examples]
    rank: dict[Context, int] = {}
    for key, example in zip(keys, examples, strict=True):
        rank[key] = max(rank.get(key, 0), _RANK[example.split])
    for key, example in zip(keys, examples, strict=True):
        if _RANK[example.split] == rank[key]:
            yield example
        else:
            counts["dropped_split_duplicate"] += 1


def _merge(examples: Iterable[Example], counts: Counter[str]) -> list[Example]:
    """One example for each context, with the candidates of all; it belongs to the first one's dialogue."""
    groups: dict[Context, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.context, []).append(example)
    return [_merged(group, counts) for group in groups.values()]


def _merged(group: Sequence[Example], counts: Counter[str]) -> Example:
    given = [candidate for example in group for candidate in example.candidates]
    candidates: dict[str, Candidate] = {}
    for candidate in given:
        known = candidates.get(candidate.text)
        candidates[candidate.text] = _joined(known, candidate) if known else candidate
    if len(candidates) == len(given) and len(group) == 1:
        return group[0]
    if len(candidates) < len(given):
        counts["dropped_duplicate"] += len(given) - len(candidates)
    return replace(group[0], candidates=tuple(candidates.values()))


def _joined(first: Candidate, second: Candidate) -> Candidate:
    """One candidate from two of the same text: said in the dialogue if one of them was, with the scores of both."""
    kept = second if second.original and not first.original else first
    return replace(kept, scores=second.scores.merge(first.scores))


def _draw(examples: list[Example], limit: int | None, seed: int, counts: Counter[str]) -> list[Example]:
    """At most `limit` of the training examples, drawn by seed and in their order; the others untouched."""
    training = {example.context_id for example in examples if example.split == "train"}
    if limit is None or len(training) <= limit:
        return examples
    drawn = set(sorted(training, key=lambda key: _draw_key(key, seed))[:limit])
    counts["dropped_max_examples"] += len(training) - len(drawn)
    return [example for example in examples if example.split != "train" or example.context_id in drawn]


def _draw_key(context_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{context_id}".encode()).digest()
