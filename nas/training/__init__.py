"""Training networks: the recipe and the one loop that the proxy and final training share."""

from nas.training.schedule import ProgressiveSchedule, Stage

__all__ = ["ProgressiveSchedule", "Stage"]
