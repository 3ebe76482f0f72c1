"""Colours that people tell apart whatever their sight, on white and on black, and in grey by their lightness.

After Okabe and Ito, "Color Universal Design", 2008.
"""

BLUE = "#0072B2"
SKY = "#56B4E9"
GREEN = "#009E73"
ORANGE = "#E69F00"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#8A8A8A"

BLOCKS = {"fused": ORANGE, "mbconv": SKY}
"""Of the two kinds of blocks; both carry black text."""
