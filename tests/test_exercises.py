"""The checkers of the exercises, tried on answers as students write them.

The planted answers are written without the catalogue's switches: in closed form, node by node, in
loops, with einsum, with autograd of other kinds. None of them shares a line with `bnlib.exercises`.
"""

import itertools
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from oracles import complex_step_gradient

import bnlib
from bnlib import graph
from bnlib.exercises import (
    Answer,
    backward,
    check_backward,
    check_forward,
    check_graph_node,
    forward,
    graph_nodes,
    pointers,
)
from bnlib.exercises.diagnosis import EXACT, follow, outcomes, same, suspects
from bnlib.graph import Node, computed

BOOK = Path(__file__).resolve().parent.parent / "book"
SEEDS = range(10)
RIGHT, PLANTED, OTHER = [], [], []


def right(check, **options):
    """Register a right answer."""
    return lambda f: RIGHT.append(pytest.param(check, f, options, id=f.__name__)) or f


def planted(check, *names, **options):
    """Register a wrong answer, with the mistakes that are in it."""
    return lambda f: PLANTED.append(pytest.param(check, f, set(names), options, id=f.__name__)) or f


def other(check, **options):
    """Register a wrong answer that is in no catalogue."""
    return lambda f: OTHER.append(pytest.param(check, f, options, id=f.__name__)) or f


# --- right answers, differently written ----------------------------------------------------------

right(check_forward)(bnlib.batch_norm)
right(check_forward, images=True)(bnlib.batch_norm)
right(check_backward)(bnlib.batch_norm_backward)
right(check_backward, images=True)(bnlib.batch_norm_backward)


@right(check_forward)
def forward_one_line(x, gamma, beta, eps):
    return gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + eps) + beta


@right(check_forward)
def forward_in_loops(x, gamma, beta, eps):
    y = np.empty_like(x)
    n, channels = x.shape
    for c in range(channels):
        mean = sum(x[i, c] for i in range(n)) / n
        var = sum((x[i, c] - mean) ** 2 for i in range(n)) / n
        for i in range(n):
            y[i, c] = gamma[c] * (x[i, c] - mean) / (var + eps) ** 0.5 + beta[c]
    return y


@right(check_forward)
def forward_with_centring_matrix(x, gamma, beta, eps):
    n = len(x)
    centre = np.eye(n, dtype=x.dtype) - np.ones((n, n), x.dtype) / n
    centred = centre @ x
    return centred * (gamma / np.sqrt(np.einsum("nc,nc->c", centred, centred) / n + eps)) + beta


@right(check_forward, images=True)
def forward_of_images_flattened(x, gamma, beta, *, eps):
    rows = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])
    y = gamma * (rows - rows.mean(0)) / np.sqrt(rows.var(0) + eps) + beta
    return np.moveaxis(y.reshape(*x.shape[:1], *x.shape[2:], -1), -1, 1), "and a cache"


@right(check_forward)
def forward_in_float64_and_back(x, gamma, beta, eps):
    wide = x.astype(np.float64)
    y = gamma * (wide - wide.mean(0)) / np.sqrt(wide.var(0) + eps) + beta
    return y.astype(x.dtype)


@right(check_forward)
def forward_on_the_graph(x, gamma, beta, eps):
    return graph.batch_norm(Node(x), Node(gamma), Node(beta), eps=eps).value


@right(check_forward)
def forward_as_an_affine_map(x, gamma, beta, eps):
    mean = x.mean(0)
    slope = gamma / np.sqrt(np.mean((x - mean) ** 2, 0) + eps)
    return slope * x + (beta - slope * mean)


@right(check_backward)
def node_by_node(dy, cache):
    n = dy.shape[0]
    centred = cache.x_hat / cache.inv_std
    dx_hat = dy * cache.gamma
    dvar = (dx_hat * centred * -0.5 * cache.inv_std**3).sum(0)
    dmean = -(dx_hat * cache.inv_std).sum(0) + dvar * (-2 * centred).mean(0)
    dx = dx_hat * cache.inv_std + dvar * 2 * centred / n + dmean / n
    return dx, (dy * cache.x_hat).sum(0), dy.sum(0)


@right(check_backward)
def node_by_node_without_variance_to_mean(dy, cache):
    n = dy.shape[0]
    centred = cache.x_hat / cache.inv_std
    dx_hat = dy * cache.gamma
    dvar = np.sum(dx_hat * centred, axis=0) * -0.5 * cache.inv_std**3
    dmean = np.sum(-dx_hat * cache.inv_std, axis=0)
    dx = dx_hat * cache.inv_std + dvar * 2 * centred / n + dmean / n
    return dx, np.sum(dy * cache.x_hat, axis=0), np.sum(dy, axis=0)


@right(check_backward)
def closed_form(dy, cache):
    n = len(dy)
    dgamma, dbeta = (dy * cache.x_hat).sum(0), dy.sum(0)
    dx = cache.gamma * cache.inv_std / n * (n * dy - dbeta - cache.x_hat * dgamma)
    return dx, dgamma, dbeta


@right(check_backward)
def matrix_form(dy, cache):
    n, channels = dy.shape
    dx = np.empty_like(dy)
    for c in range(channels):
        h = cache.x_hat[:, c]
        jacobian = np.eye(n) - np.ones((n, n)) / n - np.outer(h, h) / n
        dx[:, c] = cache.gamma[c] * cache.inv_std[c] * jacobian @ dy[:, c]
    return dx, np.diag(dy.T @ cache.x_hat), dy.T @ np.ones(n, dy.dtype)


@right(check_backward)
def with_einsum(dy, cache):
    n = len(dy)
    dgamma = np.einsum("nc,nc->c", dy, cache.x_hat)
    inner = np.einsum("nc,mc,mc->nc", cache.x_hat, cache.x_hat, dy)
    dx = np.einsum("c,c,nc->nc", cache.gamma, cache.inv_std, dy - (dy.sum(0) + inner) / n)
    return dx, dgamma, np.einsum("nc->c", dy)


@right(check_backward)
def loops_over_everything(dy, cache):
    n, channels = dy.shape
    dx, dgamma, dbeta = np.empty_like(dy), np.empty_like(dy[0]), np.empty_like(dy[0])
    for c in range(channels):
        dbeta[c] = sum(dy[i, c] for i in range(n))
        dgamma[c] = sum(dy[i, c] * cache.x_hat[i, c] for i in range(n))
        for i in range(n):
            rest = dy[i, c] - dbeta[c] / n - cache.x_hat[i, c] * dgamma[c] / n
            dx[i, c] = cache.gamma[c] * cache.inv_std[c] * rest
    return dx, dgamma, dbeta


@right(check_backward)
def by_projection(dy, cache):
    """Take away what lies along 1, then what lies along x_hat, up to what eps left of it."""
    flat = dy - dy.mean(0)
    length = np.mean(cache.x_hat**2, 0)
    along = np.mean(flat * cache.x_hat, 0) / length
    return cache.inv_std * cache.gamma * (flat - along * length * cache.x_hat)


def recovered(cache):
    """x and eps, of a cache that has neither."""
    return cache.x_hat / cache.inv_std + cache.mean, 1 / cache.inv_std**2 - cache.var


@right(check_backward)
def by_complex_step(dy, cache):
    x, eps = recovered(cache)

    def loss(z):
        centred = z - z.mean(0)
        return (dy * cache.gamma * centred / np.sqrt((centred**2).mean(0) + eps)).sum()

    return complex_step_gradient(loss, x).astype(dy.dtype), None, None


