"""Settings of the verbs with their defaults, a module a verb; the command lines are generated from them. No torch."""

from nas.config.calibrate import CalibrateSettings
from nas.config.evaluate import EvaluateSettings
from nas.config.export import ExportSettings
from nas.config.measure import MeasureSettings
from nas.config.predict import PredictSettings
from nas.config.profile import ProfileSettings
from nas.config.report import ReportSettings
from nas.config.scale import ScaleSettings
from nas.config.search import DEFAULT_FIDELITY, SearchSettings
from nas.config.train import TrainSettings

__all__ = [
    "DEFAULT_FIDELITY",
    "CalibrateSettings",
    "EvaluateSettings",
    "ExportSettings",
    "MeasureSettings",
    "PredictSettings",
    "ProfileSettings",
    "ReportSettings",
    "ScaleSettings",
    "SearchSettings",
    "TrainSettings",
]
