"""A good call of every public function of bnlib, and everything bad that an argument may be.

`GOOD` maps a name, "normalization.batch_norm", to a function that makes fresh arguments. A name may
have a note after a colon, for a second call that takes another way.
"""

import decimal
import fractions
import functools
import re
import tempfile
from pathlib import Path

import numpy as np

from bnlib import (
    checkpoints,
    convolution,
    datasets,
    functional,
    graph,
    layers,
    normalization,
    optim,
    verdicts,
    whitening,
    workers,
)


def rng():
    return np.random.default_rng(0)


def batch(*shape):
    return np.random.default_rng(1).normal(size=shape or (6, 4))


def vector(n=4):
    return np.linspace(0.5, 2, n)


LABELS = np.array([0, 1, 2, 0, 1, 2])


def labels():
    return LABELS.copy()


def network():
    return layers.mlp([4, 5, 3], rng=rng(), batch_norm=True)


def data():
    return datasets.Dataset(batch(), labels(), batch(), labels())


def trained():
    """A network after one forward and one backward pass."""
    model = network()
    model.backward(model.forward(batch(), training=True))
    return model


def contrast(**changes):
    fields = {"name": "BN - plain", "measure": "loss", "weights": {"BN": 1, "plain": -1}}
    return {**fields, "wanted": "less", "smallest": 0.1, **changes}


def rule():
    return verdicts.Rule("C02", "BN is faster.", (verdicts.Contrast(**contrast()),))


def with_cache(operation, *arguments, dy=None, **keywords):
    """The arguments of a backward pass."""
    y, cache = operation(*arguments, **keywords)
    return {"dy": np.ones_like(y) if dy is None else dy, "cache": cache}


def bowl(point):
    return point @ point / 2, point


def alone(work):
    """A communicator of one."""
    return workers.in_threads(work, 1)[0]


def comm():
    return alone(lambda comm: comm)


def state(**changes):
    names = ("weight", "bias", "running_mean", "running_var")
    return {**{name: vector() for name in names}, **changes}


def folder():
    return Path(tempfile.gettempdir())


def saved():
    path = folder() / "bnlib_calls.npz"
    checkpoints.save(network(), path)
    return path


def norm_arguments(**more):
    return {"x": batch(), "gamma": vector(), "beta": vector(), "eps": 1e-5, **more}


def layer_arguments(**more):
    return {"eps": 1e-5, "affine": True, "dtype": np.float64, **more}


def node(*shape):
    return graph.Node(np.abs(batch(*shape)) + 1)