@right(check_backward)
def by_the_graph(dy, cache):
    gamma, beta = Node(cache.gamma), Node(np.zeros_like(cache.gamma))
    nodes = [Node(recovered(cache)[0][:, [c]]) for c in range(dy.shape[1])]
    columns = []
    for c, x in enumerate(nodes):
        part = [Node(cache.gamma[[c]]), Node(beta.value[[c]])]
        y = graph.batch_norm(x, *part, eps=float(recovered(cache)[1][c]))
        at = graph.backward(y, Node(dy[:, [c]])).at
        columns.append([at[node].value for node in (x, *part)])
    dx, dgamma, dbeta = (np.concatenate(parts, axis=-1) for parts in zip(*columns, strict=True))
    assert gamma.shape == dgamma.shape
    return dx, dgamma, dbeta


@right(check_backward, images=True)
def images_with_keepdims(dy, cache):
    axes, along = (0, 2, 3), (1, -1, 1, 1)
    dx_hat = dy * cache.gamma.reshape(along)
    rest = dx_hat - dx_hat.mean(axes, keepdims=True)
    rest -= cache.x_hat * (dx_hat * cache.x_hat).mean(axes, keepdims=True)
    return rest * cache.inv_std.reshape(along), (dy * cache.x_hat).sum(axes), dy.sum(axes)


@right(check_graph_node, node="mean", twice=True)
def mean_node(a):
    n = a.shape[0]
    return computed(
        "mean", [a], lambda u: u.mean(0), lambda dy: [graph.repeat(dy, a.shape, 0) * (1 / n)]
    )


@right(check_graph_node, node="mean", twice=True)
def mean_node_by_matmul(a):
    n = a.shape[0]
    share = Node(np.full((n, 1), 1 / n))

    def backward_side(dy):
        row = graph.transpose(graph.repeat(dy, (*dy.shape, 1), 1))
        return [share @ row]

    return computed("mean", [a], lambda u: u.sum(0) / n, backward_side)


@right(check_graph_node, node="variance", twice=True)
def variance_node(a):
    n = a.shape[0]

    def backward_side(dy):
        mean = graph.sum(a, 0) * (1 / n)
        return [(a - graph.repeat(mean, a.shape, 0)) * graph.repeat(dy * (2 / n), a.shape, 0)]

    return computed("variance", [a], lambda u: ((u - u.mean(0)) ** 2).mean(0), backward_side)


@right(check_graph_node, node="sqrt", twice=True)
def sqrt_node(a):
    return computed("sqrt", [a], np.sqrt, lambda dy: [dy / (sqrt_node(a) * 2)])


@right(check_graph_node, node="inverse_root", twice=True)
def inverse_root_node(a):
    return computed("1/√", [a], lambda u: 1 / np.sqrt(u), lambda dy: [dy * a**-1.5 * -0.5])


@right(check_graph_node, node="repeat", twice=True)
def repeat_node(a, n):
    return computed("repeat", [a], lambda u: np.tile(u, (n, 1)), lambda dy: [graph.sum(dy, 0)])


@right(check_graph_node, node="sum", twice=True)
def sum_node(a):
    return computed("sum", [a], lambda u: u.sum(0), lambda dy: [graph.repeat(dy, a.shape, 0)])


right(check_graph_node, node="mul", twice=True)(graph.mul)
right(check_graph_node, node="matmul", twice=True)(graph.matmul)


@pytest.mark.parametrize(("check", "f", "options"), RIGHT)
def test_a_right_answer_passes_however_it_is_written(check, f, options):
    answer = check(f, **options)
    assert answer.right, answer.text
    assert answer.mistakes == ()
    assert answer.text.startswith("Right: ")


# --- planted mistakes: forward -------------------------------------------------------------------


@planted(check_forward, "variance_n_minus_1")
def forward_ddof(x, gamma, beta, eps):
    return gamma * (x - x.mean(0)) / np.sqrt(x.var(0, ddof=1) + eps) + beta


@planted(check_forward, "eps_outside_root")
def forward_eps_on_std(x, gamma, beta, eps):
    return gamma * ((x - x.mean(0)) / (x.std(0) + eps)) + beta


@planted(check_forward, "eps_fixed")
def forward_own_eps(x, gamma, beta, eps):
    return gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) + beta


@planted(check_forward, "eps_averaged")
def forward_eps_in_the_sum(x, gamma, beta, eps):
    n = len(x)
    centred = x - x.mean(0)
    return gamma * centred * (((centred**2).sum(0) + eps) / n) ** -0.5 + beta


@planted(check_forward, "divided_by_variance")
def forward_no_root(x, gamma, beta, eps):
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        column = x[:, c]
        y[:, c] = (column - column.mean()) / (column.var() + eps) * gamma[c] + beta[c]
    return y


@planted(check_forward, "beta_before_gamma")
def forward_brackets(x, gamma, beta, eps):
    return gamma * ((x - x.mean(0)) / np.sqrt(x.var(0) + eps) + beta)


@planted(check_forward, "axes_features")
def forward_layer_norm(x, gamma, beta, eps):
    mean, var = x.mean(1, keepdims=True), x.var(1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@planted(check_forward, "axes_features")
def forward_axis_without_keepdims(x, gamma, beta, eps):
    return gamma * (x - x.mean(1)) / np.sqrt(x.var(1) + eps) + beta


@planted(check_forward, "axes_everything")
def forward_no_axis(x, gamma, beta, eps):
    return gamma * (x - np.mean(x)) / np.sqrt(np.var(x) + eps) + beta


@planted(check_forward, "variance_over_everything")
def forward_no_axis_in_one_place(x, gamma, beta, eps):
    centred = x - x.mean(0)
    return gamma * centred / np.sqrt((centred**2).mean() + eps) + beta


@planted(check_forward, "axes_pixels", images=True)
def forward_per_pixel(x, gamma, beta, eps):
    x_hat = (x - x.mean(0)) / np.sqrt(x.var(0) + eps)
    return x_hat * gamma[:, None, None] + beta[:, None, None]


@planted(check_forward, "axes_one_image", images=True)
def forward_instance_norm(x, gamma, beta, eps):
    y = np.empty_like(x)
    for i, c in np.ndindex(x.shape[:2]):
        plane = x[i, c]
        y[i, c] = gamma[c] * (plane - plane.mean()) / np.sqrt(plane.var() + eps) + beta[c]
    return y


@planted(check_forward, "one_pass_variance")
def forward_one_pass(x, gamma, beta, eps):
    var = np.maximum((x * x).mean(0) - x.mean(0) ** 2, 0)
    return gamma * (x - x.mean(0)) / np.sqrt(var + eps) + beta


@planted(check_forward, "one_pass_variance")
def forward_one_pass_in_sums(x, gamma, beta, eps):
    n, s, q = len(x), x.sum(0), (x**2).sum(0)
    return gamma * (x - s / n) * ((q - s * s / n) / n + eps) ** -0.5 + beta


@planted(check_forward, "in_place")
def forward_in_place(x, gamma, beta, eps):
    x -= x.mean(0)
    x /= np.sqrt((x**2).mean(0) + eps)
    return gamma * x + beta


@planted(check_forward, "dtype")
def forward_wide(x, gamma, beta, eps):
    y = np.zeros(x.shape)
    y[:] = gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + eps) + beta
    return y


