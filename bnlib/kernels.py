"""The loops of `bnlib.compiled`: plain Python that numba turns into machine code.

Without numba they run too, thousands of times slower. An array comes as rows, (N, C), or as planes,
(N, C, S), each contiguous. Every function fills arrays that it is given, computes what there is one
of per channel in float64, and treats a channel without a look at its neighbours.

Sums over a batch are exact enough in three steps: subtract a number close to the mean (the mean of
the first values, `shift`) while the digits are still there, add up BLOCK rows in the dtype of x,
add up the blocks in float64. Where the first values were a bad guess, or a square overflowed or
vanished, the channel is measured once more, in float64 throughout. Four rows at a time, because a
sum that is kept in memory is then loaded and stored once for four additions. Never many numbers one
after another, not even in float64: where they are equal each addition loses the same, and what a
thousand lose does not cancel. So the sums of a plane's pixels are added in pairs.

A float64 mean far from zero has no digits left for the last bits of x_hat: what rounding leaves out
of it is kept beside it as `low`, and subtracted in its turn.
"""

import math

import numpy as np

BLOCK = 64  # rows that are added up in the dtype of x
HEAD = 16  # values whose mean is the first guess
# Squared distance of guess and mean, in variances, from which on the guess was bad: the variance is
# what is left of a mean square up to 1 + FAR times as large, with the error of that.
FAR = 2
SMALL = 1e-30  # squares of float32 numbers lose digits a little below this


def rows_forward(x, gamma, beta, eps, y, statistics):
    """Fill y, and `statistics` with the rows mean, var, inv_std, low, for x (N, C)."""
    mean, var, inv_std, low = statistics[0], statistics[1], statistics[2], statistics[3]
    count, channels = x.shape
    head = min(HEAD, count)
    shift = np.empty(channels, x.dtype)
    wide_sum, wide_square = np.zeros(channels), np.zeros(channels)
    block_sum, block_square = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    for i in range(head):
        for j in range(channels):
            wide_sum[j] += x[i, j]
    for j in range(channels):
        shift[j] = wide_sum[j] / head
        wide_sum[j] = 0.0

    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        block_sum[:] = 0
        block_square[:] = 0
        i = start
        while i + 4 <= stop:
            for j in range(channels):
                t0 = x[i, j] - shift[j]
                t1 = x[i + 1, j] - shift[j]
                t2 = x[i + 2, j] - shift[j]
                t3 = x[i + 3, j] - shift[j]
                block_sum[j] += (t0 + t1) + (t2 + t3)
                block_square[j] += (t0 * t0 + t1 * t1) + (t2 * t2 + t3 * t3)
            i += 4
        while i < stop:
            for j in range(channels):
                t0 = x[i, j] - shift[j]
                block_sum[j] += t0
                block_square[j] += t0 * t0
            i += 1
        for j in range(channels):
            wide_sum[j] += block_sum[j]
            wide_square[j] += block_square[j]

    for j in range(channels):  # three short loops: each is vectorized, one long would not be
        rest = wide_sum[j] / count
        var[j] = wide_square[j] / count - rest * rest
        mean[j] = shift[j] + rest
        low[j] = rest - (mean[j] - shift[j])
    for j in range(channels):
        rest = mean[j] - shift[j]
        if not (rest * rest <= FAR * var[j] and SMALL < var[j] + eps < np.inf):
            centre = np.float64(0)
            for i in range(count):
                centre += x[i, j]
            centre /= count
            rest = spread = np.float64(0)
            for start in range(0, count, BLOCK):
                part = np.float64(0)
                for i in range(start, min(start + BLOCK, count)):
                    t = np.float64(x[i, j]) - centre
                    rest += t
                    part += t * t
                spread += part
            rest /= count
            spread = spread / count - rest * rest
            var[j] = 0.0 if spread < 0 else spread  # rounding; NaN stays
            mean[j] = centre + rest
            low[j] = rest - (mean[j] - centre)
    scale, offset = block_sum, block_square  # their memory is free again
    for j in range(channels):
        shift[j] = mean[j]
        inv_std[j] = 1 / math.sqrt(var[j] + eps)
        scale[j] = inv_std[j] * gamma[j]
        offset[j] = beta[j] - (mean[j] - shift[j] + low[j]) * inv_std[j] * gamma[j]
    for i in range(count):
        for j in range(channels):
            y[i, j] = (x[i, j] - shift[j]) * scale[j] + offset[j]


