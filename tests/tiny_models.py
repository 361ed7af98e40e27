"""Tiny teachers with random weights, written to a folder as transformers would find them."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BlenderbotConfig,
    BlenderbotForConditionalGeneration,
    BlenderbotSmallConfig,
    BlenderbotSmallForConditionalGeneration,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]
BOS, PAD, EOS, END = 0, 1, 2, 7
# fmt: off
WORDS = [
    "i", "you", "we", "they", "like", "love", "hate", "play", "eat", "read", "dogs", "cats", "music",
    "films", "pizza", "books", "tea", "rain", "sun", "today", "really", "never", "always", "what", "why",
    "how", "do", "is", "it", "that", "was", "fun", "good", "bad", "yes", "no", "!", "?", ".", ",", "and",
]
# fmt: on
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m.role + '|> ' + m.content + ' <|end|> ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|> ' }}{% endif %}"
)
STRICT_TEMPLATE = (
    "{% if messages[0].role != 'user' %}{{ raise_exception('a user must begin') }}{% endif %}" + CHAT_TEMPLATE
)
SEQ2SEQ = ("blenderbot", "blenderbot-small", "bart", "t5")
CAUSAL = ("llama", "gpt2", "gemma2")


def make_teacher(folder: Path, kind: str, *, chat_template: str = "", seed: int = 0) -> Path:
    """Write a model of the given kind with a word tokenizer into `folder`, and return it.

    Weights are drawn wide enough that distributions are far from uniform, biases included.
    """
    torch.manual_seed(seed)
    model = _MODELS[kind]()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name and "ln_" not in name:
                weight.normal_(std=0.2)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_()
            model.final_logits_bias[:, : len(SPECIAL)] = -9.0
            model.final_logits_bias[:, EOS] = 3.0
    if kind == "bart":
        model.generation_config.forced_bos_token_id = BOS
    if kind == "llama" and chat_template:
        model.generation_config.eos_token_id = [EOS, END]
    model.generation_config.max_length = 9  # the model's own rules must not reach the teacher
    model.generation_config.repetition_penalty = 3.0
    model.save_pretrained(folder)
    make_tokenizer(chat_template=chat_template, around=_AROUND.get(kind, "")).save_pretrained(folder)
    return folder


def make_tokenizer(*, chat_template: str = "", around: str = "") -> PreTrainedTokenizerFast:
    """A tokenizer with one token a word, which decodes to the words it was given.

    `around` is the form in which it puts special tokens around a text ($A), if any.
    """
    vocabulary = {token: i for i, token in enumerate(SPECIAL + WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if around:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=around, special_tokens=[("<s>", BOS), ("</s>", EOS)]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=SPECIAL[4:],
    )
    if chat_template:
        fast.chat_template = chat_template
    return fast


_AROUND = {"blenderbot": "$A </s>", "bart": "<s> $A </s>", "t5": "$A </s>", "llama": "<s> $A"}
_SHARED = {"vocab_size": len(SPECIAL + WORDS), "bos_token_id": BOS, "pad_token_id": PAD, "eos_token_id": EOS}
_ENCODER_DECODER = {
    **_SHARED,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 64,
}
_DECODER = {
    **_SHARED,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "max_position_embeddings": 128,
}
_MODELS = {
    "blenderbot": lambda: BlenderbotForConditionalGeneration(
        BlenderbotConfig(**_ENCODER_DECODER, decoder_start_token_id=BOS)
    ),
    "blenderbot-small": lambda: BlenderbotSmallForConditionalGeneration(
        BlenderbotSmallConfig(**_ENCODER_DECODER, decoder_start_token_id=BOS)
    ),
    "bart": lambda: BartForConditionalGeneration(BartConfig(**_ENCODER_DECODER, decoder_start_token_id=EOS)),
    "t5": lambda: T5ForConditionalGeneration(
        T5Config(
            **_SHARED, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=4, decoder_start_token_id=PAD
        )
    ),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_DECODER)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**_SHARED, n_embd=16, n_layer=2, n_head=4, n_positions=128)),
    "gemma2": lambda: Gemma2ForCausalLM(
        Gemma2Config(**_DECODER, sliding_window=8, final_logit_softcapping=2.0, query_pre_attn_scalar=4)
    ),
}