@planted(check_forward, "gamma_forgotten", "beta_forgotten")
def forward_x_hat_only(x, gamma, beta, eps):
    return (x - x.mean(0)) / np.sqrt(x.var(0) + eps)


@planted(check_forward, "variance_n_minus_1", "eps_outside_root")
def forward_std_ddof(x, gamma, beta, eps):
    return gamma * (x - x.mean(0)) / (np.std(x, axis=0, ddof=1) + eps) + beta


@planted(check_forward, "variance_is_sum", "eps_forgotten")
def forward_by_norm(x, gamma, beta, eps):
    centred = x - x.mean(0)
    return gamma * centred / np.linalg.norm(centred, axis=0) + beta


@planted(check_forward, "divided_by_variance", "axes_features")
def forward_rows_no_root(x, gamma, beta, eps):
    rows = [(row - row.mean()) / (row.var() + eps) for row in x]
    return (gamma * np.array(rows) + beta).astype(x.dtype)


@planted(check_forward, "numerator_not_centred", "gamma_twice")
def forward_not_centred_gamma_twice(x, gamma, beta, eps):
    x_hat = gamma * x / np.sqrt(x.var(0) + eps)
    return gamma * x_hat + beta


@planted(check_forward, "mean_is_sum", "eps_fixed")
def forward_sum_and_own_eps(x, gamma, beta, eps):
    """Beside so wrong a mean, an eps of 1e-5 differs from none in the seventh digit only."""
    centred = x - sum(x)
    return gamma * centred / np.sqrt((centred**2).mean(0) + 1e-5) + beta


# --- planted mistakes: backward ------------------------------------------------------------------


@planted(check_backward, "statistics_constant")
def as_in_inference(dy, cache):
    return dy * cache.gamma * cache.inv_std, (dy * cache.x_hat).sum(0), dy.sum(0)


@planted(check_backward, "mean_path_dropped")
def only_x_hat_projected(dy, cache):
    dx_hat = dy * cache.gamma
    dx = cache.inv_std * (dx_hat - cache.x_hat * np.mean(dx_hat * cache.x_hat, 0))
    return dx, (dy * cache.x_hat).sum(0), dy.sum(0)


@planted(check_backward, "variance_path_dropped")
def only_centred(dy, cache):
    slope = cache.gamma * cache.inv_std
    return slope * (dy - dy.mean(0)), (dy * cache.x_hat).sum(0), dy.sum(0)


@planted(check_backward, "variance_path_flipped")
def plus_for_minus(dy, cache):
    n, dbeta, dgamma = len(dy), dy.sum(0), (dy * cache.x_hat).sum(0)
    dx = cache.gamma * cache.inv_std / n * (n * dy - dbeta + cache.x_hat * dgamma)
    return dx, dgamma, dbeta


@planted(check_backward, "mean_path_flipped")
def mean_plus_for_minus(dy, cache):
    n, dbeta, dgamma = len(dy), dy.sum(0), (dy * cache.x_hat).sum(0)
    dx = cache.gamma * cache.inv_std / n * (n * dy + dbeta - cache.x_hat * dgamma)
    return dx, dgamma, dbeta


@planted(check_backward, "variance_path_without_2")
def slope_of_a_square(dy, cache):
    n = dy.shape[0]
    centred = cache.x_hat / cache.inv_std
    dx_hat = dy * cache.gamma
    dvar = (dx_hat * centred).sum(0) * -0.5 * cache.inv_std**3
    dcentred = dx_hat * cache.inv_std + dvar * centred / n
    return dcentred - dcentred.mean(0), (dy * cache.x_hat).sum(0), dy.sum(0)


@planted(check_backward, "variance_path_without_half")
def slope_of_a_root(dy, cache):
    n = dy.shape[0]
    centred = cache.x_hat / cache.inv_std
    dx_hat = dy * cache.gamma
    dinv_std = (dx_hat * centred).sum(0)
    dstd = -dinv_std * cache.inv_std**2
    dvar = dstd * cache.inv_std
    dcentred = dx_hat * cache.inv_std + dvar * 2 * centred / n
    return dcentred - dcentred.mean(0), (dy * cache.x_hat).sum(0), dy.sum(0)


@planted(check_backward, "variance_path_exponent")
def exponent_stays(dy, cache):
    n = dy.shape[0]
    x, eps = recovered(cache)
    centred = x - cache.mean
    dx_hat = dy * cache.gamma
    dvar = (dx_hat * centred).sum(0) * -0.5 * (cache.var + eps) ** -0.5
    dcentred = dx_hat * cache.inv_std + dvar * 2 * centred / n
    return dcentred - dcentred.mean(0), (dy * cache.x_hat).sum(0), dy.sum(0)


@planted(check_backward, "n_minus_1")
def bessel_everywhere(dy, cache):
    n, dbeta, dgamma = len(dy), dy.sum(0), (dy * cache.x_hat).sum(0)
    dx = cache.gamma * cache.inv_std * (dy - (dbeta + cache.x_hat * dgamma) / (n - 1))
    return dx, dgamma, dbeta


@planted(check_backward, "variance_path_n_minus_1")
def bessel_in_the_variance(dy, cache):
    n, dbeta, dgamma = len(dy), dy.sum(0), (dy * cache.x_hat).sum(0)
    dx = cache.gamma * cache.inv_std / n * (n * dy - dbeta - n / (n - 1) * cache.x_hat * dgamma)
    return dx, dgamma, dbeta


@planted(check_backward, "n_times")
def one_over_n_forgotten(dy, cache):
    n, dbeta, dgamma = len(dy), dy.sum(0), (dy * cache.x_hat).sum(0)
    return cache.gamma * cache.inv_std * (n * dy - dbeta - cache.x_hat * dgamma), dgamma, dbeta


@planted(check_backward, "gamma_forgotten")
def no_gamma(dy, cache):
    h = cache.x_hat
    dx = cache.inv_std * (dy - dy.mean(0) - h * (dy * h).mean(0))
    return dx, (dy * h).sum(0), dy.sum(0)


@planted(check_backward, "gamma_twice")
def gamma_squared(dy, cache):
    dx_hat, h = dy * cache.gamma, cache.x_hat
    dx = dx_hat - dx_hat.mean(0) - h * (dx_hat * h).mean(0)
    return cache.gamma * cache.inv_std * dx, (dy * h).sum(0), dy.sum(0)


@planted(check_backward, "eps_forgotten")
def root_of_var(dy, cache):
    h = cache.x_hat
    dx = cache.gamma / np.sqrt(cache.var) * (dy - dy.mean(0) - h * (dy * h).mean(0))
    return dx, (dy * h).sum(0), dy.sum(0)


@planted(check_backward, "dgamma_dbeta_swapped")
def wrong_order(dy, cache):
    dx, dgamma, dbeta = closed_form(dy, cache)
    return dx, dbeta, dgamma


@planted(check_backward, "dgamma_from_x")
def gamma_times_x(dy, cache):
    x, _ = recovered(cache)
    return closed_form(dy, cache)[0], np.einsum("nc,nc->c", dy, x), dy.sum(0)


@planted(check_backward, "parameters_averaged")
def means_of_parameters(dy, cache):
    return closed_form(dy, cache)[0], np.mean(dy * cache.x_hat, 0), np.mean(dy, 0)


@planted(check_backward, "parameters_not_summed")
def no_sum(dy, cache):
    return closed_form(dy, cache)[0], dy * cache.x_hat, dy


