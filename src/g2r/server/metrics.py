"""What Prometheus reads of the server: names begin with g2r_, no label holds text of a conversation."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import generate_latest

from g2r.bot import Bot

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters and histograms of one server, in a registry of its own.

    Attributes:
        seconds: time of a reply by phase: queue, encode, search, rules, total.
        replies: conversations answered with a response.
        abstentions: conversations answered with none.
        fallbacks: abstentions answered in the bot's place, by kind: line, llm.
        fallback_failures: LLM fallbacks that failed, so that the line was said.
        lost_misses: abstentions that could not be logged.
        refused: requests refused, by reason.
        failures: requests that failed by a fault of the server.
        changes: changes of the bank through the admin API, by action.
        batch_size: conversations answered together.
        queue_length: conversations that wait.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="g2r", registry=self.registry)
        self.seconds = Histogram(
            "g2r_reply_seconds",
            "Time of a reply by phase.",
            ["phase"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.replies = self._counter("g2r_replies", "Conversations answered with a response.")
        self.abstentions = self._counter("g2r_abstentions", "Conversations answered with none.")
        self.fallbacks = self._counter("g2r_fallbacks", "Abstentions answered by the fallback.", "kind")
        self.fallback_failures = self._counter("g2r_fallback_failures", "LLM fallbacks that failed.")
        self.lost_misses = self._counter("g2r_lost_misses", "Abstentions that could not be logged.")
        self.refused = self._counter("g2r_refused", "Requests refused.", "reason")
        self.failures = self._counter("g2r_failures", "Requests failed by a fault of the server.")
        self.changes = self._counter("g2r_bank_changes", "Changes of the bank by admins.", "action")
        self.batch_size = Histogram(
            "g2r_batch_size", "Conversations answered together.", buckets=_SIZES, registry=self.registry
        )
        self.queue_length = self._gauge("g2r_queue_length", "Conversations that wait.")
        self._bank = Info("g2r_bank", "The bank and the student served.", registry=self.registry)
        self._responses = self._gauge("g2r_bank_responses", "Responses in the bank, banned ones included.")
        self._banned = self._gauge("g2r_banned_responses", "Responses that are banned.")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def count_refusal(self, reason: str) -> None:
        """One more request is refused."""
        self.refused.labels(reason).inc()

    def page(self, bot: Bot) -> bytes:
        """The page of /metrics for the bot that is served now."""
        self._bank.info({"version": bot.bank.version, "student": bot.encoder.fingerprint})
        self._responses.set(len(bot.bank))
        self._banned.set(int(bot.bank.banned.sum()))
        return generate_latest(self.registry)