def rows_backward(dy, x, gamma, statistics, dx, gradients):
    """Fill dx, and `gradients` with the rows dgamma, dbeta, for x (N, C)."""
    mean, inv_std, low = statistics[0], statistics[2], statistics[3]
    dgamma, dbeta = gradients[0], gradients[1]
    count, channels = x.shape
    shift = mean.astype(x.dtype)
    wide_sum, wide_product = np.zeros(channels), np.zeros(channels)
    block_sum, block_product = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    slope = np.empty(channels, x.dtype)
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        block_sum[:] = 0
        block_product[:] = 0
        i = start
        while i + 4 <= stop:
            for j in range(channels):
                t0 = dy[i, j] * (x[i, j] - shift[j])
                t1 = dy[i + 1, j] * (x[i + 1, j] - shift[j])
                t2 = dy[i + 2, j] * (x[i + 2, j] - shift[j])
                t3 = dy[i + 3, j] * (x[i + 3, j] - shift[j])
                block_sum[j] += (dy[i, j] + dy[i + 1, j]) + (dy[i + 2, j] + dy[i + 3, j])
                block_product[j] += (t0 + t1) + (t2 + t3)
            i += 4
        while i < stop:
            for j in range(channels):
                block_sum[j] += dy[i, j]
                block_product[j] += dy[i, j] * (x[i, j] - shift[j])
            i += 1
        for j in range(channels):
            wide_sum[j] += block_sum[j]
            wide_product[j] += block_product[j]

    for j in range(channels):
        rest = mean[j] - shift[j] + low[j]
        wide_product[j] = (wide_product[j] - rest * wide_sum[j]) * inv_std[j]
        slope[j] = inv_std[j] * gamma[j]
    average, along = block_sum, block_product  # their memory is free again
    for j in range(channels):
        along[j] = inv_std[j] * wide_product[j] / count
        rest = mean[j] - shift[j] + low[j]
        average[j] = (wide_sum[j] - rest * inv_std[j] * wide_product[j]) / count
    dgamma[:] = wide_product
    dbeta[:] = wide_sum
    for i in range(count):
        for j in range(channels):
            dx[i, j] = (dy[i, j] - average[j] - (x[i, j] - shift[j]) * along[j]) * slope[j]


