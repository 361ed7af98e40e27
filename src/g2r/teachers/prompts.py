"""How contexts and responses become the tokens of one model, and which token ends a turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jinja2.exceptions import TemplateError

from g2r.dialogue import Context
from g2r.errors import TeacherError

_SEPARATORS = {"blenderbot": "  ", "blenderbot-small": "\n"}
_MARK = "response"


class Prompts(Protocol):
    """The token form of contexts and responses for one model.

    Attributes:
        end: the end-of-turn token, the last of every response.
        stops: tokens at which the model stops writing, `end` among them.
    """

    @property
    def end(self) -> int: ...

    @property
    def stops(self) -> tuple[int, ...]: ...

    def context_ids(self, context: Context) -> list[int]:
        """Tokens of a context, never none and never more than the limit; the oldest are lost."""
        ...

    def response_ids(self, text: str) -> list[int]:
        """Tokens of a response, the end-of-turn token last."""
        ...


@dataclass(frozen=True, slots=True)
class Seq2SeqPrompts:
    """Turns joined as the encoder has learned it, the response as the labels of the decoder.

    BlenderBot reads turns two spaces apart, BlenderBot-small one a line; for other models the tokenizer's
    separator token stands between turns, or a new line where it has none.
    """

    tokenizer: Any
    separator: str
    end: int
    stops: tuple[int, ...]
    limit: int

    def context_ids(self, context: Context) -> list[int]:
        return _tail(self.tokenizer, self.separator.join(context), self.limit) or [self.end]

    def response_ids(self, text: str) -> list[int]:
        ids = list(self.tokenizer(text_target=text).input_ids)
        return ids if ids and ids[-1] == self.end else [*ids, self.end]


@dataclass(frozen=True, slots=True)
class PlainPrompts:
    """Turns for a causal model without a chat template: one a line, each closed by the end-of-turn token.

    That token is the new line where the tokenizer has one, else the end of the text. The empty context is
    the token that begins a text.
    """

    tokenizer: Any
    separator: str
    begin: int
    end: int
    stops: tuple[int, ...]
    limit: int

    def context_ids(self, context: Context) -> list[int]:
        text = "".join(turn + self.separator for turn in context)
        return (_tail(self.tokenizer, text, self.limit) if text else []) or [self.begin]

    def response_ids(self, text: str) -> list[int]:
        return [*self.tokenizer(text, add_special_tokens=False).input_ids, self.end]


@dataclass(frozen=True, slots=True)
class ChatPrompts:
    """Turns in the model's chat template, the last one the user's and the one before the assistant's.

    An empty context is an empty user turn. So is what comes before an assistant's first turn, where the
    template wants the user to begin. A context over the limit loses its oldest turns whole; a last turn
    that alone is too long loses its oldest tokens.
    """

    tokenizer: Any
    system_prompt: str
    user_begins: bool
    end: int
    stops: tuple[int, ...]
    limit: int

    def context_ids(self, context: Context) -> list[int]:
        turns = list(context) or [""]
        ids = self._ids(turns)
        while len(ids) > self.limit and len(turns) > 1:
            turns = turns[1:]
            ids = self._ids(turns)
        words = self.tokenizer(turns[0], add_special_tokens=False).input_ids
        while len(ids) > self.limit and words:
            words = words[len(ids) - self.limit :]
            ids = self._ids([self.tokenizer.decode(words, skip_special_tokens=True)])
        return ids

    def response_ids(self, text: str) -> list[int]:
        return [*self.tokenizer(text, add_special_tokens=False).input_ids, self.end]

    def _ids(self, turns: Sequence[str]) -> list[int]:
        messages = chat_messages(turns, system_prompt=self.system_prompt, user_begins=self.user_begins)
        text = _render(self.tokenizer, messages, answer=True)
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)


def chat_messages(turns: Sequence[str], *, system_prompt: str, user_begins: bool) -> list[dict[str, str]]:
    """Return the messages of a chat whose last turn is the user's, roles alternating back from it."""
    roles = ["user" if back % 2 == 0 else "assistant" for back in range(len(turns))][::-1]
    messages = [{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=True)]
    if user_begins and roles[0] == "assistant":
        messages = [{"role": "user", "content": ""}, *messages]
    return [{"role": "system", "content": system_prompt}, *messages] if system_prompt else messages


