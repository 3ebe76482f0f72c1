"""The documentation is run: its Python blocks as they stand, its command lines as far as parsing them.

Its links and the messages that it quotes lead somewhere, and the site is built from it.
"""

import ast
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import tyro

import nas.results
import nas.search
from nas.cli.settings_file import convert_settings
from nas.config import (
    SearchSettings,
)
from nas.results.architectures import ARCHITECTURE_DTYPES
from nas.results.calibration.table import CALIBRATION_DTYPES
from nas.results.comparison import COMPARISON_DTYPES
from nas.results.frame import COLUMN_DTYPES
from nas.results.references import REFERENCE_DTYPES
from nas.results.signals import SIGNAL_DTYPES
from tests.running import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").glob("*.md"))]
"""Those whose blocks are run."""
LINKED_PAGES = [
    *PAGES,
    ROOT / "CHANGELOG.md",
    ROOT / "results/README.md",
    *sorted((ROOT / "results").glob("*/README.md")),
    *sorted((ROOT / "nas").rglob("README.md")),
]
API = ("nas", "nas.data", "nas.models", "nas.results", "nas.training")
"""Modules whose public names the Python reference must have."""
TINY = ("--fidelity", "256x1", "--val-images", "200")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `comment` is what an HTML comment right above it says."""

    language: str
    text: str
    line: int
    comment: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"(?:^<!-- (.*) -->\n)?^```(\w*)\n((?s:.*?))^```$", text, flags=re.MULTILINE)
    return [Block(m[2], m[3], text.count("\n", 0, m.start(3)), m[1] or "") for m in found]


def commands(page: Path) -> list[list[str]]:
    """Return the words of every `python -m nas...` in a page's console blocks; torchrun stands for python there."""
    lines = [line for block in blocks(page) if block.language == "console" for line in block.text.splitlines()]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    parts = [re.sub(r"^(torchrun .*-m nas\.|\w+=\S+ python -m nas\.)", "python -m nas.", part) for part in parts]
    return [shlex.split(part, comments=True) for part in parts if part.startswith("python -m nas.")]


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """Return what follows `#` in links to a page's headings, as GitHub and MkDocs make it of them."""
    outside_blocks = re.sub(r"^```(?s:.*?)^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    words = re.findall(r"^#+ (.*)$", outside_blocks, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in words}


def table(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head, code marks taken off."""
    below = page.read_text(encoding="utf-8").split(f"\n{heading}\n", 1)[1]
    rows = re.search(r"(?:^\|.*\n)+", below, flags=re.MULTILINE)
    assert rows is not None, f"no table below {heading}"
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows[0].splitlines()[2:]]


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small finished run, results/RUN, a copy of it and a run of 200 candidates that is checked in."""
    folder = tmp_path_factory.mktemp("workplace")
    arguments = ["--budget", "3", "--workers", "1", "--out", "results/RUN"]
    done = subprocess.run(
        [sys.executable, "-m", "nas.search", *TINY, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    shutil.copytree(folder / "results/RUN", folder / "results/OTHER")
    shutil.copytree(ROOT / "results/fashion_hard_200", folder / "results/fashion_hard_200")
    return folder


@pytest.fixture
def in_workplace(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = set(sys.modules)
    monkeypatch.chdir(workplace)
    monkeypatch.syspath_prepend(str(workplace))
    yield
    for name in set(sys.modules) - before:
        if (workplace / f"{name}.py").exists():
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_blocks_have_a_known_language(page: Path) -> None:
    """Else a block would pass unchecked."""
    assert {block.language for block in blocks(page)} <= {"python", "console", "text", "toml"}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
@pytest.mark.usefixtures("in_workplace")
def test_python_blocks_run(page: Path, workplace: Path) -> None:
    names: dict[str, object] = {"__name__": "documentation"}
    for block in blocks(page):
        if block.language != "python":
            continue
        needed = block.comment.removeprefix("needs: ") if block.comment.startswith("needs: ") else None
        if needed is not None and importlib.util.find_spec(needed) is None:
            continue  # It is not of ours: the block runs where it is installed.
        if block.comment.startswith("file: "):
            (workplace / block.comment.removeprefix("file: ")).write_text(block.text, encoding="utf-8")
        elif not block.comment.startswith("not run: "):
            exec(compile("\n" * block.line + block.text, str(page), "exec"), names)


@pytest.mark.parametrize("module", ["my_space", "uniform_space"])
@pytest.mark.usefixtures("in_workplace")
def test_the_documented_spaces_can_be_searched(module: str, workplace: Path) -> None:
    [block] = [block for block in blocks(ROOT / "docs/own_space.md") if block.comment == f"file: {module}.py"]
    (workplace / f"{module}.py").write_text(block.text, encoding="utf-8")
    arguments = ["--space", f"{module}:space", "--budget", "2", "--workers", "0", "--out", f"results/{module}"]
    assert nas.search.main([*TINY, *arguments]) == 0
    run = nas.results.load(f"results/{module}")
    assert run.trials["state"].tolist() == ["measured"] * 2
    assert run.trials["origin"].tolist() == ["start", "sampler"]


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_command_lines_parse(page: Path) -> None:
    for python, _, module, *arguments in commands(page):
        verb = module.removeprefix("nas.")
        assert python == "python"
        assert importlib.util.find_spec(module) is not None, f"{module} does not exist"
        settings = tyro.cli(SETTINGS[verb], args=arguments)
        settings.check()


def test_settings_files_are_read() -> None:
    found = [block for page in PAGES for block in blocks(page) if block.comment.startswith("settings of nas.")]
    assert found
    for block in found:
        entries = tomllib.loads(block.text)
        values = convert_settings(entries, SETTINGS[block.comment.removeprefix("settings of nas.")])
        assert len(values) == len(entries)


def test_the_exit_codes_are_listed() -> None:
    assert [code for code, _ in table(ROOT / "docs/command_line.md", "## Exit codes")] == ["0", "1", "2", "130"]


@pytest.mark.parametrize("page", LINKED_PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text(encoding="utf-8"))
    broken = []
    for path, anchor in links:
        target = page.parent / path if path else page
        if "://" in path:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []


def test_the_index_lists_every_page() -> None:
    index = ROOT / "docs/index.md"
    targets = re.findall(r"\]\(([^)#\s]+)", index.read_text(encoding="utf-8"))
    linked = {(index.parent / target).resolve() for target in targets if "://" not in target}
    assert set((ROOT / "docs").glob("*.md")) - {index} <= linked


def test_the_messages_that_are_quoted_exist() -> None:
    """Each sentence of a message under troubleshooting, up to what differs, is a text in the code."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "nas").rglob("*.py"))]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    texts = [node.value for node in nodes if isinstance(node.value, str)]
    quoted = [block.text for block in blocks(ROOT / "docs/troubleshooting.md") if block.language == "text"]
    lines = [line for text in quoted for line in text.splitlines()]
    assert len(lines) > 20
    unknown = []
    for line in lines:
        # "`NAME` must be" and ", got" are in all messages; the parts of one come from several places.
        said = re.sub(r"^(?:error|WARNING|Warning): (?:`[^`]+`.* must be )?", "", line)
        for part in re.split(r"…|, got |(?<=\.) |; ", said):
            words = part.strip(" .,:;()")
            if not any(words in text for text in texts):
                unknown.append(words)
    assert unknown == []


def test_the_site_is_built(tmp_path: Path) -> None:
    """Every link and docstring is sound, the reference has every public name, and nothing comes from a network."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    pages = [page.read_text(encoding="utf-8") for page in sorted((tmp_path / "api").rglob("index.html"))]
    documented = set(re.findall(r'id="(nas\.[\w.]+)"', "".join(pages)))
    public = {f"{name}.{public}" for name in API for public in importlib.import_module(name).__all__}
    assert public <= documented
    loaded = re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="?(?:https?:)?//', "".join(pages))
    assert loaded == []
    # A section that mkdocstrings does not see, such as one on a docstring's first line, is shown as a paragraph.
    assert not re.search(r"<p>(?:Args|Attributes|Raises|Returns|Yields):", "".join(pages))


def test_the_options_are_listed_with_their_defaults() -> None:
    listed = {flag: default for flag, default, _ in table(ROOT / "docs/command_line.md", "## Options of a search")}
    defaults = {f"--{f.name.replace('_', '-')}": f.default for f in fields(SearchSettings)}
    assert defaults.pop("--warm-start") is True
    expected = {flag: "" if default is None or default is False else str(default) for flag, default in defaults.items()}
    assert listed == {**expected, "--no-warm-start": ""}


@pytest.mark.parametrize(
    ("page", "heading", "dtypes"),
    [
        ("results/README.md", "## Columns of trials.csv and pareto.csv", COLUMN_DTYPES),
        ("results/README.md", "## Columns of the table of architectures", ARCHITECTURE_DTYPES),
        ("results/README.md", "## Columns of calibration.csv", CALIBRATION_DTYPES),
        ("docs/results_in_pandas.md", "## Against the reference networks", REFERENCE_DTYPES),
        ("docs/results_in_pandas.md", "## Several runs", COMPARISON_DTYPES),
        ("docs/results_in_pandas.md", "## Which signals rank", SIGNAL_DTYPES),
    ],
)
def test_the_columns_are_documented(page: str, heading: str, dtypes: dict[str, str]) -> None:
    rows = table(ROOT / page, heading)
    assert [(name, kind) for name, kind, *_ in rows] == [*dtypes.items()]


def test_the_files_of_a_run_are_documented(workplace: Path) -> None:
    listed = {
        name for names, *_ in table(ROOT / "results/README.md", "## Files of a run") for name in names.split("`, `")
    }
    found = {entry.name for entry in (workplace / "results/RUN").iterdir()}
    assert found <= listed
    # Only after a repair or a replay, while a training is under way, and where drivers share a study.
    assert listed - found == {"journal.log.bak", "replay.csv", "checkpoints/", "driver"}
