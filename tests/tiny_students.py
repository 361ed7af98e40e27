"""A tiny base with random weights, and dialogues about topics from which a student can learn something.

Each topic has its own answer word, which no context holds: only training tells which goes with which.
"""

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from g2r.dialogue import Candidate, Example, Scores

TOPICS = 24
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
ASKING = ["i like {}", "what about {} ?", "tell me of {} please", "so {} it is", "what of {} please"]
ANSWERING = ["that is {}", "well {} for sure", "they say {} and more", "always {} !"]
WORDS = sorted({"user:", "bot:", "hi", "ok", *" ".join(ASKING + ANSWERING).split()} - {"{}"})


def make_base(folder: Path, *, dropout: float = 0.0, seed: int = 0) -> Path:
    """Write a two-layer BERT with mean pooling and a word tokenizer into `folder`, and return it."""
    vocabulary = SPECIAL + WORDS + [f"{kind}{i}" for i in range(TOPICS) for kind in ("topic", "answer")]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    plain = folder / "plain"
    model = BertModel(config)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.normal_(std=0.5)
    model.save_pretrained(plain)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        model_max_length=64,
    ).save_pretrained(plain)
    transformer = Transformer(str(plain))
    SentenceTransformer(modules=[transformer, Pooling(32)], device="cpu").save(
        str(folder / "base"), create_model_card=False
    )
    return folder / "base"


def topic_examples(*, judged: bool = True) -> list[Example]:
    """For each topic one context a form of asking; the last form is held out. The first answer is human."""
    return [
        Example(
            context=("hi", "ok", ASKING[form].format(f"topic{topic}"))[2 - form % 3 :],
            candidates=tuple(
                Candidate(
                    ANSWERING[answer].format(f"answer{topic}"),
                    "teacher" if answer else "human",
                    original=answer == 0,
                    scores=Scores(judge=float((topic + answer) % 4 + 5)) if judged else Scores(),
                )
                for answer in range(1 + (topic + form) % len(ANSWERING))
            ),
            dialogue_id=f"{topic}-{form}",
            split="valid" if form == len(ASKING) - 1 else "train",
        )
        for topic in range(TOPICS)
        for form in range(len(ASKING))
    ]


SETTINGS = {
    "max_context_tokens": 32,
    "max_response_tokens": 16,
    "batch_size": 12,
    "max_candidates": 3,
    "learning_rate": 1e-2,
    "precision": "fp32",
}
"""Options of `distill` that suit the base and the examples."""
