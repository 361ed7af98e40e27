"""Any classifier behind an OpenAI-compatible moderation endpoint."""

import os
from collections.abc import Sequence
from typing import Any

from g2r.errors import DependencyError, VettingError
from g2r.vetting.base import Flag

try:
    import openai
except ImportError as error:
    raise DependencyError(
        "the classifier moderation:... needs the openai client; install it with: pip install 'g2r[openai]'"
    ) from error

_TEXTS_AT_ONCE = 32


class ModerationEndpoint:
    """Flags what `POST BASE_URL/moderations` flags.

    It is sent {"model": ..., "input": [texts]} and answers {"results": [{"flagged": true, "categories":
    {"violence": true}, "category_scores": {"violence": 0.98}}]}, one result a text. The key is that in
    OPENAI_API_KEY; failed requests are tried again twice.

    Attributes:
        name: "moderation:MODEL@BASE_URL".
    """

    def __init__(self, model: str, base_url: str, *, timeout: float = 30.0) -> None:
        self.name = f"moderation:{model}@{base_url}"
        self._model = model
        key = os.environ.get("OPENAI_API_KEY") or "none"
        self._client = openai.OpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=2)

    def flags(self, texts: Sequence[str]) -> list[list[Flag]]:
        """Ask about all texts, 32 at once.

        Raises:
            VettingError: the endpoint cannot be reached, refuses, or answers something else.
        """
        flags: list[list[Flag]] = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            flags += self._ask(texts[start : start + _TEXTS_AT_ONCE])
        return flags

    def _ask(self, texts: Sequence[str]) -> list[list[Flag]]:
        try:
            answer: Any = self._client.moderations.with_raw_response.create(
                model=self._model, input=list(texts)
            ).http_response.json()
            flags = [self._flags(result) for result in answer["results"]]
        except openai.OpenAIError as error:
            raise VettingError(
                f"{self.name} failed ({type(error).__name__}: {' '.join(str(error).split())[:200]}); "
                "check its address, the model's name and OPENAI_API_KEY"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise VettingError(
                f"{self.name} gave no moderation results ({error}); expected "
                '{"results": [{"flagged": ..., "categories": {...}, "category_scores": {...}}]}'
            ) from error
        if len(flags) != len(texts):
            raise VettingError(
                f"{self.name} gave {len(flags)} results for {len(texts)} texts; expected one each"
            )
        return flags

    def _flags(self, result: dict[str, Any]) -> list[Flag]:
        """The categories that hold; one flag without category where the endpoint names none."""
        if not result["flagged"]:
            return []
        held = [category for category, holds in result.get("categories", {}).items() if holds]
        scores = result.get("category_scores", {})
        return [
            Flag(category, round(float(scores.get(category, 1.0)), 4), f"{self.name} says {category}")
            for category in held or ["flagged"]
        ]
