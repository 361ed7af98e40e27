"""The ranker: numpy rates as the trained network does, it learns what the search cannot see, the bot obeys it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from g2r.bank import ResponseBank
from g2r.bot import Bot
from g2r.cli import main
from g2r.config import BotConfig, IndexConfig, RankerConfig
from g2r.dialogue import Candidate, Example
from g2r.errors import ArtifactError, ConfigError
from g2r.index.base import encode_views, view_of
from g2r.judge.data import OnPolicyList
from g2r.ranker.features import LIKENESSES, NAMES, READ, VIEWS, see
from g2r.ranker.model import Ranker, RankerRecord
from g2r.ranker.training import _Network, fit, see_lists, train_ranker
from g2r.second_stage import Asked
from word_encoder import WordEncoder

THINGS = [f"thing{i}" for i in range(40)]
INDEX = IndexConfig(response_key=0.3, context_key=1.0, min_recall_at_1=0, min_recall_at_10=0)
QUICK = RankerConfig(epochs=30, folds=2, projected=16, hidden=32, dropout=0.1, learning_rate=5e-3)


def context_of(thing: str) -> tuple[str, ...]:
    return ("hello there", "well hello", f"so tell me. what of {thing} now")


@pytest.fixture(scope="module")
def bot() -> Bot:
    """Of each thing a fine and a sorry word; the search cannot tell which is wanted."""
    examples = [
        Example((f"what of {thing}",), (Candidate(f"{word} {thing}", "human", original=True),))
        for thing in THINGS
        for word in ("sorry", "fine")
    ]
    bank = ResponseBank.from_examples(examples, near_duplicates=1.0)
    return Bot.build(WordEncoder(), bank, index=INDEX)


@pytest.fixture(scope="module")
def lists(bot: Bot) -> list[OnPolicyList]:
    """What it retrieves, rated: fine is good, whatever the topic."""
    return [
        OnPolicyList(
            f"d{i}-0",
            context_of(thing),
            tuple(c.text for c in bot.candidates(context_of(thing), 8)),
            tuple(8.0 if c.text.startswith("fine") else 1.0 for c in bot.candidates(context_of(thing), 8)),
        )
        for i, thing in enumerate(THINGS)
    ]


@pytest.fixture(scope="module")
def folder(bot: Bot, lists: list[OnPolicyList], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("ranker") / "ranker"
    train_ranker(bot, lists, output=place, config=QUICK)
    return place


def test_it_learns_what_the_search_cannot_see(folder: Path) -> None:
    measured = Ranker.load(folder).record.measured
    assert measured["lists"] == 40
    assert measured["best_possible"] == 1.0
    assert measured["first_good_before"] < 0.8
    assert measured["first_good"] > 0.95


def test_numpy_rates_as_the_network_does(bot: Bot, lists: list[OnPolicyList]) -> None:
    rated = see_lists(bot, lists)
    config = RankerConfig(epochs=2)
    weights = fit(rated, config)
    network = _Network(48, torch.from_numpy(weights["mean"]), torch.from_numpy(weights["scale"]), config)
    names = {"response": "response.weight", "hidden": "hidden.weight", "second": "second.weight"}
    state = {there: torch.from_numpy(weights[here].T) for here, there in names.items()}
    state |= {f"{n}.bias": torch.from_numpy(weights[f"{n}_bias"]) for n in ("hidden", "second", "last")}
    state |= {"last.weight": torch.from_numpy(weights["last"][None])}
    for i in range(len(READ)):
        state |= {f"of_views.{i}.weight": torch.from_numpy(weights["views"][i].T)}
        state |= {f"of_views.{i}.bias": torch.from_numpy(weights["views_bias"][i])}
    network.load_state_dict(state)
    seen = rated[0].seen
    with torch.no_grad():
        logits = network.eval()(
            *(torch.from_numpy(a)[None] for a in (seen.features, seen.responses, seen.views))
        )
    ranker = Ranker(Path(), None, weights)  # type: ignore[arg-type]
    np.testing.assert_allclose(ranker.ratings(seen), 10 * torch.sigmoid(logits[0]).numpy(), atol=1e-4)
    again = fit(rated, config)
    assert all(np.array_equal(weights[name], again[name]) for name in weights)


def test_features_are_the_likenesses_they_are_named_for(bot: Bot) -> None:
    context = context_of("thing3")
    hits = bot.candidates(context, 5)
    rows = np.array([bot.bank.row(c.response_id) for c in hits])
    views = dict(zip(VIEWS, encode_views(bot.encoder, [context], VIEWS)[0], strict=True))
    seen = see(Asked(context, [c.text for c in hits], views, lambda: bot.index.keys_of(rows)))
    assert seen.features.shape == (5, len(NAMES))
    column = dict(zip(LIKENESSES, seen.features.T, strict=False))
    for place, c in enumerate(hits):
        response = bot.encoder.encode_responses([c.text])[0]
        key = bot.encoder.encode_contexts([c.contexts[0].turns])[0]
        for view in VIEWS:
            asked = bot.encoder.encode_contexts([view_of(context, view)])[0]
            assert column[f"response~{view}"][place] == pytest.approx(response @ asked, abs=2e-3)
            assert column[f"last1~{view}"][place] == pytest.approx(key @ asked, abs=2e-3)
    assert view_of(context, "sentence") == ("what of thing3 now",)
    assert view_of(context, "previous") == ("well hello",)
    assert view_of(context[:1], "previous") == ()


def test_a_context_that_is_a_key_itself_does_not_teach_by_that(bot: Bot) -> None:
    own = ("what of thing3",)
    item = OnPolicyList("d-0", own, ("fine thing3", "fine thing4"), (8.0, 1.0))
    column = dict(zip(LIKENESSES, see_lists(bot, [item])[0].seen.features.T, strict=False))
    assert column["last1~last1"][0] == 0
    assert 0 < column["last1~last1"][1] < 1


def test_a_feature_that_never_varied_counts_for_nothing(bot: Bot) -> None:
    contexts = [("so tell me. what of thing3 now",), ("and what of thing4",)]
    lists = [
        OnPolicyList(f"d{i}-0", c, ("fine thing3", "fine thing4", "sorry thing5"), (8.0, 1.0, 1.0))
        for i, c in enumerate(contexts)
    ]
    weights = fit(see_lists(bot, lists), QUICK)
    turns = NAMES.index("turns")
    assert np.isinf(weights["scale"][turns])
    ranker = Ranker(Path(), RankerRecord("", ""), weights)
    seen = see_lists(bot, lists)[0].seen
    further = replace(seen, features=seen.features.copy())
    further.features[:, turns] += 7
    np.testing.assert_array_equal(ranker.ratings(seen), ranker.ratings(further))


def test_a_damaged_ranker_that_is_not_used_stops_nobody(bot: Bot, folder: Path, tmp_path: Path) -> None:
    Bot(bot.encoder, bot.bank, bot.index, reranker=Ranker.load(folder)).save(tmp_path / "bot")
    (tmp_path / "bot" / "ranker" / "weights.npz").write_bytes(b"")
    (tmp_path / "bot" / "judge").mkdir()
    loaded = load_with_words(tmp_path / "bot")
    assert loaded.reply(context_of("thing3")).text
    loaded.save(tmp_path / "bot")
    assert (tmp_path / "bot" / "ranker" / "weights.npz").is_file()
    assert (tmp_path / "bot" / "judge").is_dir()


def load_with_words(folder: Path) -> Bot:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("g2r.bot.open_encoder", lambda place: WordEncoder())
        return Bot.load(folder)


def test_the_bot_says_what_the_ranker_rates_best(bot: Bot, folder: Path) -> None:
    ranker = Ranker.load(folder)
    staged = Bot(bot.encoder, bot.bank, bot.index, config=BotConfig(rerank=8), reranker=ranker)
    replies = staged.reply_batch([context_of(thing) for thing in THINGS], candidates=12)
    assert all(reply.text.startswith("fine") for reply in replies)
    for reply in replies:
        ratings = [c.rating for c in reply.candidates[:8]]
        assert ratings == sorted(ratings, reverse=True)
        assert all(0 <= rating <= 10 for rating in ratings)
        assert all(c.rating is None for c in reply.candidates[8:])
        assert "rerank" in reply.timings_ms


def test_additions_are_rated_too(bot: Bot, folder: Path, tmp_path: Path) -> None:
    bot.save(tmp_path / "bot")
    ranker = Ranker.load(folder)
    Bot(bot.encoder, bot.bank, bot.index, config=BotConfig(rerank=8), reranker=ranker).save(
        tmp_path / "staged"
    )
    assert Ranker.load(tmp_path / "staged" / "ranker").fingerprint == ranker.fingerprint
    bank = ResponseBank.load(tmp_path / "staged" / "bank")
    staged = Bot(bot.encoder, bank, bot.index, config=BotConfig(rerank=90), reranker=ranker)
    staged.add("fine and new thing3", contexts=[("so tell me. what of thing3 now",)])
    staged.add("fine without a context thing3")
    shown = {c.text: c.rating for c in staged.reply(context_of("thing3"), candidates=90).candidates}
    assert shown["fine and new thing3"] > 5
    assert shown["fine without a context thing3"] is not None


def test_what_does_not_fit_is_refused(
    bot: Bot, folder: Path, lists: list[OnPolicyList], tmp_path: Path
) -> None:
    ranker = Ranker.load(folder)
    with pytest.raises(ArtifactError, match=r"stale ranker: .* run g2r ranker train again"):
        Bot(WordEncoder(name="other"), bot.bank, bot.index, config=BotConfig(rerank=8), reranker=ranker)
    with pytest.raises(ArtifactError, match=r"no ranker in .* make it with g2r ranker train"):
        Ranker.load(tmp_path)
    ranker.write(tmp_path / "copy")
    with np.load(tmp_path / "copy" / "weights.npz") as file:
        weights = dict(file)
    whole = (tmp_path / "copy" / "weights.npz").read_bytes()
    for broken in (b"", whole[: len(whole) // 2]):
        (tmp_path / "copy" / "weights.npz").write_bytes(broken)
        with pytest.raises(ArtifactError, match="damaged ranker"):
            Ranker.load(tmp_path / "copy")
    weights["last"] = weights["last"] + 1
    np.savez(tmp_path / "copy" / "weights.npz", **weights)
    with pytest.raises(ArtifactError, match="damaged ranker"):
        Ranker.load(tmp_path / "copy")
    elsewhere = [OnPolicyList(f"d{i}-0", ("hi",), ("who", "knows"), (8.0, 1.0)) for i in range(9)]
    with pytest.raises(ConfigError, match=r"lists of 0 dialogues .* retrieved by this bot"):
        train_ranker(bot, elsewhere, output=tmp_path / "none", config=QUICK)
    responses_alone = Bot.build(bot.encoder, bot.bank, index=INDEX.model_copy(update={"context_key": 0.0}))
    with pytest.raises(ArtifactError, match="the index has none of last1, last2; run g2r index"):
        Bot(bot.encoder, bot.bank, responses_alone.index, config=BotConfig(rerank=8), reranker=ranker)
    with pytest.raises(ConfigError, match="no keys of kind last1, last2"):
        train_ranker(responses_alone, lists, output=tmp_path / "none", config=QUICK)
    assert not (tmp_path / "none").exists()


def test_a_ranker_loads_without_torch(folder: Path) -> None:
    script = f"import sys; from g2r.ranker.model import Ranker; Ranker.load({str(folder)!r}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_the_command_reports_what_it_measured_and_says_what_is_wrong(
    bot: Bot,
    lists: list[OnPolicyList],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bot.save(tmp_path / "bot")
    monkeypatch.setattr("g2r.bot.open_encoder", lambda folder: WordEncoder())
    file = tmp_path / "lists.jsonl"
    rows = [{"id": i.id, "turns": i.context, "candidates": i.candidates, "scores": i.scores} for i in lists]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    held = tmp_path / "held.txt"
    held.write_text("d0\nd1-0\n")
    arguments = [
        "ranker",
        "train",
        str(tmp_path / "bot"),
        str(file),
        "--held-out",
        str(held),
        "--epochs",
        "20",
    ]
    main([*arguments, "--folds", "2", "--learning-rate", "5e-3", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["lists"] == 38
    assert told["first_good"] > told["first_good_before"]
    (tmp_path / "bot" / "bot.json").write_text('{"rerank": 8}')
    assert Bot.load(tmp_path / "bot").reply(context_of("thing5")).text.startswith("fine")
    with pytest.raises(SystemExit) as stopped:
        main(["ranker", "train", str(tmp_path / "bot"), str(tmp_path / "missing.jsonl")])
    assert stopped.value.code == 1
    assert "missing.jsonl" in capsys.readouterr().err
