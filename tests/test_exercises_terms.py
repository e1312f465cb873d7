"""Every term that can be wrong in the forward and the backward pass, and in a node of the graph.

`test_exercises` has the mistakes in many styles of writing; here the rest of the catalogue stands
in one style, so that none is left that no test has seen named.
"""

import numpy as np
import pytest

from bnlib import graph
from bnlib.exercises import check_backward, check_forward, check_graph_node
from bnlib.graph import Node, computed

SEEDS = range(3)
RIGHT, PLANTED, OTHER = [], [], []


def plant(check, names, f, **options):
    PLANTED.append(pytest.param(check, f, set(names.split()), options, id=names))


# --- the forward pass of rows ---------------------------------------------------------------------


def biased(x, mean):
    return ((x - mean) ** 2).sum(0) / len(x)


def norm(mean=lambda x: x.sum(0) / len(x), var=biased, last=None):
    def f(x, gamma, beta, eps):
        m = mean(x)
        v = var(x, m)
        if last:
            return last(x, m, v, gamma, beta, eps)
        return gamma * (x - m) / (v + eps) ** 0.5 + beta

    return f


for names, f in {
    "mean_n_minus_1": norm(mean=lambda x: x.sum(0) / (len(x) - 1)),
    "mean_over_everything": norm(mean=np.mean),
    "variance_not_centred": norm(var=lambda x, m: (x * x).mean(0)),
    "variance_not_squared": norm(var=lambda x, m: (x - m).mean(0)),
    "variance_of_absolutes": norm(var=lambda x, m: abs(x - m).mean(0)),
    "mean_forgotten": norm(mean=lambda x: 0),
    "mean_added": norm(last=lambda x, m, v, g, b, eps: g * (x + m) / np.sqrt(v + eps) + b),
    "eps_squared": norm(last=lambda x, m, v, g, b, eps: g * (x - m) / np.sqrt(v + eps**2) + b),
    "eps_root": norm(last=lambda x, m, v, g, b, eps: g * (x - m) / (v**0.5 + eps**0.5) + b),
    "multiplied_by_std": norm(last=lambda x, m, v, g, b, eps: g * (x - m) * np.sqrt(v + eps) + b),
    "not_divided": norm(last=lambda x, m, v, g, b, eps: g * (x - m) + b),
    "beta_subtracted": norm(last=lambda x, m, v, g, b, eps: g * (x - m) / np.sqrt(v + eps) - b),
    "gamma_beta_swapped": norm(last=lambda x, m, v, g, b, eps: b * (x - m) / np.sqrt(v + eps) + g),
    "mean_n_minus_1 gamma_forgotten": norm(
        mean=lambda x: x.sum(0) / (len(x) - 1),
        last=lambda x, m, v, g, b, eps: (x - m) / np.sqrt(v + eps) + b,
    ),
    "eps_root beta_forgotten": norm(
        last=lambda x, m, v, g, b, eps: g * (x - m) / (v**0.5 + eps**0.5)
    ),
}.items():
    plant(check_forward, names, f)


# --- the forward pass of images -------------------------------------------------------------------


def on_maps(axes=(0, 2, 3), var=None, count=None, along=(1, -1, 1, 1)):
    def f(x, gamma, beta, eps):
        n = count(x) if count else x.size / x.sum(axis=axes).size
        mean = x.sum(axis=axes, keepdims=True) / n
        v = var(x) if var else ((x - mean) ** 2).sum(axis=axes, keepdims=True) / n
        return gamma.reshape(along) * (x - mean) / np.sqrt(v + eps) + beta.reshape(along)

    return f


def by_rows(to_rows, to_maps):
    def f(x, gamma, beta, eps):
        rows = to_rows(x)
        y = gamma * (rows - rows.mean(0)) / np.sqrt(rows.var(0) + eps) + beta
        return to_maps(y, x)

    return f


def channels_last(x):
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])


def back_again(y, x):
    n, c, h, w = x.shape
    return y.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def one_channel_after_the_other(x, gamma, beta, eps):
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        values = x[:, c]
        y[:, c] = gamma[c] * (values - values.mean()) / np.sqrt(values.var() + eps) + beta[c]
    return y


def by_the_batch_of_pixels(x, gamma, beta, eps):
    turned = x.swapaxes(0, 1).reshape(x.shape[1], -1)
    x_hat = (turned.T - turned.mean(1)) / np.sqrt(turned.var(1) + eps)
    y = (gamma * x_hat + beta).T
    return y.reshape(x.shape[1], len(x), *x.shape[2:]).swapaxes(0, 1)