@planted(check_backward, "shape")
def kept_dimensions(dy, cache):
    dx, dgamma, dbeta = closed_form(dy, cache)
    return dx, dgamma[None], dbeta[None]


@planted(check_backward, "axes_features")
def sums_over_features(dy, cache):
    h, dx_hat = cache.x_hat, dy * cache.gamma
    rest = dx_hat - dx_hat.mean(1, keepdims=True) - h * (dx_hat * h).mean(1, keepdims=True)
    return rest * cache.inv_std, (dy * h).sum(1), dy.sum(1)


@planted(check_backward, "dy_forgotten")
def ones_for_dy(dy, cache):
    return closed_form(np.ones_like(dy), cache)


@planted(check_backward, "divided_by_examples", images=True)
def batch_size_for_count(dy, cache):
    axes, along, n = (0, 2, 3), (1, -1, 1, 1), len(dy)
    dgamma, dbeta = (dy * cache.x_hat).sum(axes), dy.sum(axes)
    rest = dy - dbeta.reshape(along) / n - cache.x_hat * dgamma.reshape(along) / n
    return rest * (cache.gamma * cache.inv_std).reshape(along), dgamma, dbeta


@planted(check_backward, "in_place")
def dy_damaged(dy, cache):
    dgamma, dbeta = (dy * cache.x_hat).sum(0), dy.sum(0)
    dy *= cache.gamma
    dx = cache.inv_std * (dy - dy.mean(0) - cache.x_hat * (dy * cache.x_hat).mean(0))
    return dx, dgamma, dbeta


@planted(check_backward, "in_place")
def cache_damaged(dy, cache):
    result = closed_form(dy, cache)
    cache.x_hat[:] = 0
    return result


@planted(check_backward, "dtype")
def float32_out(dy, cache):
    return tuple(part.astype(np.float32) for part in closed_form(dy, cache))


@planted(check_backward, "variance_path_dropped", "gamma_forgotten")
def two_closed_form(dy, cache):
    return cache.inv_std * (dy - dy.mean(0)), (dy * cache.x_hat).sum(0), dy.sum(0)


@planted(check_backward, "mean_path_dropped", "variance_path_without_2")
def two_node_by_node(dy, cache):
    n, centred, dx_hat = len(dy), cache.x_hat / cache.inv_std, dy * cache.gamma
    dvar = -0.5 * np.einsum("nc,nc,c->c", dx_hat, centred, cache.inv_std**3)
    return dx_hat * cache.inv_std + dvar * centred / n, (dy * cache.x_hat).sum(0), dy.sum(0)


@planted(check_backward, "variance_path_flipped", "variance_path_without_half")
def two_in_the_root(dy, cache):
    n, centred, dx_hat = len(dy), cache.x_hat / cache.inv_std, dy * cache.gamma
    dvar = (dx_hat * centred).sum(0) * cache.inv_std**3
    dcentred = dx_hat * cache.inv_std + 2 / n * dvar * centred
    return dcentred - dcentred.mean(0), (dy * cache.x_hat).sum(0), dy.sum(0)


@planted(check_backward, "mean_path_dropped", "dgamma_from_x")
def two_places(dy, cache):
    x, _ = recovered(cache)
    h = cache.x_hat
    dx = cache.gamma * cache.inv_std * (dy - h * (dy * h).mean(0))
    return dx, (dy * x).sum(0), dy.sum(0)


@planted(check_backward, "gamma_forgotten", "dgamma_dbeta_swapped")
def two_with_a_swap(dy, cache):
    h = cache.x_hat
    dx = cache.inv_std * (dy - dy.mean(0) - h * (dy * h).mean(0))
    return dx, dy.sum(0), (dy * h).sum(0)


@planted(check_backward, "n_times", "eps_forgotten")
def two_factors(dy, cache):
    dx, dgamma, dbeta = closed_form(dy, cache)
    return dx * len(dy) / cache.inv_std / np.sqrt(cache.var), dgamma, dbeta


@planted(check_backward, "statistics_constant", "parameters_averaged")
def two_shortcuts(dy, cache):
    return cache.gamma * cache.inv_std * dy, (dy * cache.x_hat).mean(0), dy.mean(0)


@planted(check_backward, "variance_path_dropped", "axes_features")
def two_with_an_axis(dy, cache):
    dx_hat = dy * cache.gamma * cache.inv_std
    dx = dx_hat - dx_hat.sum(1, keepdims=True) / dy.shape[1]
    return dx, (dy * cache.x_hat).sum(1), dy.sum(1)


@planted(check_backward, "dgamma_from_centred")
def zeros_and_a_mistake(dy, cache):
    """Zeros are named after nothing, what stands beside them is."""
    return dy * 0, (dy * cache.x_hat / cache.inv_std).sum(0), dy.sum(0)


@planted(check_backward, "mean_path_dropped", "dgamma_without_x_hat", "dbeta_with_gamma")
def three_places(dy, cache):
    h = cache.x_hat
    dx = cache.gamma * cache.inv_std * (dy - h * (dy * h).mean(0))
    return dx, dy.sum(0), (dy * cache.gamma).sum(0)


# --- planted mistakes: operations of the graph ---------------------------------------------------


def repeated(dy, a):
    return graph.repeat(dy, a.shape, 0)


@planted(check_graph_node, "share_forgotten")
def mean_without_share(a):
    return computed("mean", [a], lambda u: u.mean(0), lambda dy: [repeated(dy, a)])


@planted(check_graph_node, "repeated_along_wrong_axis")
def mean_along_wrong_axis(a):
    n = a.shape[0]
    return computed(
        "mean", [a], lambda u: u.mean(0), lambda dy: [graph.repeat(dy, a.shape, 1) * (1 / n)]
    )


@planted(check_graph_node, "upstream_forgotten")
def mean_without_dy(a):
    slope = Node(np.full(a.shape, 1 / a.shape[0]))
    return computed("mean", [a], lambda u: u.mean(0), lambda dy: [slope])


@planted(check_graph_node, "mean_is_sum")
def mean_as_sum(a):
    return computed("mean", [a], lambda u: u.sum(0), lambda dy: [repeated(dy, a)])


@planted(check_graph_node, "axes_features")
def mean_of_rows(a):
    return computed("mean", [a], lambda u: u.mean(1), lambda dy: [repeated(dy, a)])


@planted(check_graph_node, "upstream_forgotten", "share_forgotten")
def mean_of_ones(a):
    ones = Node(np.ones(a.shape))
    return computed("mean", [a], lambda u: u.mean(0), lambda dy: [ones])


@planted(check_graph_node, "several_nodes")
def mean_of_two_nodes(a):
    return graph.sum(a, 0) * (1 / a.shape[0])


@planted(check_graph_node, "forward_ignores_input")
def mean_of_a_constant(a):
    return computed(
        "mean", [a], lambda u: a.value.mean(0), lambda dy: [repeated(dy, a) * (1 / a.shape[0])]
    )


@planted(check_graph_node, "in_place")
def mean_damaging(a):
    n = a.shape[0]
    node = mean_node(a)
    a.value *= n
    return node


def centred_node(a):
    return a - graph.repeat(graph.sum(a, 0) * (1 / a.shape[0]), a.shape, 0)


