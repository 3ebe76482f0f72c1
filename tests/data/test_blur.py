"""Blurred or sharp."""

import hashlib
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from nas.data import Dataset, load_dataset, load_test
from nas.data.blur import (
    CLASS_NAMES,
    KINDS,
    Blur,
    BlurSplit,
    Kernel,
    blur_crop,
    disc,
    draw_kernel,
    gaussian,
    line,
    parse_blur,
)
from nas.data.sources import ArraySplit, PixelFormat
from nas.errors import InvalidInputError
from tests.data.making import picture, write_folder, write_parquet

STRONG = "?strength=8-15"
KERNELS = (
    st.builds(gaussian, st.floats(0.05, 6))
    | st.builds(disc, st.floats(0.05, 12))
    | st.builds(line, st.floats(0.05, 20), st.floats(0, math.pi))
)


def pairs(data: Dataset) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return (blurred, sharp) of every source image in both splits."""
    found = []
    for split in (data.train, data.val):
        assert split.labels.tolist() == [0, 1] * (len(split) // 2)
        found += list(zip(split.images[::2], split.images[1::2], strict=True))
    return found


def spread(kernel: Kernel, angle: float) -> float:
    """Return the standard deviation of a kernel's weight in a direction."""
    side = np.arange(len(kernel)) - len(kernel) // 2
    along = side[None, :] * math.cos(angle) + side[:, None] * math.sin(angle)
    return math.sqrt((kernel * along**2).sum() / kernel.sum())


@given(KERNELS)
def test_kernels_are_whole_numbers_that_add_up(kernel: Kernel) -> None:
    assert kernel.sum() == 2**16
    assert kernel.min() >= 0
    assert (kernel == np.rint(kernel)).all()
    assert len(kernel) % 2 == 1
    assert kernel.shape == (len(kernel),) * 2


@pytest.mark.parametrize("strength", [2.0, 4.0, 8.0])
@pytest.mark.parametrize("angle", [0.0, 0.7, 2.5])
def test_kinds_of_one_strength_spread_as_far(strength: float, angle: float) -> None:
    length = math.sqrt(12) * strength
    for kernel in (gaussian(strength), disc(2 * strength), line(length, angle)):
        assert spread(kernel, angle) == pytest.approx(strength, rel=0.08)
    assert spread(line(length, angle), angle + math.pi / 2) < 0.5


@given(KERNELS, st.integers(0, 10**6), st.integers(0, 12), st.integers(0, 7))
def test_blur_is_the_convolution_of_the_mirrored_image(kernel: Kernel, key: int, top: int, left: int) -> None:
    image = np.asarray(picture(key, size=(16, 21))).transpose(2, 0, 1)
    reach = len(kernel) // 2
    padded = np.pad(image, ((0, 0), (reach, reach), (reach, reach)), mode="reflect").astype(np.float64)
    whole = np.stack([signal.convolve2d(channel, kernel, mode="valid") for channel in padded])
    expected = np.floor(whole / 2**16 + 0.5)[:, top : top + 9, left : left + 9]
    assert (blur_crop(image, kernel, top, left, 9) == expected).all()


def test_what_is_drawn_stays_as_it_is() -> None:
    """On every machine and in later versions: searches are compared by the fingerprint of their data."""
    kernels = [draw_kernel(bytes([number]) * 32, 64, Blur(weakest=2, strongest=6, seed=3)) for number in range(20)]
    digest = hashlib.sha256(b"".join(kernel.astype("<i4").tobytes() for kernel in kernels)).hexdigest()
    assert digest[:16] == "58231517ba4fceb6"


