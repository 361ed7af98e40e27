import pytest
from transformers import BartConfig, BlenderbotConfig, LlamaConfig

from g2r.errors import TeacherError
from g2r.teachers.prompts import ChatPrompts, PlainPrompts, Seq2SeqPrompts, chat_messages, make_prompts
from tiny_models import CHAT_TEMPLATE, EOS, STRICT_TEMPLATE, make_tokenizer

NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHAT_TEMPLATE


def prompts_of(config, *, template="", around="", limit=30, system="", stops=(EOS,)):
    tokenizer = make_tokenizer(chat_template=template, around=around)
    return tokenizer, make_prompts(tokenizer, config, stops=stops, limit=limit, system=system)


def words(tokenizer, ids):
    return " ".join(tokenizer.convert_ids_to_tokens(ids))


def test_seq2seq_response_is_the_decoder_s_labels():
    tokenizer, prompts = prompts_of(BartConfig(), around="<s> $A </s>")
    assert isinstance(prompts, Seq2SeqPrompts)
    assert words(tokenizer, prompts.context_ids(("i like dogs", "why ?"))) == "<s> i like dogs why ? </s>"
    assert words(tokenizer, prompts.response_ids("they play")) == "<s> they play </s>"


def test_seq2seq_response_gets_the_end_that_the_tokenizer_leaves_out():
    tokenizer, prompts = prompts_of(BartConfig())
    assert words(tokenizer, prompts.response_ids("they play")) == "they play </s>"
    assert prompts.response_ids("") == [EOS]


def test_turns_are_joined_as_the_model_knows_it():
    assert prompts_of(BlenderbotConfig())[1].separator == "  "
    assert prompts_of(BartConfig())[1].separator == "\n"


@pytest.mark.parametrize("config", [BartConfig(), LlamaConfig()])
def test_the_empty_context_has_a_token(config):
    _, prompts = prompts_of(config)
    assert len(prompts.context_ids(())) == 1


@pytest.mark.parametrize(("config", "around"), [(BartConfig(), "<s> $A </s>"), (LlamaConfig(), "<s> $A")])
def test_long_contexts_lose_their_oldest_tokens_and_keep_special_ones(config, around):
    tokenizer, prompts = prompts_of(config, around=around, limit=6)
    ids = prompts.context_ids(("i like dogs and cats", "you like music", "why ?"))
    assert len(ids) == 6
    assert ids[0] == tokenizer.bos_token_id
    assert "why ?" in words(tokenizer, ids)


def test_plain_turns_are_closed_by_the_end_of_text_where_there_is_no_new_line_token():
    tokenizer, prompts = prompts_of(LlamaConfig())
    assert isinstance(prompts, PlainPrompts)
    assert words(tokenizer, prompts.context_ids(("i like", "why ?"))) == "i like </s> why ? </s>"
    assert prompts.end == EOS


def test_chat_turns_alternate_back_from_the_user():
    tokenizer, prompts = prompts_of(LlamaConfig(), template=CHAT_TEMPLATE, system="yes", stops=(EOS, 7))
    assert isinstance(prompts, ChatPrompts)
    text = words(tokenizer, prompts.context_ids(("i like", "why ?")))
    assert text == "<|system|> yes <|end|> <|assistant|> i like <|end|> <|user|> why ? <|end|> <|assistant|>"


def test_the_token_that_ends_a_chat_turn_is_read_off_the_template():
    tokenizer, prompts = prompts_of(LlamaConfig(), template=CHAT_TEMPLATE, stops=(EOS, 7))
    assert words(tokenizer, prompts.response_ids("they play")) == "they play <|end|>"
    assert set(prompts.stops) == {EOS, 7}


def test_a_template_that_wants_the_user_first_gets_an_empty_user_turn():
    tokenizer, prompts = prompts_of(LlamaConfig(), template=STRICT_TEMPLATE)
    assert words(tokenizer, prompts.context_ids(("i like", "why ?"))).startswith(
        "<|user|> <|end|> <|assistant|> i"
    )
    assert words(tokenizer, prompts.context_ids(("why ?",))) == "<|user|> why ? <|end|> <|assistant|>"


def test_long_chats_lose_whole_turns_then_the_head_of_the_last():
    tokenizer, prompts = prompts_of(LlamaConfig(), template=CHAT_TEMPLATE, limit=10)
    turns = prompts.context_ids(("i like dogs", "you like cats", "why ?"))
    assert (
        words(tokenizer, turns) == "<|assistant|> you like cats <|end|> <|user|> why ? <|end|> <|assistant|>"
    )
    turns = prompts.context_ids(("i like dogs", "you really like cats", "why ?"))
    assert words(tokenizer, turns) == "<|user|> why ? <|end|> <|assistant|>"
    turn = prompts.context_ids(("i like dogs and cats and tea and rain and sun today ?",))
    assert words(tokenizer, turn) == "<|user|> tea and rain and sun today ? <|end|> <|assistant|>"


def test_a_system_prompt_needs_a_template_that_takes_it():
    with pytest.raises(TeacherError, match="no chat template"):
        prompts_of(LlamaConfig(), system="yes")
    with pytest.raises(TeacherError, match="takes no system message"):
        prompts_of(LlamaConfig(), template=NO_SYSTEM, system="yes")


def test_a_system_prompt_that_leaves_no_room_is_refused():
    with pytest.raises(TeacherError, match="max_context_tokens=8"):
        prompts_of(LlamaConfig(), template=CHAT_TEMPLATE, system="i like dogs and cats and tea", limit=8)


def test_messages_end_with_the_user():
    messages = chat_messages(["a", "b", "c"], system_prompt="s", user_begins=True)
    assert [(m["role"], m["content"]) for m in messages] == [
        ("system", "s"),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
    ]
