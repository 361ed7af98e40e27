"""One model per stage: the single definition behind the library, the YAML file, the command line and the docs."""

from g2r.config.base import StageConfig, parse_config
from g2r.config.benching import BenchConfig
from g2r.config.calibrating import CalibrateConfig
from g2r.config.compressing import CompressConfig
from g2r.config.data import DataConfig, SourceConfig
from g2r.config.evaluation import EvaluateConfig, ReportConfig
from g2r.config.growing import GrowConfig
from g2r.config.judging import JudgeConfig
from g2r.config.onpolicy import OnPolicyConfig
from g2r.config.ranking import RankerConfig
from g2r.config.rating import RateConfig, RatingsConfig
from g2r.config.run import RunConfig, read_run_config
from g2r.config.serving import BotConfig, ContextView, IndexConfig, ServeConfig
from g2r.config.teaching import (
    SCORES,
    GenerateConfig,
    JudgeTeacherConfig,
    OpenAITeacherConfig,
    RecordedTeacherConfig,
    ScoreConfig,
    ScoreName,
    TeacherConfig,
    TransformersTeacherConfig,
)
from g2r.config.training import ExportConfig, TrainConfig

__all__ = [
    "SCORES",
    "BenchConfig",
    "BotConfig",
    "CalibrateConfig",
    "CompressConfig",
    "ContextView",
    "DataConfig",
    "EvaluateConfig",
    "ExportConfig",
    "GenerateConfig",
    "GrowConfig",
    "IndexConfig",
    "JudgeConfig",
    "JudgeTeacherConfig",
    "OnPolicyConfig",
    "OpenAITeacherConfig",
    "RankerConfig",
    "RateConfig",
    "RatingsConfig",
    "RecordedTeacherConfig",
    "ReportConfig",
    "RunConfig",
    "ScoreConfig",
    "ScoreName",
    "ServeConfig",
    "SourceConfig",
    "StageConfig",
    "TeacherConfig",
    "TrainConfig",
    "TransformersTeacherConfig",
    "parse_config",
    "read_run_config",
]
