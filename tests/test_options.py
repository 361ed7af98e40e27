"""Command-line options of a configuration model."""

import pytest
import typer
from pydantic import BaseModel
from typer.testing import CliRunner

from g2r.options import options_of


class Lists(BaseModel):
    names: tuple[str, ...] = ("a", "b")
    sizes: tuple[int, ...] = (1,)


def given(arguments):
    found = {}
    app = typer.Typer()

    @app.command()
    @options_of(Lists)
    def command(*, options: dict) -> None:
        found.update(options)

    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return found


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {}),
        (["--names", "x,y"], {"names": ["x", "y"]}),
        (["--names", "", "--sizes", "3"], {"names": [], "sizes": ["3"]}),
    ],
)
def test_lists_come_as_one_value_and_may_be_empty(arguments, options):
    assert given(arguments) == options
