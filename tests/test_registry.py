import sys

import pytest

from nas import InvalidInputError, SearchSpace
from nas.registry import get_space, space_names
from search_spaces import efficientnet_v2, efficientnet_v2_tiny

OWN = """
from nas.space import Skeleton, StageChoices, StagewiseSpace

skeleton = Skeleton(stem_channels=8, head_channels=16, strides=((1, 2),), train_image_size=16)
mine = StagewiseSpace("mine", (StageChoices((1, 2), (8, 16)),), skeleton)
not_a_space = 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with spaces of the user's own; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = set(sys.modules)
    (tmp_path / "own_space.py").write_text(OWN)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_installed_spaces_by_name():
    assert get_space("efficientnet_v2_tiny") is efficientnet_v2_tiny.space
    assert get_space("efficientnet_v2") is efficientnet_v2.space
    assert set(space_names()) >= {"efficientnet_v2", "efficientnet_v2_tiny"}
    for name in space_names():
        assert isinstance(get_space(name), SearchSpace)


def test_a_module_of_the_package_by_module_and_attribute():
    assert get_space("search_spaces.efficientnet_v2:space_fixed_width") is efficientnet_v2.space_fixed_width


def test_a_space_of_the_users_own_from_the_working_directory(here):
    assert get_space("own_space:mine").name == "mine"
    (here / "folder").mkdir()
    (here / "folder" / "deeper.py").write_text(OWN)
    assert get_space("folder.deeper:mine").name == "mine"


@pytest.mark.parametrize(
    ("name", "todo"),
    [
        ("efficientnet_v2_tinny", "Did you mean 'efficientnet_v2_tiny'"),
        ("resnet", "Or give your own as package.module:attribute"),
        ("", "Or give your own"),
        ("missing_module:space", "cannot be imported"),
        ("own_space:mime", "Did you mean 'mine'"),
        ("own_space:not_a_space", "mine"),
        ("own_space:", "mine"),
        ("json:space", "defines none"),
        (":space", "package.module:attribute"),
        ("..own_space:mine", "package.module:attribute"),
    ],
)
def test_what_is_no_space_is_refused(here, name, todo):
    with pytest.raises(InvalidInputError, match="`space` must be") as caught:
        get_space(name)
    assert todo in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["def", "import missing_package", "from nas import no_such_name"])
def test_a_module_that_cannot_be_imported_is_named_with_its_fault(here, text):
    (here / "broken_space.py").write_text(text)
    with pytest.raises(InvalidInputError, match=r"broken_space:space.*cannot be imported") as caught:
        get_space("broken_space:space")
    assert "\n" not in str(caught.value)


def test_a_fault_in_the_users_own_code_is_shown_whole(here):
    (here / "faulty_space.py").write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):
        get_space("faulty_space:space")
