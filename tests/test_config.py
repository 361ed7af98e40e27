import re

import pytest

from g2r.config import (
    DataConfig,
    GenerateConfig,
    IndexConfig,
    RunConfig,
    ServeConfig,
    TrainConfig,
    parse_config,
    read_run_config,
)
from g2r.errors import ConfigError


def test_an_unknown_key_names_the_nearest_valid_one():
    with pytest.raises(
        ConfigError, match=r"unknown option 'train.lerning_rate'; did you mean 'learning_rate'"
    ):
        parse_config(RunConfig, {"data": {}, "train": {"lerning_rate": 1}}, where="run.yaml")


def test_a_wrong_value_is_named_with_what_was_expected():
    with pytest.raises(ConfigError, match=r"run.yaml: train.batch_size: .*integer.*'many'"):
        parse_config(RunConfig, {"data": {}, "train": {"batch_size": "many"}}, where="run.yaml")


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (ServeConfig, {"fallback": "llm"}, "here: fallback llm needs a fallback_model"),
        (
            DataConfig,
            {"sources": ["hf:"]},
            "here: sources.0.path: a source without a name; expected a file, ",
        ),
        (DataConfig, {"sources": [3]}, "here: sources.0: expected options by name, got 3"),
        (TrainConfig, [1], "here: expected options by name, got [1]"),
        (TrainConfig, {"alpha": 3}, "here: alpha: expected less than or equal to 1, got 3"),
        (RunConfig, {}, "here: data: missing; give it"),
        (RunConfig, {"data": {}, "seeds": []}, "here: seeds: expected one or more, got []"),
        (RunConfig, {"data": {}, "teacher": {}}, "here: teacher: expected the option 'kind', "),
        (
            RunConfig,
            {"data": {}, "teacher": {"kind": "x"}},
            "here: teacher: expected 'kind' to be one of 'tr",
        ),
    ],
)
def test_errors_are_in_our_words(kind, values, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        parse_config(kind, values, where="here")


def test_sources_may_be_plain_strings():
    config = RunConfig.model_validate({"data": {"sources": ["starter", {"path": "x", "format": "text"}]}})
    assert [s.path for s in config.data.sources] == ["starter", "x"]


def test_compared_students_change_the_train_section():
    config = RunConfig.model_validate(
        {
            "data": {},
            "train": {"score": "judge", "epochs": 2},
            "compare": {
                "baseline": {"responses": "original", "score": None},
                "d": {"score": None, "init": "baseline"},
            },
        }
    )
    students = config.student_configs()
    assert list(students) == ["baseline", "d", "student"]
    assert students["baseline"] == TrainConfig(responses="original", epochs=2)
    assert students["student"] == TrainConfig(score="judge", epochs=2)


def test_init_names_a_student_trained_before():
    config = RunConfig.model_validate({"data": {}, "compare": {"a": {"init": "b"}, "b": {}}})
    with pytest.raises(ConfigError, match="init is 'b'"):
        config.student_configs()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compare": {"student": {}}}, r"compare has the name 'student'"),
        ({"compare": {"../d": {}}}, r"compare has the name '../d'"),
        ({"compare": {"d@1": {}}}, r"compare has the name 'd@1'"),
        ({"banks": {"bank": {}}}, r"banks has the name 'bank'"),
        ({"seeds": [-1]}, r"seeds.0: .*greater than or equal to 0"),
        ({"report": {"seed": -1}}, r"report.seed: .*greater than or equal to 0"),
    ],
)
def test_what_would_fail_late_or_silently_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(RunConfig, {"data": {}, **changes}, where="run.yaml")


def test_banks_change_the_index_section():
    config = RunConfig.model_validate({"data": {}, "banks": {"human": {"responses": "human"}}})
    assert config.bank_configs() == {"human": IndexConfig(responses="human"), "bank": IndexConfig()}


def test_more_responses_than_beams_is_refused():
    with pytest.raises(ConfigError, match="needs as many beams"):
        parse_config(GenerateConfig, {"method": "beam", "beams": 2, "responses_per_context": 5}, where="x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", "no valid YAML"),
        (b"- 1", "holds list"),
        (b"\xff\xfe", "no valid YAML"),
        (b"", "holds NoneType"),
    ],
)
def test_a_file_that_is_no_run(tmp_path, content, message):
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_run_config(path)


def test_a_missing_run_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        read_run_config(tmp_path / "none.yaml")


def test_a_student_that_would_not_read_the_whole_context_is_refused():
    with pytest.raises(ConfigError, match=r"train.history=4 is under data.history=8"):
        parse_config(RunConfig, {"data": {"history": 8}}, where="run.yaml")


@pytest.mark.parametrize("path", ["", "hf:", "  "])
def test_a_source_has_a_name(path):
    with pytest.raises(ConfigError, match="a source without a name"):
        parse_config(RunConfig, {"data": {"sources": [path]}}, where="run.yaml")
