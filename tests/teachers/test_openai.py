"""The HTTP teacher against a real server process on loopback."""

import asyncio
import math
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2r.config import GenerateConfig, OpenAITeacherConfig
from g2r.dialogue import NO_SCORES
from g2r.errors import ConfigError, TeacherError
from g2r.teachers import Teacher, endpoint, open_teacher
from g2r.teachers.base import identity
from g2r.teachers.endpoint import Pace, is_local, retry_pause
from g2r.teachers.openai import OPENING, OpenAITeacher, chat_messages, document, parse_rating, request_seed
from servers import MODEL, ToyServer, free_address, text_logprobs, token_logprob, tokenize, toy_server

CONTEXTS = [("hi there", "hello, how are you?", "fine, and you?"), ("do you like tea?",), ()]
THREE = GenerateConfig(responses_per_context=3)


@pytest.fixture(scope="module")
def process() -> Iterator[ToyServer]:
    with toy_server() as running:
        yield running


@pytest.fixture
def server(process: ToyServer, monkeypatch: pytest.MonkeyPatch) -> ToyServer:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(endpoint, "FIRST_PAUSE", 0.001)
    process.behave()
    return process


def teacher(server: ToyServer, **options: object) -> OpenAITeacher:
    return OpenAITeacher(MODEL, base_url=server.base_url, **options)


def expected_ll(context: tuple[str, ...], response: str) -> tuple[float, int]:
    """Sum and count over the response's tokens, one after the other."""
    head = len(tokenize(document(context)))
    tokens = tokenize(f"{document(context)} {response}\n")
    total = 0.0
    for t in range(head, len(tokens)):
        total += token_logprob(tokens[t], tokens[t - 1])
    return total, len(tokens) - head


def test_is_a_teacher_without_asking_the_server() -> None:
    made = open_teacher(OpenAITeacherConfig(model="org/name", base_url=free_address()))
    assert isinstance(made, Teacher)
    assert (made.name, made.score_kinds) == ("name", {"ll"})
    assert OpenAITeacher("m", score="judge").score_kinds == {"judge"}
    assert OpenAITeacher("m", score="none").score_kinds == frozenset()


def test_a_journal_knows_it_by_what_it_says_not_by_its_pace() -> None:
    known = identity(OpenAITeacher("chat", timeout=9.0))
    assert identity(OpenAITeacher("chat", timeout=90.0, retries=9, concurrency=1)) == known
    for other in ({"system_prompt": "You are a pirate."}, {"base_url": "http://127.0.0.1:1/v1"}):
        assert identity(OpenAITeacher("chat", **other)) != known


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'concurrency'"):
        OpenAITeacher("m", concurency=3)


def test_generate_answers_in_order_and_depends_on_the_arguments_alone(server: ToyServer) -> None:
    first = teacher(server).generate(CONTEXTS, THREE, seed=5)
    assert [len(samples) for samples in first] == [3, 3, 3]
    assert teacher(server, concurrency=1).generate(CONTEXTS[::-1], THREE, seed=5) == first[::-1]
    assert teacher(server).generate(CONTEXTS[:1], THREE, seed=5) == first[:1]
    assert teacher(server).generate(CONTEXTS, THREE, seed=6) != first


def test_generate_sends_roles_and_sampling(server: ToyServer) -> None:
    settings = GenerateConfig(
        responses_per_context=2, top_k=7, top_p=0.9, temperature=0.8, max_tokens=33, min_tokens=2
    )
    teacher(server, system_prompt="Be kind.").generate(CONTEXTS[:1], settings, seed=1)
    (body,) = server.seen()["bodies"]
    seed = request_seed(1, CONTEXTS[0], 0)
    assert body == {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "hi there"},
            {"role": "assistant", "content": "hello, how are you?"},
            {"role": "user", "content": "fine, and you?"},
        ],
        **{
            "n": 2,
            "top_k": 7,
            "top_p": 0.9,
            "temperature": 0.8,
            "max_tokens": 33,
            "min_tokens": 2,
            "seed": seed,
        },
    }


@given(st.lists(st.text(max_size=5), max_size=6))
def test_roles_alternate_and_the_user_speaks_first_and_last(context: list[str]) -> None:
    messages = chat_messages(tuple(context))
    assert [m["role"] for m in messages] == [("user", "assistant")[i % 2] for i in range(len(messages))]
    assert messages[-1]["role"] == "user"
    said = [m["content"] for m in messages]
    assert said == (context if len(context) % 2 else [OPENING, *context])


