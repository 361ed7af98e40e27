"""Reading dialogues: files in several formats, Hugging Face datasets, the packaged data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from g2r.config import DataConfig, SourceConfig, parse_config
from g2r.dialogue import Examples
from g2r.errors import ConfigError
from g2r.reading.examples import build_examples
from g2r.reading.sources import read_source

__all__ = ["read_data", "read_dialogues"]

Source = str | Path | SourceConfig


def read_data(config: DataConfig) -> Examples:
    """Read the dialogues of `config.sources` and turn them into examples; `build_examples` tells the counts.

    Raises:
        InputError: a source is missing, unreadable, malformed or empty, or nothing is left of it.
        ConfigError: no source is named.
        DependencyError: a source needs a package that is not installed.
    """
    if not config.sources:
        raise ConfigError('data.sources is empty; expected a file, "starter", "chitchat" or "hf:NAME"')
    limits = [source.max_examples for source in config.sources]
    return build_examples(map(read_source, config.sources), config, limits=limits)


def read_dialogues(source: Source | Sequence[Source], **options: Any) -> Examples:
    """Read dialogues from one or more sources.

    Args:
        source: a file or folder, "-" for standard input, "starter", "chitchat", "hf:NAME", a `SourceConfig`
            that says more, or several of these.
        options: fields of `DataConfig`, e.g. history=2.

    Raises:
        ConfigError: an option is unknown or out of range; and as `read_data`.
    """
    sources = [source] if isinstance(source, (str, Path, SourceConfig)) else list(source)
    given = [s.model_dump() if isinstance(s, SourceConfig) else {"path": str(s)} for s in sources]
    return read_data(parse_config(DataConfig, {**options, "sources": given}, where="read_dialogues"))