GOOD = {
    # normalization and relatives
    "normalization.batch_norm": norm_arguments,
    "normalization.batch_norm:image": lambda: norm_arguments(x=batch(2, 4, 3, 3)),
    "normalization.batch_norm_backward": lambda: with_cache(
        normalization.batch_norm, batch(), vector(), vector()
    ),
    "normalization.batch_norm_inference": lambda: norm_arguments(mean=vector(), var=vector()),
    "normalization.batch_norm_inference_backward": lambda: {
        **{"dy": batch(), "x": batch(), "mean": vector(), "var": vector()},
        **{"gamma": vector(), "eps": 1e-5},
    },
    "relatives.layer_norm": lambda: norm_arguments(axis=-1),
    "relatives.layer_norm_backward": lambda: with_cache(normalization.layer_norm, batch()),
    "relatives.group_norm": lambda: norm_arguments(num_groups=2),
    "relatives.group_norm_backward": lambda: with_cache(normalization.group_norm, batch(), 2),
    "relatives.instance_norm": lambda: norm_arguments(x=batch(2, 4, 3)),
    "relatives.instance_norm_backward": lambda: with_cache(
        normalization.instance_norm, batch(2, 4, 3)
    ),
    "relatives.rms_norm": lambda: {"x": batch(), "gamma": vector(), "axis": -1, "eps": 1e-5},
    "relatives.rms_norm_backward": lambda: with_cache(normalization.rms_norm, batch()),
    # functional and convolution
    "functional.linear": lambda: {"x": batch(), "weight": batch(3, 4), "bias": vector(3)},
    "functional.linear_backward": lambda: {
        **with_cache(functional.linear, batch(), batch(3, 4), vector(3)),
        "input_gradient": True,
    },
    **{f"functional.{name}": lambda: {"x": batch()} for name in ("relu", "sigmoid", "tanh")},
    **{
        f"functional.{name}_backward": functools.partial(
            lambda name: with_cache(getattr(functional, name), batch()), name
        )
        for name in ("relu", "sigmoid", "tanh")
    },
    "functional.dropout": lambda: {"x": batch(), "rate": 0.5, "rng": rng()},
    "functional.dropout_backward": lambda: with_cache(functional.dropout, batch(), 0.5, rng()),
    "functional.softmax_cross_entropy": lambda: {"logits": batch(6, 3), "labels": labels()},
    "functional.softmax_cross_entropy_backward": lambda: {
        "cache": functional.softmax_cross_entropy(batch(6, 3), labels())[1]
    },
    "convolution.conv2d": lambda: {
        **{"x": batch(2, 3, 5, 5), "weight": batch(4, 3, 3, 3), "bias": vector()},
        **{"stride": 1, "padding": 0},
    },
    "convolution.conv2d_backward": lambda: {
        **with_cache(convolution.conv2d, batch(2, 3, 5, 5), batch(4, 3, 3, 3)),
        "input_gradient": True,
    },
    "convolution.max_pool2d": lambda: {"x": batch(2, 3, 4, 4), "size": 2, "stride": 2},
    "convolution.max_pool2d_backward": lambda: with_cache(
        convolution.max_pool2d, batch(2, 3, 4, 4), 2
    ),
    # graph
    "graph.Node": lambda: {"value": batch(), "name": "x"},
    **{f"graph.{name}": lambda: {"a": node(), "b": node()} for name in ("add", "sub", "mul")},
    **{f"graph.{name}": lambda: {"a": node()} for name in ("exp", "log", "relu", "transpose")},
    "graph.power": lambda: {"a": node(), "exponent": 2},
    "graph.matmul": lambda: {"a": node(), "b": node(4, 3)},
    "graph.sum": lambda: {"a": node(), "axis": 0},
    "graph.repeat": lambda: {"a": node(4), "shape": (6, 4), "axis": 0},
    "graph.batch_norm": lambda: {"x": node(), "gamma": node(4), "beta": node(4), "eps": 1e-5},
    "graph.backward": lambda: {"output": node() * 2, "upstream": node(), "cut": ()},
    "graph.replay": lambda: {"output": node() * 2, "nudge": None},
    "graph.in_order": lambda: {"output": node() * 2},
    "graph.wires_into": lambda: {"node": node() * 2},
    # gradcheck
    "gradcheck.numerical_gradient": lambda: {"f": np.sum, "x": vector(), "step": 1e-6},
    "gradcheck.complex_step_gradient": lambda: {"f": np.sum, "x": vector(), "step": 1e-30},
    "gradcheck.check_gradient": lambda: {
        **{"f": lambda x: (x**2).sum(), "inputs": {"x": vector()}},
        **{"gradients": {"x": 2 * vector()}, "rng": rng(), "method": "complex step"},
        **{"directions": 2, "rtol": None, "step": None},
    },
    "gradcheck.check_backward": lambda: {
        **{"forward": lambda x: (3 * x, None), "backward": lambda dy, cache: (3 * dy,)},
        **{"inputs": {"x": vector()}, "rng": rng(), "upstream": None, "method": "complex step"},
        **{"directions": 2, "rtol": None, "step": None},
    },
    # layers
    "layers.BatchNorm": lambda: layer_arguments(
        num_features=4, momentum=0.1, track_running_stats=True
    ),
    "layers.LayerNorm": lambda: layer_arguments(num_features=4),
    "layers.GroupNorm": lambda: layer_arguments(num_groups=2, num_channels=4),
    "layers.InstanceNorm": lambda: layer_arguments(num_features=4),
    "layers.RMSNorm": lambda: layer_arguments(num_features=4),
    "layers.Linear": lambda: {
        **{"in_features": 4, "out_features": 3, "rng": rng(), "scale": "he"},
        **{"bias": True, "dtype": np.float64},
    },
    "layers.Conv2d": lambda: {
        **{"in_channels": 4, "out_channels": 3, "size": 3, "rng": rng(), "stride": 1},
        **{"padding": 0, "scale": "he", "bias": True, "dtype": np.float64},
    },
    "layers.Dropout": lambda: {"rate": 0.5, "rng": rng()},
    "layers.MaxPool2d": lambda: {"size": 2, "stride": 2},
    "layers.mlp": lambda: {
        **{"sizes": [4, 5, 3], "rng": rng(), "activation": layers.ReLU, "batch_norm": False},
        **{"norm": None, "placement": "before", "scale": "he", "output_scale": None},
        "dtype": np.float64,
    },
    "layers.convnet": lambda: {
        **{"shape": (1, 8, 8), "channels": [2, 3], "classes": 3, "rng": rng()},
        **{"activation": layers.ReLU, "batch_norm": False, "norm": None, "head": "flatten"},
        **{"scale": "he", "dtype": np.float64},
    },
    # optim
    "optim.lr_of": lambda: {"lr": 0.1, "members": 2},
    "optim.SGD": lambda: {"network": network(), "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0},
    "optim.RMSprop": lambda: {
        **{"network": network(), "lr": 0.1, "alpha": 0.9, "eps": 1e-8, "weight_decay": 0.0}
    },
    "optim.Adam": lambda: {
        **{"network": network(), "lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8},
        "weight_decay": 0.0,
    },
    # intervals and verdicts
    "intervals.paired_interval": lambda: {"differences": vector(), "confidence": 0.95},
    "intervals.wilson_interval": lambda: {"successes": 3, "total": 5, "confidence": 0.95},
    "intervals.bootstrap_interval": lambda: {
        **{"values": vector(), "rng": rng(), "confidence": 0.95, "resamples": 50}
    },
    "intervals.p_above": lambda: {"values": vector(), "threshold": 0.1},
    "intervals.p_share_above": lambda: {"successes": 3, "total": 5, "share": 0.5},
    "intervals.holm": lambda: {"p_values": np.array([0.01, 0.2])},
    "verdicts.Contrast": lambda: {**contrast(), "scale": "linear"},
    "verdicts.Rule": lambda: {
        **{"claim": "C02", "says": "BN is faster.", "needs": (verdicts.Contrast(**contrast()),)},
        **{"at_least": None, "when": {}, "part": ""},
    },
    "verdicts.shown": lambda: {
        **{"claim": "C13", "checks": {"for this batch": True}, "when": None, "part": ""}
    },
    "verdicts.verdict": lambda: {
        "per_seed": {("BN", "loss"): [1.0, 1.2, 1.1], ("plain", "loss"): [3.1, 3.3, 3.5]},
        "rule": rule(),
    },
    "verdicts.judge": lambda: {
        "cases": [({("BN", "loss"): [1.0, 1.2, 1.1], ("plain", "loss"): [3.1, 3.3, 3.5]}, rule())]
    },
    # inference, folding, conventions, checkpoints
    "inference.exponential_average": lambda: {
        **{"values": vector(), "momentum": 0.1, "initial": 0.0}
    },
    "inference.cumulative_average": lambda: {"values": vector()},
    "inference.corrected_average": lambda: {"values": vector(), "momentum": 0.1},
    "inference.reestimate": lambda: {
        **{"network": network(), "x": batch(), "batch_size": 3, "rng": rng()},
        **{"pool": "whole", "bessel": True},
    },
    "inference.frozen_statistics": lambda: {"network": network()},
    "folding.fold_batch_norm": lambda: {
        **{"weight": batch(4, 3), "bias": vector(), "mean": vector(), "var": vector()},
        **{"gamma": vector(), "beta": vector(), "eps": 1e-5},
    },
    "folding.fold": lambda: {"network": network()},
    "conventions.batch_norm_like": lambda: {
        **{"convention": "Keras", "num_features": 4, "momentum": None, "eps": None},
        "dtype": np.float64,
    },
    "conventions.convert": lambda: {
        **{"state": state(), "source": "PyTorch", "target": "Keras", "count": 4},
        **{"batches": 2, "momentum": 0.1},
    },
    "conventions.convert_weight": lambda: {
        **{"weight": batch(3, 3, 2, 4), "source": "Keras", "target": "PyTorch"}
    },
    "checkpoints.save": lambda: {"network": network(), "path": folder() / "bnlib_calls.npz"},
    "checkpoints.load": lambda: {"network": network(), "path": saved()},
    "checkpoints.settings": lambda: {"network": network()},
    # looking at networks
    "ood.confidence": lambda: {"logits": batch(6, 3)},
    "ood.energy": lambda: {"logits": batch(6, 3), "temperature": 1.0},
    "ood.auroc": lambda: {"known": vector(), "strange": vector() + 1},
    "ood.fpr95": lambda: {"known": vector(), "strange": vector() + 1},
    "ood.penultimate": lambda: {"network": network(), "x": batch()},
    "ood.unit_activations": lambda: {
        **{"known": np.abs(batch()), "strange": np.abs(batch()) + 1, "limit": 1.0}
    },
    "ood.react_limit": lambda: {"network": network(), "x_train": batch(), "quantile": 0.9},
    "ood.react": lambda: {"network": network(), "x": batch(), "limit": 1.0},
    "ood.mixed_statistics": lambda: {
        **{"network": network(), "x": batch(), "alpha": 0.5, "prior": None}
    },
    "whitening.whiten": lambda: {"x": batch(), "eps": 1e-5, "how": "zca", "group": None},
    "whitening.whiten_backward": lambda: with_cache(whitening.whiten, batch()),
    "whitening.whiten_inference": lambda: {
        **{"x": batch(), "mean": vector(), "matrix": np.eye(4)[None]}
    },
    "whitening.correlation": lambda: {"z": batch()},
    "whitening.directions": lambda: {"z": batch()},
    "whitening.divide_by_deviations": lambda: {"x": batch(), "eps": 1e-5},
    "whitening.divide_by_triangle": lambda: {"x": batch(), "eps": 1e-5},
    "whitening.operations": lambda: {"function": whitening.divide_by_deviations, "x": batch()},
    "whitening.cost": lambda: {"examples": 5, "dimensions": 3},
    "landscape.along_gradient": lambda: {
        **{"function": bowl, "point": vector(), "rates": [0.1, 0.2], "lengths": None}
    },
    "landscape.surface": lambda: {
        **{"network": network(), "x": batch(), "labels": labels(), "relative": False}
    },
    "covariate_shift.layers_of": lambda: {"network": network()},
    "covariate_shift.step": lambda: {
        **{"network": network(), "x": batch(), "labels": labels(), "lr": 0.1, "layers": [1]}
    },
    "covariate_shift.gradient_shift": lambda: {
        **{"network": network(), "x": batch(), "labels": labels(), "lr": 0.1}
    },
    "covariate_shift.layer_interaction": lambda: {
        **{"network": network(), "x": batch(), "labels": labels(), "lr": 0.1}
    },
    "covariate_shift.distribution_drift": lambda: {"before": batch(), "after": batch() + 1},
    "covariate_shift.signals": lambda: {"network": network(), "x": batch()},
    "batch_noise.in_random_batches": lambda: {
        **{"values": batch(20, 4), "row": 1, "size": 4, "draws": 3, "rng": rng()},
        **{"together": True, "eps": 1e-5},
    },
    "batch_noise.noise_law": lambda: {"values": batch(20, 4), "size": 4},
    "batch_noise.layer_noise": lambda: {
        **{"network": network(), "x": batch(20, 4), "rows": [1], "size": 4, "draws": 3},
        "rng": rng(),
    },
    "silencing.mean_activations": lambda: {"network": network(), "x": batch()},
    "silencing.silenced": lambda: {
        **{"network": network(), "x": batch(), "off": [np.array([True, False, True, False, True])]},
        "instead": None,
    },
    "diagnostics.layer_statistics": lambda: {
        **{"network": network(), "x": batch(), "labels": labels(), "training": True}
    },
    "diagnostics.update_ratios": lambda: {
        **{"before": {"0.weight": vector()}, "after": {"0.weight": vector() + 1}}
    },
    "diagnostics.sharpness": lambda: {
        **{"network": network(), "x": batch(), "labels": labels(), "rng": rng()},
        **{"iterations": 20, "tolerance": 0.1},
    },
    "doctor.examine": lambda: {
        **{"network": network(), "x_train": batch(20, 4), "labels_train": np.arange(20) % 3},
        **{"x_test": batch(20, 4), "labels_test": np.arange(20) % 3, "batch_size": 5},
        "rng": rng(),
    },
    # training
    "training.accuracy": lambda: {"network": network(), "x": batch(), "labels": labels()},
    "training.population_statistics": lambda: {"network": network(), "x": batch()},
    "ensembles.fit_together": lambda: {
        **{"networks": [network(), network()], "data": data(), "lr": 0.1, "epochs": 1},
        **{"batch_size": 3, "rngs": [rng(), rng()], "optimizer": optim.SGD},
        **{
            "evaluate": "end",
            "statistics": "running",
            "observe": lambda network: None,
            "observe_at": [0],
        },
        "width": 2,
    },
    "ensembles.Ensemble": lambda: {"networks": [network(), network()]},
    # workers
    "workers.moments": lambda: {"x": batch()},
    "workers.merge": lambda: {"parts": [workers.moments(batch()), workers.moments(batch())]},
    "workers.all_reduce": lambda: {"array": vector(), "comm": comm()},
    "workers.synchronized_batch_norm": lambda: norm_arguments(comm=comm()),
    "workers.synchronized_batch_norm_backward": lambda: {
        **with_cache(workers.synchronized_batch_norm, batch(), comm=comm()),
        "comm": comm(),
    },
    "workers.SynchronizedBatchNorm": lambda: {"num_features": 4, "comm": comm()},
    "workers.in_threads": lambda: {"work": lambda comm: comm.Get_rank(), "size": 1},
    # files
    "idx.parse": lambda: {"data": bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 8])},
    "idx.announced": lambda: {"data": bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 8])},
    "datasets.digits": lambda: {"rng": rng(), "train": 1000},
}


