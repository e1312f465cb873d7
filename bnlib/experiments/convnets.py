"""Small convolutional networks as arms: none or any norm, two heads, each at its own rate.

As in `arms`, a seed sets split, initial weights and order of the batches, alike for all arms; how
accurate a network is is told by the statistics of the whole training set. Rates are chosen by
`choose`, which every chapter calls for its own arms and whose answer it keeps in a table of its
own: `train(arms, seed, data, rates=TABLE)`.
"""

import functools
import json
from dataclasses import dataclass, fields, replace

import numpy as np

from bnlib import layers, optim, training
from bnlib.experiments.arms import Run, standardized


@dataclass(frozen=True)
class ConvArm:
    """One convolutional network for square pictures, and how it is trained.

    Attributes
    ----------
    norm : {"", "batch", "layer", "group", "instance"}
        Before every activation; "layer" normalizes each picture's maps as a whole.
    groups : int
        Of channels, for "group".
    head : {"flatten", "average"}
        What the last, linear layer sees (see `bnlib.layers.convnet`).
    inputs : {"raw", "standardized"}
        Pixels in [0, 1], or each pixel with mean 0 and variance 1 over the training set.
    channels : tuple of int
        Of each convolution; behind each, pictures are halved.
    momentum : float
        Of SGD.
    batch_size, epochs : int
    lr : float, optional
        Learning rate; without one, that which `choose` found for all the rest.
    """

    norm: str = ""
    groups: int = 4
    head: str = "flatten"
    inputs: str = "raw"
    channels: tuple[int, ...] = (16, 32)
    momentum: float = 0.9
    batch_size: int = 50
    epochs: int = 10
    lr: float | None = None

    @property
    def description(self):
        """All but the learning rate, as far as it is not the default.

        Examples
        --------
        >>> ConvArm("batch", head="average", lr=1.0).description
        'norm=batch head=average'
        """
        told = (f for f in fields(self) if f.name != "lr" and getattr(self, f.name) != f.default)
        return " ".join(f"{field.name}={getattr(self, field.name)}" for field in told) or "plain"


def pictures(data):
    """The same images as (N, 1, H, W), H = W."""
    side = round(data.x_train.shape[1] ** 0.5)
    x_train, x_test = (x.reshape(-1, 1, side, side) for x in (data.x_train, data.x_test))
    return data._replace(x_train=x_train, x_test=x_test)


def prepare(arm, data):
    """The data as the arm's network sees them."""
    return pictures(standardized(data) if arm.inputs == "standardized" else data)


def norm_of(arm):
    """What `bnlib.layers.convnet` is told to put before every activation."""
    if arm.norm == "group":
        return functools.partial(layers.GroupNorm, arm.groups)
    names = {"": None, "batch": "BatchNorm", "layer": "LayerNorm", "instance": "InstanceNorm"}
    name = names[arm.norm]
    return name and getattr(layers, name)


def build(arm, data, seed):
    """The arm's network before training; the same filters for all arms of one shape."""
    return layers.convnet(
        data.x_train.shape[1:],
        arm.channels,
        10,
        rng=np.random.default_rng([seed, 1]),
        norm=norm_of(arm),
        head=arm.head,
    )


def train(arms, seed, data, *, rates=None, evaluate="end", test=True):
    """Train the arms on the same data.

    Parameters
    ----------
    arms : dict of str to ConvArm
    seed : int
    data : Dataset
        Raw, in rows of pixels; each arm prepares it.
    rates : dict of str to float, optional
        The rate of each description (see `ConvArm`), for arms that have none of their own.
    evaluate : "each epoch", "end" or "never"
        As in `bnlib.training.fit`. Accuracies are those with population statistics.
    test : bool
        False: the test images are not looked at, which saves time.

    Returns
    -------
    dict of str to Run
        In the order of `arms`.
    """
    if not test:
        data = data._replace(x_test=data.x_test[:0], y_test=data.y_test[:0])
    return {name: _train(arm, seed, data, rates, evaluate) for name, arm in arms.items()}


def _train(arm, seed, data, rates, evaluate):
    own = prepare(arm, data)
    network = build(arm, own, seed)
    lr = rates[arm.description] if arm.lr is None else arm.lr
    history = training.fit(
        network,
        optim.SGD(network, lr=lr, momentum=arm.momentum),
        own,
        epochs=arm.epochs,
        batch_size=arm.batch_size,
        rng=np.random.default_rng([seed, 2]),
        evaluate=evaluate,
        statistics="population",
    )
    if history.interrupted:
        raise KeyboardInterrupt  # half a training is no result
    return Run(network, own, history)


def choose(arms, file, *, seeds=(0, 1, 2), start=(-3, -2, -1, 0)):
    """Choose the rates of arms by validation accuracy, store all scores, print the choices.

    As in `tuning`, with three development seeds: 200 of the training images to validate on, a
    ladder of rates that grows while the best lies at its edge, the smaller of equals. What the file
    has already is not measured again.

    Parameters
    ----------
    arms : iterable of ConvArm
        Those with a rate of their own are left out.
    file : Path
        Of the scores, a table by description and rate.
    seeds : sequence of int
    start : sequence of int
        Places on the ladder to begin with (see `tuning.rate`): 0.03 to 1.
    """
    from bnlib.experiments import tuning

    named = {arm.description: arm for arm in arms if arm.lr is None}
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    missing = {name: (arm,) for name, arm in named.items() if name not in known}
    starts = dict.fromkeys(missing, start)
    measure = functools.partial(tuning.in_parallel, _scores)
    found = tuning.tune(missing, measure, seeds=seeds, starts=starts)
    measured = {name: tuning.by_rate(by_place) for name, by_place in found.items()}
    scores = {name: (known | measured)[name] for name in named}
    file.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8", newline="\n")
    print(best(scores))


def best(scores):
    """For each description the rate with the best score, the smaller of equals.

    Examples
    --------
    >>> best({"plain": {"0.1": 0.9, "0.3": 0.95, "1": 0.95}})
    {'plain': 0.3}
    """
    from bnlib.experiments import tuning

    return {name: tuning.best_rate(own) for name, own in scores.items()}


def _scores(arm, places, seed):
    """Validation accuracy at each of some places of the ladder of rates."""
    from bnlib.experiments import tuning

    rated = {str(place): replace(arm, lr=tuning.rate(place)) for place in places}
    runs = train(rated, seed, tuning.validation_data(seed))
    return [run.test_accuracy for run in runs.values()]
