"""The bot: encode the context, search the bank, apply the rules, answer or abstain (METHOD: at run time)."""

import json
import shutil
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from g2r.artifacts import replacing
from g2r.bank import BankContext, ResponseBank
from g2r.config import BotConfig, IndexConfig, parse_config
from g2r.dialogue import Context, clean_text
from g2r.duplicates import jaccard, shingles
from g2r.encoder import Encoder, Vectors
from g2r.errors import ArtifactError, InputError
from g2r.index.base import Hits, ResponseIndex, encode_views
from g2r.progress import Progress, silent

_CANDIDATES = 10
_CONFIG_FILE = "bot.json"


@dataclass(frozen=True, slots=True)
class RankedCandidate:
    """A response that the rules let pass, and why it stands where it stands.

    Attributes:
        text: what would be said.
        response_id: its id in the bank.
        score: s(r), the weighted sum of the two below.
        response_score: f(c) . g(r); None if the index has no response keys.
        context_score: likeness of the context to the nearest it was written for; None without context keys.
        sources: who wrote it.
        contexts: contexts it was written for, best scored first.
        tags: its marks.
    """

    text: str
    response_id: str
    score: float
    response_score: float | None
    context_score: float | None
    sources: tuple[str, ...]
    contexts: tuple[BankContext, ...]
    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the bot says.

    Attributes:
        text: the response; "" if it abstains.
        response_id: its id in the bank; None if it abstains.
        score: s(r) of the best candidate; None if the rules left none.
        candidates: the best that the rules left, best first; the first one is said.
        timings_ms: milliseconds of wall clock for encode, search, rules, and the total.
        abstained: True if no candidate was left, or the best scored under the bot's `min_score`.
    """

    text: str
    response_id: str | None
    score: float | None
    candidates: tuple[RankedCandidate, ...]
    timings_ms: dict[str, float]
    abstained: bool


class Bot:
    """A bank that talks. Stateless: each call brings its conversation, so conversations never mix.

    Attributes:
        encoder: the student's f.
        bank: what may be said; a ban there holds from the next reply on.
        index: where it is searched.
        config: the rules' numbers.
    """

    def __init__(
        self, encoder: Encoder, bank: ResponseBank, index: ResponseIndex, *, config: BotConfig | None = None
    ) -> None:
        self.encoder = encoder
        self.bank = bank
        self.index = index
        self.config = config or BotConfig()
        self._student: Path | None = None

    @classmethod
    def build(
        cls,
        encoder: Encoder,
        bank: ResponseBank,
        *,
        index: IndexConfig | None = None,
        config: BotConfig | None = None,
        progress: Progress = silent,
    ) -> Self:
        """Index a bank and put a bot on it.

        Raises:
            ConfigError: the index has no key with weight.
            ArtifactError: the index's recall is under its bars.
        """
        from g2r.index.faiss import FaissIndex

        return cls(encoder, bank, FaissIndex.build(bank, encoder, index, progress=progress), config=config)

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        student: str = "student",
        bank: str = "bank",
        config: BotConfig | None = None,
    ) -> Self:
        """Open a folder that `save` or a run wrote: a student, a bank, the bank's index, bot.json if there.

        The student runs on ONNX Runtime where it was exported (student/onnx), else on torch. `student` and
        `bank` name other subfolders.

        Raises:
            InputError: there is no bot in `path`.
            ConfigError: bot.json holds an unknown option.
            ArtifactError: the index was built for another bank or student.
            DependencyError: the student was not exported, and torch is missing.
        """
        from g2r.index.faiss import FaissIndex

        path = Path(path)
        if not (path / student).is_dir():
            raise InputError(
                f"no bot in {path}: expected the folders {student} and {bank} there; make one with g2r quickstart"
            )
        encoder = open_encoder(path / student)
        responses = ResponseBank.load(path / bank)
        found = FaissIndex.load(path / bank / "index", bank=responses, encoder=encoder)
        bot = cls(encoder, responses, found, config=config or _read_config(path / _CONFIG_FILE))
        bot._student = path / student
        return bot

    def save(self, path: Path | str) -> None:
        """Write student, bank, index and rules into the folder `path`, whole or not at all.

        The bot keeps working on the saved bank: later bans go to its log.

        Raises:
            ArtifactError: the place cannot be written, or holds something that is no bot; what was there
                is untouched. Or the encoder cannot be saved.
        """
        path = Path(path)
        if path.is_dir() and any(path.iterdir()) and not (path / "bank" / "responses.parquet").is_file():
            raise ArtifactError(f"{path} holds something that is no bot; choose an empty or a new folder")
        write_encoder: Any = getattr(self.encoder, "write", None)
        if self._student is None and write_encoder is None:
            raise ArtifactError(
                f"a {type(self.encoder).__name__} cannot be saved: expected an encoder with write(folder); "
                "build the bot with a BiEncoder"
            )
        log = path / "bank" / "log.jsonl"
        with replacing(path) as new:
            new.mkdir()
            if self._student is not None:
                shutil.copytree(self._student, new / "student")
            else:
                (new / "student").mkdir()
                write_encoder(new / "student")
            (new / "bank").mkdir()
            if log.is_file():
                (new / "bank" / log.name).write_bytes(log.read_bytes())
            self.bank.write(new / "bank")
            self.index.save(new / "bank" / "index")
            (new / _CONFIG_FILE).write_text(self.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        self.bank.attach(path / "bank")

    def reply(
        self, turns: Sequence[str], *, tags: Collection[str] = (), candidates: int = _CANDIDATES
    ) -> Reply:
        """Answer a conversation.

        Args:
            turns: the conversation so far, oldest first, the last turn said by the partner.
            tags: only responses that carry all of them.
            candidates: how many ranked candidates the reply shows, at least 1.

        Raises:
            InputError: no turns, a turn that is no text, or a blank last turn.
        """
        return self.reply_batch([turns], tags=tags, candidates=candidates)[0]

    def reply_batch(
        self,
        conversations: Sequence[Sequence[str]],
        *,
        tags: Collection[str] = (),
        candidates: int = _CANDIDATES,
    ) -> list[Reply]:
        """Answer several conversations, encoded in one batch; `timings_ms` has each one's share of it.

        Raises:
            InputError: as `reply`; nothing is answered.
        """
        contexts = [check_turns(turns) for turns in conversations]
        if candidates < 1:
            raise InputError(f"{candidates} candidates asked for; expected at least 1")
        if not contexts:
            return []
        self.bank.refresh()
        start = time.perf_counter()
        queries = encode_views(self.encoder, contexts, self.index.views)
        encoding = (time.perf_counter() - start) / len(contexts)
        return [
            self._choose(context, query, tags, candidates, encoding)
            for context, query in zip(contexts, queries, strict=True)
        ]

    def candidates(
        self, turns: Sequence[str], k: int = _CANDIDATES, *, tags: Collection[str] = ()
    ) -> tuple[RankedCandidate, ...]:
        """The best `k` candidates that the rules leave, whether the bot would abstain or not."""
        return self.reply(turns, tags=tags, candidates=k).candidates

    def _choose(
        self, context: Context, query: Vectors, tags: Collection[str], wanted: int, encoding: float
    ) -> Reply:
        """Search deeper and deeper until the rules leave `wanted` candidates, or nothing more is there."""
        allowed = self.bank.allowed(tags)
        said = [shingles(turn) for turn in context if turn]
        searching, filtering, k = 0.0, 0.0, max(self.config.top_k, wanted)
        while True:
            started = time.perf_counter()
            hits = self.index.search(query, k, allowed=allowed)
            searched = time.perf_counter()
            places = self._unsaid(hits, said, wanted)
            filtering += time.perf_counter() - searched
            searching += searched - started
            if len(places) == wanted or len(hits) < k:
                break
            k *= 4
        started = time.perf_counter()
        ranked = tuple(self._candidate(hits, place) for place in places)
        filtering += time.perf_counter() - started
        return self._answer(ranked, encoding, searching, filtering)

    def _unsaid(self, hits: Hits, said: Sequence[frozenset[str]], wanted: int) -> list[int]:
        """The first places among the hits that repeat no turn of the conversation, neither bot's nor partner's."""
        places: list[int] = []
        for place, row in enumerate(hits.rows):
            grams = shingles(self.bank.text(row))
            if all(jaccard(grams, turn) < self.config.repeat_likeness for turn in said):
                places.append(place)
                if len(places) == wanted:
                    break
        return places

    def _candidate(self, hits: Hits, place: int) -> RankedCandidate:
        response = self.bank[int(hits.rows[place])]
        return RankedCandidate(
            text=response.text,
            response_id=response.response_id,
            score=float(hits.scores[place]),
            response_score=None if hits.response_scores is None else float(hits.response_scores[place]),
            context_score=None if hits.context_scores is None else float(hits.context_scores[place]),
            sources=response.sources,
            contexts=response.contexts,
            tags=response.tags,
        )

    def _answer(
        self, ranked: tuple[RankedCandidate, ...], encoding: float, searching: float, filtering: float
    ) -> Reply:
        score = ranked[0].score if ranked else None
        bar = self.config.min_score
        abstained = score is None or (bar is not None and score < bar)
        seconds = {"encode": encoding, "search": searching, "rules": filtering}
        seconds["total"] = sum(seconds.values())
        return Reply(
            text="" if abstained else ranked[0].text,
            response_id=None if abstained else ranked[0].response_id,
            score=score,
            candidates=ranked,
            timings_ms={phase: round(1000 * spent, 3) for phase, spent in seconds.items()},
            abstained=abstained,
        )


def check_turns(turns: Sequence[str]) -> Context:
    """Return a conversation's turns, cleaned.

    Raises:
        InputError: no turns, a turn that is no text, or a blank last turn.
    """
    if isinstance(turns, str) or not isinstance(turns, Sequence):
        raise InputError(
            f"turns are {type(turns).__name__}, expected a list of texts, oldest first: ['hi, how are you?']"
        )
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, str):
            raise InputError(f"turn {number} is {type(turn).__name__}, expected text")
    context = tuple(clean_text(turn) for turn in turns)
    if not context or not context[-1]:
        raise InputError(
            f"{'no turns' if not context else 'a blank last turn'}; expected at least one turn, "
            "the last one said by the partner"
        )
    return context


def open_encoder(folder: Path, *, precision: Literal["auto", "fp32", "int8"] = "auto") -> Encoder:
    """The student in `folder` on ONNX Runtime if it was exported, else on torch.

    Raises:
        InputError: there is no student.
        DependencyError: it was not exported, and torch is missing.
    """
    if (folder / "onnx").is_dir():
        from g2r.encoder import OnnxEncoder

        return OnnxEncoder.load(folder / "onnx", precision=precision)
    from g2r.student import BiEncoder

    return BiEncoder.load(folder)


def _read_config(path: Path) -> BotConfig:
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; expected the options of a bot as JSON") from error
    return parse_config(BotConfig, values, where=str(path))
