"""hits@1/20 on the held-out starter contexts, file by file: `python benchmarks/starter_by_file.py RUN [NAME ...]`.

RUN is a run on the starter corpus, NAME one of its students; all of them if none is named, and the untrained base. The
other candidates of a list come from the same file, so that the rows of single files are harder than the first.
"""

import argparse
from pathlib import Path

from g2r.artifacts import read_examples
from g2r.evaluation.students import compare_students
from g2r.student import BiEncoder

UNTRAINED = "untrained base"
FILES = {
    "all": ("d-", "s-", "p-", "q-", "r-"),
    "situations": ("s-",),
    "dialogues": ("d-",),
    "plain": ("p-",),
    "coverage": ("q-", "r-"),
}
"""How the ids of a file's rows begin."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("names", nargs="*", help='"student", or a folder under RUN/students')
    options = parser.parse_args()
    folder = options.run / "students"
    others = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    places = {
        name: options.run / "student" if name == "student" else folder / name
        for name in options.names or ["student", *others]
    }
    students = {name: BiEncoder.load(place) for name, place in places.items()}
    form = next(iter(students.values())).form
    base = BiEncoder.load("minilm").with_form(
        turn_order=form.turn_order,
        speaker_marks=form.speaker_marks,
        max_context_tokens=form.max_context_tokens,
        max_response_tokens=form.max_response_tokens,
        history=form.history,
    )
    test = [example for example in read_examples(options.run / "scored.parquet") if example.split == "test"]
    for name, beginnings in FILES.items():
        own = [example for example in test if example.dialogue_id.startswith(beginnings)]
        compared = compare_students({UNTRAINED: base, **students}, own, reference=UNTRAINED)
        print(f"\n{name}: {compared.contexts} contexts\n\n{compared.markdown()}", flush=True)


if __name__ == "__main__":
    main()
