"""Checks that settings of several verbs share."""

from nas.errors import invalid


def check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise invalid("seed", "from 0 to 4294967295", seed, "Choose a small whole number.")


def check_val_images(val_images: int | None) -> None:
    if val_images is not None and val_images < 1:
        raise invalid("val_images", "at least 1", val_images, "Leave it out for the default.")
