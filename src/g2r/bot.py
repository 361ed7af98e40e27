"""The bot: encode the context, search the bank, apply the rules, answer or abstain (METHOD: at run time)."""

import json
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from g2r.artifacts import replacing
from g2r.bank import ADDED, BankResponse, Change, ResponseBank, held_log
from g2r.bank.rows import tag_set
from g2r.confidence import (
    CALIBRATION_FILE,
    Calibration,
    Origin,
    fitting_calibration,
    least_confidence,
    origin_of,
    signals_of,
)
from g2r.config import BotConfig, IndexConfig, parse_config
from g2r.dialogue import Context, check_turns
from g2r.duplicates import jaccard, shingles
from g2r.encoder import Encoder, Vectors
from g2r.errors import ArtifactError, ConfigError, InputError
from g2r.index.additions import Additions, LiveAdditions
from g2r.index.base import Hits, ResponseIndex, encode_views
from g2r.misses import MISSES_FILE, PROPOSALS_FILE
from g2r.progress import Progress, silent
from g2r.ranker.model import Ranker
from g2r.reply import RankedCandidate, Reply
from g2r.rerank import Reranker
from g2r.second_stage import Asked, SecondStage, reordered

__all__ = ["Bot", "RankedCandidate", "Reply", "check_turns", "open_encoder"]

_CANDIDATES = 10
CONFIG_FILE = "bot.json"
JUDGE_FOLDER, RANKER_FOLDER = "judge", "ranker"


