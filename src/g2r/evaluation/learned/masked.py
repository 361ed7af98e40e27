"""How specific a response is, by a masked language model: rare words are unlikely ones (USL-H: MLM)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from g2r.dialogue import Context
from g2r.errors import DependencyError, InputError
from g2r.evaluation.learned.scorers import specificity
from g2r.evaluation.metrics import Floats

try:
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer
except ImportError as error:
    raise DependencyError(
        f"the masked language model needs {error.name}: pip install 'g2r[train]'"
    ) from error

from g2r.student import quiet

_MOST_TOKENS = 64
_ROWS_AT_ONCE = 64


class MaskedScorer:
    """Mean negative log-likelihood a token, each token masked in turn, normalised by real replies' quartiles.

    The sum that the paper takes grows with the length of the response: the mean does not.
    """

    name = "MLM"

    def __init__(self, model: Any, tokenizer: Any, *, quartiles: tuple[float, float]) -> None:
        self._model, self._tokenizer, self._quartiles = model.eval(), tokenizer, quartiles

    @classmethod
    def load(cls, name: str | Path, replies: Sequence[str]) -> "MaskedScorer":
        """Load a masked language model and take the quartiles of real `replies`.

        Raises:
            InputError: it is not there or no such model, its tokenizer has no mask, or there are no replies.
        """
        with quiet():
            try:
                tokenizer = AutoTokenizer.from_pretrained(str(name))
                model, loaded = AutoModelForMaskedLM.from_pretrained(str(name), output_loading_info=True)
            except (OSError, ValueError, KeyError) as error:
                raise InputError(
                    f"no masked language model {str(name)!r}: {str(error).splitlines()[0]}"
                ) from error
        missing = sorted(loaded["missing_keys"])
        if tokenizer.mask_token_id is None or missing:
            raise InputError(
                f"{str(name)!r} is no masked language model "
                f"({'weights of its head are missing: ' + missing[0] if missing else 'its tokenizer has no mask'})"
            )
        if not replies:
            raise InputError("no real replies to normalise likelihoods by; expected some held-out ones")
        plain = cls(model, tokenizer, quartiles=(0.0, 1.0))
        low, high = np.quantile([plain.nll(reply) for reply in replies], [0.25, 0.75])
        return cls(model, tokenizer, quartiles=(float(low), float(high)))

    def score(self, contexts: Sequence[Context], responses: Sequence[str]) -> Floats:
        return specificity(np.array([self.nll(response) for response in responses]), self._quartiles)

    def nll(self, response: str) -> float:
        """Mean over the tokens of -log P(token | the others), nats; 0 for a response without tokens."""
        encoded = self._tokenizer(
            response, truncation=True, max_length=_MOST_TOKENS, return_special_tokens_mask=True
        )
        ids = torch.tensor(encoded["input_ids"])
        places = [i for i, special in enumerate(encoded["special_tokens_mask"]) if not special]
        if not places:
            return 0.0
        total = 0.0
        for start in range(0, len(places), _ROWS_AT_ONCE):
            own = torch.tensor(places[start : start + _ROWS_AT_ONCE])
            rows = torch.arange(len(own))
            masked = ids.repeat(len(own), 1)
            masked[rows, own] = self._tokenizer.mask_token_id
            with torch.inference_mode():
                logits = self._model(input_ids=masked, attention_mask=torch.ones_like(masked)).logits
            log_probabilities = torch.log_softmax(logits[rows, own].float(), dim=-1)
            total -= float(log_probabilities[rows, ids[own]].sum())
        return total / len(places)
