"""A small real search space and a search on it whose measurements follow from a formula, in milliseconds."""

import math

import optuna
from optuna.trial import TrialState

from nas.complexity import complexity
from nas.evaluation.measurement import Measurement
from nas.optimization import trials
from nas.optimization.samplers import make_sampler
from nas.space import Bounds, Skeleton, StageChoices, StagewiseSpace

STAGES = (
    StageChoices(num_layers=(1, 2), out_channels=(8, 16), expand_ratio=(1, 4)),
    StageChoices(num_layers=(1, 2, 3), out_channels=(16, 24, 32)),
    StageChoices(num_layers=(1, 2), out_channels=(32, 48, 64), block=("mbconv",)),
)
REFERENCE = {
    **{"s1_block": "fused", "s1_expand_ratio": 1, "s1_kernel_size": 3, "s1_num_layers": 1, "s1_out_channels": 8},
    **{"s2_block": "fused", "s2_expand_ratio": 4, "s2_kernel_size": 3, "s2_num_layers": 2, "s2_out_channels": 24},
    **{"s3_expand_ratio": 4, "s3_kernel_size": 3, "s3_num_layers": 2, "s3_out_channels": 48},
}


def small_space(max_num_params=60_000):
    """Three stages, 82,944 configurations, about half of them inside the default bounds."""
    skeleton = Skeleton(stem_channels=8, head_channels=64, strides=((1, 1, 2, 2),), train_image_size=16)
    bounds = Bounds(max_num_params=max_num_params)
    return StagewiseSpace("small", STAGES, skeleton, bounds=bounds, references={"reference": REFERENCE})


def measure(spec, reference, *, seed=0):
    """Accuracy grows with cost and falls a little with large kernels; step time follows the activations."""
    cost = complexity(spec, num_classes=10, in_channels=3)
    base = complexity(reference, num_classes=10, in_channels=3)
    kernels = sum(stage.kernel_size for stage in spec.stages)
    accuracy = 0.3 + 0.06 * math.log(cost.num_macs / 1e4) - 0.005 * kernels
    relative = (cost.num_activations / base.num_activations) ** 0.9
    return Measurement(
        accuracy=accuracy,
        accuracy_stderr=math.sqrt(accuracy * (1 - accuracy) / 2_000),
        train_loss=2 - accuracy,
        step_time_s=0.02 * relative,
        step_time_spread_s=0.001,
        relative_step_time=relative,
        relative_step_time_spread=0.01,
        step_batch_size=32,
        step_image_size=spec.train_image_size,
        num_params=cost.num_params,
        relative_params=cost.num_params / base.num_params,
        num_macs=cost.num_macs,
        peak_memory_bytes=None,
        fidelity="2000x1",
        seed=seed,
        device="cpu",
        device_name="formula",
        dtype="float32",
        torch_version="2.14.1",
        train_s=1.5,
        timing_s=0.5,
        wall_s=2.25,
    )


def step(study, space, objective, sampler, *, seed=0, budget=200, measure=measure):
    """Ask for one trial and end it as a search would; every seventh network fails. Return the trial's parameters."""
    number = len(study.get_trials(deepcopy=False))
    study.sampler = make_sampler(
        sampler, space=space, seed=seed, trial_number=number, budget=budget, objective=objective
    )
    trial = study.ask()
    spec = space.suggest(trial)
    trials.describe(trial, spec)
    trial.set_user_attr(trials.ORIGIN, trial.user_attrs.get(trials.ORIGIN, "sampler"))
    original = next((t for t in trials.candidates(study) if t.user_attrs[trials.ARCH_ID] == spec.arch_id), None)
    if original is not None:
        trials.tell_repeat(study, trial, original)
    elif space.excess(spec) > 0:
        trials.tell_outside(study, trial, space.excess(spec))
    elif int(spec.arch_id, 16) % 7 == 0:
        trials.tell_failed(study, trial, "=out of memory, in a formula")
    else:
        trials.tell_measured(study, trial, measure(spec, space.reference), objective)
    return trial.params


def run_search(study, space, objective, sampler, num_asks, **changes):
    return [step(study, space, objective, sampler, **changes) for _ in range(num_asks)]


def new_study(objective):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(directions=objective.directions)


def measured(study):
    return [t for t in trials.candidates(study) if t.state == TrialState.COMPLETE]
