"""Data sets by name, folder or parquet file: decoded once and held as tensors of bytes, or decoded while training."""

from nas.data.dataset import Dataset, Images, ImageSet
from nas.data.load import load_dataset, load_labelled, load_test
from nas.data.opening import DATASET_NAMES

__all__ = ["DATASET_NAMES", "Dataset", "ImageSet", "Images", "load_dataset", "load_labelled", "load_test"]