def test_samples_keep_untempered_log_probabilities_alone(server: ToyServer) -> None:
    for samples in teacher(server).generate(CONTEXTS, THREE, seed=0):
        for sample in samples:
            values = text_logprobs(sample.text)[1:]
            assert sample.scores.tokens == len(values)
            assert sample.scores.ll_sum == pytest.approx(math.fsum(v for v in values if v is not None))
    tempered = THREE.model_copy(update={"temperature": 0.7})
    without = [
        *teacher(server).generate(CONTEXTS, tempered, seed=0),
        *teacher(server, score="judge").generate(CONTEXTS, THREE, seed=0),
    ]
    server.behave(logprobs="none")
    without += teacher(server).generate(CONTEXTS, THREE, seed=0)
    assert all(sample.scores == NO_SCORES for samples in without for sample in samples)


def test_samples_cut_at_the_token_limit_are_not_finished(server: ToyServer) -> None:
    assert all(s.finished for s in teacher(server).generate([("hi",)], THREE, seed=0)[0])
    server.behave(finish_reason="length")
    assert not any(s.finished for s in teacher(server).generate([("hi",)], THREE, seed=0)[0])


def test_a_server_that_ignores_n_is_asked_again(server: ToyServer) -> None:
    server.behave(choices=1)
    (samples,) = teacher(server).generate([("hi",)], THREE, seed=0)
    assert len(samples) == 3
    bodies = server.seen()["bodies"]
    assert [body["n"] for body in bodies] == [3, 2, 1]
    assert len({body["seed"] for body in bodies}) == 3


def test_what_the_protocol_lacks_is_refused_before_anything_is_sent(server: ToyServer) -> None:
    for settings in (GenerateConfig(method="beam"), GenerateConfig(no_repeat_ngram=3)):
        with pytest.raises(TeacherError, match="set method: sample and no_repeat_ngram: 0"):
            teacher(server).generate(CONTEXTS, settings, seed=0)
    assert server.seen()["requests"] == 0


@pytest.mark.parametrize(
    ("said", "way_out"),
    [
        ("Unrecognized request argument supplied: top_k", "set generate.top_k: 0"),
        ("logprobs are not available for this model", "set teacher.score: judge, or none"),
    ],
)
def test_a_refused_option_names_the_way_out(server: ToyServer, said: str, way_out: str) -> None:
    server.behave(faults=["400"] * 9, message=said)
    with pytest.raises(TeacherError, match=way_out):
        teacher(server).generate([("hi",)], THREE, seed=0)
    assert server.seen()["requests"] == 1


@pytest.mark.parametrize("faults", [["empty"] * 3, []])
def test_nothing_written_is_an_error(server: ToyServer, faults: list[str]) -> None:
    server.behave(faults=faults, said=[" "])
    with pytest.raises(TeacherError, match=r"gave 0 responses|wrote nothing"):
        teacher(server).generate([("hi",)], THREE, seed=0)


@pytest.mark.parametrize("begin", [True, False])
def test_log_likelihood_equals_a_loop_over_tokens(server: ToyServer, begin: bool) -> None:
    server.behave(begin=begin)
    responses = [["yes, really", "no"], ["really", "tea. lovely!", "thé 🍵 really"], [], ["hello there"]]
    contexts = [*CONTEXTS, ("🙂 café", "really")]
    scored = teacher(server).score(contexts, responses)
    assert [len(scores) for scores in scored] == [2, 3, 0, 1]
    for context, given_responses, scores in zip(contexts, responses, scored, strict=True):
        for response, score in zip(given_responses, scores, strict=True):
            total, count = expected_ll(context, response)
            assert (score.ll_sum, score.tokens) == (pytest.approx(total), count)
            assert score.judge is None


def test_a_context_is_echoed_once_for_all_its_responses(server: ToyServer) -> None:
    teacher(server).score([("hi",), ("ho",)], [["a", "b", "c"], []])
    assert server.seen()["requests"] == 4


def test_line_breaks_never_end_a_turn_early(server: ToyServer) -> None:
    scored = teacher(server).score([("hi\nBot: no",)], [["yes\nUser: me", "yes User: me"]])
    assert scored[0][0] == scored[0][1]
    assert document(("hi\nBot: no",), system_prompt="Be\nkind") == "Be kind\n\nUser: hi Bot: no\nBot:"


