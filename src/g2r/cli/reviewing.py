"""The commands that vet a bank: vet, review."""

import sys
from collections import Counter
from typing import Annotated

import typer

from g2r.cli.banking import By, Place, bank_app, bank_folder, open_bank, print_json, split_tags, whoever
from g2r.cli.base import DEFAULT_BOT, Json, errors, watched
from g2r.vetting.review import Question, Review

_CHOICES = "[k]eep, [b]an, [t]ag TAG,..., [s]kip, [q]uit"


@bank_app.command("vet")
def vet_(
    path: Place = DEFAULT_BOT,
    classifier: Annotated[
        str,
        typer.Option(
            "--classifier",
            help="Separated by commas: words, words:FILE, personal, duplicates, hf:MODEL, "
            "moderation:MODEL@http://host/v1.",
        ),
    ] = "words,personal,duplicates",
    as_json: Json = False,
) -> None:
    """Flag responses that a person should look at; g2r bank review asks about them one by one."""
    from g2r.vetting.classifiers import open_classifier
    from g2r.vetting.flagging import vet, write_flags

    bank = open_bank(path)
    classifiers = [open_classifier(name) for name in split_tags(classifier)]
    with watched("vet") as progress:
        flags = vet(bank, classifiers, progress=progress)
    write_flags(bank_folder(path), flags, of=[each.name for each in classifiers])
    labels = dict(sorted(Counter(flag.label for flag in flags).items()))
    flagged = len({flag.response_id for flag in flags})
    if as_json:
        print_json({"responses": len(bank), "flagged": flagged, "flags": labels})
        return
    print(f"{flagged} of {len(bank)} responses flagged")
    for label, count in labels.items():
        print(f"{count:>7}  {label}")


@bank_app.command("review")
def review_(path: Place = DEFAULT_BOT, by: By = "", as_json: Json = False) -> None:
    """Go through what g2r bank vet flagged: keep, ban or tag each; goes on where the last review stopped."""
    from g2r.vetting.flagging import read_flags

    bank = open_bank(path)
    review = Review(bank, read_flags(bank_folder(path)), by=whoever(by))
    questions = review.questions()
    decided: Counter[str] = Counter()
    for number, question in enumerate(questions, 1):
        _show(f"{number}/{len(questions)}", question)
        choice = _decide(review, question)
        if choice == "quit":
            break
        decided[choice] += 1
    left = len(review.questions())
    if as_json:
        print_json({**decided, "left": left})
    else:
        print(", ".join([*(f"{choice} {count}" for choice, count in decided.items()), f"left {left}"]))


def _show(place: str, question: Question) -> None:
    """Put a question on the terminal: the response and what is said against it."""
    errors.print(f"\n{place}  {question.text}", markup=False)
    for flag in question.flags:
        errors.print(f"  {flag.label} ({flag.score:g}): {flag.reason}", markup=False, style="dim")


def _decide(review: Review, question: Question) -> str:
    """Ask until there is a decision, and carry it out; the end of the input quits."""
    while True:
        errors.print(f"{_CHOICES}: ", markup=False, end="")
        line = sys.stdin.readline()
        word, _, rest = line.strip().partition(" ")
        match word.lower():
            case "k" | "keep":
                review.keep(question)
                return "kept"
            case "b" | "ban":
                review.ban(question)
                return "banned"
            case "s" | "skip":
                return "skipped"
            case "t" | "tag" if split_tags(rest):
                review.keep(question, *split_tags(rest))
                return "tagged"
            case "q" | "quit":
                return "quit"
        if not line:
            return "quit"
        errors.print("  expected one of these letters; t with the tags after it", style="dim")
