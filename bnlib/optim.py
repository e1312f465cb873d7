"""Optimizers, in ten lines each."""


class SGD:
    """Plain stochastic gradient descent: p becomes p - lr * gradient.

    Parameters
    ----------
    network : bnlib.layers.Layer
        Anything with `leaves()`.
    lr : float
        Learning rate.

    Examples
    --------
    >>> import numpy as np
    >>> from bnlib.layers import Linear
    >>> layer = Linear(1, 1, rng=np.random.default_rng(0), scale=0)
    >>> y = layer.forward(np.array([[2.0]]), training=True)
    >>> dx = layer.backward(np.array([[1.0]]))
    >>> SGD(layer, lr=0.5).step()
    >>> layer.params
    {'weight': array([[-1.]]), 'bias': array([-0.5])}
    """

    def __init__(self, network, *, lr):
        self.network, self.lr = network, lr

    def step(self):
        """Move every parameter once; RuntimeError before the first backward."""
        leaves = [leaf for leaf in self.network.leaves() if leaf.params]
        if any(not leaf.grads for leaf in leaves):
            raise RuntimeError("SGD.step: call backward first")
        moved = [self._moved(leaf) for leaf in leaves]  # all, before any is replaced
        for leaf, params in zip(leaves, moved, strict=True):
            leaf.params = params

    def _moved(self, leaf):
        return {
            name: (value - self.lr * leaf.grads[name]).astype(value.dtype)
            for name, value in leaf.params.items()
        }
