"""What samplers are compared on: a table of networks that were all trained, and stand-ins for a larger space.

A task says what a network is worth (`measure`: true values, and those that a sampler is told), and judges what was
found. For both tasks of several objectives that is the hypervolume of the true values, higher is better.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from nas.complexity import complexity
from nas.evaluation.step_features import StepShape
from nas.evaluation.step_predictor import StepTimePredictor
from nas.evaluation.table import read_table
from nas.optimization.encoding import encoding_of
from nas.optimization.objectives import REWARD, reward
from nas.results.volume import dominated_volume
from search_spaces.efficientnet_v2_tiny import space as tiny_space
from search_spaces.nas_bench_macro import space as macro_space

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("NAS_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
TABLE = DATA / "nas_bench_macro" / "nas_bench_macro.csv"
TINY_RUN = REPOSITORY / "results" / "fashion_hard_200" / "trials.csv"

ACCURACY = replace(REWARD, name="accuracy", metrics=("accuracy",))


class Macro:
    """NAS-Bench-Macro; told is the mean of three trainings, or with `noisy` the first one alone.

    With one objective `judge` returns how many points of accuracy the best that was told is behind the best there is,
    lower is better; with two the share of the whole space's hypervolume.
    """

    space = macro_space

    def __init__(self, objective, noisy=False):
        self.objective, self.noisy = objective, noisy
        self.rows = read_table(TABLE, macro_space).rows
        everything = np.array([(np.mean(row.accuracies), row.num_macs) for row in self.rows.values()])
        self.best, self.most_macs = everything.max(axis=0)
        self.whole = self.volume(everything)

    def measure(self, spec, rng):
        row = self.rows[spec.arch_id]
        accuracy = float(np.mean(row.accuracies))
        told = row.accuracies[0] if self.noisy else accuracy
        return (accuracy, row.num_macs), [told, row.num_macs][: len(self.objective.metrics)]

    def judge(self, true, told):
        if self.objective is ACCURACY:
            return 100 * (self.best - true[np.argmax(told[:, 0]), 0])
        return self.volume(true) / self.whole

    def volume(self, true):
        return dominated_volume(true * [-1, 1], np.array([-0.45, self.most_macs]))


class Tiny:
    """The tiny space with a model in the place of training, fitted to 200 measured candidates: a stand-in, no truth.

    Accuracy is told with noise of 2 points and step time with 3%, as measured on the real task. With the reward
    `judge` returns the true reward of what was told to be best, else a hypervolume in points times thousands of
    parameters.
    """

    space = tiny_space
    reference_point = np.array([-0.2, 2.5, 1_200_000])

    def __init__(self, objective, model):
        self.objective = objective
        self.encoding = encoding_of(tiny_space)
        trials = pd.read_csv(TINY_RUN).query("state == 'measured'")
        params = [
            {name: type(values[0])(row[f"param_{name}"]) for name, values in tiny_space.choices.items()}
            for row in trials.to_dict("records")
        ]
        self.accuracy = model(self.encoding, self.encoding.codes(params), trials.accuracy.to_numpy())
        specs = [tiny_space.decode(each) for each in params]
        self.step_time = StepTimePredictor.fit(specs, trials.relative_step_time.to_numpy(), StepShape(64, 10, 1))
        self.base = complexity(tiny_space.reference, num_classes=10, in_channels=1).num_params

    def measure(self, spec, rng):
        accuracy = float(self.accuracy(self.encoding.codes([tiny_space.encode(spec)]))[0])
        step_time = self.step_time.predict(spec).step_time
        num_params = complexity(spec, num_classes=10, in_channels=1).num_params
        noisy = min(max(accuracy + 0.02 * rng.normal(), 0.05), 0.99), step_time * np.exp(0.03 * rng.normal())
        return (accuracy, step_time, num_params), self._values(*noisy, num_params)

    def judge(self, true, told):
        if self.objective is REWARD:
            return self._values(*true[np.argmax(told[:, 0])])[0]
        return dominated_volume(true * [-1, 1, 1], self.reference_point) / 10

    def _values(self, accuracy, step_time, num_params):
        if self.objective is REWARD:
            return [reward(accuracy, step_time, num_params / self.base)]
        return [accuracy, step_time, num_params]


class PairwiseRidge:
    """A linear model of choices, pairs of choices and costs; its ridge is that with the least leave-one-out error."""

    def __init__(self, encoding, codes, values):
        self.encoding = encoding
        log_costs = np.log(encoding.costs(codes))
        self.centre, self.scale = log_costs.mean(axis=0), log_costs.std(axis=0)
        features = self._features(codes)
        self.mean = values.mean()
        self.error = np.inf
        for ridge in np.geomspace(0.1, 1000, 25):
            inverse = np.linalg.inv(features @ features.T + ridge * np.eye(len(values)))
            weights = inverse @ (values - self.mean)
            error = np.sqrt(np.mean((weights / np.diag(inverse)) ** 2))
            if error < self.error:
                self.error, self.weights = error, features.T @ weights

    def _features(self, codes):
        chosen = self.encoding.one_hot(codes)
        costs = (np.log(self.encoding.costs(codes)) - self.centre) / self.scale
        first, second = np.triu_indices(chosen.shape[1], 1)
        return np.hstack([chosen, costs, costs**2, 0.35 * chosen[:, first] * chosen[:, second]])

    def __call__(self, codes):
        return self._features(codes) @ self.weights + self.mean


class Perceptrons:
    """The mean of eight small networks on choices and costs."""

    def __init__(self, encoding, codes, values):
        self.encoding = encoding
        log_costs = np.log(encoding.costs(codes))
        self.centre, self.scale = log_costs.mean(axis=0), log_costs.std(axis=0)
        self.mean, self.spread = values.mean(), values.std()
        torch.manual_seed(0)
        targets = torch.tensor((values - self.mean) / self.spread, dtype=torch.float32)
        self.members = [self._fit(self._features(codes), targets) for _ in range(8)]

    def _features(self, codes):
        costs = (np.log(self.encoding.costs(codes)) - self.centre) / self.scale
        return torch.tensor(np.hstack([self.encoding.one_hot(codes), costs]), dtype=torch.float32)

    def _fit(self, features, targets):
        network = torch.nn.Sequential(
            torch.nn.Linear(features.shape[1], 32), torch.nn.Tanh(), torch.nn.Linear(32, 1), torch.nn.Flatten(0)
        )
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=1.0)
        for _ in range(150):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(network(features), targets).backward()
            optimizer.step()
        return network

    @torch.no_grad()
    def __call__(self, codes):
        features = self._features(codes)
        return self.mean + self.spread * np.mean([member(features).numpy() for member in self.members], axis=0)
