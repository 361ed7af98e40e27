"""The base of every configuration model, and errors that name the nearest valid key."""

import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from g2r.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound=BaseModel)


class StageConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def parse_config(kind: type[ConfigT], values: Any, *, where: str) -> ConfigT:
    """Validate `values` as a `kind`.

    Raises:
        ConfigError: one line naming the place, the value and what was expected; an unknown key gets the
            nearest valid one.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_explain(kind, error)}") from None


def _explain(kind: type[BaseModel], error: ValidationError) -> str:
    """The first problem as one line, with the nearest valid key where the key is unknown."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        valid = _keys(kind)
        nearest = difflib.get_close_matches(str(problem["loc"][-1]), valid, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"expected one of {', '.join(sorted(valid))}"
        return f"unknown option {key!r}; {hint}"
    told = _told(problem)
    return f"{key}: {told}" if key else told


def _told(problem: ErrorDetails) -> str:
    """What is wrong with a value, in our words where the library has its own names for things."""
    match problem["type"]:
        case "value_error":  # of a validator of ours, which says all of it
            return str(problem["ctx"]["error"])
        case "missing":
            return "missing; give it"
        case "model_type" | "dict_type" | "model_attributes_type":
            expected = "expected options by name"
        case "union_tag_invalid":
            expected = (
                f"expected {problem['ctx']['discriminator']} to be one of {problem['ctx']['expected_tags']}"
            )
        case "union_tag_not_found":
            expected = (
                f"expected the option {problem['ctx']['discriminator']}, which says what the others mean"
            )
        case "too_short":
            expected = "expected one or more"
        case _:
            expected = (
                problem["msg"].replace("Input should be", "expected", 1).partition(", unable to parse")[0]
            )
    return f"{expected}, got {problem['input']!r:.80}"


def _keys(kind: type[BaseModel]) -> set[str]:
    """Every key valid in `kind` or in a model inside it."""
    keys: set[str] = set()
    pending: list[Any] = [kind]
    while pending:
        item = pending.pop()
        if isinstance(item, type) and issubclass(item, BaseModel):
            keys |= set(item.model_fields)
            pending += [f.annotation for f in item.model_fields.values()]
        else:
            pending += getattr(item, "__args__", ())
    return keys