@planted(check_graph_node, "two_forgotten", node="variance")
def variance_without_2(a):
    return computed(
        "var",
        [a],
        lambda u: u.var(0),
        lambda dy: [repeated(dy, a) * centred_node(a) / a.shape[0]],
    )


@planted(check_graph_node, "factor_not_centred", "divided_by_n_minus_1", node="variance")
def variance_two_things(a):
    return computed(
        "var",
        [a],
        lambda u: u.var(0),
        lambda dy: [repeated(dy, a) * a * (2 / (a.shape[0] - 1))],
    )


@planted(check_graph_node, "std_for_variance", node="variance")
def variance_as_std(a):
    return computed("var", [a], lambda u: u.std(0), lambda dy: [repeated(dy, a)])


@planted(check_graph_node, "frozen_in_backward", node="variance", twice=True)
def variance_frozen(a):
    frozen = Node(2 * (a.value - a.value.mean(0)) / a.shape[0])
    return computed("var", [a], lambda u: u.var(0), lambda dy: [repeated(dy, a) * frozen])


@planted(check_graph_node, "half_forgotten", node="inverse_root")
def inverse_root_without_half(a):
    return computed("1/√", [a], lambda u: u**-0.5, lambda dy: [-dy * a**-1.5])


@planted(check_graph_node, "exponent_not_lowered", node="inverse_root")
def inverse_root_same_power(a):
    return computed("1/√", [a], lambda u: u**-0.5, lambda dy: [dy * a**-0.5 * -0.5])


@planted(check_graph_node, "sign_flipped", node="inverse_root")
def inverse_root_plus(a):
    return computed("1/√", [a], lambda u: u**-0.5, lambda dy: [dy * a**-1.5 * 0.5])


@planted(check_graph_node, "exponent_not_lowered", node="sqrt")
def sqrt_above_the_line(a):
    return computed("√", [a], np.sqrt, lambda dy: [dy * a**0.5 * 0.5])


@planted(check_graph_node, "copies_averaged", node="repeat")
def repeat_averaging(a, n):
    return computed(
        "repeat", [a], lambda u: np.stack([u] * n), lambda dy: [graph.sum(dy, 0) * (1 / n)]
    )


@planted(check_graph_node, "divided_by_n", node="sum")
def sum_like_a_mean(a):
    n = a.shape[0]
    return computed("sum", [a], lambda u: u.sum(0), lambda dy: [repeated(dy, a) * (1 / n)])


@planted(check_graph_node, "inputs_swapped", node="mul")
def mul_swapped(a, b):
    return computed("×", [a, b], np.multiply, lambda dy: [dy * a, dy * b])


@planted(check_graph_node, "own_factor", node="mul")
def mul_half_swapped(a, b):
    return computed("×", [a, b], np.multiply, lambda dy: [dy * a, dy * a])


@planted(check_graph_node, "not_transposed", node="matmul")
def matmul_untransposed(a, b):
    return computed("@", [a, b], np.matmul, lambda dy: [dy @ b, a @ dy])


@planted(check_graph_node, "product_turned_round", node="matmul")
def matmul_turned_round(a, b):
    def backward_side(dy):
        return [graph.transpose(b) @ dy, dy @ graph.transpose(a)]

    return computed("@", [a, b], np.matmul, backward_side)


@pytest.mark.parametrize(("check", "f", "names", "options"), PLANTED)
def test_a_planted_mistake_is_named(check, f, names, options):
    answer = check(f, **options)
    assert not answer.right
    assert set(answer.mistakes) == names, answer.text
    assert not any("no name for" in line for line in answer.text.splitlines())


@pytest.mark.parametrize("seed", SEEDS[1:6])
def test_other_batches_give_the_same_answers(seed):
    for check, f, options in (p.values for p in RIGHT):
        assert check(f, seed=seed, **options), (f.__name__, seed)
    for check, f, names, options in (p.values for p in PLANTED):
        assert set(check(f, seed=seed, **options).mistakes) == names, (f.__name__, seed)


# --- wrong answers that are in no catalogue ------------------------------------------------------


@other(check_forward)
def forward_one_number_off(x, gamma, beta, eps):
    y = forward_one_line(x, gamma, beta, eps)
    y[-1, -1] += 1e-3
    return y


@other(check_forward)
def forward_by_median(x, gamma, beta, eps):
    return gamma * (x - np.median(x, 0)) / np.sqrt(x.var(0) + eps) + beta


@other(check_forward)
def forward_by_range(x, gamma, beta, eps):
    return gamma * (x - x.mean(0)) / (np.ptp(x, 0) + eps) + beta


@other(check_forward)
def forward_clipped(x, gamma, beta, eps):
    return np.clip(forward_one_line(x, gamma, beta, eps), -1, 1)


@other(check_forward)
def forward_rows_turned(x, gamma, beta, eps):
    return forward_one_line(x, gamma, beta, eps)[::-1]


@other(check_forward)
def forward_zeros(x, gamma, beta, eps):
    return np.zeros_like(x)


@other(check_forward)
def forward_nan(x, gamma, beta, eps):
    return np.full_like(x, np.nan)


@other(check_forward)
def forward_transposed(x, gamma, beta, eps):
    return forward_one_line(x, gamma, beta, eps).T


@other(check_forward)
def forward_noise(x, gamma, beta, eps):
    return np.random.default_rng(0).normal(size=x.shape)


@other(check_forward)
def forward_three_things(x, gamma, beta, eps):
    return x / (x.std(0, ddof=1) + eps) + beta


@other(check_forward)
def forward_square_only(x, gamma, beta, eps):
    if x.shape[0] != x.shape[1]:
        raise ValueError("only square batches")
    return forward_one_line(x, gamma, beta, eps)


@other(check_backward)
def dx_zeros(dy, cache):
    return np.zeros_like(dy), *closed_form(dy, cache)[1:]


@other(check_backward)
def dx_zeros_alone(dy, cache):
    return dy * 0


@other(check_backward)
def all_zeros(dy, cache):
    return np.zeros_like(dy), np.zeros_like(cache.gamma), np.zeros_like(cache.gamma)


@other(check_backward)
def dx_passes(dy, cache):
    return dy, *closed_form(dy, cache)[1:]


@other(check_backward)
def dx_off_by_a_third(dy, cache):
    dx, dgamma, dbeta = closed_form(dy, cache)
    return dx * 0.7, dgamma, dbeta


@other(check_backward)
def dgamma_squared(dy, cache):
    dx, dgamma, dbeta = closed_form(dy, cache)
    return dx, dgamma**2, dbeta


@other(check_backward)
def dx_transposed(dy, cache):
    dx, dgamma, dbeta = closed_form(dy, cache)
    return dx.T, dgamma, dbeta


@other(check_backward)
def sorted_first(dy, cache):
    return closed_form(np.sort(dy, axis=0), cache)


@other(check_graph_node, node="mean")
def mean_with_a_third(a):
    return computed("mean", [a], lambda u: u.mean(0), lambda dy: [repeated(dy, a) * 0.3])


@other(check_graph_node, node="matmul")
def matmul_square_only(a, b):
    if a.shape != b.shape:
        raise ValueError("only square matrices")
    return graph.matmul(a, b)


@pytest.mark.parametrize(("check", "f", "options"), OTHER)
@pytest.mark.parametrize("seed", [0, 7])
def test_what_has_no_name_is_called_wrong_and_gets_none(check, f, options, seed):
    answer = check(f, seed=seed, **options)
    assert not answer.right
    assert answer.mistakes == (), answer.text