def within_and_between(x, gamma, beta, eps):
    """The variance as the average within the images plus that of their means."""
    means = x.mean((2, 3))
    v = x.var((2, 3)).mean(0) + means.var(0)
    slope = gamma / np.sqrt(v + eps)
    shift = beta - slope * means.mean(0)
    return slope[:, None, None] * x + shift[:, None, None]


for f in (
    on_maps(),
    by_rows(channels_last, back_again),
    one_channel_after_the_other,
    by_the_batch_of_pixels,
    within_and_between,
):
    RIGHT.append(pytest.param(check_forward, f, {"images": True}))


def width(a):
    return a.reshape(1, 1, 1, -1)


for names, f in {
    "divided_by_examples": on_maps(count=len),
    "axes_one_direction": on_maps(axes=(0, 2)),
    "axes_one_direction ": on_maps(axes=(0, 3)),
    "axes_channels_last": on_maps(axes=(0, 1, 2)),
    "variances_averaged": on_maps(var=lambda x: x.var((2, 3), keepdims=True).mean(0)),
    "variances_averaged ": on_maps(var=lambda x: x.var(0).mean((1, 2), keepdims=True)),
    "parameters_last_axis": on_maps(along=(1, 1, 1, -1)),
    "reshaped_without_moving": by_rows(
        lambda x: x.reshape(-1, x.shape[1]), lambda y, x: y.reshape(x.shape)
    ),
    "not_moved_back": by_rows(channels_last, lambda y, x: y.reshape(x.shape)),
    "not_moved_back ": by_rows(
        channels_last, lambda y, x: y.reshape(len(x), *x.shape[2:], x.shape[1])
    ),
    "axes_features": on_maps(axes=(1, 2, 3)),
    "axes_everything": on_maps(axes=(0, 1, 2, 3)),
    "axes_pixels": on_maps(axes=(0,)),
    "axes_one_image": on_maps(axes=(2, 3)),
    "divided_by_examples parameters_last_axis": on_maps(count=len, along=(1, 1, 1, -1)),
    "axes_pixels parameters_last_axis": on_maps(axes=(0,), along=(1, 1, 1, -1)),
    "axes_one_image parameters_last_axis": on_maps(axes=(2, 3), along=(1, 1, 1, -1)),
}.items():
    plant(check_forward, names, f, images=True)


for f in (
    lambda x, gamma, beta, eps: on_maps()(x[:, ::-1], gamma, beta, eps),
    lambda x, gamma, beta, eps: on_maps()(x, gamma, beta, eps)[..., ::-1],
    on_maps(var=lambda x: np.median((x - x.mean((0, 2, 3), keepdims=True)) ** 2)),
    on_maps(count=lambda x: x.size),
    lambda x, gamma, beta, eps: x.max((0, 2, 3), keepdims=True) - x,
):
    OTHER.append(pytest.param(check_forward, f, {"images": True}))


# --- the backward pass ----------------------------------------------------------------------------


class Terms:
    """What a backward pass of rows is written with, in one letter each."""

    def __init__(self, dy, cache):
        self.dy, self.h, self.s, self.n = dy, cache.x_hat, cache.inv_std, len(dy)
        self.g = dy * cache.gamma
        self.x = self.h / self.s + cache.mean
        self.c = self.h / self.s

    @property
    def mean(self):
        return self.g.mean(0)

    @property
    def along(self):
        return self.h * (self.g * self.h).mean(0)


def written(dx=None, dgamma=None, dbeta=None):
    def f(dy, cache):
        t = Terms(dy, cache)
        return (
            dx(t) if dx else t.s * (t.g - t.mean - t.along),
            dgamma(t) if dgamma else (dy * t.h).sum(0),
            dbeta(t) if dbeta else dy.sum(0),
        )

    return f


def of_everything(dy, cache):
    t = Terms(dy, cache)
    dx = t.s * (t.g - t.g.mean() - t.h * (t.g * t.h).mean())
    return dx, np.array((dy * t.h).sum()), np.array(dy.sum())


