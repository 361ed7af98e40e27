"""A text classifier with random weights and known labels: what it says most of is what is flagged."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from g2r.errors import InputError
from g2r.vetting import open_classifier
from g2r.vetting.huggingface import HuggingFaceClassifier, is_harmless

LABELS = ["neutral", "toxic", "insult"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer of which only the embeddings matter: "good" is neutral, "bad" toxic, "silly" an insult."""
    words = ["[PAD]", "[UNK]", "good", "bad", "silly"]
    folder = tmp_path_factory.mktemp("classifier")
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=16
    ).save_pretrained(folder)
    torch.manual_seed(0)
    made = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(words),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
            max_position_embeddings=16,
            id2label=dict(enumerate(LABELS)),
            label2id={label: i for i, label in enumerate(LABELS)},
        )
    ).eval()
    with torch.no_grad():
        pooled = made.bert(torch.tensor([[2], [3], [4]])).pooler_output
        centred = pooled - pooled.mean(0)
        made.classifier.weight.copy_(200 * centred)
        made.classifier.bias.copy_(-200 * centred @ pooled.mean(0) - 100 * (centred**2).sum(1))
    made.save_pretrained(folder)
    return folder


def test_bad_labels_are_flagged_and_long_texts_cut(model: Path) -> None:
    classifier = open_classifier(f"hf:{model}")
    flags = classifier.flags(["good", "bad", "silly", "good " * 100])
    assert [[flag.label for flag in each] for each in flags[:3]] == [[], ["toxic"], ["insult"]]
    assert flags[1][0].score > 0.5
    assert classifier.name == f"hf:{model}"
    assert len(flags) == 4


def test_labels_of_ones_own(model: Path) -> None:
    flags = open_classifier(f"hf:{model}#insult").flags(["bad", "silly"])
    assert [[flag.label for flag in each] for each in flags] == [[], ["insult"]]
    assert HuggingFaceClassifier(str(model), threshold=1.1).flags(["bad"]) == [[]]
    with pytest.raises(InputError, match="no label 'rude'; it has neutral, toxic, insult"):
        open_classifier(f"hf:{model}#rude")


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot load the classifier"):
        open_classifier(f"hf:{tmp_path}")


def test_labels_that_say_harmless() -> None:
    assert all(map(is_harmless, ["neutral", "NOT_TOXIC", "non-toxic", "LABEL_0", "nothate"]))
    assert not any(map(is_harmless, ["toxic", "hate", "LABEL_1"]))
