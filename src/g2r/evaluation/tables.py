"""Tables for people: values with their intervals as text, rows as markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from g2r.evaluation.metrics import NotComputed
from g2r.evaluation.significance import Difference, Estimate, SeedSpread

Value = str | int | float | None | NotComputed | Estimate | Difference | SeedSpread


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of text, with footnotes for what could not be computed."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The table in GitHub's markdown, its notes below it."""
        lines = [_line(self.headers), _line(["---"] * len(self.headers)), *map(_line, self.rows)]
        return "\n".join(lines + [f"\n{note}" for note in self.notes])


def table(headers: Sequence[str], rows: Sequence[Sequence[Value]]) -> Table:
    """Format values as cells; each reason for a missing value becomes a numbered note."""
    reasons: dict[str, int] = {}
    cells = tuple(tuple(_cell(value, reasons) for value in row) for row in rows)
    notes = tuple(f"[{number}] not computed: {reason}" for reason, number in reasons.items())
    return Table(tuple(headers), cells, notes)


def _cell(value: Value, reasons: dict[str, int]) -> str:
    match value:
        case None:
            return ""
        case NotComputed():
            return f"– [{reasons.setdefault(value.reason, len(reasons) + 1)}]"
        case Estimate():
            return f"{number(value.value)} [{number(value.low)}, {number(value.high)}]"
        case Difference():
            sign = "+" if value.value > 0 else ""
            return f"{sign}{number(value.value)} [{number(value.low)}, {number(value.high)}]"
        case SeedSpread():
            return f"{number(value.mean)} ({number(value.low)} to {number(value.high)}, {value.seeds} seeds)"
        case float():
            return number(value)
        case _:
            return str(value)


def number(value: float) -> str:
    """A number as it is printed: three decimals, less for what is large: .412, 1.25, 13.8."""
    decimals = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1
    return f"{value:.{decimals}f}"


def parse_table(markdown: str, notes: Sequence[str] = ()) -> Table:
    """The table of which `Table.markdown` made these lines; `notes` stood below it."""
    headers, _, *rows = map(_cells, markdown.splitlines())
    return Table(headers, tuple(rows), tuple(notes))


def _cells(line: str) -> tuple[str, ...]:
    """The cells of a line: a bar between spaces parts them, one in a cell has a backslash before it."""
    return tuple(cell.replace("\\|", "|") for cell in line[2:-2].split(" | "))


def _line(cells: Sequence[str]) -> str:
    escaped = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
