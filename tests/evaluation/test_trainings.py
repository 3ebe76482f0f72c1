import pickle
from dataclasses import replace

import pytest

from nas.errors import DivergedError
from nas.evaluation.fidelity import Fidelity
from nas.evaluation.proxy_factory import PROXY_RECIPE, ProxyFactory
from nas.evaluation.training_job import TrainingJob
from nas.evaluation.trainings import TrainingFactory
from nas.training.recipe import Recipe
from tests.stripes import SIZE, space, write_stripes

JOB = TrainingJob(0, space.reference, Fidelity(60, 2), 5, recipe=replace(PROXY_RECIPE, batch_size=15))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(write_stripes(tmp_path_factory.mktemp("data"), 150))


@pytest.fixture(scope="module")
def evaluator(data):
    factory = TrainingFactory(data, image_size=SIZE, val_images=60, data_seed=0, device="cpu")
    return pickle.loads(pickle.dumps(factory))()


def test_by_the_proxys_recipe_it_is_what_a_search_does(data, evaluator):
    proxy = ProxyFactory(
        data, image_size=SIZE, val_images=60, data_seed=0, reference=space.reference, device="cpu", recipe=JOB.recipe
    )()
    validation, _ = proxy.train(JOB.spec, JOB.fidelity, JOB.seed)
    found = evaluator(JOB)
    assert (found.accuracy, found.val_loss, found.num_val_images) == (validation.accuracy, validation.loss, 60)
    assert found.train_cpu_s > 0
    assert found.wall_s > 0
    assert (evaluator(JOB).accuracy, evaluator(JOB).val_loss) == (found.accuracy, found.val_loss)


def test_seed_recipe_and_fidelity_of_the_job_count(evaluator):
    jobs = (
        JOB,
        replace(JOB, seed=6),
        replace(JOB, recipe=Recipe(batch_size=15)),
        replace(JOB, fidelity=Fidelity(60, 1)),
        replace(JOB, fidelity=Fidelity(60, 2, image_size=12)),
    )
    assert len({evaluator(job).val_loss for job in jobs}) == len(jobs)
    # More images than there are: all of them.
    most = replace(JOB, fidelity=Fidelity(90, 1))
    assert evaluator(replace(JOB, fidelity=Fidelity(10_000, 1))).val_loss == evaluator(most).val_loss


def test_a_training_that_diverges_says_so(evaluator):
    with pytest.raises(DivergedError):
        evaluator(replace(JOB, recipe=replace(JOB.recipe, optimizer="sgd", learning_rate=1e12)))
