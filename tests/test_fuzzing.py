"""Damaged and edited files: a clear error or a correct read; never a traceback, a hang or a write outside the folder.

Each case can be done again: it follows from its number.
"""

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nas import ArchSpec
from nas.config import SearchSettings
from nas.data import load_dataset
from nas.errors import InvalidInputError
from nas.evaluation.fidelity import Fidelity
from nas.models.zoo import get_arch
from nas.optimization.objectives import PARETO
from nas.results import Manifest, RunFolder, load
from nas.results.replay import replay_jobs
from nas.results.report.sections import reproduce
from nas.results.status import read_status
from nas.results.write import to_csv
from tests.data.making import encode, picture, write_parquet
from tests.mutation import mutate_bytes, mutate_json, mutate_lines
from tests.results.conftest import describe_run
from tests.running import everything_in
from tests.synthetic import run_search, small_space

MAX_S = 20
"""A case that takes longer hangs. Most take milliseconds."""
FEW, MANY = range(50), range(50, 2_550)
"""Cases of each kind of file: of the default suite, and of the slow one, four times 2,500."""
CASES = pytest.mark.parametrize("cases", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"])


class HangError(BaseException):
    """No code under test may catch it."""


@contextmanager
def time_limit() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, MAX_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def survive(cases: range, path: Path, damage: Callable[[random.Random], bytes], read: Callable[[], None]) -> None:
    """Damage, then read, once for each case; demand that some reads end either way, and nothing is written around.

    Args:
        cases: Numbers.
        path: Of the file, in the folder that may be written to.
        damage: Returns the file's content for a case.
        read: Reads it, and asserts what holds of whatever can be read.
    """
    within, around = path.parent, path.parent.parent
    before = {name for name in everything_in(around) if not name.startswith(within.name)}
    num_read = 0
    for case in cases:
        path.write_bytes(damage(random.Random(case)))
        message = ""
        try:
            with time_limit():
                read()
            num_read += 1
        except InvalidInputError as error:
            message = str(error)
        except BaseException as error:
            error.add_note(f"Case {case}.")
            raise
        assert message.encode().count(b"\n") == 0, case
    after = {name for name in everything_in(around) if not name.startswith(within.name)}
    assert after == before
    assert 0 < num_read < len(cases)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder that nothing may be written to."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")


@pytest.fixture
def within(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def run_path(within: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of eight trials, some of them failed or free."""
    monkeypatch.setattr("os.fsync", lambda _: None)  # the disk's speed is not what is tested
    folder = RunFolder.create(within)
    folder.write_manifest(describe_run(small_space(), settings=SearchSettings().to_dict()))
    with folder.lock():
        run_search(folder.study(PARETO), small_space(), PARETO, "random", 8)
    return within


def either(text: str, rng: random.Random, edit: Callable[[str, random.Random], bytes]) -> bytes:
    return edit(text, rng) if rng.random() < 0.6 else mutate_bytes(text.encode(), rng)


@CASES
def test_networks(cases: range, within: Path) -> None:
    path = within / "S.json"
    get_arch("efficientnet_v2_s").save(path)
    text = path.read_text()

    def read() -> None:
        spec = ArchSpec.load(path)
        assert ArchSpec.from_dict(spec.to_dict()) == spec
        assert len(spec.arch_id) == 16
        assert spec.num_blocks == len(spec.blocks())

    survive(cases, path, lambda rng: either(text, rng, mutate_json), read)


@CASES
def test_manifests(cases: range, run_path: Path) -> None:
    path = run_path / "manifest.json"
    text = path.read_text()

    def read() -> None:
        run = load(run_path)
        assert Manifest.from_json(run.manifest.to_json()) == run.manifest
        assert run.noise is not None
        reproduce(run)
        SearchSettings.from_dict(run.manifest.settings).check()

    survive(cases, path, lambda rng: either(text, rng, mutate_json), read)


@CASES
def test_journals(cases: range, run_path: Path) -> None:
    folder = RunFolder.open(run_path)
    text = folder.journal_path.read_text()

    def read() -> None:
        run = load(run_path)
        assert len(run.trials) == len(run.candidates)
        assert set(run.pareto["number"]) <= set(run.trials["number"])
        to_csv(run.trials).encode()
        to_csv(run.pareto).encode()
        assert read_status(run_path).front_size == len(run.pareto)
        assert run.noise is None or run.noise.describe()
        if not run.pareto.empty:
            run.family()
            replay_jobs(run, Fidelity(2000, 1))
        folder.study(PARETO)  # for writing, with a torn end mended

    survive(cases, folder.journal_path, lambda rng: either(text, rng, mutate_lines), read)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore:Palette images:UserWarning")
@CASES
def test_image_tables(cases: range, within: Path) -> None:
    path = within / "animals.parquet"
    images = [encode(picture(key, size=(4, 4)), kind) for key in range(20) for kind in ("PNG", "JPEG")]
    named = write_parquet(path, [0, 1, 2, 1] * 10, images=images).read_bytes()
    bare = write_parquet(path, [0, 1, 2, 1] * 10, images=images, names=None, as_struct=False).read_bytes()

    def read() -> None:
        data = load_dataset(str(path), image_size=8, val_images=10)
        assert data.num_classes >= 2
        assert int(data.train.labels.max()) < data.num_classes

    survive(cases, path, lambda rng: mutate_bytes(rng.choice((named, bare)), rng), read)