def test_an_unknown_mistake_is_shown_where_it_is():
    def f(dy, cache):
        dx, dgamma, dbeta = closed_form(dy, cache)
        dx[1, 0] = 5
        return dx, dgamma, dbeta

    text = check_backward(f).text
    assert text.startswith("Not right yet: dx. (dgamma and dbeta are right.)")
    assert "dx[1, 0]" in text.replace("\n", " ") and "yours is 5" in text.replace("\n", " ")
    shown = {}
    exec("from numpy import array", shown)
    batch = backward.made_up(np.random.default_rng(0), False)[0]["made_from"]
    for block in text.split("The first batch was:\n")[1].replace("\n     ", " ").splitlines():
        exec(block.strip(), shown)
    for name in ("dy", "x", "gamma"):
        np.testing.assert_array_equal(shown[name], batch[name])
    assert shown["eps"] == batch["eps"]


def test_a_constant_factor_is_told():
    text = check_backward(dx_off_by_a_third).text.replace("\n", " ")
    assert "Every number is 0.7 times the right one there." in text


# --- the catalogue -------------------------------------------------------------------------------

# Two descriptions of the same numbers: the first is told. Where one mistake swallows another (a
# dropped path does not care what was in it) the single one is told, and that is not listed.
KNOWN_EQUAL = """
    axes_channels_last + parameters_last_axis = parameters_last_axis + reshaped_without_moving
    axes_everything = mean_over_everything + variance_over_everything
    dgamma_dbeta_swapped = dgamma_without_x_hat + dbeta_with_x_hat
    dgamma_without_x_hat + parameters_not_summed = parameters_not_summed + dgamma_dbeta_swapped
    direct_path_divided = sums_for_means + divided_by_n
    direct_path_dropped + mean_path_without_inv_std = direct_path_dropped + inv_std_forgotten
    direct_path_dropped + sums_for_means = direct_path_dropped + n_times
    direct_path_without_gamma + axes_everything = gamma_forgotten + axes_everything
    direct_path_without_gamma + axes_features = gamma_forgotten + axes_features
    direct_path_without_inv_std + mean_path_dropped = mean_path_dropped + inv_std_forgotten
    inv_std_forgotten = direct_path_without_inv_std + mean_path_without_inv_std
    mean_added + variance_not_centred = mean_added + mean_forgotten
    mean_forgotten = numerator_not_centred + variance_not_centred
    mean_is_sum + variance_not_squared = variance_not_squared + divided_by_examples
    mean_over_everything + not_divided = not_divided + axes_everything
    mean_over_everything + variances_averaged = axes_everything + variances_averaged
    mean_path_dropped + variance_path_n_minus_1 = mean_path_dropped + n_minus_1
    mean_path_dropped + variance_path_not_divided = mean_path_dropped + sums_for_means
    mean_path_n_minus_1 + dy_forgotten = n_minus_1 + dy_forgotten
    mean_path_n_minus_1 + variance_path_dropped = variance_path_dropped + n_minus_1
    mean_path_n_minus_1 + variance_path_not_divided = mean_path_n_minus_1 + sums_for_means
    mean_path_n_minus_1 + variance_path_not_divided = variance_path_not_divided + n_minus_1
    mean_path_n_minus_1 + variance_path_over_everything = variance_path_over_everything + n_minus_1
    mean_path_not_divided + dy_forgotten = sums_for_means + dy_forgotten
    mean_path_not_divided + variance_path_dropped = variance_path_dropped + sums_for_means
    mean_path_not_divided + variance_path_n_minus_1 = mean_path_not_divided + n_minus_1
    mean_path_not_divided + variance_path_n_minus_1 = variance_path_n_minus_1 + sums_for_means
    mean_path_not_divided + variance_path_over_everything =
        variance_path_over_everything + sums_for_means
    mean_path_over_everything + axes_everything = variance_path_over_everything + axes_everything
    mean_path_over_everything + variance_path_n_minus_1 = mean_path_over_everything + n_minus_1
    mean_path_over_everything + variance_path_not_divided =
        mean_path_over_everything + sums_for_means
    n_minus_1 = mean_path_n_minus_1 + variance_path_n_minus_1
    numerator_not_centred + not_divided = mean_forgotten + not_divided
    numerator_not_centred + variance_over_everything = numerator_not_centred + axes_everything
    numerator_not_centred + variance_over_everything = variance_over_everything + mean_forgotten
    numerator_not_centred + variances_averaged = mean_forgotten + variances_averaged
    statistics_constant = mean_path_dropped + variance_path_dropped
    statistics_constant + direct_path_divided = statistics_constant + divided_by_n
    statistics_constant + direct_path_without_gamma = statistics_constant + gamma_forgotten
    statistics_constant + direct_path_without_inv_std = statistics_constant + inv_std_forgotten
    statistics_constant + dy_forgotten = mean_path_dropped + dy_forgotten
    sums_for_means = direct_path_divided + n_times
    sums_for_means = mean_path_not_divided + variance_path_not_divided
    variance_not_squared + eps_squared = variance_not_squared + divided_by_variance
    variance_over_everything + mean_forgotten = mean_forgotten + axes_everything
    variance_path_exponent = inv_std_forgotten + divided_by_variance
    variance_path_exponent + inv_std_forgotten = divided_by_variance + multiplied_by_std
    copies_averaged + upstream_forgotten = one_copy_only + upstream_forgotten
    slope_forgotten = half_forgotten + exponent_wrong
"""
# Two mistakes that undo each other: the numbers are right, and so is the answer.
KNOWN_RIGHT = {("variance_path_without_2", "variance_path_without_half")}


def exercises(seed=0):
    """Every exercise with its batches."""
    for images in (False, True):
        rng = np.random.default_rng(seed)
        yield forward.exercise(images), forward.made_up_batches(rng, images)
        yield backward.exercise(images), backward.made_up(rng, images)
    for operation in graph_nodes.OPERATIONS.values():
        rng = np.random.default_rng(seed)
        batches = [graph_nodes.made_up(operation, sizes, rng) for sizes in graph_nodes.SIZES]
        yield graph_nodes.value_exercise(operation), batches
        yield graph_nodes.gradient_exercise(operation, True), batches


def results(exercise, batches):
    """Names and outputs on all batches: of the right answer, of every mistake and pair."""
    for mistakes, replaced in [((), {}), *suspects(exercise.mistakes)]:
        outputs = [outcomes(exercise.steps, exercise.outputs, b, replaced) for b in batches]
        yield tuple(m.name for m in mistakes), list(itertools.chain(*outputs))


def key(arrays):
    """A number that differs little for arrays that differ little."""
    first = next((a for a in arrays if a is not None), np.zeros(1))
    return float(np.nan_to_num(np.abs(first)).sum()), sum(a is None for a in arrays)


def equal_results(exercise, batches, tolerance):
    """Yield (what is told, what else gives the same numbers), names both."""
    found = list(results(exercise, batches))
    keys = [key(arrays) for _, arrays in found]
    order = sorted(range(len(found)), key=keys.__getitem__)
    told = {}
    for place, i in enumerate(order):
        near = keys[i][0] + 1e-4 * (1 + keys[i][0])
        for j in itertools.takewhile(lambda j, near=near: keys[j][0] <= near, order[place + 1 :]):
            arrays = zip(found[i][1], found[j][1], strict=True)
            if all(same(one, two, tolerance) for one, two in arrays):
                first, later = sorted((i, j))
                told[later] = min(first, told.get(later, first))
    for later, first in told.items():
        yield found[first][0], found[later][0]


