"""bnlib: the small, tested numpy package behind the book *Batch Normalization, Tested*."""

from bnlib.normalization import (
    batch_norm,
    batch_norm_backward,
    batch_norm_inference,
    layer_norm,
    layer_norm_backward,
)

__version__ = "0.1.0"

__all__ = [
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "layer_norm",
    "layer_norm_backward",
]
