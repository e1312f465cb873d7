"""What every layer does: it holds a pure function's parameters, and its cache until backward.

A subclass says what it computes in two methods that change nothing, `_forward` and `_backward`;
`Layer` stores their results only when they have succeeded. Attributes are replaced, never changed
in place, so a call that raises leaves parameters, gradients, buffers and caches exactly as they
were.
"""

import contextlib

import numpy as np

from bnlib import checks


class Layer:
    """Base of all layers.

    The cache holds references, not copies: an input, output or parameter array that is changed in
    place between forward and backward changes the gradients.

    Attributes
    ----------
    params, grads, buffers : dict of str to ndarray
        What is learned; its gradients, set by `backward`; what is stored but not learned.
    frozen : frozenset of str
        Names of parameters that optimizers leave alone; their gradients are computed all the same.

    Examples
    --------
    >>> from bnlib.layers import Linear
    >>> layer = Linear(3, 2, rng=np.random.default_rng(0))
    >>> layer.frozen = {"bias"}
    >>> layer.frozen
    frozenset({'bias'})
    """

    def __init__(self):
        self.params, self.grads, self.buffers = {}, {}, {}
        self._frozen: frozenset[str] = frozenset()
        self._cache = None

    @property
    def frozen(self):
        """Names of the parameters that optimizers leave alone."""
        return self._frozen

    @frozen.setter
    def frozen(self, names):
        unknown = sorted(set(names) - self.params.keys())
        if unknown:
            raise ValueError(
                f"{type(self).__name__}: frozen must name parameters among {sorted(self.params)}, "
                f"got {unknown}"
            )
        self._frozen = frozenset(names)

    def forward(self, x, *, training):
        """Compute y and remember what the backward pass needs.

        Parameters
        ----------
        x : ndarray
        training : bool
            Always said: batch norm and dropout do different things in the two modes.

        Returns
        -------
        y : ndarray
        """
        checks.flag(f"{type(self).__name__}.forward", "training", training)
        y, cache, buffers = self._forward(x, training)
        self._cache, self.buffers = cache, buffers
        return y

    def backward(self, dy, *, accumulate=False, input_gradient=True):
        """Set `grads` from the gradient of the loss with respect to y; return dx.

        Parameters
        ----------
        dy : ndarray
            Same shape as the last y.
        accumulate : bool
            Add to the gradients that are there instead of replacing them.
        input_gradient : bool
            False: leave out dx, which nobody needs of a network's first layer, and its work.

        Returns
        -------
        dx : ndarray, or None

        Raises
        ------
        RuntimeError
            Before the first forward.
        """
        if self._cache is None:
            raise RuntimeError(f"{type(self).__name__}.backward: call forward first")
        if input_gradient:
            dx, grads = self._backward(dy, self._cache)
        else:
            dx, grads = None, self._gradients(dy, self._cache)
        if accumulate and self.grads:
            grads = {name: self.grads[name] + gradient for name, gradient in grads.items()}
        self.grads = grads
        return dx

    def leaves(self):
        """The layers that hold parameters and buffers themselves, in order."""
        return [self]

    def state_dict(self):
        """Copies of all parameters and buffers, under PyTorch's names."""
        return {name: value.copy() for name, value in {**self.params, **self.buffers}.items()}

    def load_state_dict(self, state):
        """Replace all parameters and buffers; unknown or missing names and wrong shapes raise.

        Values are converted to the dtype of what they replace.
        """
        operation = f"{type(self).__name__}.load_state_dict"
        own = {**self.params, **self.buffers}
        if state.keys() != own.keys():
            raise ValueError(
                f"{operation}: expected the names {sorted(own)}, got {sorted(map(str, state))}"
            )
        loaded = {}
        for name, value in own.items():
            array = np.asarray(state[name])
            if array.dtype.kind not in "fiu":
                raise TypeError(f"{operation}: {name} must hold real numbers, got {array.dtype}")
            checks.shape(operation, name, array, value.shape, "this layer")
            with np.errstate(over="ignore", invalid="ignore"):
                loaded[name] = array.astype(value.dtype)
        self._check_state(operation, loaded)
        self.params, self.buffers = (
            {name: loaded[name] for name in self.params},
            {name: loaded[name] for name in self.buffers},
        )

    @contextlib.contextmanager
    def _all_or_nothing(self):
        """Put every leaf back when the block raises; Ctrl-C counts.

        Attributes are only ever replaced, so remembering the references is enough.
        """
        before = [(leaf, dict(vars(leaf))) for leaf in self.leaves()]
        try:
            yield
        except BaseException:
            for leaf, attributes in before:
                vars(leaf).update(attributes)
            raise

    def _check_state(self, operation, state):
        """Refuse values that no training could have left in this layer."""

    def _forward(self, x, training):
        """Return (y, cache, buffers) and change nothing."""
        raise NotImplementedError

    def _backward(self, dy, cache):
        """Return (dx, grads) and change nothing."""
        raise NotImplementedError

    def _gradients(self, dy, cache):
        """Return grads alone; for layers that have less work without dx."""
        return self._backward(dy, cache)[1]
