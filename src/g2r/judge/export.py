"""The judge as ONNX graphs, for the second stage without torch."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from g2r.artifacts import refuse_other, replacing
from g2r.dialogue import Context
from g2r.encoder import EXPORT_FILE, GRAPH_FILES, TOKENIZER_FILE
from g2r.errors import ArtifactError
from g2r.export import write_graph, write_int8
from g2r.judge.model import HIGHEST, Judge
from g2r.rerank import Reranker, RerankRecord

MAX_FP32_DIFFERENCE = 0.01
MIN_SAME_FIRST = 0.95
"""The int8 graph is served if it puts the same response first in so many lists."""

_AWKWARD: tuple[tuple[Context, tuple[str, ...]], ...] = (
    (("",), ("", "ok")),
    (("hi", "so " * 600), ("so " * 600, "naïve café 🙂")),
    (("naïve café 🙂", "שלום", "ok"), ("fine", "?")),
)


class _Rater(nn.Module):
    """The judge from tokens to ratings."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Tokens (pairs, tokens) to ratings (pairs,), 0 to 10."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        outputs = self.model(input_ids=input_ids, attention_mask=attention_mask, **types)
        ratings: Tensor = HIGHEST * outputs.logits.squeeze(1).sigmoid()
        return ratings


def export_judge(
    judge: Judge, folder: Path, *, lists: Sequence[tuple[Context, Sequence[str]]] = ()
) -> Mapping[str, Any]:
    """Write the judge as ONNX graphs in fp32 and int8 into `folder`; return what was measured.

    The folder is replaced whole or not at all. The int8 graph is served if, on `lists` (contexts with
    responses), it puts the same response first as the fp32 one in 95 of 100.

    Raises:
        ArtifactError: the fp32 graph does not give the judge's ratings, or the place is not writable or
            holds something else.
    """
    refuse_other(Path(folder), mark=EXPORT_FILE)
    record = RerankRecord(judge.form, judge.fingerprint, lists=len(lists))
    with replacing(Path(folder)) as new:
        new.mkdir()
        (new / TOKENIZER_FILE).write_text(judge.tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
        record.write(new)
        example = judge.pairs.padded(judge.pairs.tokens(("a", "b"), ["c", "c c"]))
        write_graph(
            _Rater(copy.deepcopy(judge.model).cpu().eval()), example, "ratings", new / GRAPH_FILES["fp32"]
        )
        write_int8(new)
        fp32 = Reranker.load(new, precision="fp32")
        record = replace(record, fp32_difference=_difference(judge, fp32, [*lists[:8], *_AWKWARD]))
        if lists:
            same = same_first(fp32, Reranker.load(new, precision="int8"), lists)
            record = replace(
                record, precision="int8" if same >= MIN_SAME_FIRST else "fp32", int8_same_first=same
            )
        record.write(new)
    measured = asdict(record)
    return {name: measured[name] for name in ("precision", "fp32_difference", "int8_same_first", "lists")}


def same_first(one: Reranker, other: Reranker, lists: Sequence[tuple[Context, Sequence[str]]]) -> float:
    """Share of lists of which both rate the same response highest."""
    return float(np.mean([one.scores(*item).argmax() == other.scores(*item).argmax() for item in lists]))


def _difference(judge: Judge, graph: Reranker, lists: Sequence[tuple[Context, Sequence[str]]]) -> float:
    """Largest difference of ratings.

    Raises:
        ArtifactError: it is over `MAX_FP32_DIFFERENCE`.
    """
    largest = max(float(np.abs(judge.score(*item) - graph.scores(*item)).max()) for item in lists)
    if not largest <= MAX_FP32_DIFFERENCE:
        raise ArtifactError(
            f"the exported graph rates otherwise than the judge: by {largest:.4f} of 10, expected at most "
            f"{MAX_FP32_DIFFERENCE}; report its base model"
        )
    return largest