class Bot:
    """A bank that talks. Stateless: each call brings its conversation, so conversations never mix.

    Attributes:
        encoder: the student's f.
        bank: what may be said; a ban there holds from the next reply on.
        index: where it is searched.
        config: the rules' numbers.
        calibration: what makes scores confidences; None before `g2r calibrate`.
        reranker: the second stage, used if `config.rerank` is over 0.
    """

    def __init__(
        self,
        encoder: Encoder,
        bank: ResponseBank,
        index: ResponseIndex,
        *,
        config: BotConfig | None = None,
        calibration: Calibration | None = None,
        reranker: SecondStage | None = None,
    ) -> None:
        """Put a bot together.

        Raises:
            ConfigError: it is to abstain by confidence, and the calibration is missing or cannot do that; or
                it is to rerank, and there is no reranker.
        """
        self.encoder = encoder
        self.bank = bank
        self.index = index
        self.config = config or BotConfig()
        self.calibration = calibration
        self.reranker = reranker
        if self.config.rerank and reranker is None:
            raise ConfigError(
                f"rerank is {self.config.rerank}, but the bot has no second stage; make one with g2r ranker "
                "train (its folder ranker) or g2r judge export (its folder judge), or set rerank to 0"
            )
        if self.config.rerank and reranker is not None:
            reranker.check(encoder.fingerprint, index.keys_of(np.zeros(0, dtype=np.int64)))
        self._least_confidence = least_confidence(self.config, calibration)
        self._student: Path | None = None
        self._stages: dict[str, Path] = {}
        self._additions = LiveAdditions(bank, index, encoder)

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
        """Open a folder that `save` or a run wrote: student, bank, its index; bot.json and judge where there.

        The student runs on ONNX Runtime where it was exported (student/onnx), else on torch. `student` and
        `bank` name other subfolders. A calibration.json that was made for another bank or student is not used.

        Raises:
            InputError: there is no bot in `path`.
            ConfigError: bot.json holds an unknown option, or asks for a share of bad replies that the
                calibration cannot hold.
            ArtifactError: the index was built for another bank or student; so was the calibration, and the
                bot is to abstain by it.
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
        config = config or read_rules(path)
        second = open_second_stage(path) if config.rerank else None
        origin = _origin(encoder, responses, found, config, second)
        calibration = fitting_calibration(path / CALIBRATION_FILE, origin, config)
        bot = cls(encoder, responses, found, config=config, calibration=calibration, reranker=second)
        bot._student = path / student
        bot._stages = {name: path / name for name in (JUDGE_FOLDER, RANKER_FOLDER) if (path / name).is_dir()}
        return bot

    @property
    def origin(self) -> Origin:
        """What its confidences depend on: a calibration of anything else does not fit."""
        return _origin(self.encoder, self.bank, self.index, self.config, self.reranker)

    def save(self, path: Path | str) -> None:
        """Write student, bank, index and rules into the folder `path`, whole or not at all.

        The bot keeps working on the saved bank: later bans go to its log. Of a bot that it replaces, the bank's
        log, the misses and the proposals stay.

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
        with ExitStack() as saved, replacing(path) as new:
            new.mkdir()
            if self._student is not None:
                shutil.copytree(self._student, new / "student")
            else:
                (new / "student").mkdir()
                write_encoder(new / "student")
            own = RANKER_FOLDER if isinstance(self.reranker, Ranker) else JUDGE_FOLDER
            stages = self._stages | ({own: self.reranker.folder} if self.reranker is not None else {})
            for name, folder in stages.items():
                shutil.copytree(folder, new / name)
            self.index.save(new / "bank" / "index")
            (new / CONFIG_FILE).write_text(self.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
            if self.calibration:
                (new / CALIBRATION_FILE).write_text(self.calibration.model_dump_json(indent=2) + "\n")
            for kept in (MISSES_FILE, PROPOSALS_FILE):
                if (path / kept).is_file():
                    shutil.copy2(path / kept, new)
            self.bank.write(new / "bank", earlier=saved.enter_context(held_log(path / "bank")))
        self.bank.attach(path / "bank")

    def add(
        self,
        *texts: str,
        contexts: Iterable[Sequence[str]] = (),
        tags: Iterable[str] = (),
        source: str = ADDED,
        reason: str = "",
        by: str = "",
    ) -> tuple[BankResponse, ...]:
        """Add responses to the bank, each for all of `contexts`, to be found from the next reply on.

        They are in the bank's log, on disk, when this returns, and encoded. Another process that serves the
        same bank finds them when it looks at the log, at its next reply.

        Args:
            texts: what may be said.
            contexts: conversations that each of them answers, turns oldest first.
            tags: marks of each of them.
            source: who wrote them.
            reason: why, for the log.
            by: who adds them, for the log.

        Raises:
            InputError: a text, context or tag is blank, a text is a near duplicate of a banned one, or there
                is no context and the bank is searched by contexts alone; nothing is added.
            ArtifactError: the log cannot be written; nothing is added.
        """
        contexts = list(contexts)
        if not contexts and not self.index.config.response_key:
            raise InputError(
                "a response without contexts, and the index has response_key 0: it would never be found; "
                "give the contexts that it answers"
            )
        added = self.bank.add(*texts, contexts=contexts, tags=tags, source=source, reason=reason, by=by)
        self._additions.follow(wait=True)
        return added

    def prepare(self, changes: Sequence[Change]) -> None:
        """Encode what `changes` of the bank would add: made later, they cost no reply any time."""
        self._additions.prepare(self.bank.after(changes).fresh)

    def refresh(self) -> None:
        """Take over what any process added, banned or tagged; every reply does so.

        Few additions are encoded here; many, such as an import, beside the replies that go on without them.
        """
        self.bank.refresh()
        self._additions.follow()

    def reply(
        self,
        turns: Sequence[str],
        *,
        tags: Collection[str] = (),
        without: Collection[str] = (),
        candidates: int = _CANDIDATES,
    ) -> Reply:
        """Answer a conversation.

        Args:
            turns: the conversation so far, oldest first, the last turn said by the partner.
            tags: only responses that carry all of them.
            without: no response that carries one of them, nor one of those that the bot's config names.
            candidates: how many ranked candidates the reply shows, at least 1.

        Raises:
            InputError: no turns, a turn that is no text, or a blank last turn.
        """
        return self.reply_batch([turns], tags=tags, without=without, candidates=candidates)[0]

    def reply_batch(
        self,
        conversations: Sequence[Sequence[str]],
        *,
        tags: Collection[str] = (),
        without: Collection[str] = (),
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
        self.refresh()
        # Taken before the mask, which may know rows that these do not, never fewer.
        additions = self._additions.current
        held = self.bank.state  # taken once: the reply tells the revision of the mask that it was found with
        allowed = held.allowed(tag_set(tags), tag_set({*without, *self.config.without}))
        stage = self.reranker if self.config.rerank else None
        views = (*additions.views, *(stage.views if stage else ()))
        start = time.perf_counter()
        queries = encode_views(self.encoder, contexts, views)
        encoding = (time.perf_counter() - start) / len(contexts)
        return [
            self._choose(
                context,
                partial(additions.search, query[: len(additions.views)], allowed=allowed),
                candidates,
                encoding,
                revision=held.revision,
                rate=partial(_rated, stage, context, dict(zip(views, query, strict=True)), additions)
                if stage
                else None,
            )
            for context, query in zip(contexts, queries, strict=True)
        ]

    def candidates(
        self,
        turns: Sequence[str],
        k: int = _CANDIDATES,
        *,
        tags: Collection[str] = (),
        without: Collection[str] = (),
    ) -> tuple[RankedCandidate, ...]:
        """The best `k` candidates that the rules leave, whether the bot would abstain or not."""
        return self.reply(turns, tags=tags, without=without, candidates=k).candidates

    def _choose(
        self,
        context: Context,
        search: Callable[[int], Hits],
        shown: int,
        encoding: float,
        *,
        revision: int,
        rate: Callable[[Sequence[str], NDArray[np.int64]], Vectors] | None = None,
    ) -> Reply:
        """Search deeper and deeper until the rules leave enough candidates, or nothing more is there."""
        said = [shingles(turn) for turn in context if turn]
        least = 2 if self.calibration else 1  # the confidence depends on the second one
        wanted = max(shown, least, self.config.rerank)
        searching, filtering, k = 0.0, 0.0, max(self.config.top_k, wanted)
        while True:
            started = time.perf_counter()
            hits = search(k)
            searched = time.perf_counter()
            places = self._unsaid(hits, said, wanted)
            filtering += time.perf_counter() - searched
            searching += searched - started
            if len(places) == wanted or len(hits) < k:
                break
            k *= 4
        started = time.perf_counter()
        ranked = [self._candidate(hits, place) for place in places]
        filtering += time.perf_counter() - started
        seconds = {"encode": encoding, "search": searching, "rules": filtering}
        if rate is not None:
            started = time.perf_counter()
            texts = [candidate.text for candidate in ranked[: self.config.rerank]]
            ratings = rate(texts, hits.rows[places[: len(texts)]]).tolist() if texts else []
            ranked = reordered(ranked, ratings, weight=self.config.rerank_weight)
            seconds["rerank"] = time.perf_counter() - started
        return self._answer(tuple(ranked), shown, seconds, revision)

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
        self,
        ranked: tuple[RankedCandidate, ...],
        shown: int,
        seconds: Mapping[str, float],
        revision: int,
    ) -> Reply:
        score = ranked[0].score if ranked else None
        confidence = self.calibration.confidence(signals_of(ranked)) if self.calibration and ranked else None
        abstained = (
            not ranked or _under(score, self.config.min_score) or _under(confidence, self._least_confidence)
        )
        timings = {**seconds, "total": sum(seconds.values())}
        return Reply(
            text="" if abstained else ranked[0].text,
            response_id=None if abstained else ranked[0].response_id,
            score=score,
            candidates=ranked[:shown],
            timings_ms={phase: round(1000 * spent, 3) for phase, spent in timings.items()},
            abstained=abstained,
            bank_version=self.bank.version,
            bank_revision=revision,
            confidence=confidence,
        )


def _origin(
    encoder: Encoder,
    bank: ResponseBank,
    index: ResponseIndex,
    config: BotConfig,
    reranker: SecondStage | None,
) -> Origin:
    judge = reranker.fingerprint if reranker is not None else ""
    return origin_of(bank.version, encoder.fingerprint, index.config, config, judge=judge)


def _rated(
    stage: SecondStage,
    context: Context,
    views: Mapping[str, Vectors],
    additions: Additions,
    texts: Sequence[str],
    rows: NDArray[np.int64],
) -> Vectors:
    """The ratings of the responses in these rows of the bank."""
    return stage.rate(Asked(context, texts, views, partial(additions.keys_of, rows)))


def open_second_stage(folder: Path, *, threads: int = 0) -> SecondStage | None:
    """The second stage in the folder of a bot: its judge, else its ranker; None without either.

    Args:
        folder: of the bot.
        threads: of one call of the judge; 0 for one a core.

    Raises:
        ArtifactError: it is damaged.
    """
    if (folder / JUDGE_FOLDER).is_dir():
        return Reranker.load(folder / JUDGE_FOLDER, threads=threads)
    return Ranker.load(folder / RANKER_FOLDER) if (folder / RANKER_FOLDER).is_dir() else None


def _under(value: float | None, bar: float | None) -> bool:
    return value is not None and bar is not None and value < bar


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


def read_rules(folder: Path) -> BotConfig:
    """The rules of the bot in `folder`: its bot.json, or what holds without one.

    Raises:
        InputError: the file is no JSON.
        ConfigError: it holds an unknown option or a value out of range.
    """
    path = folder / CONFIG_FILE
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; expected the options of a bot as JSON") from error
    return parse_config(BotConfig, values, where=str(path))
