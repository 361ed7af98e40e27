"""The rows of a bank: responses with their provenance, made of the candidates of examples."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from g2r.artifacts import EXAMPLES_SCHEMA
from g2r.bank.log import Change
from g2r.config import IndexConfig
from g2r.dialogue import (
    HUMAN,
    NO_SCORES,
    Candidate,
    Context,
    Example,
    Scores,
    check_turns,
    clean_text,
    content_id,
)
from g2r.duplicates import near_duplicate_groups
from g2r.errors import InputError
from g2r.starter import self_descriptions

ADDED = "added"
"""Source of a response that was added by hand, unless whoever added it names another."""
SELF_DESCRIPTION = "self-description"
"""Tag of the starter's responses that tell what the bot is: a program, without memory, in English."""
_SCORES = EXAMPLES_SCHEMA.field("candidates").type.value_type.field("scores").type
_CONTEXT = pa.struct([("context_id", pa.string()), ("turns", pa.list_(pa.string())), ("scores", _SCORES)])
RESPONSES_SCHEMA = pa.schema(
    [
        ("response_id", pa.string()),
        ("text", pa.string()),
        ("sources", pa.list_(pa.string())),
        ("contexts", pa.list_(_CONTEXT)),
        ("scores", _SCORES),
        ("count", pa.int32()),
        ("tags", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True, slots=True)
class BankContext:
    """A context that a response was written for, with the teacher's scores of the two together."""

    turns: Context
    scores: Scores = NO_SCORES

    @property
    def context_id(self) -> str:
        return content_id(self.turns)


@dataclass(frozen=True, slots=True)
class BankResponse:
    """One response with its provenance.

    Attributes:
        response_id: content id of the text.
        text: what the bot says.
        sources: who wrote it: "human", names of teachers, "added" if by hand; sorted.
        contexts: contexts it was written for, best scored first.
        scores: those of the best scored of all its contexts.
        count: how often it stood in the data, near duplicates merged into it included.
        tags: marks that a caller may ask for (persona, audience, ...).
    """

    response_id: str
    text: str
    sources: tuple[str, ...]
    contexts: tuple[BankContext, ...] = ()
    scores: Scores = NO_SCORES
    count: int = 1
    tags: frozenset[str] = frozenset()


def collect_responses(
    examples: Iterable[Example], config: IndexConfig
) -> tuple[list[BankResponse], dict[str, int]]:
    """Return the responses that the candidates of `examples` make, and counts of what was merged and left out.

    `ResponseBank.from_examples` tells by which rules.

    Raises:
        InputError: no response is left.
    """
    counts: Counter[str] = Counter()
    uses: defaultdict[str, list[_Use]] = defaultdict(list)
    for example in examples:
        for candidate in example.written:
            reason = _left_out(example, candidate, config)
            counts[reason or "candidates"] += 1
            if not reason:
                uses[candidate.text].append(_Use(candidate, example.context))
    if not uses:
        raise InputError(
            f"no response for the bank: left out {dict(counts) or 'nothing, there were no candidates'}; "
            f"expected some with responses={config.responses!r}, splits={config.splits}, "
            f"min_judge={config.min_judge}"
        )
    texts = sorted(uses)
    groups: defaultdict[int, list[Sequence[_Use]]] = defaultdict(list)
    for text, group in zip(texts, near_duplicate_groups(texts, config.near_duplicates), strict=True):
        groups[group].append(uses[text])
    counts["exact duplicates"] = counts["candidates"] - len(texts)
    counts["near duplicates"] = len(texts) - len(groups)
    reusable = [group for group in groups.values() if _contexts(group) >= config.min_contexts]
    if not reusable:
        raise InputError(
            f"no response for the bank: none of {len(groups)} was written for min_contexts={config.min_contexts} "
            "different contexts; expected some, lower it"
        )
    if len(reusable) < len(groups):
        counts["written for too few contexts"] = len(groups) - len(reusable)
    counts["responses"] = len(reusable)
    return [_merge(group, config.contexts_per_response) for group in reusable], dict(counts)


@dataclass(frozen=True, slots=True)
class _Use:
    """A candidate in its context: one reason for a text to be in the bank."""

    candidate: Candidate
    context: Context


def _contexts(group: Sequence[Sequence[_Use]]) -> int:
    """How many different contexts a response was written for."""
    return len({use.context for uses in group for use in uses})


def _left_out(example: Example, candidate: Candidate, config: IndexConfig) -> str:
    """Why a candidate does not join the bank; "" if it does."""
    judge = candidate.scores.judge
    if example.split not in config.splits:
        return "other splits"
    if config.responses != "both" and (candidate.source == HUMAN) != (config.responses == "human"):
        return "other sources"
    if config.min_judge is not None and judge is not None and judge < config.min_judge:
        return "low judge scores"
    return "" if candidate.text.strip() else "blank"


def _quality(scores: Scores) -> tuple[float, float]:
    """What orders contexts and texts: the judge's rating, then LL; what has no score comes last."""
    return (
        -np.inf if scores.judge is None else scores.judge,
        -np.inf if scores.ll is None else scores.ll,
    )


def _merge(texts: Sequence[Sequence[_Use]], contexts_per_response: int) -> BankResponse:
    """One response of near-duplicate texts, each given by all its uses."""

    def best(uses: Sequence[_Use]) -> Scores:
        return max((use.candidate.scores for use in uses), key=_quality)

    chosen = max(texts, key=lambda uses: (_quality(best(uses)), len(uses), uses[0].candidate.response_id))
    every = [use for uses in texts for use in uses]
    scores: dict[Context, Scores] = {}
    for use in every:
        scores[use.context] = max(scores.get(use.context, NO_SCORES), use.candidate.scores, key=_quality)
    contexts = sorted(
        (BankContext(turns, scores) for turns, scores in scores.items()), key=lambda c: c.context_id
    )
    contexts.sort(key=lambda context: _quality(context.scores), reverse=True)
    return BankResponse(
        response_id=chosen[0].candidate.response_id,
        text=chosen[0].candidate.text,
        sources=tuple(sorted({use.candidate.source for use in every})),
        contexts=tuple(contexts[:contexts_per_response]),
        scores=best(every),
        count=len(every),
        tags=_marks(use.candidate.response_id for use in every),
    )


def _marks(response_ids: Iterable[str]) -> frozenset[str]:
    """The tags that a response has from the start: the starter's lines about what the bot is carry one."""
    about_itself = not self_descriptions().isdisjoint(response_ids)
    return frozenset({SELF_DESCRIPTION} if about_itself else ())


def row_of(response: BankResponse) -> dict[str, Any]:
    """A response as a row of responses.parquet."""
    return {
        "response_id": response.response_id,
        "text": response.text,
        "sources": list(response.sources),
        "contexts": [
            {"context_id": c.context_id, "turns": list(c.turns), "scores": _score_row(c.scores)}
            for c in response.contexts
        ],
        "scores": _score_row(response.scores),
        "count": response.count,
        "tags": sorted(response.tags),
    }


def _score_row(scores: Scores) -> dict[str, float | None]:
    return {"ll": scores.ll, **asdict(scores)}


def response_of(row: Mapping[str, Any]) -> BankResponse:
    """A row of responses.parquet as a response."""
    return BankResponse(
        response_id=row["response_id"],
        text=row["text"],
        sources=tuple(row["sources"]),
        contexts=tuple(BankContext(tuple(c["turns"]), _scores(c["scores"])) for c in row["contexts"]),
        scores=_scores(row["scores"]),
        count=row["count"],
        tags=frozenset(row["tags"]),
    )


def _scores(row: Mapping[str, Any]) -> Scores:
    return Scores(ll_sum=row["ll_sum"], tokens=row["tokens"], mi=row["mi"], judge=row["judge"])


def addition(
    text: str,
    contexts: Iterable[Sequence[str]] = (),
    tags: Iterable[str] = (),
    *,
    sources: Iterable[str] = (ADDED,),
    reason: str = "",
    by: str = "",
) -> Change:
    """The change that adds a response, its text, contexts and tags cleaned.

    Raises:
        InputError: a text, context, tag or source is blank, or a text something else.
    """
    said = clean_text(text) if isinstance(text, str) else ""
    if not said:
        raise InputError(f"a response is {text!r:.60}; expected text to say")
    written_by = tuple(map(clean_text, sources))
    if "" in written_by:
        raise InputError(f"a source of {said!r:.60} is blank; expected who wrote it")
    return Change(
        "add",
        content_id(said),
        reason,
        tags=clean_tags(tags),
        by=by,
        text=said,
        contexts=tuple(dict.fromkeys(check_turns(turns) for turns in contexts)),
        sources=written_by,
    )


def cleaned(change: Change) -> Change:
    """A change whose words hold no control characters, which a terminal would obey when it shows the log."""
    return replace(
        change,
        reason=clean_text(change.reason),
        by=clean_text(change.by),
        tags=tuple(map(clean_text, change.tags)),
    )


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags as they are kept: sorted, each once.

    Raises:
        InputError: one is blank or holds a comma, which separates tags where several are asked for; or as
            `tag_set`.
    """
    cleaned = {clean_text(tag) if isinstance(tag, str) else "" for tag in tag_set(tags)}
    wrong = [tag for tag in cleaned if not tag or "," in tag]
    if wrong:
        raise InputError(f"a tag is {wrong[0]!r}; expected text without commas, such as pirate or en-GB")
    return tuple(sorted(cleaned))


def tag_set(tags: Iterable[str]) -> frozenset[str]:
    """Tags as a set.

    Raises:
        InputError: they are one text, whose letters would be taken for tags.
    """
    if isinstance(tags, str):
        raise InputError(f"tags are the text {tags!r:.60}, expected a list: [{tags!r:.60}]")
    return frozenset(tags)


def hash_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """Content hash of rows: 16 hex digits."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True).encode())
    return digest.hexdigest()[:16]
