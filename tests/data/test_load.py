"""What every kind of source must do."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import DATASET_NAMES, Dataset, ImageSet, load_dataset, load_test
from nas.data import load as load_module
from nas.data.rendering import Rendering
from nas.errors import InvalidInputError
from tests.data.making import (
    CLASSES,
    encode,
    make_parquet_folder,
    make_split_folder,
    picture,
    write_folder,
    write_parquet,
)


def keys(images: ImageSet) -> list[bytes]:
    return [hashlib.sha256(image.numpy().tobytes()).digest() for image in images.images]


def assert_same(first: Dataset, second: Dataset) -> None:
    assert first.fingerprint == second.fingerprint
    for one, other in ((first.train, second.train), (first.val, second.val)):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)


def test_shapes_types_and_labels(source: str) -> None:
    data = load_dataset(source)
    assert data.num_skipped == 0
    assert len(data.fingerprint) == 16
    int(data.fingerprint, 16)
    for split in (data.train, data.val):
        assert split.images.dtype == torch.uint8
        assert split.images.shape == (len(split), data.in_channels, data.image_size, data.image_size)
        assert split.images.is_contiguous()
        assert split.labels.dtype == torch.int64
        assert set(split.labels.tolist()) == set(range(data.num_classes))
    assert len(data.mean) == len(data.std) == data.in_channels
    values = data.train.images.double() / 255
    assert data.mean == pytest.approx(values.mean((0, 2, 3)).tolist())
    assert data.std == pytest.approx(values.std((0, 2, 3), correction=0).tolist(), rel=1e-6)


def test_splits_share_no_image(source: str) -> None:
    data = load_dataset(source, val_images=8)
    test = load_test(source)
    train, val = set(keys(data.train)), set(keys(data.val))
    assert len(train) == len(data.train)  # all images differ, so that the next lines say something
    assert not train & val
    if test is not None:
        assert not (train | val) & set(keys(test))


def test_same_seed_gives_the_same_split_and_fingerprint(source: str) -> None:
    assert_same(load_dataset(source, val_images=8, seed=3), load_dataset(source, val_images=8, seed=3))


def test_fingerprint_tells_splits_and_sizes_apart(source: str) -> None:
    loads = [
        load_dataset(source, val_images=8),
        load_dataset(source, val_images=10),
        load_dataset(source, val_images=8, seed=1),
        load_dataset(source, val_images=8, image_size=10),
    ]
    assert len({data.fingerprint for data in loads}) == len(loads)


def test_every_split_has_the_image_size(source: str) -> None:
    data = load_dataset(source, image_size=9, val_images=8)
    test = load_test(source, image_size=9)
    for split in (data.train, data.val, *([test] if test else [])):
        assert split.images.shape[-2:] == (9, 9)


def test_own_validation_split_is_used_and_can_be_cut(tmp_path: Path) -> None:
    for make in (make_split_folder, make_parquet_folder):
        path = make(tmp_path / make.__name__)
        whole, cut = load_dataset(path), load_dataset(path, val_images=6)
        assert len(whole.val) == 12
        assert cut.val.labels.bincount().tolist() == [2, 2, 2]
        assert torch.equal(whole.train.images, cut.train.images)
        assert set(keys(cut.val)) < set(keys(whole.val))
        test = load_test(path)
        assert test is not None
        assert test.labels.bincount().tolist() == [3, 3, 3]


def test_default_validation_split_is_a_stratified_third(tmp_path: Path) -> None:
    data = load_dataset(str(write_folder(tmp_path, {"a": 30, "b": 15, "c": 3})))
    assert data.train.labels.bincount().tolist() == [20, 10, 2]
    assert data.val.labels.bincount().tolist() == [10, 5, 1]


def test_without_a_test_split_there_is_none(tmp_path: Path) -> None:
    assert load_test(str(write_folder(tmp_path, {"a": 4, "b": 4}))) is None


def test_pixels_are_those_of_the_files(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 4, "b": 4})
    data = load_dataset(str(tmp_path))
    found: dict[bytes, int] = {}
    for split in (data.train, data.val):
        found |= dict(zip(keys(split), split.labels.tolist(), strict=True))
    for key in range(8):
        pixels = np.asarray(picture(key)).transpose(2, 0, 1)
        assert found[hashlib.sha256(pixels.tobytes()).digest()] == key // 4


def test_embedded_set_is_balanced_and_its_own_size() -> None:
    data = load_dataset("fashion-hard")
    assert (data.in_channels, data.image_size, data.num_classes) == (1, 32, 10)
    assert data.train.labels.bincount().tolist() == [1800] * 10
    assert data.val.labels.bincount().tolist() == [600] * 10
    test = load_test("fashion-hard")
    assert test is not None
    assert test.labels.bincount().tolist() == [600] * 10


def test_another_rendering_is_another_data_set() -> None:
    plain, noisy = load_dataset("fashion-hard"), load_dataset("fashion-hard", rendering=Rendering(noise=0.3))
    assert plain.fingerprint != noisy.fingerprint
    assert not torch.equal(plain.train.images, noisy.train.images)
    with pytest.raises(InvalidInputError, match="rendering"):
        load_dataset("cifar10", rendering=Rendering())


def test_grey_images_have_one_channel_and_mixed_ones_three(tmp_path: Path) -> None:
    grey = write_folder(tmp_path / "grey", {"a": 4, "b": 4}, mode="L")
    assert load_dataset(str(grey)).in_channels == 1
    write_folder(tmp_path / "mixed", {"a": 4, "b": 4}, mode="L")
    picture(99).save(tmp_path / "mixed" / "b" / "colour.png")
    data = load_dataset(str(tmp_path / "mixed"))
    assert data.in_channels == 3


def test_channels_of_the_test_split_follow_training(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"a": 4, "b": 4}, mode="L")
    write_folder(tmp_path / "test", {"a": 2, "b": 2}, mode="RGB")
    test = load_test(str(tmp_path))
    assert test is not None
    assert test.images.shape == (4, 1, 12, 12)


def test_transparent_and_oblong_images_are_cropped_to_size(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 4, "b": 4}, mode="RGBA", size=(30, 20))
    assert load_dataset(str(tmp_path), image_size=10).train.images.shape[1:] == (3, 10, 10)


def test_images_may_be_cropped_pixel_for_pixel(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 150, "b": 150}, size=(20, 13))
    picture(999, size=(20, 9)).save(tmp_path / "b" / "small.png")
    data = load_dataset(f"crop:{tmp_path}", image_size=10, val_images=100)
    assert (data.cropped, data.num_skipped, load_dataset(str(tmp_path), image_size=10).cropped) == (True, 1, False)
    pixels = {np.asarray(picture(key, size=(20, 13)))[1:11, 5:15].transpose(2, 0, 1).tobytes() for key in range(300)}
    found = [image.numpy().tobytes() for split in (data.train, data.val) for image in split.images]
    assert len(found) == 300
    assert set(found) == pixels


def test_centre_is_kept_when_cropping(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(3):
            image = picture(index, size=(60, 20), mode="L")
            image.paste(0, (0, 0, 60, 20))
            image.paste(200, (20, 0, 40, 20))
            image.save(tmp_path / name / f"{index}.png")
    assert load_dataset(str(tmp_path), image_size=10).train.images.min() > 150


def test_sixteen_bit_grey_keeps_its_high_byte(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.fromarray(np.full((12, 12), 77 * 256 + index, dtype=np.uint16)).save(tmp_path / name / f"{index}.png")
    data = load_dataset(str(tmp_path))
    assert data.in_channels == 1
    assert data.train.images.unique().tolist() == [77]


def test_photos_are_turned_upright(tmp_path: Path) -> None:
    orientation = Image.Exif()
    orientation[0x0112] = 3  # the camera was held upside down
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(3):
            image = Image.new("L", (16, 16), 0)
            image.paste(255, (0, 0, 16, 8))
            image.save(tmp_path / name / f"{index}.png", exif=orientation)
    image = load_dataset(str(tmp_path)).train.images[0, 0]
    assert (image[:8].max(), image[8:].min()) == (0, 255)


def test_large_sets_are_cut_to_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_folder(tmp_path, {"a": 40, "b": 40})
    monkeypatch.setattr(load_module, "MAX_DATASET_BYTES", 40 * 3 * 12 * 12)
    data = load_dataset(str(tmp_path))
    assert data.val.labels.bincount().tolist() == [5, 5]
    assert data.train.labels.bincount().tolist() == [15, 15]
    assert "using 30 of 54 training images" in caplog.text


def test_parquet_class_names_come_from_metadata_or_labels(tmp_path: Path) -> None:
    named = write_parquet(tmp_path / "named.parquet", [0, 1, 2] * 4, image_column="img")
    assert load_dataset(str(named)).class_names == CLASSES
    unnamed = write_parquet(tmp_path / "unnamed.parquet", [0, 1, 2] * 4, names=None)
    assert load_dataset(str(unnamed)).class_names == ("0", "1", "2")


def test_a_search_never_reads_the_test_split(tmp_path: Path) -> None:
    path = make_parquet_folder(tmp_path)
    (tmp_path / "data" / "test-00000-of-00001.parquet").write_bytes(b"damaged")
    load_dataset(path)
    with pytest.raises(InvalidInputError, match="readable parquet"):
        load_test(path)


def test_corrupt_images_are_skipped_and_counted(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 150, "b": 150})
    whole = load_dataset(str(tmp_path), val_images=100)
    (tmp_path / "a" / "0007.png").write_bytes(b"")
    data = load_dataset(str(tmp_path), val_images=100)
    assert data.num_skipped == 1
    assert len(data.train) + len(data.val) == 299
    assert data.fingerprint != whole.fingerprint
    # Labels stay with their images.
    known = dict(zip(keys(whole.train) + keys(whole.val), [*whole.train.labels, *whole.val.labels], strict=True))
    for split in (data.train, data.val):
        assert all(known[key] == label for key, label in zip(keys(split), split.labels, strict=True))


def test_truncated_and_missing_parquet_images_are_corrupt(tmp_path: Path) -> None:
    images: list[bytes | None] = [encode(picture(index)) for index in range(300)]
    images[5] = None
    images[105] = encode(picture(105))[:60]
    path = write_parquet(tmp_path / "x.parquet", [0, 1, 2] * 100, images=images)
    assert load_dataset(str(path)).num_skipped == 2


def test_real_cifar10() -> None:
    root = Path(os.environ.get("NAS_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = root / "cifar10" / "test.parquet"
    if not path.exists():
        pytest.skip(f"no CIFAR-10 at {path}")
    data = load_dataset(str(path), val_images=2000)
    assert data.train.images.shape == (8000, 3, 32, 32)
    assert data.val.labels.bincount().tolist() == [200] * 10
    assert data.class_names[:2] == ("airplane", "automobile")


def test_names() -> None:
    assert DATASET_NAMES == ("fashion-hard", "fashion-mnist", "cifar10", "cifar100")