def fit():
    model = network()
    return {
        **{"network": model, "optimizer": optim.SGD(model, lr=0.1), "data": data(), "epochs": 1},
        **{"batch_size": 3, "rng": rng(), "evaluate": "end", "statistics": "running"},
        **{"observe": lambda network: None, "observe_at": [0]},
    }


GOOD["training.fit"] = fit

# Arguments that are the caller's functions. What cannot be called is refused before anything is
# done; what can be called and raises has raised the caller's own error; what it gives is asked too.
FUNCTIONS = {
    **dict.fromkeys(("gradcheck.numerical_gradient", "gradcheck.complex_step_gradient"), ("f",)),
    "gradcheck.check_gradient": ("f",),
    "gradcheck.check_backward": ("forward", "backward"),
    "landscape.along_gradient": ("function",),
    "whitening.operations": ("function",),
    "workers.in_threads": ("work",),
    **dict.fromkeys(("training.fit", "ensembles.fit_together"), ("observe",)),
}

# Modules that are not asked, and why.
ELSEWHERE = {
    **dict.fromkeys(
        ("checks", "plot_checks"), "what public functions ask with; asked through them"
    ),
    "experiments": "a program for the terminal; tests/test_experiments.py",
    "exercises": "made to be given wrong functions; tests/test_exercises*.py",
    **dict.fromkeys(("plots", "widgets", "display"), "tests/test_errors_drawing.py"),
    **dict.fromkeys(
        ("graph_drawing", "graph_layout", "graph_words"), "tests/test_errors_drawing.py"
    ),
    **dict.fromkeys(("downloads", "__main__"), "files and the network; tests of their own"),
    **dict.fromkeys(("compiled", "kernels"), "need numba; tests/test_compiled.py"),
}
# The same for single functions and classes.
OTHERWISE = {
    **dict.fromkeys(("datasets.mnist", "datasets.notmnist"), "need files; tests/test_datasets.py"),
    **dict.fromkeys(("datasets.main", "datasets.Parser", "workers.main"), "for the terminal"),
    "workers.self_check": "asks the workers of a communicator",
    **dict.fromkeys(("workers.ThreadComm", "workers.all_or_none"), "made by in_threads"),
    "checkpoints.digest": "is given what save and load have checked",
    "idx.unpack": "is given chunks of a download; tests/test_idx.py",
    **dict.fromkeys(("layers.Layer", "layers.Sequential", "layers.Residual"), "take layers only"),
    **dict.fromkeys(("layers.ReLU", "layers.Sigmoid", "layers.Tanh"), "take nothing"),
    **dict.fromkeys(("layers.Flatten", "layers.GlobalAveragePool"), "take nothing"),
    "layers.Activation": "what those are made from",
    "inference.FrozenBatchNorm": "is BatchNorm",
    "optim.Optimizer": "what SGD and the others are made from",
    **dict.fromkeys(("training.Alone", "training.Training"), "made by fit"),
    "conventions.Convention": "a row of data",
    **dict.fromkeys(("graph.computed", "whitening.Counted"), "made by operations"),
    **dict.fromkeys(("rules.Contrast", "rules.Rule"), "asked as verdicts.Contrast and Rule"),
}


