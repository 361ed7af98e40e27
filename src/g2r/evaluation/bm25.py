"""BM25 by bm25s, the control that knows words and nothing else."""

from collections.abc import Sequence

import numpy as np

from g2r.duplicates import normal_form
from g2r.errors import DependencyError
from g2r.evaluation.metrics import Floats


class Bm25:
    """BM25 (Lucene's, k1 1.5, b 0.75) over texts; words are those of the normal form, none is left out.

    Raises:
        DependencyError: bm25s is not installed.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        try:
            import bm25s
        except ImportError as error:
            raise DependencyError("BM25 needs bm25s: pip install 'g2r[eval]'") from error
        self._size = len(texts)
        self._index = bm25s.BM25()
        self._index.index([normal_form(text).split() for text in texts], show_progress=False)

    def scores(self, query: str) -> Floats:
        """The score of every text for `query`, 0 where they share no word: float (texts,)."""
        words = normal_form(query).split()
        if not words:
            return np.zeros(self._size)
        return np.asarray(self._index.get_scores(words), dtype=np.float64)
