"""Opening the systems of a benchmark: the bot in each precision, those that retrieve beside it, those that generate."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from g2r.bank import ResponseBank
from g2r.bot import Bot, open_second_stage
from g2r.config import BenchConfig, BotConfig, IndexConfig
from g2r.dialogue import Context
from g2r.encoder import GRAPH_FILES, Encoder, OnnxEncoder, Precision
from g2r.errors import DependencyError
from g2r.evaluation.metrics import NotComputed
from g2r.index import FaissIndex
from g2r.index.keys import RESPONSE_KEY, Keys
from g2r.latency.banks import RunBank, bank_of, bytes_per_response, index_of
from g2r.latency.generative import (
    GenerativeRival,
    architecture_named,
    fitting_dtype,
    parameters,
    random_model,
)
from g2r.latency.memory import available_bytes, resident_bytes
from g2r.latency.rounds import TimedSystem
from g2r.latency.systems import Bm25Rival, PhasedEncoder, PlainRival, TimedBot
from g2r.rerank import Reranker
from g2r.second_stage import SecondStage
from g2r.student import BiEncoder

RIVAL = "SentenceTransformer + flat fp32"
"""What the others are compared with."""

TORCH_BOT = "g2r, torch"
"""The bot whose student runs on torch, on the device of the generative rivals."""


@dataclass(slots=True)
class Opened:
    """The systems that take part, in the order in which they were opened.

    Attributes:
        response_bytes: memory of a response of their bank beside its vector, by what it is for.
        systems: ready to reply.
        memory: by how many bytes the process grew for each.
        missing: those that could not be opened, with the reason.
    """

    response_bytes: dict[str, float]
    systems: list[TimedSystem] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    missing: dict[str, NotComputed] = field(default_factory=dict)

    def open(self, make: Callable[[], TimedSystem], warm_up: Context, *, shared: int = 0) -> None:
        """Make a system, let it reply once, note by how much the process grew.

        Args:
            make: opens what is the system's alone.
            warm_up: what it replies to.
            shared: bytes that were taken before, for what it shares with others.
        """
        gc.collect()
        before = resident_bytes()
        system = make()
        system.reply(warm_up)
        gc.collect()
        self.memory[system.name] = shared + max(0, resident_bytes() - before)
        self.systems.append(system)


def bot_name(precision: Precision, *, further: str = "") -> str:
    """The name of the bot whose student runs on ONNX Runtime in a precision."""
    return f"g2r, ONNX {precision}" + (f", {further}" if further else "")


def open_systems(run: Path, bank: RunBank, config: BenchConfig, *, threads: int, warm_up: Context) -> Opened:
    """Open every system over the same bank of `config.responses`.

    Raises:
        InputError: the run has no student.
        ConfigError: a generative rival is not known.
        ArtifactError: the exported student or re-ranker is damaged.
    """
    texts = bank.grown_texts(config.responses, seed=config.seed)
    keys = bank.grown_keys(config.responses, seed=config.seed)
    responses = bank_of(texts)
    opened = Opened(bytes_per_response(responses, keys))
    index = index_of(keys, bank.config)
    _open_exported(
        opened, run, responses, index, _response_keys_alone(keys, bank.config), config, threads, warm_up
    )
    student = BiEncoder.load(run / "student", device=config.device)
    opened.open(partial(_bot, TORCH_BOT, student, responses, index, device=config.device), warm_up)
    vectors = next((kind.vectors for kind in keys if kind.name == RESPONSE_KEY), None)
    if vectors is None:  # the bot searches by contexts alone; the rival knows responses only
        vectors = bank.grown_response_keys(config.responses, student.encode_responses, seed=config.seed)
    opened.open(partial(PlainRival, RIVAL, student, vectors, texts, device=config.device), warm_up)
    try:
        opened.open(partial(Bm25Rival, "BM25", texts), warm_up)
    except DependencyError as error:
        opened.missing["BM25"] = NotComputed(str(error))
    _open_generators(opened, config, student, warm_up)
    return opened


def _open_exported(
    opened: Opened,
    run: Path,
    responses: ResponseBank,
    index: FaissIndex,
    alone: FaissIndex | None,
    config: BenchConfig,
    threads: int,
    warm_up: Context,
) -> None:
    """The bot on ONNX Runtime: in each precision by the run's keys and by response keys alone; re-ranked."""
    exported = run / "student" / "onnx"

    def bot(
        name: str, precision: Precision, found: FaissIndex, reranker: SecondStage | None = None
    ) -> TimedBot:
        encoder = OnnxEncoder.load(exported, precision=precision, threads=threads)
        return _bot(name, encoder, responses, found, reranker=reranker, rerank=config.rerank)

    precisions: Sequence[Precision] = ("fp32", "int8")
    for precision in precisions:
        if not (exported / GRAPH_FILES[precision]).is_file():
            opened.missing[bot_name(precision)] = NotComputed("the student has no such graph; see g2r export")
            continue
        opened.open(partial(bot, bot_name(precision), precision, index), warm_up)
        if alone is not None:
            name = bot_name(precision, further="response keys")
            opened.open(partial(bot, name, precision, alone), warm_up)
    stage = (
        Reranker.load(Path(config.reranker), threads=threads)
        if config.reranker
        else open_second_stage(run, threads=threads)
    )
    if stage is not None:
        name = bot_name("fp32", further=f"re-ranking {config.rerank}")
        opened.open(partial(bot, name, "fp32", index, stage), warm_up)


def _bot(
    name: str,
    encoder: Encoder,
    responses: ResponseBank,
    index: FaissIndex,
    *,
    device: str = "cpu",
    reranker: SecondStage | None = None,
    rerank: int = 0,
) -> TimedBot:
    phased = PhasedEncoder(encoder)
    config = BotConfig(rerank=rerank if reranker is not None else 0)
    return TimedBot(
        name, Bot(phased, responses, index, config=config, reranker=reranker), phased, device=device
    )


def _response_keys_alone(keys: Sequence[Keys], config: IndexConfig) -> FaissIndex | None:
    """The index of the response keys, where the run's has others beside them."""
    own = [kind for kind in keys if kind.name == RESPONSE_KEY]
    if len(keys) == 1 or not own:
        return None
    return index_of(own, config.model_copy(update={"response_key": 1.0, "context_key": 0.0}))


def _open_generators(opened: Opened, config: BenchConfig, student: BiEncoder, warm_up: Context) -> None:
    """The generative rivals that fit into memory, greedy and with beams; of the others the reason."""
    for name in config.generators:
        architecture = architecture_named(name)
        dtype = fitting_dtype(parameters(architecture), available_bytes(config.device), config.dtype)
        if isinstance(dtype, NotComputed):
            opened.missing[f"BlenderBot {name}"] = dtype
            continue
        before = resident_bytes()
        model = random_model(architecture, dtype=dtype, device=config.device, seed=config.seed)
        weights = max(0, resident_bytes() - before)
        for beams in config.beams:
            rival = partial(
                GenerativeRival,
                f"BlenderBot {name} {'greedy' if beams == 1 else f'beam {beams}'}",
                model,
                student,
                beams=beams,
                tokens=config.output_tokens,
                note=f"{dtype}, random weights, {config.output_tokens} tokens of output",
            )
            opened.open(rival, warm_up, shared=weights)
