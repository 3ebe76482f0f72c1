"""`python -m nas.search` from end to end: real candidates, trained and timed, on a data set that takes moments."""

import io
import os
import re
import shutil

import pandas as pd
import pytest
import torch
from rich.console import Console

import nas.results
from nas import ArchSpec
from nas.config import SearchSettings
from nas.models import build_model
from nas.optimization.trials import signals_of
from nas.results.folder import RunFolder
from nas.results.frame import COLUMN_DTYPES
from nas.results.report import write_report
from nas.search import main, search
from tests.data.making import write_parquet
from tests.running import ROOT, everything_in, exit_code, refusal, start
from tests.stripes import COMMON, write_stripes

PROMISED = (
    *("number", "state", "arch_id", "accuracy", "accuracy_stderr", "step_time_s", "relative_step_time"),
    *("num_params", "num_macs", "reward", "wall_s", "fail_reason"),
)

OWN_SPACE = """
from nas.space import Skeleton, StageChoices, StagewiseSpace

stages = (StageChoices((3,), (8, 16_384), ("fused",), (1,), (3, 5)),)
skeleton = Skeleton(stem_channels=8, head_channels=16, strides=((1, 2),), train_image_size=16)
narrow = {"s1_out_channels": 8, "s1_kernel_size": 3}
space = StagewiseSpace("own", stages, skeleton, references={"narrow": narrow})
"""
"""Four networks, of which the two wide ones have more parameters than anybody can build."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_stripes(tmp_path_factory.mktemp("stripes"), 150)


def find(data, out, **changes):
    known = {
        **{"budget": 4, "space": "tests.stripes:space", "data": str(data), "fidelity": "64x1", "val_images": 30},
        **{"workers": 0, "device": "cpu", "out": out},
    }
    return search(SearchSettings(**(known | changes)), Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    run, _ = find(data, tmp_path_factory.mktemp("finished") / "run")
    return run.folder.path


@pytest.fixture
def run_path(finished, tmp_path):
    """A finished run of four candidates of one's own."""
    return shutil.copytree(finished, tmp_path / "run")


def test_the_defaults_on_the_embedded_data_set(tmp_path, capsys):
    """All that the command does without being told: the tiny space, warm start, TPE, on the images in the package."""
    run_path = tmp_path / "run"
    args = ["--budget", 4, "--fidelity", "128x1", "--val-images", 100, "--workers", 0, "--device", "cpu"]
    assert exit_code(main, [*args, "--out", run_path]) == 0
    printed = capsys.readouterr()
    assert "Searching efficientnet_v2_tiny on fashion-hard" in printed.out
    for title in ("Pareto front", "Family", "Operator"):
        assert title in printed.out
    assert f"python -m nas.train --arch {run_path}/S.json" in printed.out
    assert len(re.findall(r"^\[\d/4\] #\d+ accuracy", printed.err, re.MULTILINE)) == 4
    trials = pd.read_csv(run_path / "trials.csv")
    assert trials["origin"].tolist()[:3] == ["efficientnet_v2_like", "efficientnet_v1_like", "all_fused"]
    assert trials["relative_step_time"].gt(0).all()


@pytest.mark.skipif(torch.cuda.device_count() > 7, reason="this machine has the GPU")
def test_gpus_that_are_not_there(data, tmp_path, capsys):
    args = ["--data", data, "--devices", "cuda:7", "--out", tmp_path / "run"]
    assert "`devices` must be on this machine, got 'cuda:7'" in refusal(main, args, capsys)
    assert not (tmp_path / "run").exists()


def test_the_run_folder_is_complete(finished):
    names = {path.name for path in finished.iterdir() if not path.name.startswith(".")}
    assert names == {
        *("manifest.json", "journal.log", "trials.csv", "pareto.csv", "family.md", "S.json", "M.json", "L.json"),
        "timings.jsonl",
    }


def test_trials_have_the_columns_that_are_promised(finished):
    trials = pd.read_csv(finished / "trials.csv")
    assert tuple(trials.columns[: len(PROMISED)]) == PROMISED
    assert list(trials.columns[: len(COLUMN_DTYPES)]) == list(COLUMN_DTYPES)
    assert {name for name in trials.columns if name.startswith("param_")} == {
        f"param_s{stage}_{name}" for stage in (1, 2) for name in ("block", "expand_ratio", "num_layers", "out_channels")
    }
    assert (len(trials), trials["arch_id"].nunique()) == (4, 4)
    assert set(trials["state"]) == {"measured"}
    assert trials["accuracy"].between(0, 1).all()
    front = pd.read_csv(finished / "pareto.csv")
    assert list(front.columns) == [*trials.columns, "is_tied", "ties_with_best"]
    assert set(front["number"]) <= set(trials["number"])


