"""How a context and a response become the tokens that the judge reads. No torch: the reranker uses it too."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from g2r.encoder import ContextForm, pad_tokens
from g2r.records import read_record

JUDGE_FILE = "g2r.json"
_KIND = "judge"


@dataclass(frozen=True, slots=True)
class PairForm:
    """[CLS] context, newest turn first [SEP] response [SEP].

    Attributes:
        history: turns that are read, the last ones.
        speaker_marks: say before each turn who speaks; the last turn is the partner's.
        separator: stands between two turns.
        max_tokens: of the pair; the longer of the two texts is cut at its end, the context at its oldest turn.
        token_types: whether the model is told by token type which of the two texts a token belongs to.
        pad_id: token that fills short pairs of a batch.
    """

    history: int = 4
    speaker_marks: bool = True
    separator: str = " [SEP] "
    max_tokens: int = 128
    token_types: bool = True
    pad_id: int = 0

    def context_text(self, context: Sequence[str]) -> str:
        """The text of a context, `context` oldest turn first.

        Raises:
            InputError: there is no turn.
        """
        return ContextForm(
            speaker_marks=self.speaker_marks, separator=self.separator, history=self.history
        ).text(context)

    def write(self, folder: Path) -> None:
        values = {"kind": _KIND, **asdict(self)}
        (folder / JUDGE_FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "PairForm":
        """Read what `write` wrote.

        Raises:
            ArtifactError: there is none, or it is that of something else.
        """
        return read_record(
            folder / JUDGE_FILE,
            _KIND,
            lambda values: cls(**values),
            what="judge",
            made_by="g2r judge train",
        )


@dataclass(frozen=True, slots=True)
class PairTokens:
    """Token ids of one pair, and for each token 0 (context) or 1 (response)."""

    ids: list[int]
    types: list[int]


class PairTokenizer:
    """Tokens of pairs as `form` says; works on its own copy of the tokenizer."""

    def __init__(self, tokenizer: Tokenizer, form: PairForm) -> None:
        self.form = form
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(form.max_tokens, strategy="longest_first", direction="right")

    def tokens(self, context: Sequence[str], responses: Sequence[str]) -> list[PairTokens]:
        """The tokens of one context with each of its responses."""
        text = self.form.context_text(context)
        encodings = self._tokenizer.encode_batch([(text, response) for response in responses])
        return [PairTokens(encoding.ids, encoding.type_ids) for encoding in encodings]

    def padded(self, pairs: Sequence[PairTokens]) -> dict[str, NDArray[np.int64]]:
        """What the model takes: arrays (pairs, tokens) padded to the longest."""
        inputs = pad_tokens([pair.ids for pair in pairs], pad_id=self.form.pad_id)
        if self.form.token_types:
            inputs["token_type_ids"] = pad_tokens([pair.types for pair in pairs], pad_id=0)["input_ids"]
        return inputs


def by_length(pairs: Sequence[PairTokens], at_once: int) -> list[list[int]]:
    """Numbers of the pairs in chunks of at most `at_once`, pairs of like length together."""
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i].ids))
    return [order[start : start + at_once] for start in range(0, len(order), at_once)]
