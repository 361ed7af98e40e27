"""The errors g2r raises for what a user can mend. The command line prints each as one line and exits 1."""


class G2RError(Exception):
    """Base of all errors raised on purpose. The message says what came, what was expected, what to do."""


class InputError(G2RError):
    """A file or text given by the user cannot be used: missing, malformed, empty."""


class ConfigError(G2RError):
    """An option or a run file is wrong: unknown key, value out of range, stages that do not fit together."""


class TeacherError(G2RError):
    """The teacher failed or cannot do what was asked: no such model, no log-probabilities, NaN scores."""


class ArtifactError(G2RError):
    """A file or folder written by g2r does not fit: stale index, another run's folder, interrupted write."""


class DependencyError(G2RError):
    """An optional dependency is missing. The message holds the pip command that installs it."""


class VettingError(G2RError):
    """A classifier of responses failed: its endpoint cannot be reached, refuses, or answers something else."""