def test_the_family_can_be_built(finished):
    specs = [ArchSpec.load(finished / f"{size}.json") for size in "SML"]
    sizes = [
        sum(parameter.numel() for parameter in build_model(spec, num_classes=3, in_channels=1).parameters())
        for spec in specs
    ]
    assert sizes == sorted(sizes)
    trials = pd.read_csv(finished / "trials.csv").set_index("arch_id")
    assert trials.loc[specs[0].arch_id, "num_params"] == sizes[0]


def test_a_run_is_read_back_as_tables(finished):
    run = nas.results.load(finished)
    written = pd.read_csv(finished / "trials.csv")
    assert run.trials["arch_id"].tolist() == written["arch_id"].tolist()
    assert run.trials["accuracy"].tolist() == written["accuracy"].tolist()
    assert run.best["reward"] == run.pareto["reward"].max()
    assert run.family()["S"].arch_id == run.best["arch_id"] == ArchSpec.load(finished / "S.json").arch_id
    assert (run.manifest.num_classes, run.manifest.in_channels, run.manifest.seed) == (3, 1, 0)


def test_a_search_repeats_its_proposals_and_accuracies(data, tmp_path):
    """With a sampler that does not look at step times, which no run repeats."""
    first, again = (find(data, tmp_path / name, sampler="random", budget=3)[0].trials for name in ("first", "again"))
    assert again["arch_id"].tolist() == first["arch_id"].tolist()
    assert again["accuracy"].tolist() == first["accuracy"].tolist()


@pytest.mark.parametrize("sampler", ["nsga2", "gp", "aging"])
def test_every_sampler_searches(data, tmp_path, sampler):
    run, done = find(data, tmp_path / "run", sampler=sampler, budget=3, warm_start=False)
    assert (done.num_candidates, len(run.trials)) == (3, 3)


def test_two_workers_time_alone_and_say_so(data, tmp_path):
    trials = find(data, tmp_path / "run", budget=6, workers=2, timing_device="cpu")[0].trials
    assert (trials["state"] == "measured").all()
    assert trials["exclusive"].tolist() == [True] * 6
    assert trials["timing_device"].tolist() == ["cpu"] * 6
    assert trials[["paused_s", "lease_wait_s"]].ge(0).all(axis=None)


def test_the_reward_as_the_only_objective(data, tmp_path):
    run, _ = find(data, tmp_path / "run", objective="reward", budget=3)
    assert run.folder.read_study().best_value == run.trials["reward"].max() == run.best["reward"]


def test_a_larger_budget_leaves_earlier_rows_as_they_were(run_path, capsys):
    before = (run_path / "trials.csv").read_text()
    assert exit_code(main, ["--resume", run_path, "--budget", 6]) == 0
    after = (run_path / "trials.csv").read_text()
    assert after.startswith(before)
    assert len(pd.read_csv(io.StringIO(after))) == 6
    assert "[4/6] resuming" in capsys.readouterr().err


def test_a_file_of_settings_is_between_a_resumed_run_and_flags(run_path, tmp_path, capsys):
    config, before = tmp_path / "more.toml", RunFolder.open(run_path).manifest
    config.write_text(f'resume = "{run_path}"\nbudget = 50\nsampler = "random"\nworkers = 0')
    assert exit_code(main, ["--config", config, "--budget", 5]) == 0
    assert "5 of 5 candidates evaluated" in capsys.readouterr().err
    assert len(nas.results.load(run_path).trials) == 5
    assert RunFolder.open(run_path).manifest == before
    config.write_text('fidelity = "32x1"')
    assert exit_code(main, ["--config", config, "--resume", run_path]) == 2
    assert "`fidelity` must be as in the run that is resumed" in capsys.readouterr().err


def test_a_finished_run_that_is_resumed_stays_as_it_is(run_path, capsys):
    before = {name: (run_path / name).read_text() for name in ("trials.csv", "pareto.csv", "S.json", "manifest.json")}
    assert exit_code(main, ["--resume", run_path]) == 0
    assert {name: (run_path / name).read_text() for name in before} == before
    assert "4 of 4 candidates evaluated" in capsys.readouterr().err


