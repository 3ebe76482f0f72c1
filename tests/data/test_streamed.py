"""Images that are decoded as they are asked for are those that would be held in memory."""

import pickle
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import Dataset, Images, ImageSet, load_dataset, load_test
from nas.data import load as load_module
from nas.data.streamed import StreamedImages
from nas.errors import InvalidInputError
from tests.data.making import CLASSES, encode, make_split_folder, write_folder, write_parquet


@pytest.fixture(autouse=True)
def _data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_DATA_DIR", str(tmp_path / "data_dir"))


def stream(path: Path | str, size: int, workers: int = 0, **arguments: object) -> Dataset:
    return load_dataset(str(path), image_size=size, loader="stream", num_workers=workers, **arguments)  # type: ignore[arg-type]


def photographs(root: Path, count: int = 20, size: tuple[int, int] = (160, 120)) -> Path:
    """Write smooth pictures as JPEGs, half of them grey within."""
    for index in range(count):
        rng = np.random.default_rng(index)
        small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        folder = root / CLASSES[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        small.resize(size, Image.Resampling.BICUBIC).save(folder / f"{index:03}.jpg", quality=92)
    return root


Batches = list[tuple[torch.Tensor, torch.Tensor]]


def all_of(images: Images, batch_size: int = 7, image_size: int | None = None) -> Batches:
    return list(images.batches(torch.split(torch.arange(len(images)), batch_size), image_size))


def equal(one: ImageSet, other: ImageSet) -> bool:
    return torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def test_they_equal_those_in_memory(source: str) -> None:
    held = load_dataset(source)
    streamed = stream(source, held.image_size)
    assert isinstance(streamed.train, StreamedImages)
    assert isinstance(streamed.val, StreamedImages)
    for one, other in ((streamed.train, held.train), (streamed.val, held.val)):
        assert (len(one), one.channels, one.image_size) == (len(other), other.channels, other.image_size)
        assert torch.equal(one.labels, other.labels)
        assert equal(one.subset(min(200, len(one))).held(), other.subset(min(200, len(other))).held())
    assert streamed.class_names == held.class_names
    assert streamed.cropped == held.cropped
    if len(held.train) <= load_module.SAMPLE_IMAGES:
        assert (streamed.mean, streamed.std) == (held.mean, held.std)
    else:
        assert streamed.mean == pytest.approx(held.mean, abs=0.02)
    one, other = load_test(source, image_size=held.image_size, loader="stream"), load_test(source)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert equal(one.subset(9).held(), other.subset(9).held())


@pytest.mark.parametrize("prefix", ["", "crop:", "blur:"])
def test_jpegs_are_decoded_as_for_memory(tmp_path: Path, prefix: str) -> None:
    name = f"{prefix}{photographs(tmp_path)}"
    for size in (20, 50, 100):  # Pillow decodes to a quarter, a half and the whole size where it may resize.
        held, streamed = load_dataset(name, image_size=size), stream(name, size)
        assert equal(streamed.train.held(), held.train.held())
        assert equal(streamed.val.held(), held.val.held())


def test_a_stage_gets_its_own_size_and_the_same_picture(tmp_path: Path) -> None:
    streamed = stream(photographs(tmp_path), 96)
    large, small = (torch.cat([images for images, _ in all_of(streamed.train, image_size=size)]) for size in (96, 32))
    assert (large.shape[-1], small.shape[-1]) == (96, 32)
    resized = torch.nn.functional.interpolate(large.float(), size=(32, 32), mode="bilinear", antialias=True)
    assert (resized - small).abs().mean() < 2
    assert all_of(streamed.train, image_size=500)[0][0].shape[-1] == 96  # never larger than the set


def test_cropped_images_keep_their_size(tmp_path: Path) -> None:
    streamed = stream(f"crop:{photographs(tmp_path)}", 96)
    assert all_of(streamed.train, image_size=32)[0][0].shape[-1] == 96


def test_processes_do_not_change_batches(tmp_path: Path) -> None:
    path = photographs(tmp_path, 150, (40, 30))
    alone, helped = stream(path, 24), stream(path, 24, workers=2)
    order = torch.randperm(len(alone.train), generator=torch.Generator().manual_seed(0))
    chosen = [*torch.split(order[:90], 9), order[:80]]  # The last one is made of two parts.
    for one, other in zip(alone.train.batches(chosen), helped.train.batches(chosen), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_loader_that_is_left_early_is_no_harm(tmp_path: Path) -> None:
    streamed = stream(photographs(tmp_path, 40, (40, 30)), 24, workers=2)
    first = next(streamed.train.batches(torch.split(torch.arange(20), 2)))
    again = next(streamed.train.batches(torch.split(torch.arange(20), 2)))
    assert torch.equal(first[0], again[0])


def test_no_random_number_is_drawn(tmp_path: Path) -> None:
    streamed = stream(photographs(tmp_path), 24)
    before = torch.get_rng_state()
    all_of(streamed.train)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_decoded_image_is_kept(tmp_path: Path) -> None:
    streamed = stream(photographs(tmp_path, 60, (100, 100)), 96)
    decoded = len(streamed.train) * 3 * 96**2
    assert len(pickle.dumps(streamed.train)) < decoded / 50
    tracemalloc.start()
    for _ in streamed.train.batches(torch.split(torch.arange(len(streamed.train)), 4)):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < decoded / 2


def large_folder(root: Path) -> Path:
    """Write enough images for one of them to be corrupt, which is 1% of training and validation each."""
    write_folder(root / "train", {"a": 60, "b": 60})
    write_folder(root / "val", {"a": 60, "b": 60}, start=500)
    return root


def test_an_image_that_is_damaged_while_streaming(tmp_path: Path) -> None:
    path = large_folder(tmp_path / "images")
    streamed = stream(path, 12)
    whole = streamed.train.held()
    for split in ("train", "val"):
        (path / split / "a" / "0059.png").write_bytes(b"no image")
    # Training takes the next one instead, here one of the other class, with its label.
    images, labels = next(streamed.train.batches([torch.tensor([3, 59, 1])]))
    assert torch.equal(images, whole.images[[3, 60, 1]])
    assert labels.tolist() == [0, 1, 0]
    # Validation leaves it out.
    images, labels = next(streamed.val.batches([torch.tensor([58, 59, 60])]))
    assert labels.tolist() == [0, 1]
    assert all_of(streamed.val.subset([59, 0]), 1)[0][1].tolist() == [0]
    for found in (streamed.train, streamed.val):
        assert isinstance(found, StreamedImages)
        all_of(found)
        ((name, error),) = found.skipped.values()  # It was met twice.
        assert name.endswith("0059.png")
        assert isinstance(error, OSError)


@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_damaged_images_end_it_with_the_usual_words(tmp_path: Path, workers: int) -> None:
    path = large_folder(tmp_path / "images")
    streamed = stream(path, 12, workers=workers)
    for index in (5, 6, 7):
        (path / "train" / "a" / f"{index:04}.png").write_bytes(b"no image")
    with pytest.raises(InvalidInputError, match=r"`corrupt images` must be at most 1% of the 120 .*3 were found"):
        all_of(streamed.train)
    with pytest.raises(InvalidInputError, match=r"`corrupt images` must be at most 1%"):
        stream(path, 12, workers=workers)
    shutil.rmtree(path)
    with pytest.raises(InvalidInputError, match=r"`corrupt images` must be at most 1%"):
        all_of(streamed.val)


@pytest.mark.parametrize("split", ["val", "test"])
def test_what_is_read_last_is_looked_through_first(tmp_path: Path, split: str) -> None:
    path = Path(make_split_folder(tmp_path))
    (path / split / "owl" / "0000.png").write_bytes(b"no image")
    with pytest.raises(InvalidInputError, match="corrupt images"):
        stream(path, 12) if split == "val" else load_test(str(path), image_size=12, loader="stream", num_workers=0)


def test_images_that_are_too_small_to_crop(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 9, "b": 9}, size=(30, 11))
    with pytest.raises(InvalidInputError, match="images that are too small"):
        stream(f"crop:{tmp_path}", 12)


def test_a_sample_may_have_more_of_them_by_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_folder(tmp_path, {"a": 200, "b": 200})
    monkeypatch.setattr(load_module, "SAMPLE_IMAGES", 100)
    data = stream(path, 12, val_images=100)
    assert isinstance(data.train, StreamedImages)
    sample = data.train.sample(100)
    names = [sample._reader.split.name(index) for index in sample._reader.indices[:3]]
    for name in names[:2]:  # 2 of 100 in the sample, of 300 in all
        Path(name).write_bytes(b"no image")
    assert stream(path, 12, val_images=100).mean != data.mean
    Path(names[2]).write_bytes(b"no image")
    with pytest.raises(InvalidInputError, match="corrupt images"):
        stream(path, 12, val_images=100)


def test_auto_streams_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split, count in (("train", 20), ("val", 2), ("test", 10)):
        write_folder(tmp_path / split, {"a": count, "b": count}, start=len(split) * 100)
    path = str(tmp_path)
    for room, expected in (
        (44, (False, False, False)),
        (43, (True, False, False)),
        (19, (True, False, True)),
        (12, (True,) * 3),
    ):
        monkeypatch.setattr(load_module, "MAX_DATASET_BYTES", room * 3 * 12**2)
        data = load_dataset(path, image_size=12, loader="auto", num_workers=0)
        test = load_test(path, image_size=12, loader="auto", num_workers=0)
        assert test is not None
        found = tuple(isinstance(images, StreamedImages) for images in (data.train, data.val, test))
        assert (found, len(data.train), len(data.val), len(test)) == (expected, 40, 4, 20)


def test_streams_need_a_size(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="image_size` must be given"):
        load_dataset(make_split_folder(tmp_path), loader="auto")


def test_the_fingerprint_goes_by_names_sizes_labels_and_split(tmp_path: Path) -> None:
    path = Path(make_split_folder(tmp_path / "here"))
    known = stream(path, 12).fingerprint
    assert stream(path, 12, workers=2).fingerprint == known
    assert stream(shutil.copytree(path, tmp_path / "there"), 12).fingerprint == known
    others = {known, load_dataset(str(path), image_size=12).fingerprint, stream(path, 13).fingerprint}
    others |= {stream(path, 12, val_images=9).fingerprint, stream(f"crop:{path}", 12).fingerprint}
    others |= {stream(f"blur:{path}", 12).fingerprint, stream(f"blur:{path}?seed=1", 12).fingerprint}
    image = path / "train" / "owl" / "0000.png"
    image.write_bytes(image.read_bytes() + b"longer")
    others.add(stream(path, 12).fingerprint)
    image.rename(image.with_name("another.png"))
    others.add(stream(path, 12).fingerprint)
    assert len(others) == 9


def test_parquet_is_unpacked_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_parquet(tmp_path / "animals.parquet", [0, 1, 2] * 12)
    before = stream(path, 12).train.held()
    (line,) = [record.getMessage() for record in caplog.records]
    assert "this once" in line
    caplog.clear()
    assert equal(stream(path, 12).train.held(), before)
    assert not caplog.records
    (starts,) = (tmp_path / "data_dir" / "unpacked").glob("*.npy")
    starts.write_bytes(starts.read_bytes()[:-8])  # A damaged copy is made again.
    assert equal(stream(path, 12).train.held(), before)
    assert caplog.records
    caplog.clear()
    write_parquet(path, [2, 1, 0] * 12, start=100)
    assert not equal(stream(path, 12).train.held(), before)
    assert caplog.records


def test_a_null_in_parquet_is_a_corrupt_image(tmp_path: Path) -> None:
    images = [encode(Image.new("RGB", (12, 12), (index, 0, 0))) for index in range(150)]
    path = write_parquet(tmp_path / "x.parquet", [0, 1] * 75, images=[None, *images[1:]])
    data = stream(path, 12, val_images=1)
    assert isinstance(data.train, StreamedImages)
    data.train.held()
    assert [name for name, _ in data.train.skipped.values()] == ["row 0 of x.parquet"]


def test_a_disk_without_room_for_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "animals.parquet", [0, 1, 2] * 12)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(InvalidInputError, match=r"GiB free, .* NAS_DATA_DIR"):
        stream(path, 12)
    assert not [*(tmp_path / "data_dir").rglob("*.npy")]


def test_whether_images_are_grey_is_read_off_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_folder(tmp_path, {"a": 30, "b": 30}, mode="L")
    assert stream(path, 12).in_channels == 1
    photographs(path, 60)
    monkeypatch.setattr(load_module, "SAMPLE_IMAGES", 20)
    assert stream(path, 12).in_channels == 3
