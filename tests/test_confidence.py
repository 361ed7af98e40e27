"""A bot that abstains by calibrated confidence, and calibrations that do not fit."""

from pathlib import Path

import pytest

from bot_server import word_bot
from g2r.bot import Bot
from g2r.confidence import CALIBRATION_FILE, Calibration, Step, Weight, signals_of
from g2r.config import BotConfig, IndexConfig
from g2r.errors import ArtifactError, ConfigError
from word_encoder import WordEncoder

NEAR, FAR = ["let us talk about tea"], ["what is it that people do on long evenings"]


def calibration(bot: Bot) -> Calibration:
    """Confidence rises from 0 to 1 with the score and the margin, both of which are 0 to 2 for this bot."""
    return Calibration(
        origin=bot.origin,
        good=6,
        certainty=0.9,
        weights={
            "score": Weight(weight=1, mean=0, spread=1),
            "margin": Weight(weight=2, mean=0.5, spread=0.5),
        },
        knots=((0.0, 0.0), (4.0, 1.0)),
        steps=(
            Step(confidence=0.6, max_bad=0.1, bad=0.05, answered=0.3),
            Step(confidence=0.0, max_bad=0.4, bad=0.3, answered=1.0),
        ),
    )


def calibrated(**options: float) -> Bot:
    bot = word_bot()
    return Bot(bot.encoder, bot.bank, bot.index, config=BotConfig(**options), calibration=calibration(bot))


def test_a_reply_tells_how_sure_the_bot_is():
    assert word_bot().reply(NEAR).confidence is None
    bot = calibrated()
    reply = bot.reply(NEAR)
    margin = reply.score - reply.candidates[1].score
    expected = (reply.score + 2 * (margin - 0.5) / 0.5) / 4
    assert reply.confidence == pytest.approx(min(1, max(0, expected)))
    assert reply.confidence > bot.reply(FAR).confidence
    assert signals_of(reply.candidates)["margin"] == pytest.approx(margin)
    assert signals_of(reply.candidates[:1])["margin"] is None


def test_it_is_as_sure_however_many_candidates_are_shown():
    bot = calibrated()
    one, five = (bot.reply(NEAR, candidates=n) for n in (1, 5))
    assert one.confidence == five.confidence
    assert (len(one.candidates), len(five.candidates)) == (1, 5)
    assert [r.confidence for r in bot.reply_batch([NEAR, FAR])] == [
        bot.reply(NEAR).confidence,
        bot.reply(FAR).confidence,
    ]


def test_it_abstains_under_the_confidence_asked_for():
    near, far = (calibrated().reply(turns).confidence for turns in (NEAR, FAR))
    between = (near + far) / 2
    bot = calibrated(min_confidence=between)
    reply = bot.reply(FAR)
    assert (reply.abstained, reply.text, reply.response_id) == (True, "", None)
    assert reply.candidates
    assert not bot.reply(NEAR).abstained
    assert not calibrated(min_confidence=far).reply(FAR).abstained


def test_it_abstains_so_often_that_the_share_of_bad_replies_holds():
    assert calibrated(max_bad_replies=0.4).reply(FAR).abstained is False
    strict = calibrated(max_bad_replies=0.2)
    for turns in (NEAR, FAR):
        reply = strict.reply(turns)
        assert reply.abstained == (reply.confidence < 0.6)
    assert strict.reply(FAR).abstained
    assert calibrated(max_bad_replies=0.4, min_confidence=0.99).reply(FAR).abstained
    with pytest.raises(ConfigError, match=r"0\.05 bad replies cannot be reached: the lowest .* is 0\.100"):
        calibrated(max_bad_replies=0.05)


def test_a_bot_without_calibration_cannot_abstain_by_it():
    bot = word_bot()
    for options in ({"min_confidence": 0.5}, {"max_bad_replies": 0.2}):
        with pytest.raises(ConfigError, match="run g2r calibrate"):
            Bot(bot.encoder, bot.bank, bot.index, config=BotConfig(**options))


def test_a_calibration_is_saved_with_the_bot_and_a_stale_one_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("g2r.bot.open_encoder", lambda folder, **options: WordEncoder())
    bot = calibrated(min_confidence=0.2)
    bot.save(tmp_path / "bot")
    (tmp_path / "bot" / "misses.jsonl").write_text("{}\n")
    bot.save(tmp_path / "bot")
    assert (tmp_path / "bot" / "misses.jsonl").read_text() == "{}\n"
    loaded = Bot.load(tmp_path / "bot")
    assert loaded.calibration == bot.calibration
    assert loaded.reply(NEAR).confidence == pytest.approx(bot.reply(NEAR).confidence)

    other = Bot.build(bot.encoder, word_bot(source="teacher").bank, index=bot.index.config)
    other.save(tmp_path / "other")
    reweighted = Bot.build(bot.encoder, word_bot().bank, index=IndexConfig(context_key=0.5))
    reweighted.save(tmp_path / "reweighted")
    for name, part in (("other", "another bank"), ("reweighted", "another scoring")):
        file = tmp_path / name / CALIBRATION_FILE
        file.write_bytes((tmp_path / "bot" / CALIBRATION_FILE).read_bytes())
        assert Bot.load(tmp_path / name).calibration is None
        with pytest.raises(ArtifactError, match=f"was made for {part}"):
            Bot.load(tmp_path / name, config=BotConfig(max_bad_replies=0.4))
    monkeypatch.setattr("g2r.bot.open_encoder", lambda folder, **options: WordEncoder(name="other"))
    with pytest.raises(ArtifactError):
        Bot.load(tmp_path / "bot")


def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("g2r.bot.open_encoder", lambda folder, **options: WordEncoder())
    word_bot().save(tmp_path / "bot")
    for content in ("{", '{"good": 6}', "[]"):
        (tmp_path / "bot" / CALIBRATION_FILE).write_text(content)
        with pytest.raises(ArtifactError, match="is no calibration"):
            Bot.load(tmp_path / "bot")