def surprising(exercise, batches):
    """Those equal results in which the earlier is not simply part of the later."""
    for first, later in equal_results(exercise, batches, 100 * EXACT):
        if first == () or not set(first) <= set(later):
            yield first, later


@pytest.fixture(scope="module")
def found_equal():
    found = set()
    for exercise, batches in exercises():
        found |= set(surprising(exercise, batches))
    return found


def groups_of(pairs):
    """The sets of names that are linked by equality."""
    groups = []
    for pair in pairs:
        linked = [g for g in groups if g & set(pair)]
        groups = [g for g in groups if g not in linked] + [set(pair).union(*linked)]
    return groups


def test_mistakes_and_pairs_differ_from_each_other_and_from_right(found_equal):
    listed = set()
    for line in KNOWN_EQUAL.replace(" =\n", " =").strip().splitlines():
        listed.add(tuple(tuple(side.strip().split(" + ")) for side in line.split(" =")))
    groups = groups_of(listed)
    unlisted = {
        pair for pair in found_equal if pair[0] and not any(set(pair) <= group for group in groups)
    }
    assert not unlisted
    assert listed <= found_equal, "no longer equal: take it off the list"
    assert {later for first, later in found_equal if first == ()} == KNOWN_RIGHT


@pytest.mark.parametrize("seed", SEEDS[1:])
def test_single_mistakes_differ_on_every_seed(seed):
    for exercise, batches in exercises(seed):
        seen = list(results(exercise._replace(mistakes=()), batches))
        for mistake in exercise.mistakes:
            for way in mistake.ways:
                if not way.keys() <= exercise.steps.keys():
                    continue  # of the gradient alone, in an exercise on the value
                arrays = [outcomes(exercise.steps, exercise.outputs, b, way) for b in batches]
                seen.append((mistake.name, list(itertools.chain(*arrays))))
        for (one, mine), (two, theirs) in itertools.combinations(seen, 2):
            pairs = zip(mine, theirs, strict=True)
            assert one == two or not all(same(*pair, 10 * EXACT) for pair in pairs), (one, two)


def test_a_mistake_replaces_steps_that_exist_and_points_somewhere():
    used = set()
    for exercise, _ in exercises():
        names = [m.name for m in exercise.mistakes]
        assert len(names) == len(set(names))
        for mistake in exercise.mistakes:
            used.add(mistake.where)
            assert mistake.sentence.endswith((".", ")"))
            steps = set(exercise.steps)
            assert exercise.outputs == ("value",) or all(
                way.keys() <= steps for way in mistake.ways
            )
    assert used <= pointers.POINTERS.keys()


