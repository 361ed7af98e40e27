import json

import pytest

from g2r.dialogue import Candidate, Scores
from g2r.errors import InputError
from g2r.reading.entries import Dialogue, Exchange, Row, split_named
from g2r.reading.formats import json_rows, parlai_exchanges, row_entries, text_dialogues


def entries(*objects):
    lines = [(n, json.dumps(o) if isinstance(o, dict) else o) for n, o in enumerate(objects, 1)]
    return [entry for row in json_rows(lines, "chats.jsonl") for entry in row_entries(row)]


def numbered(text):
    return list(enumerate(text.split("\n"), 1))


def test_a_dialogue_keeps_its_id_and_ignores_other_keys():
    assert entries({"id": 7, "turns": ["a", "b"], "topic": 3}) == [Dialogue(("a", "b"), "7")]


def test_without_id_the_text_alone_names_the_dialogue():
    [first], [second], [other] = (entries({"turns": t}) for t in (["a", "b"], ["a", "b"], ["a", "c"]))
    assert first.id == second.id != other.id


def test_named_split():
    assert entries({"turns": ["a", "b"], "split": "validation"})[0].split == "valid"
    with pytest.raises(InputError, match=r"chats.jsonl, line 1, field split: got str 'mine', expected"):
        entries({"turns": ["a", "b"], "split": "mine"})


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("validation", "valid"), ("dev", "valid"), ("test-00000-of-00002", "test"),
     ("train_clean", "train"), ("training", ""), ("tests", ""), ("all", ""), ("", "")],
)  # fmt: skip
def test_split_names(name, split):
    assert split_named(name) == split


def test_starter_dialogue_answers_only_where_it_has_alternatives():
    turns = ["u1", "b1", "u2", "b2"]
    first, second = entries({"id": "d", "turns": turns, "alternatives": {"1": ["x", "y"], "3": ["z"]}})
    assert first == Exchange(
        ("u1",),
        (Candidate("b1", "starter", True), Candidate("x", "starter"), Candidate("y", "starter")),
        "d",
    )
    assert (second.context, [c.text for c in second.candidates]) == (("u1", "b1", "u2"), ["b2", "z"])


def test_situation_pairs_context_i_with_reply_i_modulo_the_replies():
    found = entries({"id": "s", "contexts": [["c0"], ["c1", "x", "c1"], ["c2"]], "replies": ["r0", "r1"]})
    assert [
        (e.context, [c.text for c in e.candidates], [c.original for c in e.candidates]) for e in found
    ] == [
        (("c0",), ["r0", "r1"], [True, False]),
        (("c1", "x", "c1"), ["r0", "r1"], [False, True]),
        (("c2",), ["r0", "r1"], [True, False]),
    ]
    assert {e.dialogue_id for e in found} == {"s"}


def test_record_gives_the_human_reply_its_score_first():
    [entry] = entries({"turns": ["hi"], "human": "yo", "responses": ["hey", "hello"], "scores": [5, 8.5, 0]})
    assert entry.candidates == (
        Candidate("yo", "human", True, Scores(judge=5.0)),
        Candidate("hey", "recorded", False, Scores(judge=8.5)),
        Candidate("hello", "recorded", False, Scores(judge=0.0)),
    )


def test_record_without_human_reply_or_scores():
    [scored] = entries({"context": ["hi"], "responses": ["hey"], "scores": [8]})
    assert scored.candidates == (Candidate("hey", "recorded", False, Scores(judge=8.0)),)
    [bare] = entries({"context": ["hi"], "responses": ["hey"]})
    assert bare.candidates == (Candidate("hey", "recorded"),)


def test_record_ids_name_conversation_and_split():
    [entry] = entries({"id": "cc-test-0123abcd-8", "turns": ["hi"], "responses": ["hey"]})
    assert (entry.dialogue_id, entry.split) == ("0123abcd", "test")


def test_release_row_gives_back_its_mean_log_likelihood():
    row = {
        "context": ["a", "b"],
        "response": "c",
        "source": "blender",
        "score_infos": {"ll": -2.5, "mi": 0.75},
    }
    [entry] = entries(row)
    [candidate] = entry.candidates
    assert (candidate.text, candidate.source, candidate.original) == ("c", "blender", False)
    assert (candidate.scores.ll, candidate.scores.mi) == (-2.5, 0.75)
    [original] = entries({**row, "source": "original", "score_infos": None})[0].candidates
    assert (original.source, original.original, original.scores) == ("human", True, Scores())


