"""Networks: layers one after the other, with a detour, and the two shapes that the book uses."""

import itertools

import numpy as np

from bnlib import checks
from bnlib.layers.activations import ReLU
from bnlib.layers.layer import Layer
from bnlib.layers.linear import Conv2d, Linear
from bnlib.layers.norms import BatchNorm, InstanceNorm, LayerNorm, RMSNorm
from bnlib.layers.pooling import Flatten, GlobalAveragePool, MaxPool2d


class Sequential(Layer):
    """Layers one after the other; it holds no parameters of its own.

    Parameters
    ----------
    *layers : Layer
        Each may stand in it once.

    Examples
    --------
    >>> network = Sequential(BatchNorm(2), ReLU())
    >>> network.forward(np.array([[1.0, 4.0], [3.0, 2.0]]), training=True).round(3)
    array([[0., 1.],
           [1., 0.]])
    >>> sorted(network.state_dict())[:2]
    ['0.bias', '0.num_batches_tracked']
    """

    def __init__(self, *layers):
        super().__init__()
        self.layers = layers
        # A layer keeps one cache: used twice, it would answer with the wrong gradient.
        if len({id(leaf) for leaf in self.leaves()}) < len(self.leaves()):
            raise ValueError("Sequential: each layer may stand in it once, got one twice")

    def forward(self, x, *, training):
        """Run all layers; where one raises, all are left as they were."""
        with self._all_or_nothing():
            for layer in self.layers:
                x = layer.forward(x, training=training)
        return x

    def backward(self, dy, *, accumulate=False, input_gradient=True):
        """Run all layers backward; where one raises, all are left as they were."""
        with self._all_or_nothing():
            for layer in reversed(self.layers[1:]):
                dy = layer.backward(dy, accumulate=accumulate)
            for layer in self.layers[:1]:
                dy = layer.backward(dy, accumulate=accumulate, input_gradient=input_gradient)
        return dy if input_gradient else None

    def leaves(self):
        """The layers that hold parameters and buffers themselves, in order."""
        return [leaf for layer in self.layers for leaf in layer.leaves()]

    def state_dict(self):
        """Copies of all parameters and buffers, under PyTorch's names ("0.weight", …)."""
        return {
            f"{position}.{name}": value
            for position, layer in enumerate(self.layers)
            for name, value in layer.state_dict().items()
        }

    def load_state_dict(self, state):
        """Replace all parameters and buffers, or none of them."""
        expected = self.state_dict().keys()
        if state.keys() != expected:
            raise ValueError(
                f"Sequential.load_state_dict: expected the names {sorted(expected)}, "
                f"got {sorted(map(str, state))}"
            )
        with self._all_or_nothing():
            for position, layer in enumerate(self.layers):
                start = f"{position}."
                layer.load_state_dict(
                    {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
                )


class Residual(Sequential):
    """y = x + f(x), f being layers one after the other: a detour around a direct way.

    The names in its state are those of a `Sequential` of the same layers. He et al. (2016).

    Parameters
    ----------
    *layers : Layer
        Together they must keep the shape of x.

    Examples
    --------
    >>> block = Residual(ReLU())
    >>> block.forward(np.array([-1.0, 2.0]), training=True)
    array([-1.,  4.])
    >>> block.backward(np.array([1.0, 1.0]))
    array([1., 2.])
    """

    def forward(self, x, *, training):
        """Run the detour and add x; where a layer raises, all are left as they were."""
        with self._all_or_nothing():
            detour = super().forward(x, training=training)
            checks.shape("Residual", "f(x)", detour, np.shape(x), f"x of shape {np.shape(x)}")
            return x + detour

    def backward(self, dy, *, accumulate=False, input_gradient=True):
        """Run the detour backward and add dy; where a layer raises, all are left as they were."""
        of_detour = super().backward(dy, accumulate=accumulate, input_gradient=input_gradient)
        return dy + of_detour if input_gradient else None


def mlp(
    sizes,
    *,
    rng,
    activation=ReLU,
    batch_norm=False,
    norm=None,
    placement="before",
    scale="he",
    output_scale=None,
    dtype=np.float64,
):
    """A fully connected network: linear, [norm,] activation, …, linear.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden units of each layer, outputs.
    rng : numpy.random.Generator
        The same seed gives the same weights whatever the norm.
    activation : type of Layer
    batch_norm : bool
        True is short for norm=BatchNorm.
    norm : type of Layer, optional
        Called with the number of units and `dtype`, for instance `LayerNorm` or
        ``functools.partial(GroupNorm, 4)``.
    placement : "before" or "after"
        Where the norm stands, seen from the activation. A linear layer directly before batch norm
        has no bias: the mean would take it away.
    scale : float, "he" or "glorot"
        Standard deviation of the initial weights, for every layer (see `Linear`).
    output_scale : float, "he" or "glorot", optional
        The same for the last layer; None stands for `scale`.
    dtype : dtype

    Returns
    -------
    Sequential

    Examples
    --------
    >>> network = mlp([64, 100, 10], rng=np.random.default_rng(0), batch_norm=True)
    >>> [type(layer).__name__ for layer in network.layers]
    ['Linear', 'BatchNorm', 'ReLU', 'Linear']
    """
    norm = _chosen_norm("mlp", batch_norm, norm)
    sizes = checks.counts("mlp", "sizes", sizes)
    if len(sizes) < 2:
        raise ValueError(
            f"mlp: sizes must name inputs and outputs at least, got {len(sizes)} numbers"
        )
    checks.one_of("mlp", "placement", placement, ("before", "after"))
    layers: list[Layer] = []
    *hidden, last = itertools.pairwise(sizes)
    for fan_in, fan_out in hidden:
        norms = _norms("mlp", norm, fan_out, dtype)
        bias = placement == "after" or not _takes_away_a_bias(norms)
        layers.append(Linear(fan_in, fan_out, rng=rng, scale=scale, bias=bias, dtype=dtype))
        active = checks.made("mlp", "activation", Layer, activation)
        layers += [*norms, active] if placement == "before" else [active, *norms]
    output_scale = scale if output_scale is None else output_scale
    layers.append(Linear(*last, rng=rng, scale=output_scale, dtype=dtype))
    return Sequential(*layers)


def convnet(
    shape,
    channels,
    classes,
    *,
    rng,
    activation=ReLU,
    batch_norm=False,
    norm=None,
    head="flatten",
    scale="he",
    dtype=np.float64,
):
    """A small convolutional network: convolution, [norm,] activation, max pooling, …, head, linear.

    Convolutions have filters of 3 by 3 and keep the size of the picture; each pooling halves it.

    Parameters
    ----------
    shape : tuple (C, H, W)
        Of one picture.
    channels : sequence of int
        Outputs of each convolution.
    classes : int
    rng : numpy.random.Generator
        The same seed gives the same filters whatever the norm and the head.
    activation : type of Layer
    batch_norm : bool
        True is short for norm=BatchNorm.
    norm : type of Layer, optional
        Before every activation, called with the number of channels and `dtype`; `LayerNorm` and
        `RMSNorm` with the whole shape (C, H, W) instead. A convolution before batch norm or
        instance norm has no bias.
    head : "flatten" or "average"
        What the linear layer sees: all pixels of the last maps, or the mean of each map.
    scale : float, "he" or "glorot"
        Standard deviation of the initial weights, for every layer (see `Linear`).
    dtype : dtype

    Returns
    -------
    Sequential

    Examples
    --------
    >>> network = convnet((1, 8, 8), [16, 32], 10, rng=np.random.default_rng(0), batch_norm=True)
    >>> [type(layer).__name__ for layer in network.layers[-6:]]
    ['Conv2d', 'BatchNorm', 'ReLU', 'MaxPool2d', 'Flatten', 'Linear']
    >>> network.forward(np.ones((5, 1, 8, 8)), training=True).shape
    (5, 10)
    """
    norm = _chosen_norm("convnet", batch_norm, norm)
    shape = checks.counts("convnet", "shape", shape)
    channels = checks.counts("convnet", "channels", channels)
    if len(shape) != 3:
        raise ValueError(f"convnet: shape must be (C, H, W), got {len(shape)} numbers")
    checks.one_of("convnet", "head", head, ("flatten", "average"))
    if min(shape[1:]) < 2 ** len(channels):
        raise ValueError(
            f"convnet: pictures must be at least {2 ** len(channels)} pixels high and wide to be "
            f"halved {len(channels)} times, got shape {tuple(shape)}"
        )
    layers: list[Layer] = []
    depth, height, width = shape
    for out in channels:
        size = (out, height, width) if norm in (LayerNorm, RMSNorm) else out
        norms = _norms("convnet", norm, size, dtype)
        bias = not _takes_away_a_bias(norms)
        convolution = Conv2d(depth, out, 3, padding=1, rng=rng, scale=scale, bias=bias, dtype=dtype)
        active = checks.made("convnet", "activation", Layer, activation)
        layers += [convolution, *norms, active, MaxPool2d(2)]
        depth, height, width = out, height // 2, width // 2
    layers.append(Flatten() if head == "flatten" else GlobalAveragePool())
    features = depth * height * width if head == "flatten" else depth
    layers.append(Linear(features, classes, rng=rng, scale=scale, dtype=dtype))
    return Sequential(*layers)


def _chosen_norm(operation, batch_norm, norm):
    """`batch_norm=True` is short for a norm; both at once would contradict each other."""
    checks.flag(operation, "batch_norm", batch_norm)
    if batch_norm and norm is not None:
        raise ValueError(f"{operation}: batch_norm=True and norm exclude each other, got {norm}")
    if norm is not None:
        checks.function(operation, "norm", norm)
    return BatchNorm if batch_norm else norm


def _norms(operation, norm, size, dtype):
    """The norm of so many units or channels, or none, as a list."""
    return [] if norm is None else [checks.made(operation, "norm", Layer, norm, size, dtype=dtype)]


def _takes_away_a_bias(norms):
    return any(isinstance(norm, BatchNorm | InstanceNorm) for norm in norms)