# What bnlib says of a wrong argument: the operation, and what it got.
SENTENCE = re.compile(r"\w[\w. -]*: .*\bgot\b", re.DOTALL)


class Strange(np.ndarray):
    """A subclass that is no other array."""


def generator():
    yield from (1.0, 2.0)


BAD = {
    "None": lambda: None,
    "text": lambda: "text",
    "empty text": lambda: "",
    "bytes": lambda: b"bytes",
    "True": lambda: True,
    "imaginary": lambda: 1j,
    "NaN": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "minus infinity": lambda: float("-inf"),
    "-1": lambda: -1,
    "-0.5": lambda: -0.5,
    "0": lambda: 0,
    "0.0": lambda: 0.0,
    "1.5": lambda: 1.5,
    "2**70": lambda: 2**70,
    "-2**70": lambda: -(2**70),
    "10**400": lambda: 10**400,
    "1e308": lambda: 1e308,
    "1e-320": lambda: 1e-320,
    "int64": lambda: np.int64(-3),
    "float32 NaN": lambda: np.float32("nan"),
    "fraction": lambda: fractions.Fraction(-1, 3),
    "decimal": lambda: decimal.Decimal("0.1"),
    "list": lambda: [],
    "ragged": lambda: [[1.0], [2.0, 3.0]],
    "list of None": lambda: [None],
    "list of text": lambda: ["a", "b"],
    "deep list": lambda: [[[[[1.0]]]]],
    "dict": lambda: {},
    "dict of text": lambda: {"a": "b"},
    "dict of numbers": lambda: {1: 2},
    "set": lambda: {1.0},
    "object": object,
    "type": lambda: int,
    "function": lambda: len,
    "generator": generator,
    "module": lambda: np.random,
    "old generator": lambda: np.random.RandomState(0),
    "array of None": lambda: np.array([None, None]),
    "number array": lambda: np.array(2.0),
    "empty array": lambda: np.empty(0),
    "no rows": lambda: np.empty((0, 4)),
    "no columns": lambda: np.empty((6, 0)),
    "no pixels": lambda: np.empty((2, 4, 0)),
    "one row": lambda: np.ones((1, 4)),
    "five axes": lambda: np.ones((1, 2, 1, 2, 1)),
    "long vector": lambda: np.ones(99),
    "text array": lambda: np.array(["a", "b"]),
    "dates": lambda: np.array(["2020-01-01"], "datetime64[D]"),
    "records": lambda: np.zeros(3, [("a", float)]),
    "complex64": lambda: np.ones((6, 4), np.complex64),
    "longdouble": lambda: np.ones((6, 4), np.longdouble),
}


