"""A conversation with the bot in the terminal: lines in, text out; the command line does the printing."""

from dataclasses import dataclass, field

from g2r.bot import Bot, Reply
from g2r.errors import InputError

HELP = """\
/top [N]   the N best candidates for what you said last, with scores, provenance and timings
/ban [N]   never say the reply again (or candidate N of /top); the bot answers anew
/undo      take the last ban back
/new       start a new conversation
/quit      leave"""


@dataclass
class Chat:
    """One person talking to one bot; bans are kept in the bank's log, the conversation is not.

    Attributes:
        bot: who answers.
        turns: the conversation so far.
    """

    bot: Bot
    turns: list[str] = field(default_factory=list)
    _reply: Reply | None = None
    _banned: list[str] = field(default_factory=list)

    def hear(self, line: str) -> str:
        """Answer one line: a command, or what the partner says.

        Raises:
            EOFError: the person wants to leave.
        """
        line = line.strip()
        if not line:
            return ""
        if not line.startswith("/"):
            return self._say(line)
        command, _, argument = line.partition(" ")
        match command:
            case "/top":
                return self._top(_number(argument, default=5))
            case "/ban":
                return self._ban(argument)
            case "/undo":
                return self._undo()
            case "/new":
                self.turns, self._reply = [], None
                return "(new conversation)"
            case "/quit" | "/exit":
                raise EOFError
        return HELP

    def _say(self, text: str) -> str:
        self._reply = self.bot.reply([*self.turns, text])
        self.turns += [text, self._reply.text]
        return self._reply.text or "(nothing fitting to say)"

    def _top(self, count: int) -> str:
        if self._reply is None:
            return "(say something first)"
        lines = [
            f"{place}. {candidate.score:.3f}  {candidate.text}  [{candidate.response_id}, {', '.join(candidate.sources)}]"
            for place, candidate in enumerate(self._reply.candidates[:count], 1)
        ]
        times = ", ".join(f"{phase} {ms:.2f}" for phase, ms in self._reply.timings_ms.items())
        return "\n".join([*lines, f"ms: {times}"])

    def _ban(self, argument: str) -> str:
        if self._reply is None:
            return "(nothing said yet)"
        place = _number(argument, default=0)
        if place > len(self._reply.candidates):
            return f"(candidate {place} of {len(self._reply.candidates)})"
        response_id = self._reply.candidates[place - 1].response_id if place else self._reply.response_id
        if response_id is None:
            return "(nothing said yet)"
        self.bot.bank.ban(response_id, reason="chat")
        self._banned.append(response_id)
        return f"(banned {response_id}) {self._again()}"

    def _undo(self) -> str:
        if not self._banned:
            return "(no ban to take back)"
        response_id = self._banned.pop()
        self.bot.bank.unban(response_id)
        return f"(allowed again {response_id})"

    def _again(self) -> str:
        *self.turns, asked, _ = self.turns
        return self._say(asked)


def _number(argument: str, *, default: int) -> int:
    try:
        return max(0, int(argument)) if argument else default
    except ValueError:
        raise InputError(f"{argument!r} is no number of a candidate") from None
