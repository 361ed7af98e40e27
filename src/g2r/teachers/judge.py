"""The judge as a teacher: it writes nothing and rates everything."""

from collections.abc import Sequence

from g2r.config import GenerateConfig, JudgeTeacherConfig
from g2r.dialogue import Context, Scores
from g2r.errors import TeacherError
from g2r.judge.model import Judge
from g2r.teachers.base import Sample


class JudgeTeacher:
    """Rates responses from 0 to 10 with a trained cross-encoder."""

    def __init__(self, judge: Judge, *, config: JudgeTeacherConfig) -> None:
        self.judge = judge
        self.config = config

    @classmethod
    def from_config(cls, config: JudgeTeacherConfig) -> "JudgeTeacher":
        """Load the judge.

        Raises:
            InputError: there is no model in the folder.
            ArtifactError: it is no judge's.
        """
        return cls(Judge.load(config.path), config=config)

    @property
    def name(self) -> str:
        """The judge's own: two judges never count as one, wherever they stand."""
        return f"judge-{self.judge.fingerprint}"

    @property
    def score_kinds(self) -> frozenset[str]:
        return frozenset({"judge"})

    def generate(
        self, contexts: Sequence[Context], settings: GenerateConfig, *, seed: int
    ) -> list[list[Sample]]:
        """Raises TeacherError: a judge writes nothing."""
        raise TeacherError(
            f"{self.config.path} is a judge, which rates responses and writes none; "
            "generate with another teacher, or leave the generate section out"
        )

    def score(self, contexts: Sequence[Context], responses: Sequence[Sequence[str]]) -> list[list[Scores]]:
        """Rate `responses[i][j]` as a response to `contexts[i]`.

        Raises:
            TeacherError: a context has no turn.
        """
        if not all(contexts):
            raise TeacherError("a judge rates responses to something; got a context without turns")
        ratings = self.judge.score_lists(contexts, responses, at_once=self.config.batch_size)
        return [[Scores(judge=float(rating)) for rating in own] for own in ratings]