def _reshaped(array):
    return np.ones((*array.shape, 2), array.dtype)


def _spoilt(value, array):
    array = array.astype(np.result_type(array, np.float64))
    array.flat[:1] = value
    return array


# What an array may become: like it, and yet not it.
SPOILT = {
    "int": lambda a: np.rint(a).astype(int),
    "bool": lambda a: a > 0,
    "uint8": lambda a: np.abs(a).astype(np.uint8),
    "object": lambda a: a.astype(object),
    "complex64": lambda a: a.astype(np.complex64),
    "complex128": lambda a: a + 1j,
    "float16": lambda a: a.astype(np.float16),
    "float32": lambda a: a.astype(np.float32),
    "longdouble": lambda a: a.astype(np.longdouble),
    "NaN": functools.partial(_spoilt, np.nan),
    "infinity": functools.partial(_spoilt, np.inf),
    "1e300": functools.partial(_spoilt, 1e300),
    "negative": lambda a: -1 - np.abs(a),
    "huge": lambda a: a.astype(float) * 1e308,
    "one axis more": _reshaped,
    "one axis fewer": lambda a: a[0] if a.ndim else a,
    "longer": lambda a: np.concatenate([a, a]) if a.ndim else a,
    "shorter": lambda a: a[:-1] if a.ndim else a,
    "none": lambda a: a[:0] if a.ndim else a,
    "one": lambda a: a[:1] if a.ndim else a,
    "transposed": lambda a: a.T,
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(a.tolist()) if a.ndim else a,
    "masked": lambda a: np.ma.masked_array(a, np.zeros(a.shape, bool)),
    "masked out": lambda a: np.ma.masked_array(a, np.ones(a.shape, bool)),
    "subclass": lambda a: a.view(Strange),
    "read-only": lambda a: np.broadcast_to(a, a.shape),
}


