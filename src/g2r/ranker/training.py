"""Train the ranker on lists that a bot retrieved and somebody rated."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2r.artifacts import refuse_other
from g2r.bank import BankResponse
from g2r.bot import Bot
from g2r.config import RankerConfig
from g2r.dialogue import Context, content_id
from g2r.errors import ConfigError, DependencyError
from g2r.index.base import encode_views, view_of
from g2r.judge.data import OnPolicyList
from g2r.progress import Progress, silent
from g2r.ranker.features import KINDS, LIKENESSES, NAMES, NEEDED, READ, VIEWS, Seen, see
from g2r.ranker.model import RECORD_FILE, Ranker, RankerRecord, Weights, fingerprint_of
from g2r.second_stage import Asked, KeysOf

try:
    import torch
    from torch import Tensor, nn
except ImportError as error:
    raise DependencyError(f"training needs {error.name}: pip install 'g2r[train]'") from error

_ENCODED_AT_ONCE = 256
_NEARLY = 1.5
_SECOND = 64
_WARM_UP = 40
_CONSTANT = 1e-4


@dataclass(frozen=True, slots=True)
class RatedList:
    """What the ranker sees of a list, and how it was rated.

    Attributes:
        dialogue: lists of one dialogue are never parted.
        seen: the candidates.
        ratings: 0 to 10, (candidates,).
    """

    dialogue: str
    seen: Seen
    ratings: NDArray[np.float32]


def train_ranker(
    bot: Bot,
    lists: Sequence[OnPolicyList],
    *,
    output: Path,
    config: RankerConfig | None = None,
    progress: Progress = silent,
) -> Ranker:
    """Train a ranker for `bot` and write it.

    Candidates that are not in the bank of the bot are left out, and lists with fewer than two left. What it
    gains is measured on lists of other dialogues, part by part; the ranker that is kept saw all lists.

    Args:
        bot: whose student and index give the vectors.
        lists: retrieved candidates with ratings from 0 to 10. Leave out what is held out before.
        output: folder of the ranker, `ranker` in that of the bot to be used.
        config: all settings.
        progress: called after each part.

    Raises:
        ConfigError: the index lacks response keys or a kind of context keys, or too few lists are left.
        ArtifactError: the output cannot be written, or holds something that is no ranker.
    """
    config = config or RankerConfig()
    refuse_other(Path(output), mark=RECORD_FILE)
    missing = NEEDED - set(bot.index.keys_of(np.zeros(0, dtype=np.int64)))
    if missing:
        raise ConfigError(
            f"the bot's index has no keys of kind {', '.join(sorted(missing))}; a ranker needs response_key "
            f"and context_key over 0 and the views {', '.join(KINDS)}: run g2r index again"
        )
    rated = see_lists(bot, lists)
    dialogues = {item.dialogue for item in rated}
    if len(dialogues) < config.folds:
        raise ConfigError(
            f"lists of {len(dialogues)} dialogues with two candidates of the bank or more, expected at "
            f"least {config.folds}: were they retrieved by this bot?"
        )
    measured = _cross_validated(rated, bot, config, progress)
    weights = fit(rated, config)
    progress(config.folds + 1, config.folds + 1)
    ranker = Ranker(
        Path(output), RankerRecord(bot.encoder.fingerprint, fingerprint_of(weights), measured), weights
    )
    ranker.write(Path(output))
    return ranker


def see_lists(bot: Bot, lists: Sequence[OnPolicyList]) -> list[RatedList]:
    """What the ranker sees of the lists whose candidates stand in the bank of the bot."""
    rows = {response.response_id: row for row, response in enumerate(bot.bank.built)}
    found = []
    for start in range(0, len(lists), _ENCODED_AT_ONCE):
        part = lists[start : start + _ENCODED_AT_ONCE]
        vectors = encode_views(bot.encoder, [item.context for item in part], VIEWS)
        for item, views in zip(part, vectors, strict=True):
            placed = [
                (rows.get(content_id(text)), text, score)
                for text, score in zip(item.candidates, item.scores, strict=True)
            ]
            known = [(row, text, score) for row, text, score in placed if row is not None]
            if len(known) < 2:
                continue
            asked = Asked(
                item.context,
                [text for _, text, _ in known],
                dict(zip(VIEWS, views, strict=True)),
                partial(_others_keys, bot, [row for row, _, _ in known], item.context),
            )
            ratings = np.array([score for _, _, score in known], dtype=np.float32)
            found.append(RatedList(item.dialogue_id, see(asked), ratings))
    return found


def _others_keys(bot: Bot, rows: Sequence[int], context: Context) -> KeysOf:
    """The keys of these rows, less those that are views of the rated context itself."""
    keys = dict(bot.index.keys_of(np.array(rows, dtype=np.int64)))
    for kind in KINDS:
        own = view_of(context, kind)
        keys[kind] = [
            vectors[[turns != own for turns in _key_texts(bot.bank.built[row], kind)]]
            for row, vectors in zip(rows, keys[kind], strict=True)
        ]
    return keys


def _key_texts(response: BankResponse, kind: str) -> list[Context]:
    """What the keys of a response say, in the order in which the index holds them."""
    return [turns for turns in dict.fromkeys(view_of(c.turns, kind) for c in response.contexts) if turns]


def _cross_validated(
    rated: Sequence[RatedList], bot: Bot, config: RankerConfig, progress: Progress
) -> dict[str, float]:
    """How often the first choice is good: by s(r), by a ranker that saw other dialogues, and at best."""
    names = list(dict.fromkeys(item.dialogue for item in rated))
    np.random.default_rng(config.seed).shuffle(names)
    part_of = {name: place % config.folds for place, name in enumerate(names)}
    before, after, best = [], [], []
    for part in range(config.folds):
        ranker = Ranker(
            Path(), RankerRecord("", ""), fit([r for r in rated if part_of[r.dialogue] != part], config)
        )
        for item in rated:
            if part_of[item.dialogue] == part:
                good = item.ratings >= config.good
                before.append(good[np.argmax(_index_scores(item.seen, bot))])
                after.append(good[np.argmax(ranker.ratings(item.seen))])
                best.append(good.any())
        progress(part + 1, config.folds + 1)
    shares = {"first_good_before": before, "first_good": after, "best_possible": best}
    return {"lists": len(rated)} | {name: round(float(np.mean(values)), 4) for name, values in shares.items()}


def _index_scores(seen: Seen, bot: Bot) -> NDArray[np.float32]:
    """s(r) of each candidate, the context's own keys left out."""
    config = bot.index.config
    column = dict(zip(LIKENESSES, seen.features.T, strict=False))
    context = np.maximum.reduce([column[f"{kind}~{kind}"] for kind in KINDS])
    return np.asarray(config.response_key * column["response~all"] + config.context_key * context)


