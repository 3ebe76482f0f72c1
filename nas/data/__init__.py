"""Data sets by name, folder or parquet file, decoded once and held as tensors of bytes."""

from nas.data.dataset import Dataset, ImageSet
from nas.data.load import DATASET_NAMES, load_dataset, load_labelled, load_test

__all__ = ["DATASET_NAMES", "Dataset", "ImageSet", "load_dataset", "load_labelled", "load_test"]
