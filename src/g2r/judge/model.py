"""The judge: a cross-encoder that rates how well a response follows from a context, 0 to 10."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2r.artifacts import replacing
from g2r.encoder import Vectors
from g2r.errors import ConfigError, DependencyError, InputError
from g2r.judge.pairs import JUDGE_FILE, PairForm, PairTokenizer, PairTokens, by_length

try:
    import torch
    from safetensors import SafetensorError
    from torch import Tensor
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging as transformers_logging
except ImportError as error:
    raise DependencyError(f"the judge needs {error.name}: pip install 'g2r[train]'") from error

from g2r.student import packaged_model, quiet

TRAINING_FILE = "training.json"
HIGHEST = 10.0
_LAYER = re.compile(r"\.layers?\.(\d+)\.")


class Judge:
    """Rates pairs: 10 * sigmoid of the one output of a sequence-classification model.

    Attributes:
        model: the transformers model, one output.
        tokenizer: its fast tokenizer.
        form: how a pair becomes tokens.
        training: what was counted and measured in training, empty for a base.
    """

    def __init__(
        self, model: Any, tokenizer: Any, form: PairForm, *, training: Mapping[str, Any] | None = None
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.form = form
        self.training: Mapping[str, Any] = training or {}
        self.pairs = PairTokenizer(tokenizer.backend_tokenizer, form)

    @classmethod
    def load(cls, name: str | Path, *, layers: int = 0, device: str | None = None) -> "Judge":
        """Load a judge, or a base: "minilm" (packaged), a folder, or a hub name.

        A base gets a new output, drawn from torch's generator, and the default form.

        Args:
            layers: keep the first so many layers; 0 for all.
            device: of torch; by default a GPU where there is one.

        Raises:
            InputError: it is not there, or no model that can classify texts.
            ConfigError: it has fewer layers.
            ArtifactError: `g2r.json` there is no judge's.
        """
        path = packaged_model(str(name)) or str(name)
        form = PairForm.read(Path(path)) if _is_judge(Path(path)) else None
        with quiet(), _no_report():
            try:
                config = AutoConfig.from_pretrained(path, num_labels=1)
                if layers > config.num_hidden_layers:
                    raise ConfigError(f"layers is {layers}, but {name} has {config.num_hidden_layers}")
                config.num_hidden_layers = layers or config.num_hidden_layers
                tokenizer = AutoTokenizer.from_pretrained(path)
                model = AutoModelForSequenceClassification.from_pretrained(
                    path, config=config, dtype=torch.float32, ignore_mismatched_sizes=True
                )
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                raise InputError(
                    f"no judge {str(name)!r}: {str(error).strip().splitlines()[0]}; expected a folder "
                    'written by g2r judge, "minilm", or a transformers model and a network'
                ) from error
        training = Path(path) / TRAINING_FILE
        known = json.loads(training.read_text("utf-8")) if form and training.is_file() else {}
        where = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(model.to(where), tokenizer, form or _default_form(tokenizer, config), training=known)

    def with_form(self, **changes: Any) -> "Judge":
        """The same model reading pairs in another form.

        Raises:
            ConfigError: the pairs are longer than the model reads.
        """
        form = replace(self.form, **changes)
        longest = getattr(self.model.config, "max_position_embeddings", None) or form.max_tokens
        if form.max_tokens > longest:
            raise ConfigError(
                f"max_tokens is {form.max_tokens}, but this base reads at most {longest}; lower it"
            )
        return Judge(self.model, self.tokenizer, form, training=self.training)

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.model.parameters()).device
        return device

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the weights and the form, equal for equal scores."""
        digest = hashlib.sha256(json.dumps(asdict(self.form), sort_keys=True).encode())
        for name, weight in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def score(self, context: Sequence[str], responses: Sequence[str]) -> Vectors:
        """Rate each response to a context (turns oldest first): float32 (responses,), 0 to 10.

        Raises:
            InputError: the context has no turn.
        """
        return self.score_lists([context], [responses])[0].astype(np.float32)

    def score_lists(
        self, contexts: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]], *, at_once: int = 64
    ) -> list[NDArray[np.float64]]:
        """Rate the candidates of each context: one float (candidates,) a context; a `Scorer` of evaluation.

        Args:
            at_once: pairs in one forward pass.

        Raises:
            InputError: a context has no turn.
        """
        lists = [self.pairs.tokens(c, texts) for c, texts in zip(contexts, candidates, strict=True)]
        flat = [pair for own in lists for pair in own]
        with torch.inference_mode():
            ratings = HIGHEST * torch.sigmoid(self.logits(flat, at_once=at_once).float())
        ends = np.cumsum([len(own) for own in lists])[:-1]
        return np.split(ratings.cpu().numpy().astype(np.float64), ends)

    def logits(self, pairs: Sequence[PairTokens], *, at_once: int) -> Tensor:
        """The output for each pair, float (pairs,), computed in chunks of like length: little is padded."""
        if not pairs:
            return torch.zeros(0)
        chunks = by_length(pairs, at_once)
        outputs = []
        for chunk in chunks:
            arrays = self.pairs.padded([pairs[i] for i in chunk])
            inputs = {k: torch.from_numpy(v).to(self.device) for k, v in arrays.items()}
            outputs.append(self.model(**inputs).logits.squeeze(1))
        order = torch.tensor([i for chunk in chunks for i in chunk], device=self.device)
        joined = torch.cat(outputs)
        return joined[torch.argsort(order)]

    def freeze(self, first_layers: int) -> None:
        """Take the embeddings and the first layers out of training; -1 for nothing."""
        for name, parameter in self.model.named_parameters():
            layer = _LAYER.search(name)
            in_body = "embeddings" in name or (layer is not None and int(layer[1]) < first_layers)
            parameter.requires_grad_(not (first_layers >= 0 and in_body))

    def head(self) -> list[Any]:
        """The parameters of the output and of the pooler under it, which a base has not trained."""
        body = f"{self.model.base_model_prefix}."
        return [p for n, p in self.model.named_parameters() if not n.startswith(body) or ".pooler." in n]

    def save(self, folder: Path) -> None:
        """Write an ordinary transformers folder with g2r.json beside it, whole or not at all.

        Raises:
            ArtifactError: the place is not writable.
        """
        with replacing(Path(folder)) as new:
            new.mkdir()
            self.write(new)

    def write(self, folder: Path) -> None:
        """Write the files of the judge into `folder`; `save` does so safely.

        Raises:
            OSError: a file could not be written.
        """
        try:
            with quiet():
                self.model.save_pretrained(folder)
                self.tokenizer.save_pretrained(folder)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        self.form.write(folder)
        text = json.dumps(dict(self.training), indent=2, ensure_ascii=False)
        (folder / TRAINING_FILE).write_text(text + "\n", encoding="utf-8")


def _is_judge(folder: Path) -> bool:
    """Whether the folder is a judge's: a student that serves as base has a g2r.json of another kind."""
    path = folder / JUDGE_FILE
    return path.is_file() and '"kind"' in path.read_text(encoding="utf-8")


@contextmanager
def _no_report() -> Iterator[None]:
    """Keep the note that a base has no output of its own yet off the terminal."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)


def _default_form(tokenizer: Any, config: Any) -> PairForm:
    token = tokenizer.sep_token
    most = PairForm().max_tokens
    return PairForm(
        max_tokens=min(most, getattr(config, "max_position_embeddings", None) or most),
        separator=f" {token} " if token else "\n",
        token_types="token_type_ids" in tokenizer.model_input_names,
        pad_id=tokenizer.pad_token_id or 0,
    )
