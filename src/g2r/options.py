"""Command-line options made from the configuration models: one definition for YAML, library, command line."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from g2r.config import parse_config, read_run_config


def options_of(*models: type[BaseModel]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option per field of `models`; those given arrive as the mapping `options`.

    The help text is the field's description and default, so that YAML, library and command line have one
    definition. Lists are given as one comma-separated value, an empty one as "".
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(command).parameters.values() if p.name != "options"]
        fields = {name: field for model in models for name, field in model.model_fields.items()}
        generated = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[
                    _option_type(field.annotation) | None,
                    typer.Option(_flag(name, field.annotation), help=_option_help(field), show_default=False),
                ],
            )
            for name, field in fields.items()
            if name not in {p.name for p in own} and _option_type(field.annotation) is not None
        ]

        def run(**arguments: Any) -> None:
            given = {p.name: arguments.pop(p.name) for p in generated}
            options = {
                name: (value.split(",") if value else []) if _is_list(fields[name].annotation) else value
                for name, value in given.items()
                if value is not None
            }
            command(**arguments, options=options)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(own + generated)  # type: ignore[attr-defined]
        return run

    return decorate


def _flag(name: str, annotation: Any) -> str:
    option = name.replace("_", "-")
    return f"--{option}/--no-{option}" if annotation is bool else f"--{option}"


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple


def _option_type(annotation: Any) -> Any:
    """The type of the option for a field, or None where only the YAML file can say it."""
    if annotation in (int, float, str, bool) or get_origin(annotation) is Literal:
        return annotation
    inner = [a for a in get_args(annotation) if a not in (type(None), Ellipsis)]
    if _is_list(annotation):
        return str if _option_type(inner[0]) is not None else None
    return _option_type(inner[0]) if len(inner) == 1 else None


def _option_help(field: Any) -> str:
    default = field.default
    if default is PydanticUndefined or default in (None, "", (), False):
        return str(field.description)
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    return f"{field.description} [default: {shown}]"


def section(kind: type[BaseModel], name: str, config: Path | None, options: dict[str, Any]) -> Any:
    """The configuration of one stage: the section of the run file, changed by the options given.

    Raises:
        ConfigError: the file or a value is wrong.
    """
    base = getattr(read_run_config(config), name, None) if config else None
    values = base.model_dump(exclude_unset=True) if base else {}
    return parse_config(kind, {**values, **options}, where=f"{config or 'command line'}: {name}")
