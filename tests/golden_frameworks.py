"""Writes golden_frameworks.json: what other frameworks answer, for machines without them.

Run `python tests/golden_frameworks.py NAME` in an environment that has the framework (NAME is one
of FRAMEWORKS); its entry in the file is replaced, the others stay. `test_conventions.py` compares
`bnlib.conventions` with the file. What the entries were made with stands in them.

    pip install torch                       PyTorch
    pip install keras jax                   Keras
    pip install tensorflow tf_keras         Keras 2, TensorFlow 1, each with its fused kernel
    pip install flax jax                    Flax
    pip install chainer "numpy<1.24"        Chainer
    pip install mxnet "numpy<1.20"          MXNet (Python 3.8)
    PYTHONPATH=a checkout of the book       Deep Learning from Scratch
"""

import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_suffix(".json")
GAMMA, BETA = np.array([1.5, -0.5, 1.0]), np.array([0.25, 1.0, -2.0])


def batches():
    """Three batches of 6 examples and one to evaluate; the last channel's variance is near eps."""
    rng = np.random.default_rng(0)
    x = rng.normal([1, -2, 0.5], [2, 0.5, 0.01], size=(4, 6, 3))
    return [np.asarray(batch, np.float32) for batch in x]


def record(train, evaluate, state, **facts):
    """Ask one fresh layer for everything that the table of conventions says about it.

    `train` and `evaluate` take x of shape (6, 3) and return y; `state` returns mean and variance.
    """
    *training, last = batches()
    entry = {**facts, "initial": state(), "steps": []}
    for x in training:
        y = train(x)
        entry["steps"].append({"x": x, "y": y, "state": state()})
    entry["evaluation"] = {"x": last, "y": evaluate(last)}
    one = last[:1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            entry["one"] = {"x": one, "y": train(one), "state": state()}
        except Exception as error:
            entry["one"] = {"x": one, "error": f"{type(error).__name__}: {error}"}
    heard = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    entry["one"]["warning"] = heard[0] if heard else None
    return entry


def pytorch():
    import torch

    layer = torch.nn.BatchNorm1d(3)
    with torch.no_grad():
        layer.weight[:], layer.bias[:] = torch.tensor(GAMMA), torch.tensor(BETA)

    def forward(x, training):
        return layer.train(training)(torch.tensor(x)).detach().numpy()

    return record(
        lambda x: forward(x, True),
        lambda x: forward(x, False),
        lambda: [layer.running_mean.numpy().copy(), layer.running_var.numpy().copy()],
        version=f"torch {torch.__version__.partition('+')[0]}",
        momentum=layer.momentum,
        eps=layer.eps,
        names=sorted(layer.state_dict()),
    )


def keras():
    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import keras

    layer = keras.layers.BatchNormalization()
    layer.build((None, 3))
    layer.gamma.assign(GAMMA)
    layer.beta.assign(BETA)
    return record(
        lambda x: np.array(layer(x, training=True)),
        lambda x: np.array(layer(x, training=False)),
        lambda: [np.array(layer.moving_mean), np.array(layer.moving_variance)],
        version=f"keras {keras.__version__}, backend jax {jax.__version__}",
        momentum=layer.momentum,
        eps=layer.epsilon,
        names=sorted(weight.name for weight in layer.weights),
    )


def keras_2(fused):
    os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3")
    from importlib.metadata import version

    import tensorflow as tf

    layer = tf.keras.layers.BatchNormalization()
    # Pictures take the fused kernel by themselves, rows cannot.
    shape = (-1, 1, 1, 3) if fused else (-1, 3)
    layer.build((None, *shape[1:]))
    assert layer.fused == fused
    layer.gamma.assign(GAMMA)
    layer.beta.assign(BETA)
    return record(
        lambda x: layer(x.reshape(shape), training=True).numpy().reshape(-1, 3),
        lambda x: layer(x.reshape(shape), training=False).numpy().reshape(-1, 3),
        lambda: [layer.moving_mean.numpy(), layer.moving_variance.numpy()],
        version=f"tensorflow {tf.__version__}, tf_keras {version('tf_keras')}",
        momentum=layer.momentum,
        eps=layer.epsilon,
        names=sorted(weight.name.partition(":")[0] for weight in layer.weights),
    )


def tensorflow_1(fused):
    os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3")
    import inspect

    import tensorflow

    tf = tensorflow.compat.v1
    tf.disable_v2_behavior()
    layer = tf.layers.batch_normalization
    # Pictures take the fused kernel by themselves, rows cannot.
    shape = (-1, 1, 1, 3) if fused else (-1, 3)
    x = tf.placeholder(tf.float32, (None, *shape[1:]))
    training = tf.placeholder(tf.bool)
    y = layer(x, training=training)
    variables = {v.op.name.split("/")[-1]: v for v in tf.global_variables()}
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        y_and_update = tf.identity(y)
    operations = {operation.type for operation in tf.get_default_graph().get_operations()}
    assert any(name.startswith("FusedBatchNorm") for name in operations) == fused
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    session.run([variables["gamma"].assign(GAMMA), variables["beta"].assign(BETA)])

    def run(what, batch, mode):
        return session.run(what, {x: batch.reshape(shape), training: mode}).reshape(-1, 3)

    defaults = {
        name: parameter.default for name, parameter in inspect.signature(layer).parameters.items()
    }
    return record(
        lambda batch: run(y_and_update, batch, True),
        lambda batch: run(y, batch, False),
        lambda: session.run([variables["moving_mean"], variables["moving_variance"]]),
        version=f"tensorflow {tensorflow.__version__}, compat.v1",
        momentum=defaults["momentum"],
        eps=defaults["epsilon"],
        names=sorted(variables),
    )


def flax():
    from importlib.metadata import version

    import jax
    from flax import linen

    layer = linen.BatchNorm()
    variables = layer.init(jax.random.key(0), batches()[0], use_running_average=True)
    names = [f"{group}/{name}" for group in variables for name in variables[group]]
    held = {"stats": variables["batch_stats"]}
    params = {"scale": np.float32(GAMMA), "bias": np.float32(BETA)}

    def forward(x, training):
        y, changed = layer.apply(
            {"params": params, "batch_stats": held["stats"]},
            x,
            use_running_average=not training,
            mutable=["batch_stats"],
        )
        held["stats"] = changed["batch_stats"]
        return np.array(y)

    return record(
        lambda x: forward(x, True),
        lambda x: forward(x, False),
        lambda: [np.array(held["stats"]["mean"]), np.array(held["stats"]["var"])],
        version=f"flax {version('flax')}, jax {jax.__version__}",
        momentum=layer.momentum,
        eps=layer.epsilon,
        names=sorted(names),
    )


def chainer():
    import chainer

    layer = chainer.links.BatchNormalization(3)
    layer.gamma.array[:], layer.beta.array[:] = GAMMA, BETA

    def forward(x, training):
        with chainer.using_config("train", training):
            return layer(x).array

    return record(
        lambda x: forward(x, True),
        lambda x: forward(x, False),
        lambda: [layer.avg_mean.copy(), layer.avg_var.copy()],
        version=f"chainer {chainer.__version__}",
        momentum=layer.decay,
        eps=layer.eps,
        names=sorted(["gamma", "beta", *layer._persistent]),
    )


def mxnet():
    np.bool = bool  # the last release asks for a name that numpy has dropped
    import mxnet
    from mxnet import autograd, gluon, nd

    layer = gluon.nn.BatchNorm(in_channels=3)
    layer.initialize()
    layer.gamma.set_data(nd.array(GAMMA))
    layer.beta.set_data(nd.array(BETA))

    before_backward = []

    def train(x):
        with autograd.record():
            y = layer(nd.array(x))
        values = y.asnumpy()
        before_backward.append(layer.running_mean.data().asnumpy())
        y.backward()
        return values

    entry = record(
        train,
        lambda x: layer(nd.array(x)).asnumpy(),
        lambda: [layer.running_mean.data().asnumpy(), layer.running_var.data().asnumpy()],
        version=f"mxnet {mxnet.__version__}, CPU",
        momentum=layer._kwargs["momentum"],
        eps=layer._kwargs["eps"],
        names=sorted(layer._reg_params),
    )
    # Its running averages wait for the backward pass, which is why `train` has one.
    entry["mean before the first backward"] = before_backward[0]
    return entry


def deep_learning_from_scratch():
    from common.layers import BatchNormalization

    layer = BatchNormalization(GAMMA, BETA)
    layer.forward(batches()[0], train_flg=False)  # whatever comes first makes the averages
    return record(
        lambda x: layer.forward(x, train_flg=True),
        lambda x: layer.forward(x, train_flg=False),
        lambda: [layer.running_mean.copy(), layer.running_var.copy()],
        version="oreilly-japan/deep-learning-from-scratch, commit 07b11618",
        momentum=layer.momentum,
        eps=10e-7,  # as its source has it, in line 155 and in line 166 of common/layers.py
        names=["beta", "gamma", "running_mean", "running_var"],
    )


FRAMEWORKS = {
    "PyTorch": pytorch,
    "Keras": keras,
    "Keras 2": lambda: keras_2(fused=False),
    "Keras 2 fused": lambda: keras_2(fused=True),
    "TensorFlow 1": lambda: tensorflow_1(fused=False),
    "TensorFlow 1 fused": lambda: tensorflow_1(fused=True),
    "Flax": flax,
    "Chainer": chainer,
    "MXNet": mxnet,
    "Deep Learning from Scratch": deep_learning_from_scratch,
}


def plain(value):
    """Nested lists and dicts of Python numbers; float32 with the digits that it has."""
    if isinstance(value, dict):
        return {name: plain(v) for name, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return float(f"{value:.9g}") if isinstance(value, float) else value


if __name__ == "__main__":
    answers = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    for name in sys.argv[1:]:
        answers[name] = plain(FRAMEWORKS[name]())
    ordered = {name: answers[name] for name in FRAMEWORKS if name in answers}
    FILE.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
