"""How frameworks differ about batch norm, as data, and what translates between them.

All of them normalize a training batch by its mean and its biased variance. They differ in what they
call momentum, in eps, in the variance that they store, in where the averages start and in what they
do with a single value. Workshop `frameworks` shows each difference by a number.

Every function raises TypeError for arguments of another kind, ValueError for shapes, numbers and
words that do not fit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bnlib import checks
from bnlib.layers import BatchNorm

# The parts of a state, under PyTorch's names.
AFFINE, STATISTICS = ("weight", "bias"), ("running_mean", "running_var")


@dataclass(frozen=True)
class Convention:
    """What one framework does by default.

    Attributes
    ----------
    name : str
    momentum : float or None
        The default of the setting called `momentum_name`; None where the caller must say it.
    momentum_name : str
    momentum_weighs : "new" or "old"
        Which value the momentum is the weight of.
    eps : float or None
        Added to the variance; None where the caller must say it.
    bessel : bool
        Whether the stored variance is the unbiased one. In the forward pass nobody's is.
    initial_var : float or None
        Where the stored variance starts; None where the caller must say it. Means start at 0.
    corrected : bool
        Whether the averages are divided by the weight that the batches have had so far.
    moves_in : "forward" or "backward"
        The pass of a training step in which the averages move.
    single : "error", "beta" or "nan"
        What one value per channel does in training (in TensorFlow's rows: on a CPU): an error;
        every output is beta, and the stored variance moves towards 0; the stored variance becomes
        NaN.
    keys : dict of str to str
        PyTorch's names for the state to the framework's own.
    linear, conv : str
        The axes of their weights: o(ut), i(n), h(eight), w(idth).
    run : str
        What was run to compare this row with, or "" for a row that was read and not run.
    sources : tuple of (address, what was read there)
    """

    name: str
    momentum: float | None
    momentum_name: str
    momentum_weighs: str
    eps: float | None
    bessel: bool
    initial_var: float | None
    single: str
    keys: dict[str, str]
    run: str
    sources: tuple[tuple[str, str], ...]
    corrected: bool = False
    moves_in: str = "forward"
    linear: str = "oi"
    conv: str = "oihw"

    def weight_of_new(self, momentum=None):
        """Weight of the new value in the running averages: what bnlib and PyTorch call momentum.

        Parameters
        ----------
        momentum : float, optional
            As this framework writes it; None stands for its default.

        Returns
        -------
        float

        Examples
        --------
        >>> CONVENTIONS["Keras"].weight_of_new(0.75)
        0.25
        """
        momentum = self.momentum if momentum is None else momentum
        if momentum is None:
            raise ValueError(f"{self.name}: {self.momentum_name} has no default, got None")
        checks.share(self.name, self.momentum_name, momentum)
        # Rounded, since 1 - 0.9 is a little less than 0.1.
        return float(momentum if self.momentum_weighs == "new" else round(1 - momentum, 12))


def batch_norm_like(convention, num_features, *, momentum=None, eps=None, dtype=np.float64):
    """Make a `BatchNorm` that normalizes as a framework does, and averages at its pace.

    The averages start at mean 0 and variance 1 and hold the unbiased variance, as everywhere in
    bnlib. What the framework would hold, `convert(state, "PyTorch", convention, count=...,
    batches=..., momentum=layer.momentum)` tells exactly.

    Parameters
    ----------
    convention : str
        A name in `CONVENTIONS`.
    num_features : int
    momentum : float, optional
        As the framework writes it; None stands for its default.
    eps : float, optional
        None stands for the framework's default.
    dtype : dtype

    Returns
    -------
    bnlib.layers.BatchNorm

    Examples
    --------
    >>> layer = batch_norm_like("Keras", 2)
    >>> layer.momentum, layer.eps
    (0.01, 0.001)
    """
    chosen = _named("batch_norm_like", convention)
    eps = chosen.eps if eps is None else eps
    if eps is None:
        raise ValueError(f"batch_norm_like: eps has no default in {convention}, got None")
    momentum = chosen.weight_of_new(momentum)
    return BatchNorm(num_features, eps=eps, momentum=momentum, dtype=dtype)


def convert(state, source, target, *, count=None, batches=None, momentum=None):
    """Translate the state of a batch norm layer from one framework to another.

    By default the numbers stay what they are and only change their names: with the same eps, the
    evaluation output is then the same. With `count` the variance becomes the one that the target
    would have stored; with `batches` too, the averages become those that it would have after so
    many batches, its own start in them: exactly, when all batches had the same size.

    Caffe keeps sums and, as a third array, the weight of all batches in them. Only `batches` tells
    that weight; without it the third is 1, which is right for evaluation, and wrong if Caffe is to
    train on: its next batch would weigh as much as all that came before.

    Parameters
    ----------
    state : dict of str to ndarray
        Under the source's names, `CONVENTIONS[source].keys`; PyTorch's `num_batches_tracked` may be
        left out.
    source, target : str
        Names in `CONVENTIONS`.
    count : int, optional
        Values per channel in one training batch.
    batches : int, optional
        Training batches so far.
    momentum : float, optional
        For `batches`: as the source writes it; None stands for its default.

    Returns
    -------
    dict of str to ndarray
        Under the target's names; `num_batches_tracked` is kept if known, else `batches` or 0.

    Examples
    --------
    >>> ours = {name: np.array([8.0]) for name in ("weight", "bias", "running_mean", "running_var")}
    >>> convert(ours, "PyTorch", "Keras")["moving_variance"]
    array([8.])
    >>> convert(ours, "PyTorch", "Keras", count=4)["moving_variance"]
    array([6.])
    >>> convert(ours, "PyTorch", "Caffe", batches=2, momentum=0.25)["blobs[2]"]
    array([1.75])
    """
    one, two = _named("convert", source), _named("convert", target)
    values = _read(state, one)
    mean, var = values["running_mean"], values["running_var"]
    if batches is not None:
        checks.count("convert", "batches", batches)
        if None in (one.initial_var, two.initial_var):
            raise ValueError("convert: with cuDNN the caller chose the start: leave out batches")
        if one.corrected != two.corrected or one.initial_var != two.initial_var:
            left = (1 - one.weight_of_new(momentum)) ** batches  # of the start
            mean, var = _exchange_start(mean, var, left, one, two)
    if count is not None and one.bessel != two.bessel:
        checks.count("convert", "count", count)
        if count == 1:
            raise ValueError("convert: count must be above 1 for an unbiased variance, got 1")
        start = _start_left(two, one, batches, momentum)
        factor = count / (count - 1) if two.bessel else (count - 1) / count
        var = start + (var - start) * factor
    if two.corrected:
        values.setdefault("scale_factor", np.array([_weight_of_all(one, batches, momentum)]))
        mean, var = (values["scale_factor"] * average for average in (mean, var))
    averages = {
        "running_mean": np.asarray(mean, values["running_mean"].dtype),
        "running_var": np.asarray(var, values["running_var"].dtype),
    }
    tracked = values.get("num_batches_tracked", np.array(0 if batches is None else batches))
    return _write({**values, **averages, "num_batches_tracked": tracked}, two)


def convert_weight(weight, source, target):
    """Reorder the axes of the weights of a linear layer or a convolution.

    Parameters
    ----------
    weight : ndarray with 2 axes (linear) or 4 (convolution)
    source, target : str
        Names in `CONVENTIONS`.

    Returns
    -------
    ndarray
        A copy. A linear layer behind flattened pictures needs more: with the channels last, the
        pictures were flattened in another order.

    Examples
    --------
    >>> convert_weight(np.zeros((3, 3, 16, 32)), "Keras", "PyTorch").shape
    (32, 16, 3, 3)
    """
    one, two = _named("convert_weight", source), _named("convert_weight", target)
    checks.float_array("convert_weight", "weight", weight)
    kinds = {2: "linear", 4: "conv"}
    if np.ndim(weight) not in kinds:
        raise ValueError(f"convert_weight: weight must have 2 or 4 axes, got {np.shape(weight)}")
    have, want = (getattr(each, kinds[np.ndim(weight)]) for each in (one, two))
    return np.transpose(weight, [have.index(axis) for axis in want]).copy()


def _named(operation, name):
    checks.one_of(operation, "the framework", name, CONVENTIONS)
    return CONVENTIONS[name]


def _read(state, convention):
    """The state under PyTorch's names; Caffe's sums divided by their weight."""
    checks.instance("convert", "state", state, Mapping, "a dict of arrays")
    keys = dict(convention.keys)
    optional = {"num_batches_tracked", *AFFINE}
    missing = [theirs for ours, theirs in keys.items() if theirs not in state]
    needed = [theirs for ours, theirs in keys.items() if ours not in optional]
    unknown = set(state) - set(keys.values())
    if unknown or set(missing) & set(needed):
        raise ValueError(
            f"convert: a state of {convention.name} must have the names {list(keys.values())}, "
            f"got {sorted(map(str, state))}"
        )
    values = {}
    for ours, theirs in keys.items():
        if theirs in state:
            checks.numbers("convert", theirs, state[theirs])
            values[ours] = np.array(state[theirs])
    if convention.corrected:
        factor = values["scale_factor"]
        scale = np.where(factor == 0, 0, 1 / np.where(factor == 0, 1, factor))
        values |= {name: values[name] * scale for name in STATISTICS}
    return values


def _write(values, convention):
    return {
        theirs: np.array(values[ours]) for ours, theirs in convention.keys.items() if ours in values
    }


def _weight_of_all(one, batches, momentum):
    """What Caffe divides its sums by after so many batches; 1 when nobody says how many."""
    if batches is None:
        return 1.0
    return float(np.sum((1 - one.weight_of_new(momentum)) ** np.arange(batches)))


def _exchange_start(mean, var, left, one, two):
    """Take the source's start out of its averages and put the target's in."""
    if not one.corrected:
        mean, var = mean / (1 - left), (var - left * one.initial_var) / (1 - left)
    if not two.corrected:
        mean, var = mean * (1 - left), var * (1 - left) + left * two.initial_var
    return mean, var


def _start_left(two, one, batches, momentum):
    """What the start contributes to the target's running variance; 0 once it has faded."""
    if batches is None or two.corrected:
        return 0.0
    return (1 - one.weight_of_new(momentum)) ** batches * two.initial_var


_TORCH = "https://github.com/pytorch/pytorch/blob/v2.13.0/torch/nn"
_KERAS = "https://github.com/keras-team/keras/blob/v3.15.1/keras/src/layers/normalization"
_TF_KERAS = "https://github.com/keras-team/tf-keras/blob/v2.21.0/tf_keras"
_KERAS_2 = f"{_TF_KERAS}/layers/normalization/batch_normalization.py"
_TENSORFLOW = (
    "https://github.com/tensorflow/tensorflow/blob/d4c0e80509b3ef9e2d9b5563ca6ae6c5f6fb3783"
    "/tensorflow/core/kernels/fused_batch_norm_op.cc"
)
_FLAX = "https://github.com/google/flax/blob/v0.12.8/flax/linen/normalization.py"
_CHAINER = "https://github.com/chainer/chainer/blob/v7.8.1/chainer"
_MXNET = "https://github.com/apache/mxnet/blob/1.9.1/python/mxnet/gluon/nn/basic_layers.py"
_MXNET_OPERATOR = (
    "https://github.com/apache/mxnet/blob/08d8c85150a91181602f905188f2fda3f36c0773"
    "/src/operator/nn/batch_norm-inl.h"
)
_CAFFE = "https://github.com/BVLC/caffe/blob/9b891540183ddc834a02b2bd81b31afae71b2153/src/caffe"
_CUDNN = (
    "https://github.com/cv-or-not-cv/psenet_cpp/blob/58730095401478d412ee0d7002953948a873d965"
    "/include/cudnn.h"
)
_BOOK = (
    "https://github.com/oreilly-japan/deep-learning-from-scratch/blob/"
    "07b11618cdb5d5f78ad45464de0730efc07b0a4a/common/layers.py"
)
_MOVING = {
    "weight": "gamma", "bias": "beta",
    "running_mean": "moving_mean", "running_var": "moving_variance",
}  # fmt: skip

# TensorFlow and the older Keras differ from it in the variance that pictures store.
_KERAS_3 = Convention(
    name="Keras",
    momentum=0.99, momentum_name="momentum", momentum_weighs="old",
    eps=1e-3, bessel=False, initial_var=1.0, single="beta",
    keys=_MOVING, linear="io", conv="hwio",
    run="keras 3.15.1 on jax 0.10.2, BatchNormalization",
    sources=((f"{_KERAS}/batch_normalization.py#L386-L390", "the moving averages"),),
)  # fmt: skip

_ROWS = (
    Convention(
        name="PyTorch",
        momentum=0.1, momentum_name="momentum", momentum_weighs="new",
        eps=1e-5, bessel=True, initial_var=1.0, single="error",
        keys={name: name for name in (*AFFINE, *STATISTICS, "num_batches_tracked")},
        run="torch 2.13.0, BatchNorm1d",
        sources=(
            (f"{_TORCH}/modules/batchnorm.py#L41-L71", "defaults and initial values"),
            (f"{_TORCH}/modules/batchnorm.py#L323", "the running variance is unbiased"),
            (f"{_TORCH}/functional.py#L2855", "the error for a single value"),
        ),
    ),
    _KERAS_3,
    replace(
        _KERAS_3, name="Keras 2",
        run="tensorflow 2.21.0, tf_keras 2.21.0, BatchNormalization of rows",
        sources=((f"{_KERAS_2}#L172-L173", "the defaults"),),
    ),
    replace(
        _KERAS_3, name="Keras 2 fused", bessel=True,
        run="tensorflow 2.21.0, tf_keras 2.21.0, BatchNormalization of pictures",
        sources=(
            (f"{_KERAS_2}#L355-L357", "arrays with 4 or 5 axes take the fused kernel"),
            (f"{_KERAS_2}#L944-L949", "Bessel's correction stays in the stored variance"),
        ),
    ),
    replace(
        _KERAS_3, name="TensorFlow 1",
        run="tensorflow 2.21.0, compat.v1.layers.batch_normalization of rows",
        sources=((f"{_TF_KERAS}/legacy_tf_layers/normalization.py#L242-L248", "the defaults"),),
    ),
    replace(
        _KERAS_3, name="TensorFlow 1 fused", bessel=True,
        run="tensorflow 2.21.0, compat.v1.layers.batch_normalization of pictures",
        sources=(
            (f"{_KERAS_2}#L366", "arrays with 4 or 5 axes take the fused kernel"),
            (_TENSORFLOW, "Bessel's correction, at rest_size_adjust"),
        ),
    ),
    Convention(
        name="Flax",
        momentum=0.99, momentum_name="momentum", momentum_weighs="old",
        eps=1e-5, bessel=False, initial_var=1.0, single="beta",
        keys={"weight": "params/scale", "bias": "params/bias",
              "running_mean": "batch_stats/mean", "running_var": "batch_stats/var"},
        linear="io", conv="hwio",
        run="flax 0.12.8 on jax 0.10.2, linen.BatchNorm",
        sources=(
            (f"{_FLAX}#L402-L404", "the running averages"),
            (_FLAX, "the variance is E[x²] - E[x]² unless use_fast_variance is off"),
        ),
    ),
    Convention(
        name="Chainer",
        momentum=0.9, momentum_name="decay", momentum_weighs="old",
        eps=2e-5, bessel=True, initial_var=1.0, single="beta",
        keys={"weight": "gamma", "bias": "beta", "running_mean": "avg_mean",
              "running_var": "avg_var"},
        run="chainer 7.8.1, links.BatchNormalization",
        sources=(
            (f"{_CHAINER}/functions/normalization/batch_normalization.py",
             "the unbiased estimation, and a warning for a batch of one"),
        ),
    ),
    Convention(
        name="MXNet",
        momentum=0.9, momentum_name="momentum", momentum_weighs="old",
        eps=1e-5, bessel=False, initial_var=1.0, single="beta", moves_in="backward",
        keys={"weight": "gamma", "bias": "beta", "running_mean": "running_mean",
              "running_var": "running_var"},
        run="mxnet 1.9.1 on a CPU, gluon.nn.BatchNorm",
        sources=(
            (f"{_MXNET}#L433", "the defaults of gluon"),
            (_MXNET_OPERATOR, "the bare operator has eps 1e-3"),
            ("https://github.com/apache/mxnet/issues/21111",
             "on a GPU cuDNN stores the unbiased variance, the CPU the biased one"),
        ),
    ),
    Convention(
        name="Caffe",
        momentum=0.999, momentum_name="moving_average_fraction", momentum_weighs="old",
        eps=1e-5, bessel=True, initial_var=0.0, single="beta", corrected=True,
        keys={"running_mean": "blobs[0]", "running_var": "blobs[1]", "scale_factor": "blobs[2]",
              "weight": "scale.blobs[0]", "bias": "scale.blobs[1]"},
        run="",
        sources=(
            (f"{_CAFFE}/proto/caffe.proto#L526-L546", "the defaults"),
            (f"{_CAFFE}/layers/batch_norm_layer.cpp#L33", "all three blobs start at 0"),
            (f"{_CAFFE}/layers/batch_norm_layer.cpp#L100-L105", "they are divided by the third"),
            (f"{_CAFFE}/layers/batch_norm_layer.cpp#L138-L145", "the sums, and Bessel's m/(m-1)"),
        ),
    ),
    Convention(
        name="cuDNN",
        momentum=None, momentum_name="exponentialAverageFactor", momentum_weighs="new",
        eps=None, bessel=True, initial_var=None, single="nan",
        keys={"weight": "bnScale", "bias": "bnBias", "running_mean": "resultRunningMean",
              "running_var": "resultRunningVariance"},
        run="",
        sources=(
            (f"{_CUDNN}#L1288-L1301", "a copy of the header of cuDNN 7: the factor weighs the new"),
            (f"{_CUDNN}#L1248", "eps must be at least 1e-5 there; later headers say 0"),
            ("https://github.com/apache/mxnet/issues/21111",
             "measured by others: the stored variance is the unbiased one"),
            ("https://github.com/tensorflow/tensorflow/issues/34062",
             "measured by others: NaN is stored for a single value"),
        ),
    ),
    Convention(
        name="Deep Learning from Scratch",
        momentum=0.9, momentum_name="momentum", momentum_weighs="old",
        eps=1e-6, bessel=False, initial_var=0.0, single="beta",
        keys={"weight": "gamma", "bias": "beta", "running_mean": "running_mean",
              "running_var": "running_var"},
        linear="io",
        run="the book's common/layers.py, commit 07b11618",
        sources=(
            (f"{_BOOK}#L118", "the default of momentum"),
            (f"{_BOOK}#L148-L149", "mean and variance start at 0"),
            (f"{_BOOK}#L155", "eps, written 10e-7"),
            (f"{_BOOK}#L162-L163", "the running averages"),
        ),
    ),
)  # fmt: skip

CONVENTIONS = {row.name: row for row in _ROWS}