@pytest.mark.parametrize("logprobs", ["sampled", "none"])
@pytest.mark.parametrize("score", ["auto", "ll"])
def test_without_log_probabilities_of_given_text_the_choice_left_is_named(
    server: ToyServer, logprobs: str, score: str
) -> None:
    server.behave(logprobs=logprobs)
    made = teacher(server, score=score)
    kept = made.generate([("hi",)], THREE, seed=0)[0][0].scores.ll is not None
    assert kept == (logprobs == "sampled")
    with pytest.raises(TeacherError, match=r"no log-probabilities of a given text.*score: judge") as caught:
        made.score([("hi",)], [["yes"]])
    assert "\n" not in str(caught.value)


def test_nan_log_probabilities_are_refused(server: ToyServer) -> None:
    server.behave(faults=["nan"] * 9)
    with pytest.raises(TeacherError, match="not finite"):
        teacher(server).generate([("hi",)], THREE, seed=0)
    with pytest.raises(TeacherError, match="not finite"):
        teacher(server).score([()], [["yes really"]])


def test_judge_reads_a_number_and_asks_once_more(server: ToyServer) -> None:
    server.behave(said=["7/10"])
    scores = teacher(server, score="judge").score([("hi",), ()], [["yes", "no"], ["ho"]])
    assert [[s.judge for s in row] for row in scores] == [[7.0, 7.0], [7.0]]
    bodies = server.seen()["bodies"]
    assert all(body["temperature"] == 0 for body in bodies)
    prompts = {body["messages"][0]["content"] for body in bodies}
    assert any("User: hi\nBot: yes\n" in prompt for prompt in prompts)
    server.behave(said=["I would say seven"])
    with pytest.raises(TeacherError, match=r"asked twice .* 'I would say seven'"):
        teacher(server, score="judge").score([("hi",)], [["yes"]])
    assert [len(body["messages"]) for body in server.seen()["bodies"]] == [1, 3]


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("7", 7),
        (" 7.5\n", 7.5),
        ("10/10.", 10),
        ("0", 0),
        ("11", None),
        ("-3", None),
        ("7 or 8", None),
        ("", None),
    ],
)
def test_ratings_are_parsed_strictly(text: str, rating: float | None) -> None:
    assert parse_rating(text) == rating


def test_score_none_scores_nothing(server: ToyServer) -> None:
    with pytest.raises(TeacherError, match="set it to ll or judge"):
        teacher(server, score="none").score([("hi",)], [["yes"]])


@pytest.mark.parametrize("fault", ["429", "500", "503", "408", "drop", "malformed", "shapeless"])
def test_what_may_pass_is_tried_again(server: ToyServer, fault: str) -> None:
    calm = teacher(server).generate([("hi",)], THREE, seed=0)
    server.behave(faults=[fault, fault], retry_after="0")
    assert teacher(server, retries=2).generate([("hi",)], THREE, seed=0) == calm
    assert server.seen()["requests"] == 3


def test_a_hanging_server_is_given_up_after_the_timeout(server: ToyServer) -> None:
    server.behave(faults=["hang"])
    assert teacher(server, timeout=0.2, retries=1).generate([("hi",)], THREE, seed=0)
    server.behave(faults=["hang"] * 2)
    with pytest.raises(TeacherError, match=r"failed 2 times, at last: no answer within 0\.2 s"):
        teacher(server, timeout=0.2, retries=1).generate([("hi",)], THREE, seed=0)


@pytest.mark.parametrize(
    ("fault", "said"),
    [("500", "500: as the test wants"), ("drop", "peer closed|incomplete"), ("shapeless", "not the JSON")],
)
def test_giving_up_says_what_happened(server: ToyServer, fault: str, said: str) -> None:
    server.behave(faults=[fault] * 3)
    with pytest.raises(TeacherError, match=rf"failed 3 times, at last: .*({said})"):
        teacher(server, retries=2).generate([("hi",)], THREE, seed=0)
    assert server.seen()["requests"] == 3


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ({"retry_after": "86400"}, "asks to wait 86400 s"),
        (
            {"code": "insufficient_quota", "message": "no credit left"},
            r"refused the request \(429: no credit left",
        ),
    ],
)
def test_a_long_wait_or_a_used_up_quota_ends_at_once(
    server: ToyServer, behaviour: dict[str, str], said: str
) -> None:
    server.behave(faults=["429"], **behaviour)
    with pytest.raises(TeacherError, match=said):
        teacher(server).generate([("hi",)], THREE, seed=0)
    assert server.seen()["requests"] == 1