def gives(value):
    """A function of anything, that gives always the same."""
    return lambda *arguments, **options: value


def bad(value):
    """Yield (what it becomes, a function that makes that): all kinds, and an array spoilt."""
    yield from BAD.items()
    if isinstance(value, np.ndarray):
        for kind, spoil in SPOILT.items():
            yield f"as {kind}", functools.partial(spoil, value.copy())


def first_inside(value):
    """The key of the first thing in a list, tuple or dict, or None."""
    return next(iter(value if type(value) is dict else range(len(value))), None)


def holding(value, key, item):
    """The same list, tuple or dict with another item."""
    items = value | {key: item} if type(value) is dict else [item, *value[1:]]
    return type(value)(items)


def bad_arguments(name):
    """Yield (argument, what it becomes, arguments): each argument of a good call spoilt in turn.

    Of a list, tuple or dict the first thing that it holds is spoilt, too.
    """
    good = GOOD[name]
    for argument, value in good().items():
        with np.errstate(all="ignore"):
            for kind, make in bad(value):
                yield argument, kind, {**good(), argument: make()}
            if argument in FUNCTIONS.get(name, ()):
                for kind, make in BAD.items():
                    yield argument, f"gives {kind}", {**good(), argument: gives(make())}
            if type(value) in (list, tuple, dict) and value:
                key = first_inside(value)
                for kind, make in bad(value[key]):
                    fresh = good()
                    item = make()
                    fresh[argument] = holding(fresh[argument], key, item)
                    yield argument, f"holds {kind}", fresh


def function_of(name):
    """`bnlib.normalization.batch_norm` for "normalization.batch_norm:image"."""
    module, function = name.split(":")[0].split(".")
    import importlib

    return getattr(importlib.import_module(f"bnlib.{module}"), function)