def test_release_rows_of_one_dialogue_share_its_id():
    rows = [{"id": n, "context": ["start", "x"][:n], "response": "r"} for n in (1, 2)]
    rows.append({"id": 3, "context": ["other"], "response": "r"})
    ids = [entry.dialogue_id for entry in entries(*rows)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"turns": ["a"', "line 2: no valid JSON"),
        ("[" * 100_000, "line 2: no valid JSON"),
        ('["a", "b"]', "line 2: got a JSON list, expected an object"),
        ('{"text": "a"}', r"line 2, field turns: got keys \['text'\], expected turns, or context and response"),
        ('{"turns": null, "a": 1}', r"field turns: got keys \['a'\] and null in \['turns'\], expected turns"),
        ('{"turns": null}', r"field turns: got keys \[\] and null in \['turns'\], expected turns"),
        ('{"turns": "a"}', "line 2, field turns: got str 'a', expected a list"),
        ('{"turns": ["a", 5]}', r"line 2, field turns\[1\]: got int 5, expected a string"),
        ('{"turns": ["a", null]}', r"line 2, field turns\[1\]: got nothing, expected a string"),
        ('{"turns": ["a", ["b"]]}', r"line 2, field turns\[1\]: got list"),
        ('{"contexts": [["a"], "b"], "replies": ["c"]}', r"line 2, field contexts\[1\]: got str 'b'"),
        ('{"turns": ["a", "b"], "alternatives": {"2": ["c"]}}', r"field alternatives\.2: .* 1 to 1"),
        ('{"turns": ["a", "b"], "alternatives": {"1": [3]}}', r"field alternatives, field 1\[0\]: got int 3"),
        ('{"turns": ["a"], "responses": ["b"], "scores": [1, 2]}', "field scores: got 2 scores for 1 replies"),
        ('{"turns": ["a", "b"], "candidates": ["c"], "scores": [1]}', "field responses: got nothing, expected a list"),
        ('{"turns": ["a"], "responses": ["b"], "scores": [NaN]}', r"field scores\[0\]: got float nan"),
        ('{"turns": ["a"], "responses": ["b"], "scores": [11]}', r"field scores\[0\]: got int 11, .* 0 to 10"),
        ('{"turns": ["a"], "responses": ["b"], "scores": ["9"]}', r"field scores\[0\]: got str '9'"),
        ('{"turns": ["a"], "responses": ["b"], "scores": [true]}', r"field scores\[0\]: got bool True"),
        ('{"context": ["a"], "response": "b", "score_infos": {"ll": -Infinity}}', "field ll: got float -inf"),
        ('{"context": ["a"], "response": ["b"]}', "field response: got list .*, expected a string"),
    ],
)  # fmt: skip
def test_malformed_rows_name_file_line_and_field(line, message):
    with pytest.raises(InputError, match=message) as error:
        entries({"turns": ["fine", "fine"]}, line)
    assert str(error.value).startswith("chats.jsonl, line 2")
    assert "\n" not in str(error.value)


def test_a_row_shows_no_more_than_the_start_of_a_long_value():
    with pytest.raises(InputError) as error:
        Row({"turns": "x" * 10_000}, "a, line 1").texts("turns")
    assert len(str(error.value)) < 200


def test_text_dialogues_are_parted_by_blank_lines():
    found = list(text_dialogues(numbered("\n\na\nb\n  \n\nc\nd\ne")))
    assert [d.turns for d in found] == [("a", "b"), ("c", "d", "e")]
    assert list(text_dialogues([])) == []


def test_parlai_labels_answer_all_turns_before_them():
    lines = [
        r"text:your persona: i like tea.\nyour persona: i am old.\nhi\nhello\nhow are you?"
        + "\tlabels:fine|ok",
        "id:x\ttext:and you\\tthere?\teval_labels:me too\tepisode_done:True",
        "text:new\tlabels:first__PIPE__last\treward:1",
    ]
    first, second, third = parlai_exchanges(enumerate(lines, 1), "p.txt")
    assert first.context == ("hi", "hello", "how are you?")
    assert [(c.text, c.source, c.original) for c in first.candidates] == [
        ("fine", "human", True),
        ("ok", "human", True),
    ]
    assert second.context == ("hi", "hello", "how are you?", "fine", "and you\tthere?")
    assert third.context == ("new",)
    assert third.candidates[0].text == "first|last"
    assert first.dialogue_id == second.dialogue_id != third.dialogue_id


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("text:hi\tjust words", r"p.txt, line 2: got 'just words', expected tab-separated"),
        ("labels:hi\tepisode_done:True", "p.txt, line 2, field text: missing"),
        ("text:hi\tepisode_done:yes", "p.txt, line 2, field episode_done: got 'yes', expected True or False"),
    ],
)
def test_malformed_parlai_lines(line, message):
    with pytest.raises(InputError, match=message):
        list(parlai_exchanges([(1, "text:a\tlabels:b"), (2, line)], "p.txt"))


def test_half_a_character_is_named_with_its_line():
    whole = '{"turns": ["hi", "so \\ud83d\\ude00"]}'
    assert [row.texts("turns")[1] for row in json_rows(iter([(1, whole)]), "a.jsonl")] == ["so \U0001f600"]
    for line in ('{"turns": ["hi", "x\\ud800y"]}', '{"id": "\\ude00", "turns": ["hi", "ho"]}'):
        with pytest.raises(InputError, match=r"a.jsonl, line 2: half a character"):
            list(json_rows(iter([(1, whole), (2, line)]), "a.jsonl"))
