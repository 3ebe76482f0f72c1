"""Training-aware neural architecture search for convolutional networks, after EfficientNetV2 (Tan & Le 2021).

Importing the package does not import torch.
"""

from nas.errors import InvalidInputError, NasError
from nas.space import SearchSpace
from nas.spec import ArchSpec, StageSpec

__all__ = ["ArchSpec", "InvalidInputError", "NasError", "SearchSpace", "StageSpec"]
__version__ = "0.1.0"
