"""The plain way to search: what one writes in an afternoon with Optuna and torchvision.

Optuna's default sampler, torchvision's blocks, one process with PyTorch's default threads, one fidelity, step times as
the mean of a few steps in a row. It gets from us what it takes to compare: the space with its bounds, the data held in
memory, the schedule of training, and BatchNorm estimated again before validation.

    python -m tests.benchmarks.plain_search DATA BUDGET SEED OUT.csv
"""

import json
import sys
import time
from functools import partial

import optuna
import pandas as pd
import torch
from optuna.trial import TrialState
from torch import nn

from nas.config import DEFAULT_FIDELITY
from nas.data import load_dataset
from nas.data.batches import prepare
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.proxy_factory import PROXY_RECIPE
from nas.training.loop import Trainer, fit, reestimate_batch_norm
from nas.training.validation import validate
from search_spaces.efficientnet_v2_tiny import space
from tests.benchmarks.test_training_step import torchvisions

FIDELITY = Fidelity.parse(DEFAULT_FIDELITY)


def step_time_s(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> float:
    trainer = Trainer(model, PROXY_RECIPE, torch.device("cpu"), memory_format=torch.contiguous_format)
    for _ in range(3):
        trainer.step(inputs, labels)
    start = time.perf_counter()
    for _ in range(10):
        trainer.step(inputs, labels)
    return (time.perf_counter() - start) / 10


def main(data: str, budget: int, seed: int, out: str) -> None:
    start = time.perf_counter()
    dataset = load_dataset(data, image_size=32, seed=seed)
    train = dataset.train.subset(FIDELITY.train_images)
    normalise = partial(prepare, mean=dataset.mean, std=dataset.std, memory_format=torch.contiguous_format)
    batch = normalise(train.images[:64]), train.labels[:64]
    rows: list[dict[str, object]] = []

    def objective(trial: optuna.Trial) -> tuple[float, float, int]:
        spec = space.suggest(trial)
        if space.excess(spec) > 0:
            raise optuna.TrialPruned
        model = torchvisions(spec, dataset.num_classes, dataset.in_channels)
        num_params = sum(p.numel() for p in model.parameters())
        step_s = step_time_s(torchvisions(spec, dataset.num_classes, dataset.in_channels), *batch)
        trainer = Trainer(model, PROXY_RECIPE, torch.device("cpu"), memory_format=torch.contiguous_format)
        fit(trainer, train, FIDELITY.epochs, normalise, seed)
        reestimate_batch_norm(model, train, normalise)
        accuracy = validate(model, dataset.val, normalise).accuracy
        row = {
            "accuracy": accuracy,
            "step_time_s": step_s,
            "num_params": num_params,
            "arch": json.dumps(spec.to_dict()),
        }
        rows.append({"ended_s": time.perf_counter() - start, **row})
        return accuracy, step_s, num_params

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"])
    study.sampler = optuna.samplers.TPESampler(seed=seed)
    while len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < budget:
        study.optimize(objective, n_trials=1)
    pd.DataFrame(rows).to_csv(out, index=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
