"""Classifiers by the short names of the command line and the run file."""

from g2r.errors import ConfigError
from g2r.vetting.base import Classifier
from g2r.vetting.duplicates import NearDuplicates
from g2r.vetting.personal import PersonalInformation
from g2r.vetting.words import WordList

FORMS = (
    "words, words:FILE, personal, duplicates, hf:MODEL, hf:MODEL#label+label, moderation:MODEL@http://host/v1"
)


def open_classifier(name: str) -> Classifier:
    """Open a classifier by its short name, one of `FORMS`.

    Raises:
        ConfigError: it is none of them.
        InputError: its file or model cannot be read.
        DependencyError: it needs a package that is not installed.
    """
    kind, _, rest = name.partition(":")
    match kind, bool(rest):
        case "words", _:
            return WordList(rest or None)
        case "personal", False:
            return PersonalInformation()
        case "duplicates", False:
            return NearDuplicates()
        case "hf", True:
            from g2r.vetting.huggingface import HuggingFaceClassifier

            model, _, labels = rest.partition("#")
            return HuggingFaceClassifier(model, labels=labels.split("+") if labels else ())
        case "moderation", True if "@" in rest:
            from g2r.vetting.endpoint import ModerationEndpoint

            model, _, base_url = rest.partition("@")
            return ModerationEndpoint(model, base_url)
    raise ConfigError(f"no classifier {name!r}; expected one of {FORMS}")
