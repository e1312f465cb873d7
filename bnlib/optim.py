"""Optimizers, in ten lines each: PyTorch's rules and defaults.

`Optimizer` says which parameters move, how far, and that all of them move or none; a subclass says
in which direction. Weight decay adds weight_decay * p to the gradient of every parameter, as in
PyTorch: of biases, gamma and beta too.

Each raises TypeError for arguments of another kind, ValueError for shapes and numbers that do not
fit.
"""

import numpy as np

from bnlib import checks


class Optimizer:
    """Base of all optimizers: p becomes p - lr * direction.

    Parameters
    ----------
    network : bnlib.layers.Layer
        Anything with `leaves()`. Parameters that a leaf has `frozen` stay as they are.
    lr : float, ndarray of shape (members,), or list
        Learning rate; an array has one for each member of a `bnlib.ensembles.Ensemble`; a list has
        one such entry for each leaf with parameters.
    weight_decay : float

    Attributes
    ----------
    state : list of dict
        What is remembered between steps, for each leaf with parameters under the parameter's name.
        It is replaced by every step, never changed in place.
    """

    def __init__(self, network, *, lr, weight_decay=0.0):
        name = type(self).__name__
        checks.network(name, network)
        self.network, self.lr, self.weight_decay = network, lr, weight_decay
        leaves = self._leaves()
        self.state: list[dict] = [{} for _ in leaves]
        if isinstance(lr, list) and len(lr) != len(leaves):
            raise ValueError(
                f"{name}: a list lr must have an entry for each of the {len(leaves)} leaves with "
                f"parameters, got {len(lr)} (one for each member goes into an array)"
            )
        for rate in lr if isinstance(lr, list) else [lr]:
            _not_negative(name, "lr", rate)
        _not_negative(name, "weight_decay", weight_decay)

    def step(self):
        """Move every parameter once; a call that raises, or Ctrl-C, moves none.

        Raises
        ------
        RuntimeError
            Before the first backward.
        """
        leaves = self._leaves()
        if any(not leaf.grads for leaf in leaves):
            raise RuntimeError(f"{type(self).__name__}.step: call backward first")
        rates = self.lr if isinstance(self.lr, list) else [self.lr] * len(leaves)
        moved = [self._moved(*each) for each in zip(leaves, rates, self.state, strict=True)]
        before = [leaf.params for leaf in leaves]
        try:
            for leaf, (params, _) in zip(leaves, moved, strict=True):
                leaf.params = params
            self.state = [state for _, state in moved]
        except BaseException:
            for leaf, params in zip(leaves, before, strict=True):
                leaf.params = params
            raise

    def keep(self, network, members, total):
        """The same optimizer, in the middle of its work, for some members of an ensemble.

        Parameters
        ----------
        network : bnlib.layers.Layer
            The ensemble of the members that stay.
        members : list of int
            Their places among the `total` members so far.
        total : int

        Returns
        -------
        Optimizer
        """
        kept = object.__new__(type(self))
        vars(kept).update(vars(self), network=network, lr=lr_of(self.lr, members))
        kept.state = [
            {
                name: tuple(_rows_of(value, members, total) for value in values)
                for name, values in state.items()
            }
            for state in self.state
        ]
        return kept

    def _leaves(self):
        return [leaf for leaf in self.network.leaves() if leaf.params]

    def _moved(self, leaf, rate, state):
        """The leaf's parameters and the optimizer's state after the step."""
        params, state = dict(leaf.params), dict(state)
        for name, value in leaf.params.items():
            if name in leaf.frozen:
                continue
            gradient = leaf.grads[name]
            if self.weight_decay:
                gradient = gradient + self.weight_decay * value
            direction, state[name] = self._direction(gradient, *state.get(name, ()))
            wide = np.result_type(value, direction)
            moved = np.multiply(_along_rows(rate, direction), direction, dtype=wide)
            np.subtract(value, moved, out=moved)
            params[name] = moved.astype(value.dtype, copy=False)
        return params, state

    def _direction(self, gradient, *state):
        """Return (direction, state as a tuple of arrays and numbers) and change nothing.

        In the first step there is no state yet.
        """
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    The direction is v = momentum * v + gradient, where v starts as the first gradient.

    Parameters
    ----------
    network, lr, weight_decay
        As for `Optimizer`.
    momentum : float in [0, 1]

    Examples
    --------
    >>> from bnlib.layers import Linear
    >>> layer = Linear(1, 1, rng=np.random.default_rng(0), scale=0)
    >>> y = layer.forward(np.array([[2.0]]), training=True)
    >>> dx = layer.backward(np.array([[1.0]]))
    >>> SGD(layer, lr=0.5).step()
    >>> layer.params
    {'weight': array([[-1.]]), 'bias': array([-0.5])}
    """

    def __init__(self, network, *, lr, momentum=0.0, weight_decay=0.0):
        super().__init__(network, lr=lr, weight_decay=weight_decay)
        checks.share("SGD", "momentum", momentum)
        self.momentum = momentum

    def _direction(self, gradient, velocity=None):
        if not self.momentum:
            return gradient, ()
        if velocity is not None:
            gradient = self.momentum * velocity + gradient
        return gradient, (gradient,)


class RMSprop(Optimizer):
    """The gradient divided by the root of the running average of its square.

    Parameters
    ----------
    network, lr, weight_decay
        As for `Optimizer`.
    alpha : float in [0, 1]
        Weight of the *old* average (of the new one, in batch norm's momentum).
    eps : float
        Added to the root.

    Examples
    --------
    >>> from bnlib.layers import Linear
    >>> layer = Linear(1, 1, rng=np.random.default_rng(0), scale=0, bias=False)
    >>> y = layer.forward(np.array([[2.0]]), training=True)
    >>> dx = layer.backward(np.array([[1.0]]))
    >>> RMSprop(layer, lr=0.5).step()
    >>> layer.params["weight"].round(6)
    array([[-5.]])
    """

    def __init__(self, network, *, lr, alpha=0.99, eps=1e-8, weight_decay=0.0):
        super().__init__(network, lr=lr, weight_decay=weight_decay)
        checks.share("RMSprop", "alpha", alpha)
        checks.positive("RMSprop", "eps", eps)
        self.alpha, self.eps = alpha, eps

    def _direction(self, gradient, square=0.0):
        square = self.alpha * square + (1 - self.alpha) * gradient**2
        return gradient / (np.sqrt(square) + self.eps), (square,)


class Adam(Optimizer):
    """Running averages of the gradient and its square, both freed of their start at 0.

    Kingma and Ba (2015), algorithm 1.

    Parameters
    ----------
    network, lr, weight_decay
        As for `Optimizer`.
    betas : pair of float in [0, 1)
        Weights of the *old* averages of the gradient and of its square.
    eps : float
        Added to the root.

    Examples
    --------
    >>> from bnlib.layers import Linear
    >>> layer = Linear(1, 1, rng=np.random.default_rng(0), scale=0, bias=False)
    >>> y = layer.forward(np.array([[2.0]]), training=True)
    >>> dx = layer.backward(np.array([[1.0]]))
    >>> Adam(layer, lr=0.5).step()
    >>> layer.params["weight"].round(6)
    array([[-0.5]])
    """

    def __init__(self, network, *, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(network, lr=lr, weight_decay=weight_decay)
        checks.instance("Adam", "betas", betas, (tuple, list), "a pair of numbers")
        if len(betas) != 2:
            raise ValueError(f"Adam: betas must be a pair of numbers, got {len(betas)}")
        for beta in betas:
            checks.share("Adam", "betas", beta)
            if beta == 1:
                raise ValueError(f"Adam: betas must lie below 1, got {betas}")
        checks.positive("Adam", "eps", eps)
        self.betas, self.eps = betas, eps

    def _direction(self, gradient, mean=0.0, square=0.0, steps=0):
        (beta, beta_square), steps = self.betas, steps + 1
        mean = beta * mean + (1 - beta) * gradient
        square = beta_square * square + (1 - beta_square) * gradient**2
        root = np.sqrt(square) / np.sqrt(1 - beta_square**steps)
        return mean / (1 - beta**steps) / (root + self.eps), (mean, square, steps)


def lr_of(lr, members):
    """The learning rates of some members, in the form of the `lr` of an `Optimizer`."""
    if isinstance(lr, list):
        return [lr_of(rate, members) for rate in lr]
    rates = checks.plain_array("lr_of", "lr", lr)
    if rates.ndim == 0:
        return lr
    try:
        return rates[members]
    except IndexError:
        raise ValueError(
            f"lr_of: lr must have one entry for each member, got {len(rates)} and no {members}"
        ) from None


def _rows_of(value, members, total):
    """The rows of some members; each of the `total` members has an equal share of the rows."""
    if np.ndim(value) == 0:
        return value
    rows = value.reshape(total, -1, *value.shape[1:])[members]
    return rows.reshape(-1, *value.shape[1:])


def _along_rows(rate, value):
    """The rate in the dtype of `value`; an array's entries each for an equal share of its rows."""
    rate = np.asarray(rate, value.dtype)
    if rate.ndim == 0:
        return rate
    if len(value) % len(rate):
        raise ValueError(
            "Optimizer.step: lr must be a number, or have an entry for each member of an ensemble, "
            f"got {len(rate)} for {len(value)} rows"
        )
    return np.repeat(rate, len(value) // len(rate)).reshape(-1, *(1,) * (value.ndim - 1))


def _not_negative(operation, name, value):
    numbers = checks.plain_array(operation, name, value)
    if numbers.dtype.kind not in "fiu" or numbers.ndim > 1 or not numbers.size:
        raise TypeError(f"{operation}: {name} must be a number or an array of them, got {value!r}")
    if not (np.isfinite(numbers) & (numbers >= 0)).all():
        raise ValueError(f"{operation}: {name} must be finite and not negative, got {value!r}")
