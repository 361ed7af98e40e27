"""What a folder of files holds, told by a small JSON file beside them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from g2r.errors import ArtifactError

RecordT = TypeVar("RecordT")


def read_record(
    path: Path, kind: str, build: Callable[[dict[str, Any]], RecordT], *, what: str, made_by: str
) -> RecordT:
    """Return what `build` makes of the values of the record at `path`.

    Args:
        kind: the value of its field `kind`, which `build` does not see.
        what: what the record is to describe, for errors.
        made_by: the command that makes it anew, for errors.

    Raises:
        ArtifactError: there is none, it is of another kind, or its values are none that `build` takes.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("kind") != kind:
            raise ValueError("it is of another kind")
        return build(values)
    except OSError as error:
        raise ArtifactError(
            f"no {what} in {path.parent}: {error.strerror} ({path.name}); make it with {made_by}"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArtifactError(f"{path} describes no {what} ({error}); make it again with {made_by}") from error