def rows_affine(x, shift, scale, offset, y):
    """Fill y with (x - shift) scale + offset, channel by channel of x (N, C)."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = (x[i, j] - shift[j]) * scale[j] + offset[j]


def planes_forward(x, gamma, beta, eps, y, statistics):
    """Fill y, and `statistics` with the rows mean, var, inv_std, low, for x (N, C, S)."""
    mean, var, inv_std, low = statistics[0], statistics[1], statistics[2], statistics[3]
    examples, channels, size = x.shape
    count, head = examples * size, min(HEAD, size)
    block_sum, block_square = np.empty(size, x.dtype), np.empty(size, x.dtype)
    wide_sum, wide_square = np.empty(size), np.empty(size)
    for k in range(channels):
        guess = np.float64(0)
        for j in range(head):
            guess += x[0, k, j]
        shift = x.dtype.type(guess / head)
        wide_sum[:] = 0
        wide_square[:] = 0
        for start in range(0, examples, BLOCK):
            stop = min(start + BLOCK, examples)
            block_sum[:] = 0
            block_square[:] = 0
            i = start
            while i + 4 <= stop:
                for j in range(size):
                    t0 = x[i, k, j] - shift
                    t1 = x[i + 1, k, j] - shift
                    t2 = x[i + 2, k, j] - shift
                    t3 = x[i + 3, k, j] - shift
                    block_sum[j] += (t0 + t1) + (t2 + t3)
                    block_square[j] += (t0 * t0 + t1 * t1) + (t2 * t2 + t3 * t3)
                i += 4
            while i < stop:
                for j in range(size):
                    t0 = x[i, k, j] - shift
                    block_sum[j] += t0
                    block_square[j] += t0 * t0
                i += 1
            for j in range(size):
                wide_sum[j] += block_sum[j]
                wide_square[j] += block_square[j]
        width = size
        while width > 1:
            half = (width + 1) // 2
            for j in range(width - half):
                wide_sum[j] += wide_sum[half + j]
                wide_square[j] += wide_square[half + j]
            width = half

        rest = wide_sum[0] / count
        spread = wide_square[0] / count - rest * rest
        centre = shift + rest
        low[k] = rest - (centre - shift)
        if not (rest * rest <= FAR * spread and SMALL < spread + eps < np.inf):
            centre = np.float64(0)
            for i in range(examples):
                for j in range(size):
                    centre += x[i, k, j]
            centre /= count
            rest = spread = part = np.float64(0)
            done = 0
            for i in range(examples):
                for j in range(size):
                    t = np.float64(x[i, k, j]) - centre
                    rest += t
                    part += t * t
                    done += 1
                    if done % BLOCK == 0:
                        spread += part
                        part = np.float64(0)
            spread += part
            rest /= count
            spread = spread / count - rest * rest
            spread = 0.0 if spread < 0 else spread  # rounding; NaN stays
            first = centre
            centre += rest
            low[k] = rest - (centre - first)
        mean[k], var[k], inv_std[k] = centre, spread, 1 / math.sqrt(spread + eps)
        shift = x.dtype.type(centre)
        scale = x.dtype.type(inv_std[k] * gamma[k])
        offset = x.dtype.type(beta[k] - (centre - shift + low[k]) * inv_std[k] * gamma[k])
        for i in range(examples):
            for j in range(size):
                y[i, k, j] = (x[i, k, j] - shift) * scale + offset


def planes_backward(dy, x, gamma, statistics, dx, gradients):
    """Fill dx, and `gradients` with the rows dgamma, dbeta, for x (N, C, S)."""
    mean, inv_std, low = statistics[0], statistics[2], statistics[3]
    dgamma, dbeta = gradients[0], gradients[1]
    examples, channels, size = x.shape
    count = examples * size
    block_sum, block_product = np.empty(size, x.dtype), np.empty(size, x.dtype)
    wide_sum, wide_product = np.empty(size), np.empty(size)
    for k in range(channels):
        shift = x.dtype.type(mean[k])
        wide_sum[:] = 0
        wide_product[:] = 0
        for start in range(0, examples, BLOCK):
            stop = min(start + BLOCK, examples)
            block_sum[:] = 0
            block_product[:] = 0
            i = start
            while i + 4 <= stop:
                for j in range(size):
                    g0, g1 = dy[i, k, j], dy[i + 1, k, j]
                    g2, g3 = dy[i + 2, k, j], dy[i + 3, k, j]
                    t0, t1 = x[i, k, j] - shift, x[i + 1, k, j] - shift
                    t2, t3 = x[i + 2, k, j] - shift, x[i + 3, k, j] - shift
                    block_sum[j] += (g0 + g1) + (g2 + g3)
                    block_product[j] += (g0 * t0 + g1 * t1) + (g2 * t2 + g3 * t3)
                i += 4
            while i < stop:
                for j in range(size):
                    block_sum[j] += dy[i, k, j]
                    block_product[j] += dy[i, k, j] * (x[i, k, j] - shift)
                i += 1
            for j in range(size):
                wide_sum[j] += block_sum[j]
                wide_product[j] += block_product[j]
        width = size
        while width > 1:
            half = (width + 1) // 2
            for j in range(width - half):
                wide_sum[j] += wide_sum[half + j]
                wide_product[j] += wide_product[half + j]
            width = half

        rest = mean[k] - shift + low[k]
        product = (wide_product[0] - rest * wide_sum[0]) * inv_std[k]
        dgamma[k], dbeta[k] = product, wide_sum[0]
        slope = x.dtype.type(inv_std[k] * gamma[k])
        along = x.dtype.type(inv_std[k] * product / count)
        average = x.dtype.type(wide_sum[0] / count - rest * inv_std[k] * product / count)
        for i in range(examples):
            for j in range(size):
                dx[i, k, j] = (dy[i, k, j] - average - (x[i, k, j] - shift) * along) * slope


def planes_affine(x, shift, scale, offset, y):
    """Fill y with (x - shift) scale + offset, channel by channel of x (N, C, S)."""
    for i in range(x.shape[0]):
        for k in range(x.shape[1]):
            for j in range(x.shape[2]):
                y[i, k, j] = (x[i, k, j] - shift[k]) * scale[k] + offset[k]
