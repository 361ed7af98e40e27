"""The recorded teacher: what a large model wrote and how it rated it, replayed from a file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from g2r.config import GenerateConfig, RecordedTeacherConfig, SourceConfig
from g2r.dialogue import NO_SCORES, Candidate, Context, Example, Scores, clean_text
from g2r.errors import InputError, TeacherError
from g2r.reading.chitchat import recorded_exchanges
from g2r.reading.entries import Exchange
from g2r.reading.sources import CHITCHAT, read_source
from g2r.teachers.base import Sample

CHITCHAT_NAME = "recorded-llm"
"""Source of the packaged responses: a large language model's, recorded for chitchat contexts."""


@dataclass(frozen=True, slots=True)
class _Record:
    """What is on record for one context: the teacher's responses in order, and the scores of every reply."""

    responses: list[Sample] = field(default_factory=list)
    scores: dict[str, Scores] = field(default_factory=dict)

    def add(self, candidate: Candidate) -> None:
        text = clean_text(candidate.text)
        if not candidate.original and text not in {sample.text for sample in self.responses}:
            self.responses.append(Sample(text, candidate.scores))
        self.scores[text] = self.scores.get(text, NO_SCORES).merge(candidate.scores)


class RecordedTeacher:
    """Replays responses and scores: of a context on record it knows everything, of any other nothing.

    `history` is the number of turns of the longest context on record.

    Contexts and responses are looked up in their cleaned form. Scores are of whatever kind was recorded; an
    MI on record comes with the others, since it cannot be computed from a record.
    """

    def __init__(
        self,
        records: Iterable[Exchange | Example],
        name: str = "recorded",
        *,
        config: RecordedTeacherConfig | None = None,
    ) -> None:
        """Index `records`; candidates that are not `original` are the teacher's. `config` is kept as it is.

        Raises:
            TeacherError: there are none.
        """
        self.config = config
        self._name = name
        self._records: dict[Context, _Record] = {}
        for exchange in records:
            record = self._records.setdefault(_key(exchange.context), _Record())
            for candidate in exchange.candidates:
                record.add(candidate)
        if not self._records:
            raise TeacherError(f"the record of teacher {name!r} is empty; expected contexts with responses")
        self.history = max(map(len, self._records))

    @classmethod
    def from_config(cls, config: RecordedTeacherConfig) -> "RecordedTeacher":
        """Read a record: JSON Lines with turns, responses and scores, a G2R release, or "chitchat".

        Raises:
            InputError: the file is missing, malformed (with its line and field), or holds dialogues only.
            DependencyError: "chitchat" is asked for and its package is not installed.
        """
        if config.path == CHITCHAT:
            default = RecordedTeacherConfig.model_fields["name"].default
            name = CHITCHAT_NAME if config.name == default else config.name
            return cls(recorded_exchanges(name), name, config=config)
        if config.path.startswith("hf:") or Path(config.path).suffix == ".parquet":
            raise InputError(
                f"{config.path} is no record; expected JSON Lines with turns, responses and scores"
            )
        entries = read_source(SourceConfig(path=config.path, format="jsonl"))
        records = [entry for entry in entries if isinstance(entry, Exchange)]
        if len(records) < len(entries):
            raise InputError(
                f"{config.path} holds dialogues without a teacher's responses; expected turns, responses and scores"
            )
        return cls(records, config.name, config=config)

    @property
    def name(self) -> str:
        return self._name

    @property
    def score_kinds(self) -> frozenset[str]:
        """The kinds of score that stand anywhere in the record."""
        scores = [s for record in self._records.values() for s in record.scores.values()]
        kinds: Mapping[str, bool] = {
            "ll": any(s.ll_sum is not None for s in scores),
            "judge": any(s.judge is not None for s in scores),
        }
        return frozenset(kind for kind, known in kinds.items() if known)

    def covers(self, context: Context) -> bool:
        """True if the context is on record."""
        return _key(context) in self._records

    def generate(
        self, contexts: Sequence[Context], settings: GenerateConfig, *, seed: int
    ) -> list[list[Sample]]:
        """Replay up to `settings.responses_per_context` responses of each context, none for an unknown one.

        The record decides what was sampled and how: `seed` and the other settings change nothing.

        Raises:
            TeacherError: none of the contexts is on record, and one is longer than any that is.
        """
        records = self._looked_up(contexts)
        return [record.responses[: settings.responses_per_context] if record else [] for record in records]

    def score(self, contexts: Sequence[Context], responses: Sequence[Sequence[str]]) -> list[list[Scores]]:
        """Look up the scores of given responses, human ones among them; what is not on record has no scores.

        Raises:
            TeacherError: none of the contexts is on record, and one is longer than any that is.
        """
        return [
            [record.scores.get(clean_text(text), NO_SCORES) if record else NO_SCORES for text in texts]
            for record, texts in zip(self._looked_up(contexts), responses, strict=True)
        ]

    def _looked_up(self, contexts: Sequence[Context]) -> list[_Record | None]:
        """The record of each context; a batch without any is nothing unusual, unless it never could have one."""
        records = [self._records.get(_key(context)) for context in contexts]
        longest = max(map(len, contexts), default=0)
        if longest > self.history and not any(records):
            raise TeacherError(
                f"none of {len(contexts)} contexts of up to {longest} turns is on record of teacher {self._name!r}, "
                f"made with up to {self.history} turns; read the same dialogues with history={self.history}"
            )
        return records


def _key(context: Sequence[str]) -> Context:
    return tuple(turn for turn in map(clean_text, context) if turn)
