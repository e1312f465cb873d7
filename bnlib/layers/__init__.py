"""Layers: a pure function, its parameters, and what it remembers between forward and backward.

`layer` has what all layers share, `networks` puts them together; the others hold what their names
say. Import from here: `from bnlib.layers import BatchNorm, mlp`.

All of them raise TypeError for arguments of another kind, ValueError for shapes, numbers and words
that do not fit.
"""

from bnlib.layers.activations import Activation, ReLU, Sigmoid, Tanh
from bnlib.layers.dropout import Dropout
from bnlib.layers.layer import Layer
from bnlib.layers.linear import Conv2d, Linear
from bnlib.layers.networks import Residual, Sequential, convnet, mlp
from bnlib.layers.norms import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from bnlib.layers.pooling import Flatten, GlobalAveragePool, MaxPool2d

__all__ = [
    "Activation",
    "BatchNorm",
    "Conv2d",
    "Dropout",
    "Flatten",
    "GlobalAveragePool",
    "GroupNorm",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaxPool2d",
    "RMSNorm",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "convnet",
    "mlp",
]