def test_draws_cover_kinds_and_strengths() -> None:
    def drawn(**settings: object) -> list[Kernel]:
        return [draw_kernel(bytes([n] * 32), 100, Blur(**settings)) for n in range(200)]  # type: ignore[arg-type]

    widths = [len(kernel) // 2 for kernel in drawn(kinds=("gaussian",), weakest=1, strongest=5)]
    assert (min(widths), max(widths)) == (4, 15)  # three sigma, upwards
    assert np.mean(widths) == pytest.approx(9.5, abs=0.7)
    fixed = {kernel.tobytes() for kernel in drawn(kinds=("gaussian", "defocus"), weakest=2, strongest=2)}
    assert fixed == {gaussian(2).tobytes(), disc(4).tobytes()}
    assert len({kernel.tobytes() for kernel in drawn(kinds=("motion",), weakest=2, strongest=2)}) == 200  # angles


@pytest.mark.parametrize("layout", ["flat", "classes", "nested", "parquet", "parquet without labels"])
def test_any_images_give_pairs_of_which_none_is_in_both_splits(layout: str, tmp_path: Path) -> None:
    if layout.startswith("parquet"):
        path = write_parquet(
            tmp_path / "x.parquet", [0, 1, 2] * 8, label_column="label" if layout == "parquet" else "x"
        )
    else:
        path = tmp_path
        write_folder(tmp_path / ("" if layout == "flat" else "a"), {"." if layout != "nested" else "b/c": 24})
    data = load_dataset(f"blur:{path}{STRONG}", image_size=8, val_images=8)
    assert (data.class_names, data.cropped, data.num_classes) == (CLASS_NAMES, True, 2)
    assert (len(data.train), len(data.val)) == (40, 8)
    sharp = {np.asarray(picture(key))[2:10, 2:10].transpose(2, 0, 1).tobytes() for key in range(24)}
    assert {crop.numpy().tobytes() for _, crop in pairs(data)} == sharp
    assert all(blurred.float().std() < 0.8 * crop.float().std() for blurred, crop in pairs(data))


def test_splits_of_the_images_are_kept(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"a": 10})
    write_folder(tmp_path / "val", {"b": 6}, start=100)
    write_folder(tmp_path / "test", {".": 3}, start=200)
    data, test = load_dataset(f"blur:{tmp_path}"), load_test(f"blur:{tmp_path}")
    assert test is not None
    assert (len(data.train), len(data.val), test.labels.tolist()) == (20, 12, [0, 1] * 3)
    assert len(load_dataset(f"blur:{tmp_path}", val_images=4).val) == 4


def test_what_a_crop_is_blurred_with_is_around_it_in_the_image(tmp_path: Path) -> None:
    """A black crop in a white image: cut out first, it would stay black."""
    for key in range(4):
        image = picture(key, size=(24, 24), mode="L")
        image.paste(255, (0, 0, 24, 24))
        image.paste(key, (8, 8, 16, 16))
        image.save(tmp_path / f"{key}.png")
    for blurred, sharp in pairs(load_dataset(f"blur:{tmp_path}{STRONG}", image_size=8)):
        assert sharp.max() < 4
        assert blurred[0, 0].max() > 40


def test_the_fingerprint_tells_everything_apart(tmp_path: Path) -> None:
    write_folder(tmp_path, {".": 12})
    settings = ("", "?seed=1", "?kinds=gaussian", "?kinds=motion", "?strength=1.5-4", "?strength=2-5")
    loads = [load_dataset(f"blur:{tmp_path}{each}") for each in settings]
    loads += [load_dataset(f"blur:{tmp_path}", image_size=10), load_dataset(f"blur:{tmp_path}", seed=1)]
    picture(100).save(tmp_path / "0003.png")
    loads.append(load_dataset(f"blur:{tmp_path}"))
    assert len({data.fingerprint for data in loads}) == len(loads)
    again = load_dataset(f"blur:{tmp_path}")
    assert (again.fingerprint, again.train.images.sum()) == (loads[-1].fingerprint, loads[-1].train.images.sum())


def test_how_an_image_is_blurred_depends_on_itself_alone(tmp_path: Path) -> None:
    write_folder(tmp_path, {".": 12})
    name = f"blur:{tmp_path}{STRONG}"
    before = {(sharp.numpy().tobytes(), blurred.numpy().tobytes()) for blurred, sharp in pairs(load_dataset(name))}
    (tmp_path / "0000.png").unlink()
    (tmp_path / "0001.png").rename(tmp_path / "z.png")
    after = {
        (sharp.numpy().tobytes(), blurred.numpy().tobytes()) for blurred, sharp in pairs(load_dataset(name, seed=5))
    }
    assert (len(before), len(after)) == (12, 11)
    assert after < before


