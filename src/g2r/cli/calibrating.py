"""The command that calibrates a bot's confidence: calibrate."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from g2r.artifacts import replacing
from g2r.cli.base import BotPath, ConfigFile, Force, Json, app, errors, watched
from g2r.cli.distilling import teacher_config
from g2r.config import BotConfig, CalibrateConfig, OpenAITeacherConfig, TeacherConfig, parse_config
from g2r.errors import ConfigError
from g2r.options import options_of
from g2r.progress import Progress

JudgeName = Annotated[
    str,
    typer.Option(
        "--teacher", help="Who rates: judge:FOLDER, recorded:FILE, or openai:MODEL@http://host:port/v1."
    ),
]


def judging(config: TeacherConfig) -> TeacherConfig:
    """A teacher that is to rate; an endpoint named on the command line is asked for ratings."""
    return config.model_copy(update={"score": "judge"}) if isinstance(config, OpenAITeacherConfig) else config


@app.command()
@options_of(CalibrateConfig)
def calibrate(
    path: BotPath,
    examples: Annotated[
        Path | None, typer.Argument(help="Examples whose held-out contexts the bot answers (parquet).")
    ] = None,
    teacher: JudgeName = "",
    ratings: Annotated[
        Path | None,
        typer.Option("--ratings", help='Ratings of this bot\'s replies: {"turns", "text", "score"} a line.'),
    ] = None,
    max_bad: Annotated[
        float | None,
        typer.Option("--max-bad", min=0.001, max=0.999, help="Share of bad replies that is accepted."),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Have the bot abstain by --max-bad from now on (bot.json).")
    ] = False,
    config: ConfigFile = None,
    force: Force = False,
    as_json: Json = False,
    *,
    options: dict[str, Any],
) -> None:
    """Learn how sure a bot may be of its replies, and from what confidence on it should speak."""
    from g2r.bot import CONFIG_FILE, JUDGE_FOLDER, RANKER_FOLDER
    from g2r.confidence import CALIBRATION_FILE, read_calibration, unreachable
    from g2r.evaluation.reliability import reliability_section, thresholds_section
    from g2r.stage import Stage

    if (ratings is None) == (examples is None):
        raise ConfigError("give either examples, with --teacher to rate the replies, or --ratings FILE")
    settings = parse_config(CalibrateConfig, options, where="command line: calibrate")
    rater = judging(teacher_config(teacher, config)) if ratings is None else None
    source = {"examples": examples} if examples else {"ratings": ratings}
    output = path / CALIBRATION_FILE
    journal = path / "calibration.journal"

    def work(progress: Progress) -> Mapping[str, Any]:
        return _calibrate(path, examples, ratings, rater, settings, journal, progress)

    rules = path / CONFIG_FILE
    summary = Stage(
        name="calibrate",
        output=output,
        config={**settings.model_dump(mode="json"), "teacher": rater and rater.model_dump(mode="json")},
        inputs={
            **{name: file for name, file in source.items() if file},
            **{name: path / name for name in ("student", "bank")},
            **({"rules": rules} if rules.is_file() else {}),
            **{name: path / name for name in (JUDGE_FOLDER, RANKER_FOLDER) if (path / name).is_dir()},
        },
        work=work,
        begins=b"{",
        journal=journal,
    ).run(force=force, progress=watched)
    made = read_calibration(output)
    assert made is not None, "the stage has just written it"
    step = made.step_for(max_bad) if max_bad is not None else None
    if as_json:
        told = {"step": step and step.model_dump(), "counts": dict(summary.counts), **made.model_dump()}
        print(json.dumps(told, ensure_ascii=False))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for section in (reliability_section(made), thresholds_section(made)):
            console.print(f"{section.title}\n{section.text}\n", markup=False)
            if section.table:
                console.print(section.table.markdown() + "\n", markup=False)
    if max_bad is None:
        return
    if step is None:
        raise ConfigError(unreachable(made, max_bad))
    if apply:
        _apply(rules, max_bad)
    if not as_json:
        errors.print(
            f"replies of confidence {step.confidence:.3f} or more: at most {max_bad:g} bad with certainty "
            f"{made.certainty:g}, {step.answered:.3f} of the contexts answered; "
            + (f"{rules} says so now" if apply else "--apply makes the bot abstain under it"),
            markup=False,
        )


def _calibrate(
    path: Path,
    examples: Path | None,
    ratings: Path | None,
    rater: TeacherConfig | None,
    settings: CalibrateConfig,
    journal: Path,
    progress: Progress,
) -> Mapping[str, Any]:
    """Rate the bot's replies, calibrate, and write the calibration beside the bot."""
    from g2r.artifacts import read_examples
    from g2r.bot import Bot, read_rules
    from g2r.calibration import calibrate, draw_contexts, rate_replies, read_ratings
    from g2r.confidence import CALIBRATION_FILE
    from g2r.teachers import open_teacher
    from g2r.teachers.recorded import RecordedTeacher

    speaking = {"min_score": None, "min_confidence": None, "max_bad_replies": None}
    bot = Bot.load(path, config=read_rules(path).model_copy(update=speaking))
    given = read_ratings(ratings) if ratings else read_examples(examples) if examples else []
    contexts = draw_contexts(
        given,
        split="train" if ratings else settings.split,
        contexts=settings.contexts,
        seed=settings.seed,
    )
    teacher = open_teacher(rater) if rater else RecordedTeacher(given, "ratings")
    rated = rate_replies(bot, contexts, teacher, journal=journal, progress=progress)
    made = calibrate(rated.items, bot.origin, settings)
    with replacing(path / CALIBRATION_FILE) as new:
        new.write_text(made.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return rated.counts


def _apply(rules: Path, max_bad: float) -> None:
    """Write the accepted share into the bot's rules."""
    from g2r.bot import read_rules

    changed = {**read_rules(rules.parent).model_dump(mode="json"), "max_bad_replies": max_bad}
    text = parse_config(BotConfig, changed, where=str(rules)).model_dump_json(indent=2)
    with replacing(rules) as new:
        new.write_text(text + "\n", encoding="utf-8")
