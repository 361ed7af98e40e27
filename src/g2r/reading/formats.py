"""The ways a dialogue file may be written: JSON Lines, plain text, ParlAI's dialogue format."""

import json
import re
from collections.abc import Iterable, Iterator

from g2r.dialogue import HUMAN, Candidate, Scores, content_id
from g2r.errors import InputError
from g2r.reading.entries import Dialogue, Entry, Exchange, Row
from g2r.reading.record_ids import RecordId

RECORDED = "recorded"
STARTER = "starter"
_PARLAI_LISTS = ("labels", "eval_labels")
_PERSONA = ("your persona:", "partner's persona:")

Lines = Iterable[tuple[int, str]]


_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
"""An escape of a surrogate; two in the right order are one character."""


def json_rows(lines: Lines, name: str) -> Iterator[Row]:
    """Yield the objects of a JSON Lines file; blank lines are passed over.

    Raises:
        InputError: a line is no JSON object.
    """
    for number, line in lines:
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            value = json.loads(line)
            if _HALF_CHARACTER.search(line):
                json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"{where}: half a character ({error.object[error.start : error.end]!a}), as of an emoji cut in two; "
                "expected whole ones"
            ) from error
        except (ValueError, RecursionError) as error:
            raise InputError(
                f'{where}: no valid JSON ({error}); expected one object a line, {{"turns": ["hi", "hello"]}}'
            ) from error
        if not isinstance(value, dict):
            raise InputError(
                f'{where}: got a JSON {type(value).__name__}, expected an object {{"turns": ["hi", "hello"]}}'
            )
        yield Row(value, where)


def row_entries(row: Row) -> Iterator[Entry]:
    """Yield what one JSON object holds; its keys tell the form (docs/files.md).

    - `turns`: a dialogue; with `alternatives` (a starter dialogue) its responses and theirs;
    - `contexts`, `replies`: a starter situation, context i's own reply is i modulo the number of replies;
    - `turns` or `context`, `responses`: a teacher's record, see `recorded_exchange`;
    - `context`, `response`: a row of a G2R release, see `release_exchange`.

    Raises:
        InputError: the object is none of these, or a field is malformed.
    """
    if "contexts" in row and "replies" in row:
        yield from _situation(row)
    elif "responses" in row or "scores" in row:
        yield recorded_exchange(row)
    elif "turns" in row and "alternatives" in row:
        yield from _starter_dialogue(row)
    elif "turns" in row:
        turns = row.texts("turns")
        yield Dialogue(turns, _dialogue_id(row, turns), row.split())
    elif "context" in row and "response" in row:
        yield release_exchange(row)
    else:
        empty = sorted(key for key in row.fields if key not in row)
        raise InputError(
            f"{row.where}, field turns: got keys {sorted(row.fields.keys() - empty)!r:.80}"
            f"{f' and null in {empty!r:.80}' if empty else ''}, expected turns, or context and response"
        )


def recorded_exchange(row: Row, source: str = RECORDED) -> Exchange:
    """Return a context with a teacher's recorded responses and its ratings of them.

    Fields: `turns` or `context`, `responses`, and, where they are known, `human`, the reply said in the
    dialogue, and `scores`: ratings from 0 to 10, that of `human` first if there is one.

    Raises:
        InputError: a field is malformed, a score is not a number from 0 to 10, or there are more or
            fewer scores than replies.
    """
    context = row.texts("turns" if "turns" in row else "context")
    human = (row.text("human"),) if "human" in row else ()
    responses = row.texts("responses")
    replies = human + responses
    scores = [Scores(judge=score) for score in _ratings(row, len(replies))] or [Scores()] * len(replies)
    candidates = tuple(
        Candidate(text, HUMAN if i < len(human) else source, original=i < len(human), scores=score)
        for i, (text, score) in enumerate(zip(replies, scores, strict=True))
    )
    place = RecordId.parse(row.fields.get("id"))
    if place:
        return Exchange(context, candidates, place.conversation, place.split)
    return Exchange(context, candidates, _context_dialogue_id(row, context), row.split())


def _ratings(row: Row, replies: int) -> tuple[float, ...]:
    if "scores" not in row:
        return ()
    scores = row.numbers("scores")
    if len(scores) != replies:
        raise InputError(
            f"{row.where}, field scores: got {len(scores)} scores for {replies} replies, "
            "expected one for each: the human reply first, if there is one, then the responses"
        )
    for i, score in enumerate(scores):
        if not 0 <= score <= 10:
            raise row.wrong(f"scores[{i}]", "a rating from 0 to 10")
    return scores