def test_a_space_of_the_users_own_and_networks_that_fail(data, tmp_path):
    """As typed beside the module; half of the space cannot be built, which ends nothing."""
    (tmp_path / "own_space.py").write_text(OWN_SPACE)
    args = ["--budget", 9, "--space", "own_space:space", "--data", data, "--fidelity", "64x1", "--workers", 0]
    process = start("-m", "nas.search", *args, cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    (run_path,) = (tmp_path / "results").iterdir()
    assert re.fullmatch(r"\d{8}-\d{6}-space-stripes\d*", run_path.name)
    assert f"results in results/{run_path.name}" in out
    trials = nas.results.load(run_path).trials
    assert trials["state"].value_counts().to_dict() == {"measured": 2, "failed": 2}
    assert trials.loc[trials["state"] == "failed", "fail_reason"].str.contains("4,000,000,000 parameters").all()
    assert set(trials.loc[trials["state"] == "failed", "param_s1_out_channels"]) == {16_384}
    assert "no network of the space is left" in err


def test_a_search_without_a_single_measurement_says_where_to_look(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_failing_space.py").write_text(OWN_SPACE)
    args = ["--budget", 1, "--space", "own_failing_space:space", "--data", data, "--fidelity", "64x1", "--workers", 0]
    for seed in range(12):  # Every second draw is one that fails.
        code = exit_code(main, [*args, "--sampler", "random", "--no-warm-start", "--seed", seed, "--out", f"run{seed}"])
        printed = capsys.readouterr()
        if code == 1:
            break
        assert code == 0
    assert code == 1
    assert "look at fail_reason in trials.csv" in printed.out
    assert "nas.train" not in printed.out
    assert not (tmp_path / f"run{seed}" / "S.json").exists()


def make_bad_things(root, data):
    """Lay out what a user might point at by mistake."""
    (root / "empty").mkdir()
    shutil.copytree(data / "down", root / "one_class" / "down")
    (root / "unreadable.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    write_parquet(root / "other.parquet", [0, 1, 2] * 20)
    shutil.copytree(data, root / "corrupt")
    for path in sorted((root / "corrupt" / "down").iterdir())[:5]:
        path.write_bytes(b"no image")
    (root / "thesis").mkdir()
    (root / "thesis" / "thesis.txt").write_text("precious")
    (root / "own_space.py").write_text(OWN_SPACE)


BAD = {
    "unknown space": (["--space", "efficientnet_v2_tinny"], "Did you mean 'efficientnet_v2_tiny'"),
    "a space that is not there": (["--space", "nowhere:space"], "cannot be imported"),
    "unknown data": (["--data", "fashion-had"], "Did you mean 'fashion-hard'"),
    "a path that is not there": (["--data", "nothing/here"], "a path that exists"),
    "unknown sampler": (["--sampler", "tpx"], "Did you mean 'tpe'"),
    "unknown objective": (["--objective", "speed"], "`objective` must be known"),
    "unknown device": (["--device", "gpu"], "`device` must be a device name"),
    "a device that is not there": (["--device", "cuda:99"], "`device` must be on this machine"),
    "a timing device that is not there": (["--timing-device", "cuda:99"], "`timing_device` must be on this machine"),
    "no budget": (["--budget", "0"], "`budget` must be at least 1, got 0"),
    "a negative budget": (["--budget", "-1"], "`budget` must be at least 1, got -1"),
    "negative workers": (["--workers", "-1"], "`workers` must be from 0"),
    "no fidelity": (["--fidelity", "quick"], "`fidelity` must be IMAGESxEPOCHS"),
    "no training": (["--fidelity", "64x0"], "`epochs` must be at least 1"),
    "more validation images than there are": (["--val-images", "1000"], "`val_images` must be between 1 and"),
    "an empty folder": (["--data", "empty"], "a subfolder for each class"),
    "one class": (["--data", "one_class"], "at least two classes"),
    "an unreadable parquet file": (["--data", "unreadable.parquet"], "readable parquet files"),
    "corrupt images": (["--data", "corrupt"], "`corrupt images` must be at most 1%"),
    "a folder in use": (["--out", "thesis"], "`run folder` must be new or empty"),
    "a run in the way": (["--out", "run"], "go on with it by --resume run"),
    "a file in the way": (["--out", "thesis/thesis.txt"], "`run folder` must be a folder"),
    "resuming nothing": (["--resume", "nowhere"], "`run` must be a folder"),
    "resuming what is no run": (["--resume", "thesis"], "a folder with a manifest.json"),
    "resuming and starting": (["--resume", "run", "--out", "new"], "given one at a time"),
    "resuming with another data set": (["--resume", "run", "--data", "other.parquet"], "data set"),
    "resuming with another space": (["--resume", "run", "--space", "own_space:space"], "search space"),
    "resuming with another objective": (["--resume", "run", "--objective", "reward"], "objective"),
    "resuming with another fidelity": (["--resume", "run", "--fidelity", "32x1"], "fidelity"),
    "resuming with another split": (["--resume", "run", "--val-images", "20"], "data set"),
    "resuming with no budget": (["--resume", "run", "--budget", "0"], "`budget` must be at least 1"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_and_writes_nothing(what, run_path, data, tmp_path, monkeypatch, capsys):
    make_bad_things(tmp_path, data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    before = everything_in(tmp_path)
    args, message = BAD[what]
    defaults: dict[str, object] = {"--workers": 1}
    if "--resume" not in args:
        defaults |= dict(zip(COMMON[::2], COMMON[1::2], strict=True)) | {"--data": data, "--budget": 2}
    given = [word for name, value in defaults.items() if name not in args for word in (name, value)]
    assert message in refusal(main, [*given, *args], capsys)
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("text", ["", "{}", '{"kind": "nas.run/1"}', "[]", "\0"])
def test_a_manifest_that_cannot_be_read(run_path, text, capsys):
    (run_path / "manifest.json").write_text(text)
    before = everything_in(run_path)
    assert exit_code(main, ["--resume", run_path]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "manifest" in line
    assert everything_in(run_path) == before


def test_a_journal_that_is_damaged_in_the_middle(run_path, capsys):
    lines = (run_path / "journal.log").read_bytes().splitlines(keepends=True)
    lines[3] = b"damaged\n"
    (run_path / "journal.log").write_bytes(b"".join(lines))
    before = everything_in(run_path)
    assert exit_code(main, ["--resume", run_path, "--budget", 6]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "`journal` must be whole" in line
    assert everything_in(run_path) == before


@pytest.mark.parametrize("cut", [1, 40])
def test_a_journal_whose_last_line_is_torn(run_path, cut, capsys):
    """As a power cut or a full disk leaves it: what the line said is lost, all before it is kept."""
    journal, before = run_path / "journal.log", nas.results.load(run_path).trials
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert exit_code(main, ["--resume", run_path, "--budget", 5]) == 0
    assert "Traceback" not in capsys.readouterr().err
    after = nas.results.load(run_path).trials
    assert (len(after), after["arch_id"].nunique()) == (5, 5)
    assert after["arch_id"].tolist()[: len(before) - 1] == before["arch_id"].tolist()[:-1]
    assert after["accuracy"].tolist()[: len(before) - 1] == before["accuracy"].tolist()[:-1]


def test_a_run_that_another_process_works_on(run_path, capsys):
    before = everything_in(run_path)
    with RunFolder.open(run_path).lock():
        assert exit_code(main, ["--resume", run_path, "--budget", 6]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Another process works on it" in line
    assert everything_in(run_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_to(data, tmp_path, capsys):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert exit_code(main, [*COMMON, "--data", data, "--out", tmp_path / "locked" / "run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "a place to write" in line


def test_bad_input_in_a_process_of_its_own(tmp_path):
    process = start("-m", "nas.search", "--sampler", "tpx", cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, len(err.splitlines())) == (2, "", 1)
    assert everything_in(tmp_path) == {}


def test_signals_are_columns_and_the_report_holds_them_against_the_trivial_ones(data, tmp_path):
    run, _ = find(data, tmp_path / "run", budget=3, signals=("naswot", "synflow"), prefilter="grad_norm:0.5")
    assert run.trials[["signal_naswot", "signal_synflow"]].notna().all(axis=None)
    assert run.trials["signal_grad_norm"].isna().all()
    assert {"naswot", "synflow", "num_params"} <= set(nas.results.rank_signals(run)["signal"])
    judged = run.trials["origin"] == "sampler"  # and not the reference networks
    assert len(signals_of(run.folder.read_study())) == judged.sum() < 3
    page = tmp_path / "report.html"
    write_report(run, page)
    assert "naswot" in page.read_text()