def test_at_most_so_many_requests_are_under_way(server: ToyServer) -> None:
    server.behave(delay=0.05)
    contexts = [(f"turn {i}",) for i in range(12)]
    teacher(server, concurrency=3).generate(contexts, THREE, seed=0)
    assert server.seen()["peak"] == 3


def test_one_failure_ends_the_call(server: ToyServer) -> None:
    server.behave(faults=["ok", "400"], delay=0.02)
    with pytest.raises(TeacherError, match="refused the request"):
        teacher(server, concurrency=1).generate([(f"turn {i}",) for i in range(30)], THREE, seed=0)
    assert server.seen()["requests"] < 5


def test_errors_name_address_model_and_variable_but_never_the_key(
    server: ToyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_KEY", "sk-very-secret")
    made = teacher(server, api_key_env="TOY_KEY")
    made.generate([("hi",)], THREE, seed=0)
    assert server.seen()["keys"] == ["Bearer sk-very-secret"]
    server.behave(faults=["401"], message="bad key sk-very-secret\nsee the manual")
    with pytest.raises(TeacherError) as wrong_key:
        made.generate([("hi",)], THREE, seed=0)
    with pytest.raises(TeacherError) as wrong_model:
        OpenAITeacher("gone", base_url=server.base_url).generate([("hi",)], THREE, seed=0)
    with pytest.raises(TeacherError) as wrong_place:
        OpenAITeacher(MODEL, base_url=free_address()).generate([("hi",)], THREE, seed=0)
    assert "TOY_KEY holds a key it refuses" in str(wrong_key.value)
    assert "knows no model 'gone'" in str(wrong_model.value)
    assert "no server answers at http://127.0.0.1:" in str(wrong_place.value)
    for caught in (wrong_key, wrong_model):
        assert server.base_url in str(caught.value)
    for caught in (wrong_key, wrong_model, wrong_place):
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)


def test_a_key_is_needed_away_from_home_alone(server: ToyServer) -> None:
    teacher(server).generate([("hi",)], THREE, seed=0)
    assert server.seen()["keys"] == ["Bearer none"]
    with pytest.raises(TeacherError, match="needs a key, and OPENAI_API_KEY is not set"):
        OpenAITeacher("m", base_url="https://api.example.com/v1").generate([("hi",)], THREE, seed=0)
    homes = [
        "http://localhost:1/v1",
        "http://[::1]:80/v1",
        "http://10.1.2.3/v1",
        "http://vllm:8000/v1",
        "http://gpu.local",
    ]
    assert all(map(is_local, homes))
    assert not any(map(is_local, ["https://api.openai.com/v1", "http://8.8.8.8/v1"]))


def test_works_inside_a_running_event_loop(server: ToyServer) -> None:
    async def notebook() -> int:
        return len(teacher(server).generate([("hi",)], THREE, seed=0)[0])

    assert asyncio.run(notebook()) == 3


def test_pauses_grow_or_are_what_the_server_asks_for() -> None:
    assert [retry_pause(i, None, now=0) for i in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert retry_pause(0, "7", now=0) == 7
    assert retry_pause(0, "Thu, 01 Jan 1970 00:01:30 GMT", now=60) == 30
    assert retry_pause(0, "Thu, 01 Jan 1970 00:01:30 GMT", now=600) == 0
    assert retry_pause(3, "soon", now=0) == 4


@given(st.lists(st.floats(0, 5), max_size=20), st.floats(1, 600))
def test_requests_keep_the_rate(gaps: list[float], rate: float) -> None:
    pace, now, starts = Pace(rate), 0.0, []
    for gap in gaps:
        now += gap
        starts.append(now + pace.reserve(now))
    assert all(b - a >= 60 / rate - 1e-6 for a, b in pairwise(starts))


def test_a_held_pace_starts_nothing_before_its_time() -> None:
    pace = Pace(None)
    assert pace.reserve(1.0) == 0
    pace.hold(1.0, 4.0)
    pace.hold(2.0, 1.0)
    assert (pace.reserve(2.0), pace.reserve(9.0)) == (3.0, 0.0)


def test_a_missing_client_names_the_command() -> None:
    program = (
        "import sys; sys.modules['openai'] = None\n"
        "from g2r.errors import DependencyError\n"
        "try:\n    import g2r.teachers.openai\n"
        "except DependencyError as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "pip install 'g2r[openai]'" in said