def release_exchange(row: Row) -> Exchange:
    """Return one row of a G2R release: `context`, `response`, `source` ("original" or a model), `score_infos`.

    The release's `ll` is a mean per token and comes without the number of tokens: it is kept as a sum over
    one token, so that `Scores.ll` gives it back and `ll_sum` cannot be used to compare lengths.

    Raises:
        InputError: a field is malformed or a score is not finite.
    """
    context = row.texts("context")
    source = row.text("source") if "source" in row else HUMAN
    infos = row.inner("score_infos") if "score_infos" in row else Row({}, row.where)
    scores = Scores(
        ll_sum=infos.number("ll") if "ll" in infos else None,
        tokens=1 if "ll" in infos else None,
        mi=infos.number("mi") if "mi" in infos else None,
    )
    human = source in ("original", HUMAN)
    candidate = Candidate(row.text("response"), HUMAN if human else source, original=human, scores=scores)
    return Exchange(context, (candidate,), _context_dialogue_id(row, context), row.split())


def _starter_dialogue(row: Row) -> Iterator[Exchange]:
    """The replies that have alternatives are the responses; the other speaker's turns are not."""
    turns = row.texts("turns")
    alternatives = row.inner("alternatives")
    for key in alternatives.fields:
        if not (key.isdecimal() and 0 < int(key) < len(turns)):
            raise row.wrong(f"alternatives.{key}", f"the number of a reply, 1 to {len(turns) - 1}")
        own = Candidate(turns[int(key)], STARTER, original=True)
        others = (Candidate(text, STARTER) for text in alternatives.texts(key))
        yield Exchange(turns[: int(key)], (own, *others), _dialogue_id(row, turns), row.split())


def _situation(row: Row) -> Iterator[Exchange]:
    contexts, replies = row.text_lists("contexts"), row.texts("replies")
    for i, context in enumerate(contexts):
        candidates = tuple(
            Candidate(text, STARTER, original=j == i % len(replies)) for j, text in enumerate(replies)
        )
        yield Exchange(context, candidates, _dialogue_id(row, replies), row.split())


def _dialogue_id(row: Row, texts: tuple[str, ...]) -> str:
    """The row's own id, else one that depends on its text alone."""
    return str(row.fields["id"]) if "id" in row else content_id(texts)


def _context_dialogue_id(row: Row, context: tuple[str, ...]) -> str:
    """The dialogue of a context: named by the row, else taken to be all contexts with the same first turn.

    The `id` of such a row is that of the context, and would let one dialogue stand in two splits.
    """
    return str(row.fields["dialogue_id"]) if "dialogue_id" in row else content_id(context[:1])


def text_dialogues(lines: Lines) -> Iterator[Dialogue]:
    """Yield the dialogues of a plain text: one turn a line, a blank line between two dialogues."""
    turns: list[str] = []
    for line in [*(line for _, line in lines), ""]:
        if line.strip():
            turns.append(line)
        elif turns:
            yield Dialogue(tuple(turns), content_id(turns))
            turns = []


def parlai_exchanges(lines: Lines, name: str) -> Iterator[Exchange]:
    """Yield the labelled turns of a file in ParlAI's dialogue format.

    A line holds tab-separated `field:value` pairs: `text` (the partner's turn), `labels` or `eval_labels`
    (the bot's, several joined by "|"), `episode_done`. A text of several lines, escaped as \\n, is several
    turns; persona lines in it are left out. The first label goes on into the history.

    Raises:
        InputError: a pair has no colon, `text` is missing, or `episode_done` is not True or False.
    """
    episode: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    history: list[str] = []
    for number, line in lines:
        if not line.strip():
            continue
        fields = _parlai_fields(line, f"{name}, line {number}")
        history += [turn for turn in fields["text"].split("\n") if not turn.lower().startswith(_PERSONA)]
        labels = tuple(
            label for key in _PARLAI_LISTS for label in fields.get(key, "").split("|") if label.strip()
        )
        if labels:
            episode.append((tuple(history), labels))
            history.append(labels[0])
        if fields.get("episode_done") == "True":
            yield from _episode_exchanges(episode, history)
            episode, history = [], []
    yield from _episode_exchanges(episode, history)


def _parlai_fields(line: str, where: str) -> dict[str, str]:
    fields = {}
    for pair in line.split("\t"):
        key, colon, value = pair.partition(":")
        if not colon:
            raise InputError(
                f"{where}: got {pair!r:.60}, expected tab-separated text:, labels:, episode_done: fields"
            )
        fields[key.strip()] = value.replace("\\n", "\n").replace("\\t", "\t")
    if "text" not in fields:
        raise InputError(f"{where}, field text: missing; expected text:... beside {sorted(fields)!r:.60}")
    if fields.get("episode_done", "False") not in ("True", "False"):
        raise InputError(
            f"{where}, field episode_done: got {fields['episode_done']!r:.60}, expected True or False"
        )
    return fields


def _episode_exchanges(
    episode: list[tuple[tuple[str, ...], tuple[str, ...]]], history: list[str]
) -> Iterator[Exchange]:
    for context, labels in episode:
        candidates = tuple(
            Candidate(label.replace("__PIPE__", "|"), HUMAN, original=True) for label in labels
        )
        yield Exchange(context, candidates, content_id(history))
