"""A tiny student with random weights that reads any text: its tokenizer knows every byte."""

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from g2r.encoder import ContextForm
from g2r.student import BiEncoder

FORM = ContextForm(separator=" [SEP] ", max_context_tokens=24, max_response_tokens=12)
TEXTS = [
    "hi",
    "how are you today, my friend?",
    "",
    " \t ",
    "  spaces  around  ",
    "naïve café 🙂🙃",
    "שלום, מה שלומך?",
    "今日はいい天気ですね",
    "e\u0301 is not é",
    "a\u200db\u0000c",
    "[SEP] [PAD] [CLS]",
    "so it goes on " * 200,
    "🙂" * 300,
]


def make_student(folder_name: str, *, form: ContextForm = FORM, seed: int = 0) -> BiEncoder:
    """Two BERT layers, 32 wide, mean pooling; files go into the folder of that name."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["[PAD]", "[CLS]", "[SEP]"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    BertModel(config).save_pretrained(folder_name)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]"
    ).save_pretrained(folder_name)
    model = SentenceTransformer(modules=[Transformer(folder_name), Pooling(32)], device="cpu")
    return BiEncoder(model, form)