def test_corrupt_and_small_images_are_left_out_with_both_their_crops(tmp_path: Path) -> None:
    write_folder(tmp_path, {".": 300})
    (tmp_path / "0007.png").write_bytes(b"")
    picture(999, size=(7, 30)).save(tmp_path / "z.png")
    data = load_dataset(f"blur:{tmp_path}", image_size=12, val_images=200)
    assert (data.num_skipped, len(pairs(data))) == (2, 299)


def test_data_sets_that_are_arrays_can_be_blurred() -> None:
    images = np.stack([np.asarray(picture(key, mode="L"))[None] for key in range(6)])
    split = BlurSplit(ArraySplit(images, np.arange(6), b"digest"), Blur(weakest=8, strongest=15))
    found = split.decode(np.array([2, 3, 8, 9]), PixelFormat(channels=1, size=10, resize=False, crop=True))
    assert (split.channels(), split.own_size(), found.labels.tolist()) == (1, 12, [0, 1, 0, 1])
    assert (found.images[1::2] == images[[1, 4], :, 1:11, 1:11]).all()
    with pytest.raises(InvalidInputError, match="`image_size` must be at most 12, got 13"):
        split.decode(np.array([2, 3]), PixelFormat(channels=1, size=13, resize=False, crop=True))
    assert (found.images[::2].std((1, 2, 3)) < 0.8 * found.images[1::2].std((1, 2, 3))).all()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("kind=motion", "`setting of blur` must be one of kinds, strength, seed, got 'kind'. Did you mean 'kinds'"),
        ("kinds=gausian", "got 'gausian'. Did you mean 'gaussian'"),
        ("kinds=", "one or more, each once"),
        ("kinds=motion,motion", "one or more, each once, got 'motion,motion'"),
        ("kinds=motion&kinds=defocus", "`kinds of blur` must be given once"),
        ("strength=strong", "a number or two with - between them, got 'strong'"),
        ("strength=3-1", "a range above 0 and up to 20, in percent of the crop's side, got '3-1'"),
        ("strength=0-1", "a range above 0"),
        ("strength=1-21", "a range above 0"),
        ("strength=nan", "a range above 0"),
        ("seed=-1", "a whole number, 0 or more, got '-1'"),
    ],
)
def test_a_setting_that_cannot_be_used(query: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        parse_blur(query)


def test_settings_in_the_name() -> None:
    assert parse_blur("") == Blur(kinds=KINDS, weakest=1.5, strongest=5.0, seed=0)
    assert parse_blur("kinds=motion,gaussian&strength=0.5-3&seed=7") == Blur(("motion", "gaussian"), 0.5, 3.0, 7)
    assert parse_blur("strength=2") == Blur(weakest=2.0, strongest=2.0)


def test_names_that_cannot_be_used(tmp_path: Path) -> None:
    write_folder(tmp_path / "images", {".": 12})
    (tmp_path / "empty").mkdir()
    for name, message in {
        f"blur:blur:{tmp_path / 'images'}": "Say blur: once",
        f"blur:{tmp_path / 'empty'}": "a folder with images in it, or below it",
        f"blur:{tmp_path / 'nothing'}": "a path that exists",
        "blur:cifar": "Did you mean 'cifar10'",
    }.items():
        with pytest.raises(InvalidInputError, match=message):
            load_dataset(name)
    with pytest.raises(InvalidInputError, match="`val_images` must be a multiple of 2"):
        load_dataset(f"blur:{tmp_path / 'images'}", val_images=7)


def test_two_folders_are_data_as_any(tmp_path: Path) -> None:
    write_folder(tmp_path, {"sharp": 12, "blurred": 12}, size=(30, 20))
    data = load_dataset(f"crop:{tmp_path}", image_size=16)
    assert (data.class_names, data.train.images.shape) == (CLASS_NAMES, (16, 3, 16, 16))
    assert load_dataset(str(tmp_path), image_size=16).class_names == CLASS_NAMES


@pytest.mark.slow
def test_real_cifar10() -> None:
    root = Path(os.environ.get("NAS_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = root / "cifar10" / "test.parquet"
    if not path.exists():
        pytest.skip(f"no CIFAR-10 at {path}")
    data = load_dataset(f"blur:{path}", val_images=2000)
    assert (data.train.images.shape, len(data.val)) == ((18_000, 3, 32, 32), 2000)
    assert all((blurred != sharp).any() for blurred, sharp in pairs(data)[::100])