for names, f in {
    "direct_path_dropped": written(lambda t: -t.s * (t.mean + t.along)),
    "direct_path_without_gamma": written(lambda t: t.s * (t.dy - t.mean - t.along)),
    "direct_path_without_inv_std": written(lambda t: t.g - t.s * (t.mean + t.along)),
    "direct_path_divided": written(lambda t: t.s * (t.g / t.n - t.mean - t.along)),
    "mean_path_not_divided": written(lambda t: t.s * (t.g - t.g.sum(0) - t.along)),
    "mean_path_n_minus_1": written(lambda t: t.s * (t.g - t.g.sum(0) / (t.n - 1) - t.along)),
    "mean_path_without_gamma": written(lambda t: t.s * (t.g - t.dy.mean(0) - t.along)),
    "mean_path_without_inv_std": written(lambda t: t.s * (t.g - t.along) - t.mean),
    "mean_path_over_everything": written(lambda t: t.s * (t.g - t.g.mean() - t.along)),
    "variance_path_not_divided": written(lambda t: t.s * (t.g - t.mean - t.n * t.along)),
    "variance_path_not_centred": written(
        lambda t: t.s * (t.g - t.mean) - t.x * t.s**3 * (t.g * t.c).mean(0)
    ),
    "variance_path_without_x_hat": written(lambda t: t.s * (t.g - t.mean - t.h * t.mean)),
    "variance_path_without_gamma": written(
        lambda t: t.s * (t.g - t.mean - t.h * (t.dy * t.h).mean(0))
    ),
    "variance_path_over_everything": written(
        lambda t: t.s * (t.g - t.mean - t.h * (t.g * t.h).mean())
    ),
    "inv_std_forgotten": written(lambda t: t.g - t.mean - t.along),
    "divided_by_variance": written(lambda t: t.s**2 * (t.g - t.mean - t.along)),
    "multiplied_by_std": written(lambda t: (t.g - t.mean - t.along) / t.s),
    "sums_for_means": written(lambda t: t.s * (t.g - t.n * (t.mean + t.along))),
    "divided_by_channels": written(lambda t: t.s * (t.g - t.n / t.g.shape[1] * (t.mean + t.along))),
    "divided_by_n": written(lambda t: t.s / t.n * (t.g - t.mean - t.along)),
    "dx_flipped": written(lambda t: t.s * (t.mean + t.along - t.g)),
    "axes_everything": of_everything,
    "dgamma_with_gamma": written(dgamma=lambda t: (t.g * t.h).sum(0)),
    "dgamma_without_x_hat": written(dgamma=lambda t: t.dy.sum(0)),
    "dbeta_with_gamma": written(dbeta=lambda t: t.g.sum(0)),
    "dbeta_with_x_hat": written(dbeta=lambda t: (t.dy * t.h).sum(0)),
    "dx_flipped dbeta_with_gamma": written(
        lambda t: t.s * (t.mean + t.along - t.g), dbeta=lambda t: t.g.sum(0)
    ),
    "inv_std_forgotten gamma_forgotten": written(
        lambda t: t.dy - t.dy.mean(0) - t.h * (t.dy * t.h).mean(0)
    ),
    "mean_path_not_divided dgamma_with_gamma": written(
        lambda t: t.s * (t.g - t.g.sum(0) - t.along), dgamma=lambda t: (t.g * t.h).sum(0)
    ),
}.items():
    plant(check_backward, names, f)


def per_pixel(dy, cache):
    g = dy * cache.gamma[:, None, None]
    dx = g - g.mean(0) - cache.x_hat * (g * cache.x_hat).mean(0)
    return dx * cache.inv_std[:, None, None], (dy * cache.x_hat).sum(0), dy.sum(0)


plant(check_backward, "axes_pixels", per_pixel, images=True)


# --- nodes of the graph ---------------------------------------------------------------------------


def column(dy, a):
    return graph.repeat(dy, a.shape, 1)


def row(dy, a):
    return graph.repeat(dy, a.shape, 0)


def one(value, backward_side):
    """An operation on one node; the backward side sees dy, a and their numpy ones."""

    def f(a, *n):
        return computed("mine", [a], lambda u: value(u, *n), lambda dy: [backward_side(dy, a)])

    return f


def two(value, backward_side):
    def f(a, b):
        return computed("mine", [a, b], value, lambda dy: backward_side(dy, a, b))

    return f


def ones(a):
    return Node(np.ones(a.shape))


def total(u):
    return u.sum(0)


def variance(u):
    return u.var(0)


def centred(a):
    return a - row(graph.sum(a, 0) * (1 / a.shape[0]), a)


def stacked(u, n):
    return np.stack([u] * n)


def turned(a):
    return graph.transpose(a)