def make_prompts(tokenizer: Any, config: Any, *, stops: Sequence[int], limit: int, system: str) -> Prompts:
    """Choose the token form for a model: seq2seq, chat template, or plain lines.

    Args:
        config: the model's configuration.
        stops: tokens at which the model stops writing, by its generation configuration.
        limit: most tokens of a context.
        system: system prompt; used by a chat template alone.

    Raises:
        TeacherError: no token ends a turn, or the template cannot hold a context within `limit`.
    """
    final = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else next(iter(stops), None)
    if final is None:
        raise TeacherError(
            "the teacher's tokenizer has no end-of-sequence token, so no response could end; set its eos_token"
        )
    stops = tuple(dict.fromkeys([final, *stops]))
    tokenizer.truncation_side = "left"
    if config.is_encoder_decoder:
        separator = _SEPARATORS.get(config.model_type, tokenizer.sep_token or "\n")
        return Seq2SeqPrompts(tokenizer, separator, final, stops, limit)
    if system and not tokenizer.chat_template:
        raise TeacherError(
            "a system prompt was given, but the teacher's tokenizer has no chat template to hold it; leave it out"
        )
    if tokenizer.chat_template:
        return _chat_prompts(tokenizer, system, final, stops, limit)
    return _plain_prompts(tokenizer, final, stops, limit)


def _plain_prompts(tokenizer: Any, final: int, stops: tuple[int, ...], limit: int) -> PlainPrompts:
    word, line = (tokenizer(text, add_special_tokens=False).input_ids for text in ("a", "a\n"))
    ends_lines = len(line) == len(word) + 1 and line[:-1] == word
    end = line[-1] if ends_lines else final
    separator = "\n" if ends_lines else tokenizer.decode([final])
    begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else final
    return PlainPrompts(tokenizer, separator, begin, end, tuple(dict.fromkeys([end, *stops])), limit)


def _chat_prompts(tokenizer: Any, system: str, final: int, stops: tuple[int, ...], limit: int) -> ChatPrompts:
    if system and not _accepts(tokenizer, ["hi"], system_prompt=system, user_begins=False):
        raise TeacherError("the teacher's chat template takes no system message; leave out system_prompt")
    user_begins = not _accepts(tokenizer, ["hi", "hi"], system_prompt=system, user_begins=False)
    prompts = ChatPrompts(tokenizer, system, user_begins, _turn_end(tokenizer, final, stops), stops, limit)
    fixed = len(prompts.context_ids(()))
    if fixed >= limit:
        raise TeacherError(
            f"the chat template and system prompt take {fixed} tokens of max_context_tokens={limit}; "
            "raise it or shorten the prompt"
        )
    return prompts


def _accepts(tokenizer: Any, turns: Sequence[str], *, system_prompt: str, user_begins: bool) -> bool:
    messages = chat_messages(turns, system_prompt=system_prompt, user_begins=user_begins)
    try:
        _render(tokenizer, messages, answer=True)
    except TemplateError:
        return False
    return True


def _turn_end(tokenizer: Any, final: int, stops: tuple[int, ...]) -> int:
    """The stop token that the template writes after an assistant's turn, else the end of the text."""
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": _MARK}]
    suffix = _render(tokenizer, messages, answer=False).rpartition(_MARK)[2]
    written = tokenizer(suffix, add_special_tokens=False).input_ids
    return next((token for token in written if token in stops), final)


def _render(tokenizer: Any, messages: list[dict[str, str]], *, answer: bool) -> str:
    """The text of a chat; `answer` opens the assistant's turn, without a thinking part where there is a choice."""
    text: str = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=answer, enable_thinking=False
    )
    return text


def _tail(tokenizer: Any, text: str, limit: int) -> list[int]:
    """The last tokens of a text, the special ones around it kept."""
    return list(tokenizer(text, truncation=True, max_length=limit).input_ids)