class _Network(nn.Module):
    """The formula of `Ranker`, to be trained."""

    def __init__(self, dimensions: int, mean: Tensor, scale: Tensor, config: RankerConfig) -> None:
        super().__init__()
        self.mean, self.scale = mean, scale
        self.response = nn.Linear(dimensions, config.projected, bias=False)
        self.views = [nn.Linear(dimensions, config.projected) for _ in READ]
        self.of_views = nn.ModuleList(self.views)
        width = len(NAMES) + config.projected * (1 + 2 * len(READ))
        self.hidden = nn.Linear(width, config.hidden)
        self.second = nn.Linear(config.hidden, _SECOND)
        self.last = nn.Linear(_SECOND, 1)
        self.dropout = nn.Dropout(config.dropout)
        for layer in (self.response, *self.views):  # unit vectors of d dimensions have entries of 1 / sqrt(d)
            nn.init.normal_(layer.weight)

    def forward(self, features: Tensor, responses: Tensor, views: Tensor) -> Tensor:
        """Logits (lists, candidates) of features (lists, candidates, features), responses and views."""
        x = ((features - self.mean) / self.scale).clamp(-5, 5)
        r = self.response(responses)
        parts = [x, r]
        for place, projection in enumerate(self.views):
            c = projection(views[:, place])[:, None]
            parts += [c.expand_as(r), c * r]
        hidden = torch.relu(self.hidden(self.dropout(torch.cat(parts, dim=-1))))
        logits: Tensor = self.last(torch.relu(self.second(self.dropout(hidden))))
        return logits.squeeze(-1)

    def weights(self) -> Weights:
        """As `Ranker` computes with them."""
        tensors = {
            "mean": self.mean,
            "scale": self.scale,
            "response": self.response.weight.T,
            "views": torch.stack([layer.weight.T for layer in self.views]),
            "views_bias": torch.stack([layer.bias for layer in self.views]),
            "hidden": self.hidden.weight.T,
            "hidden_bias": self.hidden.bias,
            "second": self.second.weight.T,
            "second_bias": self.second.bias,
            "last": self.last.weight[0],
            "last_bias": self.last.bias,
        }
        return {
            name: np.ascontiguousarray(t.detach().numpy(), dtype=np.float32) for name, t in tensors.items()
        }


def fit(rated: Sequence[RatedList], config: RankerConfig) -> Weights:
    """Train on these lists; the result is the seed's.

    The loss of a list is the cross-entropy of each candidate being good, a rating little under `good` counting
    in part, and `list_weight` times the cross-entropy of the good ones within the list.
    """
    torch.manual_seed(config.seed)
    every = torch.from_numpy(np.concatenate([item.seen.features for item in rated]))
    network = _Network(rated[0].seen.responses.shape[1], every.mean(0), _scale(every), config)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    order = np.random.default_rng(config.seed)
    steps = config.epochs * -(-len(rated) // config.batch_lists)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / _WARM_UP) * (1 - step / steps)
    )
    for _ in range(config.epochs):
        places = order.permutation(len(rated))
        for start in range(0, len(places), config.batch_lists):
            batch = [rated[place] for place in places[start : start + config.batch_lists]]
            loss = _loss(network, batch, config)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.eval().weights()


def _scale(features: Tensor) -> Tensor:
    """Standard deviations; infinite for a feature that never varies, so that it counts for nothing later either."""
    deviation = features.std(0, correction=0)
    return torch.where(deviation < _CONSTANT, torch.inf, deviation)


def _loss(network: _Network, batch: Sequence[RatedList], config: RankerConfig) -> Tensor:
    features = _padded([item.seen.features for item in batch])
    responses = _padded([item.seen.responses for item in batch])
    ratings = _padded([item.ratings for item in batch])
    real = _padded([np.ones(len(item.ratings), dtype=np.float32) for item in batch]) > 0
    logits = network(features, responses, torch.from_numpy(np.stack([item.seen.views for item in batch])))
    good = (1 - (config.good - ratings) / _NEARLY).clamp(0, 1) * real
    each = nn.functional.binary_cross_entropy_with_logits(logits[real], good[real])
    shares = torch.log_softmax(logits.masked_fill(~real, -torch.inf), dim=1).masked_fill(~real, 0)
    some = good.sum(dim=1) > 0
    if not some.any():
        return each
    wanted = good[some] / good[some].sum(dim=1, keepdim=True)
    return each - config.list_weight * (wanted * shares[some]).sum(dim=1).mean()


def _padded(arrays: Sequence[NDArray[np.float32]]) -> Tensor:
    """Arrays of different lengths side by side, zeros after their ends."""
    return nn.utils.rnn.pad_sequence([torch.from_numpy(array) for array in arrays], batch_first=True)