NODES = {
    "sum": {
        "mean_for_sum": one(lambda u: u.mean(0), row),
        "axes_features": one(lambda u: u.sum(1), row),
        "axes_everything": one(np.sum, row),
        "repeated_along_wrong_axis": one(total, column),
        "upstream_forgotten": one(total, lambda dy, a: ones(a)),
    },
    "repeat": {
        "repeated_along_wrong_axis": one(
            lambda u, n: np.stack([u] * n, 1), lambda dy, a: graph.sum(dy, 1)
        ),
        "one_copy_only": one(stacked, lambda dy, a: Node(dy.value[0])),
        "axes_features": one(stacked, lambda dy, a: graph.sum(dy, 1)),
        "upstream_forgotten": one(stacked, lambda dy, a: ones(a) * dy.shape[0]),
    },
    "mean": {
        "axes_everything": one(np.mean, row),
        "divided_by_columns": one(
            lambda u: u.mean(0), lambda dy, a: row(dy, a) * (1 / a.shape[1])
        ),
        "divided_by_size": one(
            lambda u: u.mean(0), lambda dy, a: row(dy, a) * (1 / a.value.size)
        ),
    },
    "variance": {
        "variance_n_minus_1": one(lambda u: u.var(0, ddof=1), row),
        "variance_is_sum": one(lambda u: u.var(0) * len(u), row),
        "variance_not_centred": one(lambda u: (u**2).mean(0), row),
        "axes_everything": one(
            lambda u: np.sum((u - u.mean(0)) ** 2) / len(u), lambda dy, a: ones(a)
        ),
        "axes_features": one(lambda u: u.var(1), row),
        "share_forgotten": one(variance, lambda dy, a: row(dy, a) * centred(a) * 2),
        "factor_forgotten": one(variance, lambda dy, a: row(dy, a) * (2 / a.shape[0])),
        "sign_flipped": one(
            variance, lambda dy, a: row(dy, a) * centred(a) * (-2 / a.shape[0])
        ),
        "repeated_along_wrong_axis": one(
            variance, lambda dy, a: column(dy, a) * centred(a) * (2 / a.shape[0])
        ),
        "upstream_forgotten": one(variance, lambda dy, a: centred(a) * (2 / a.shape[0])),
        "divided_by_n_minus_1": one(
            variance, lambda dy, a: row(dy, a) * centred(a) * (2 / (a.shape[0] - 1))
        ),
        "factor_not_centred": one(variance, lambda dy, a: row(dy, a) * a * (2 / a.shape[0])),
    },
    "sqrt": {
        "inverse_for_root": one(lambda u: 1 / np.sqrt(u), lambda dy, a: dy * a),
        "half_forgotten": one(np.sqrt, lambda dy, a: dy / a**0.5),
        "exponent_wrong": one(np.sqrt, lambda dy, a: dy / a * 0.5),
        "sign_flipped": one(np.sqrt, lambda dy, a: dy / a**0.5 * -0.5),
        "slope_forgotten": one(np.sqrt, lambda dy, a: dy * 1),
        "upstream_forgotten": one(np.sqrt, lambda dy, a: a**-0.5 * 0.5),
    },
    "inverse_root": {
        "root_for_inverse": one(np.sqrt, lambda dy, a: dy * a),
        "root_forgotten": one(lambda u: 1 / u, lambda dy, a: dy * a),
        "exponent_wrong": one(lambda u: u**-0.5, lambda dy, a: dy * a**-2.0 * -0.5),
        "slope_forgotten": one(lambda u: u**-0.5, lambda dy, a: dy * 1),
        "upstream_forgotten": one(lambda u: u**-0.5, lambda dy, a: a**-1.5 * -0.5),
    },
    "mul": {
        "sum_for_product": two(np.add, lambda dy, a, b: [dy, dy]),
        "slope_forgotten": two(np.multiply, lambda dy, a, b: [dy, dy]),
        "upstream_forgotten": two(np.multiply, lambda dy, a, b: [b, a]),
    },
    "matmul": {
        "factors_swapped": two(lambda u, w: w @ u, lambda dy, a, b: [a, b]),
        "result_transposed": two(
            np.matmul, lambda dy, a, b: [b @ turned(dy), turned(a) @ dy]
        ),
        "inputs_swapped": two(
            np.matmul, lambda dy, a, b: [turned(a) @ dy, dy @ turned(b)]
        ),
        "upstream_forgotten": two(
            np.matmul, lambda dy, a, b: [ones(dy) @ turned(b), turned(a) @ ones(dy)]
        ),
    },
}  # fmt: skip
for node, mistakes in NODES.items():
    for names, f in mistakes.items():
        plant(check_graph_node, names, f, node=node)


# --- the tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("check", "f", "options"), RIGHT)
def test_a_right_answer_passes_however_it_is_written(check, f, options):
    for seed in SEEDS:
        answer = check(f, seed=seed, **options)
        assert answer.right and answer.mistakes == (), answer.text


@pytest.mark.parametrize(("check", "f", "names", "options"), PLANTED)
def test_a_planted_mistake_is_named(check, f, names, options):
    for seed in SEEDS:
        answer = check(f, seed=seed, **options)
        assert not answer.right and set(answer.mistakes) == names, (seed, answer.text)
        assert max(map(len, answer.text.splitlines())) <= 70


@pytest.mark.parametrize(("check", "f", "options"), OTHER)
def test_what_has_no_name_is_called_wrong_and_gets_none(check, f, options):
    for seed in SEEDS:
        answer = check(f, seed=seed, **options)
        assert not answer.right and answer.mistakes == (), (seed, answer.text)
