"""Configuration of the evaluation."""

from pydantic import Field

from g2r.config.base import StageConfig


class ReportConfig(StageConfig):
    """The table that closes a run."""

    contexts: int = Field(400, ge=1, description="Held-out contexts evaluated, at most, drawn by seed.")
    candidates: int = Field(
        20, ge=2, description="Candidates of a list for hits@1: one human, the rest random."
    )
    responses: int | None = Field(
        5000,
        ge=1,
        description="Responses of each bank that all students reply from, drawn by seed; none for whole banks.",
    )
    side_by_side: int = Field(
        10, ge=0, description="Contexts whose top replies are shown, one column a system."
    )
    sources: tuple[str, ...] = Field((), description="Sources of the held-out contexts; empty for all.")
    seed: int = Field(0, ge=0, description="Seed of the draws.")


class EvaluateConfig(ReportConfig):
    """The whole evaluation of a run, tiers A to F (EVALUATION: Metrics). What is not given is not computed."""

    judged: str = Field(
        "",
        description="Lists of candidates with a judge's scores: JSON Lines of id, turns, candidates, scores.",
    )
    judged_ids: str = Field(
        "", description="Ids of the judged lists that are evaluated, one a line; empty for all."
    )
    adversarial: str = Field(
        "",
        description="Contexts with positives, adversarial_negatives and random_negatives (DailyDialog++); "
        "as many as contexts, drawn by seed.",
    )
    ratings: tuple[str, ...] = Field(
        (), description="Human ratings that learned scorers are validated by: turns, response, human_rating."
    )
    scorers: str = Field("", description="Folder of scripts/train_scorers.py: VUP, NUP, MaUdE-style.")
    masked_model: str = Field(
        "", description="Masked language model of the specificity in USL-H style: folder or hub name."
    )
    judges: tuple[str, ...] = Field(
        (), description="Folders of judges (g2r judge train): they rate replies, choose and re-rank."
    )
    poly_encoder: str = Field(
        "", description="Folder of scripts/train_poly_encoder.py: chooses and re-ranks."
    )
    rerank: int = Field(20, ge=2, description="Candidates of the served student that are re-ranked.")
    teacher: str = Field(
        "",
        description='Teacher that replies and scores the oracle gap, as in g2r generate; "run" for the run\'s own.',
    )
    oracle_contexts: int = Field(50, ge=2, description="Contexts of the oracle gap, at most.")
    endpoint: str = Field(
        "", description="Judge of pairs of replies, openai:MODEL@http://host:port/v1; empty for none."
    )
    judge_contexts: int = Field(200, ge=2, description="Contexts that the endpoint is asked about, at most.")
