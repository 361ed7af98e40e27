"""A tiny base with random weights for judges, and lists whose order it can learn."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from g2r.dialogue import Candidate, Example, Scores
from g2r.judge.data import OnPolicyList

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
NOUNS = [f"thing{i}" for i in range(30)]
WORDS = ["user:", "bot:", "i", "like", "what", "of", "?", "good", "fine", "poor", "awful", "so", "and", "we"]
RATINGS = {"good": 9.0, "fine": 7.0, "poor": 3.0, "awful": 1.0}
SETTINGS = {
    "max_tokens": 32,
    "batch_lists": 6,
    "max_steps": 24,
    "learning_rate": 3e-3,
    "scored_learning_rate": 3e-3,
    "freeze": -1,
    "precision": "fp32",
    "retriever": "",
    "evals": 2,
    "checkpoint_steps": 8,
}
"""Options of `train_judge` that suit the base and the lists."""


def make_base(folder: Path, *, layers: int = 2, dropout: float = 0.1, seed: int = 0) -> Path:
    """Write a BERT with one output and a word tokenizer for pairs into `folder`, and return it."""
    vocabulary = SPECIAL + WORDS + NOUNS
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        num_labels=1,
    )
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.normal_(std=0.5)
        model.classifier.weight.normal_(std=0.5)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    return folder


def dialogues() -> list[Example]:
    """For each noun a dialogue of three turns, each turn but the first answered in an example of its own."""
    examples = []
    for i, noun in enumerate(NOUNS):
        turns = [f"i like {noun}", f"so {noun} good", f"what of {noun} ?", f"we like {noun} and {noun}"]
        examples += [
            Example(
                context=tuple(turns[:n]),
                candidates=(Candidate(turns[n], "human", original=True),),
                dialogue_id=f"d-{i}",
                split="valid" if i >= 25 else "train",
            )
            for n in range(1, 4)
        ]
    return examples


def rated_examples() -> list[Example]:
    """For each noun a context with one candidate a rating word."""
    return [
        Example(
            context=(f"what of {noun} ?",),
            candidates=tuple(
                Candidate(f"{word} and {noun}", "teacher", scores=Scores(judge=rating))
                for word, rating in RATINGS.items()
            ),
            dialogue_id=f"r-{i}",
        )
        for i, noun in enumerate(NOUNS)
    ]


def on_policy_lists() -> list[OnPolicyList]:
    """Two lists a dialogue: the words say what a candidate is worth, whatever noun it has."""
    return [
        OnPolicyList(
            id=f"p-{i}-{n}",
            context=(f"i like {noun}", "so so", f"what of {noun} ?")[n:],
            candidates=tuple(f"{word} {NOUNS[i - k]} and we" for k, word in enumerate(RATINGS)),
            scores=tuple(RATINGS.values()),
        )
        for i, noun in enumerate(NOUNS)
        for n in range(2)
    ]
