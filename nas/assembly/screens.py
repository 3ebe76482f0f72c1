"""What keeps candidates from being evaluated: a limit on their step time, a signal that is too low."""

from typing import TYPE_CHECKING

from nas.config import SearchSettings
from nas.evaluation.step_features import StepShape
from nas.evaluation.table import Table
from nas.evaluation.timing_history import TimingHistory
from nas.execution.prescreen import Prescreen
from nas.optimization.prefilter import TRIVIAL_SIGNALS, Prefilter, trivial_signal
from nas.results.manifest import Manifest

if TYPE_CHECKING:
    from nas.evaluation.proxy_factory import ProxyFactory


def make_prescreen(settings: SearchSettings, factory: "ProxyFactory | Table", manifest: Manifest) -> Prescreen | None:
    """Return what passes over candidates that are expected to be too slow, if `--max-step-time` is given."""
    if settings.max_step_time is None or isinstance(factory, Table):
        return None
    setup = settings.step_setup()
    shape = StepShape(setup.batch_size, manifest.num_classes, manifest.in_channels, setup.image_size)
    if factory.target_device is not None:
        predictor = factory.target_device.predictor
        shape = predictor.reshaped(num_classes=shape.num_classes, in_channels=shape.in_channels).shape
    return Prescreen(TimingHistory(shape), settings.max_step_time)


def make_prefilter(settings: SearchSettings, factory: "ProxyFactory | Table", manifest: Manifest) -> Prefilter | None:
    """Return what passes over proposals by a cheap signal, if `--prefilter` is given."""
    rule = settings.prefilter_rule()
    if rule is None:
        return None
    if rule.signal in TRIVIAL_SIGNALS or isinstance(factory, Table):
        shape = {"num_classes": manifest.num_classes, "in_channels": manifest.in_channels}
        return Prefilter(rule.keep, trivial_signal(rule.signal, **shape))
    scorer = factory.scorer(rule.signal)
    return Prefilter(rule.keep, lambda spec: scorer(spec)[rule.signal])