@pytest.mark.parametrize("where", pointers.POINTERS.values())
def test_a_pointer_names_a_section_that_the_page_has(where):
    page, section = re.match(r"(?:chapter|workshop) (\w+), “(.+)”", where).groups()
    cells = json.loads((BOOK / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    assert re.search(rf"^#+ {re.escape(section)}$", text, re.MULTILINE)


# --- the references ------------------------------------------------------------------------------


def test_the_derivations_are_those_of_the_library():
    for images in (False, True):
        rng = np.random.default_rng(3)
        for batch in forward.made_up_batches(rng, images):
            y, _ = bnlib.batch_norm(**forward.arguments(batch))
            np.testing.assert_allclose(follow(forward.FORWARD, batch).y, y, atol=1e-12)
        for batch in backward.made_up(rng, images):
            right = follow(backward.BACKWARD, batch)
            expected = bnlib.batch_norm_backward(batch["dy"], batch["cache"])
            for name, array in zip(("dx", "dgamma", "dbeta"), expected, strict=True):
                np.testing.assert_allclose(getattr(right, name), array, atol=1e-12)


PRIMITIVES = {
    "sum": lambda a: graph.sum(a, 0),
    "repeat": lambda a, n: graph.repeat(a, (n, *a.shape), 0),
    "mean": mean_of_two_nodes,
    "variance": lambda a: graph.sum(centred_node(a) ** 2, 0) * (1 / a.shape[0]),
    "sqrt": lambda a: a**0.5,
    "inverse_root": lambda a: a**-0.5,
    "mul": graph.mul,
    "matmul": graph.matmul,
}


@pytest.mark.parametrize("name", graph_nodes.OPERATIONS)
def test_the_operations_are_those_of_the_primitive_nodes(name):
    operation = graph_nodes.OPERATIONS[name]
    for sizes in graph_nodes.SIZES:
        batch = graph_nodes.made_up(operation, sizes, np.random.default_rng(5))
        nodes = {key: Node(batch[key]) for key in operation.shapes}
        output = PRIMITIVES[name](*nodes.values(), *(batch[key] for key in operation.settings))
        at = graph.backward(output, Node(batch["dy"])).at
        right = follow(operation.steps, batch)
        np.testing.assert_allclose(right.value, output.value, atol=1e-12)
        for key, node in nodes.items():
            np.testing.assert_allclose(getattr(right, f"d{key}"), at[node].value, atol=1e-12)


# --- kindness ------------------------------------------------------------------------------------


def raising(error):
    def f(dy, cache):
        raise error

    return f


def calls_itself(dy, cache):
    return calls_itself(dy, cache)


def misspelt(dy, cache):
    n = len(dy)
    return dy_hat / n  # noqa: F821


def only_on_large_batches(dy, cache):
    return closed_form(dy, cache) if len(dy) == 4 else [][0]


KIND = [
    (lambda dy, cache: None, "Not yet: your function returns nothing."),
    (lambda dy, cache: ..., "Not yet: your function returns nothing."),
    (lambda dy, cache: (..., ..., ...), "Not yet: your function returns nothing."),
    (lambda dy, cache: (None, *closed_form(dy, cache)[1:]), "Not yet: dx is missing."),
    (raising(NotImplementedError()), "Not yet: your function says that it is not implemented."),
    (raising(ZeroDivisionError("division by zero")), "ZeroDivisionError: division by zero."),
    (raising(KeyError("x")), "KeyError: 'x'."),
    (raising(AssertionError()), "AssertionError."),
    (raising(SystemExit()), "asks the whole program to end"),
    (misspelt, "in its line 3: NameError: name 'dy_hat' is not defined"),
    (calls_itself, "calls itself without end"),
    (only_on_large_batches, "On a batch of shape (4, 2) it ran."),
    (lambda dy, cache: closed_form(dy, cache)[:2], "three arrays (or dx alone); yours are 2."),
    (lambda dy, cache: closed_form(dy, cache)[0].tolist(), "yours is a list: np.array(...)"),
    (lambda dy, cache: Node(closed_form(dy, cache)[0]), "a Node of the graph: return its .value"),
    (lambda dy, cache: 3, "dx must be a numpy array; yours is an int."),
    (lambda dy, cache: {"dx": dy}, "yours is a dict."),
    (lambda dy, cache: np.float64(3), "dx must have the shape (4, 2)"),
    (lambda dy, cache: dy.astype(complex), "dx must be real, and yours is complex"),
    (lambda dy, cache: dy.astype(object), "yours has the dtype object"),
    (lambda dy, cache: dy[:, :1], "dx must have the shape (4, 2)"),
    (lambda dy, cache: np.full_like(dy, np.nan), "yours is nan"),
    (lambda dy, cache: dy * 0, "dx is 0 everywhere."),
    (lambda dy: dy, "The checker calls f(dy, cache); your function takes (dy)."),
    (closed_form(np.ones((2, 1)), bnlib.batch_norm(np.ones((2, 1)), np.ones(1))[1]), "a tuple"),
    (None, "got a NoneType"),
    (Node, "got the class Node"),
]


@pytest.mark.parametrize(("f", "sentence"), KIND)
def test_whatever_comes_is_answered_in_a_sentence(f, sentence):
    answer = check_backward(f)
    assert not answer.right and answer.mistakes == ()
    assert sentence in answer.text.replace("\n", " "), answer.text
    assert "Traceback" not in answer.text and len(answer.text.splitlines()) <= 20


NODES = [
    (lambda a: ..., "Not yet: your function returns nothing."),
    (lambda a: a.value.mean(0), "must return the node that computed(...) makes; yours is a numpy"),
    (lambda a: Node(a.value.mean(0)), "the node has no inputs"),
    (
        lambda a: computed("m", [a], lambda u: u.mean(0), lambda dy: repeated(dy, a)),
        "must return a list with one gradient for each input",
    ),
    (
        lambda a: computed("m", [a], lambda u: u.mean(0), lambda dy: [dy, dy]),
        "yours returns 2 of them, for 1.",
    ),
    (
        lambda a: computed("m", [a], lambda u: u.mean(0), lambda dy: [dy.value / 4 + 0 * a.value]),
        "must return nodes, so that gradients have gradients",
    ),
    (
        lambda a: computed("m", [Node(a.value)], lambda u: u.mean(0), lambda dy: [dy]),
        "An input is missing in the list that computed(...) gets",
    ),
    (
        lambda a: computed("m", [a], lambda u: u.mean(0), lambda dy: [1 / 0]),
        "ZeroDivisionError: division by zero",
    ),
    (
        lambda a: computed("m", [a], lambda u: u.mean(0), lambda dy: [dy]),
        "da must have the shape (4, 2)",
    ),
    (lambda a, b: a, "The checker calls f(a); your function takes (a, b)."),
]


@pytest.mark.parametrize(("f", "sentence"), NODES)
def test_a_node_that_is_none_is_answered_in_a_sentence(f, sentence):
    answer = check_graph_node(f)
    assert not answer.right and answer.mistakes == ()
    assert sentence in answer.text.replace("\n", " "), answer.text


def test_the_teacher_hears_of_an_unknown_operation():
    with pytest.raises(ValueError, match="node must be one of"):
        check_graph_node(mean_node, "median")


def test_stop_stops():
    with pytest.raises(KeyboardInterrupt):
        check_backward(raising(KeyboardInterrupt()))


def test_warnings_and_numpy_settings_stay_with_the_reader(capfd):
    def noisy(dy, cache):
        warnings.warn("look here", stacklevel=1)
        warnings.simplefilter("error")
        np.seterr(all="raise")
        return closed_form(dy, cache)

    before = np.geterr()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert check_backward(noisy).right
        assert check_forward(lambda x, gamma, beta, eps: np.log(-x * x)).mistakes == ()
    assert not caught and np.geterr() == before
    assert capfd.readouterr() == ("", "")


def test_the_settings_of_numpy_do_not_change_an_answer():
    def f(x, gamma, beta, eps):
        return x / np.zeros(len(gamma))

    with np.errstate(all="raise"):
        strict = check_forward(f)
    assert strict == check_forward(f) and "yours is inf" in strict.text.replace("\n", " ")


def test_float32_inside_is_right_and_said():
    def f(dy, cache):
        single = type(cache)(*(a.astype(np.float32) for a in cache))
        return tuple(a.astype(dy.dtype) for a in closed_form(dy.astype(np.float32), single))

    def in_forward(x, gamma, beta, eps):
        return forward_one_line(x.astype(np.float32), gamma, beta, eps).astype(x.dtype)

    for answer in (check_backward(f), check_forward(in_forward)):
        assert answer.right and "six digits" in answer.text

    def wrong(dy, cache):
        dx, dgamma, dbeta = f(dy, cache)
        return dx, dbeta, dgamma

    assert check_backward(wrong).mistakes == ("dgamma_dbeta_swapped",)


def test_dx_alone_is_accepted_with_a_word():
    answer = check_backward(lambda dy, cache: closed_form(dy, cache)[0])
    assert answer.right and "dgamma and dbeta were not looked at." in answer.text


def test_homework_asks_for_the_whole_answer():
    answer = check_backward(lambda dy, cache: closed_form(dy, cache)[0], whole=True)
    assert not answer.right and answer.text.startswith("Not yet: dgamma and dbeta are missing.")
    assert check_backward(closed_form, whole=True).right


def test_damage_is_told_beside_another_mistake():
    def f(x, gamma, beta, eps):
        x -= x.mean(0)
        return x / np.sqrt((x**2).mean(0) + eps) + beta

    assert set(check_forward(f).mistakes) == {"gamma_forgotten", "in_place"}


def test_outputs_are_told_apart():
    text = check_backward(three_places).text.replace("\n", " ")
    assert "Three things at once:" in text
    assert "In dx: The mean path is missing" in text and "In dgamma: x_hat is missing" in text


# --- what a page stores --------------------------------------------------------------------------


def all_answers(**options):
    for check, f, *_, own in (p.values for p in [*RIGHT, *PLANTED, *OTHER]):
        yield check(f, **own, **options)


@pytest.fixture(scope="module")
def answers():
    return list(all_answers())


def test_an_answer_is_its_text_and_fits_a_page(answers):
    for answer in answers:
        assert isinstance(answer, Answer)
        assert repr(answer) == answer.text and bool(answer) is answer.right
        assert max(map(len, answer.text.splitlines())) <= 70
        with pytest.raises(AttributeError):
            answer.right = True


def test_the_same_answer_comes_again(answers):
    assert answers == list(all_answers())


def test_every_seed_makes_its_own_batches():
    texts = {check_backward(dx_off_by_a_third, seed=seed).text for seed in SEEDS}
    assert len(texts) == len(SEEDS)


def test_rounding_errors_do_not_reach_the_page():
    def f(dy, cache):
        dx, *rest = closed_form(dy, cache)
        dx[0, 0] = 1e-17
        return dx, *rest

    assert "yours is 0." in check_backward(f).text.replace("\n", " ")


def test_memory_addresses_do_not_reach_the_page():
    text = check_backward(raising(ValueError(f"bad {object()}"))).text.replace("\n", " ")
    assert "0x" not in text and "bad <object object>" in text


def test_there_are_enough_of_them():
    pairs = [p for p in PLANTED if len(p.values[2]) == 2]
    assert len(PLANTED) >= 25 and len(pairs) >= 8 and len(RIGHT) >= 12 and len(OTHER) >= 10


@pytest.mark.parametrize(
    "far",
    [lambda y: None, lambda y: y[:, 0]],
    ids=["nothing", "one axis"],
)
def test_forward_without_a_right_shape_far_from_zero_is_told_and_raises_nothing(far):
    def student(x, gamma, beta, eps):
        y, cache = bnlib.batch_norm(x, gamma, beta, eps=eps)
        return far(y) if x.max() > 100 else (y, cache)

    answer = check_forward(student)
    assert not answer.right
    assert answer.text.endswith("batches; for numbers near 1e8 there is none of\nits shape.")
