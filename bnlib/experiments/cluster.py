"""Measuring seeds on a Dask cluster, through joblib's backend: as `processes`, on other machines.

A worker measures only if it has what this process has, the same code, data and versions, and
computes as `bnlib.experiments.arithmetic` says: so the bytes of a file of results are those that
this process would have written alone.
"""

import concurrent.futures
import contextlib
import logging
from functools import cache

from bnlib.experiments import arithmetic
from bnlib.experiments.experiment import ExperimentError, measure_seed
from bnlib.experiments.processes import Outcome
from bnlib.experiments.records import origin

SECONDS = 10  # for the scheduler to answer, and for a first worker to come
WORDS = {"source": "code", "data_hash": "data"}


def outcomes(tasks, address):
    """Measure all tasks on a cluster.

    A worker that dies loses nothing: what it was measuring is given to another.

    Parameters
    ----------
    tasks : sequence of Task
    address : str
        Of the scheduler, for instance "tcp://host:8786".

    Yields
    ------
    Outcome
        In the order in which they end. A task that fails, or that ends every worker it is given to,
        does not keep the others from being measured.

    Raises
    ------
    ExperimentError
        If Dask is not installed, the scheduler does not answer or goes away, or has no worker.
    """
    if not tasks:
        return
    try:
        import joblib
        from distributed import Client
        from distributed.comm import CommClosedError, resolve_address
    except ImportError as error:
        raise ExperimentError(
            f"run: --dask needs Dask (pip install 'bnlib[dask]'), got: {error}"
        ) from error
    calls = [joblib.delayed(_measure)(number, *_told(task)) for number, task in enumerate(tasks)]
    with _one_sentence(address):
        resolve_address(address)  # a client that is given nonsense takes long to give up
        client = Client(address, timeout=SECONDS, set_as_default=False)
        with _unheard(CommClosedError), client, joblib.parallel_config(_backend(client)):
            work = joblib.Parallel(
                return_as="generator_unordered", batch_size=1, pre_dispatch="all"
            )
            for number, values, complaint in work(calls):
                yield Outcome(tasks[number], values, complaint)


def _told(task):
    """What a worker must know of a task."""
    experiment = task.experiment
    own = _origin(experiment.measure, task.data)
    return experiment.measure, task.seed, task.data, experiment.arms, own


@cache  # a worker that lives on has the code that it once imported, whatever the files say now
def _origin(measure, data):
    return origin(measure, data)


def _measure(number, measure, seed, data, arms, wanted):
    """Measure one seed, on a worker."""
    try:
        own = _origin(measure, data)
        other = [WORDS.get(name, name) for name in wanted if own[name] != wanted[name]]
        if arithmetic.missing():
            return (
                number,
                None,
                f"its worker must be started by {arithmetic.COMMAND} -m dask worker",
            )
        if other:
            words = ", ".join(other)
            return number, None, f"its worker has other {words} than this process: start it anew"
        return number, measure_seed(measure, seed, data, arms), ""
    except Exception as error:
        return number, None, f"{type(error).__name__}: {' '.join(str(error).split())}"


def _backend(client):
    """joblib's backend for Dask, mended in two places (joblib 1.6).

    It measured here instead of there if the cluster had a single worker, and waited for ever for a
    task that had ended its workers.
    """
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        def effective_n_jobs(self, n_jobs):
            return max(2, super().effective_n_jobs(n_jobs))

        def submit(self, func, callback=None):
            ((_, (number, *_), _),) = func.items

            def ended(future):
                if error := future.exception():
                    callback([(number, None, f"no worker survived it ({type(error).__name__})")])

            future = super().submit(func, callback)
            future.add_done_callback(ended)
            return future

    return Backend(client=client, wait_for_workers_timeout=SECONDS)


@contextlib.contextmanager
def _unheard(error):
    """Keep from the console what futures under way say of the connection that is closed on them."""
    logger = logging.getLogger("tornado.application")

    def news(record):
        return not (record.exc_info and isinstance(record.exc_info[1], error))

    logger.addFilter(news)
    try:
        yield
    finally:
        logger.removeFilter(news)


@contextlib.contextmanager
def _one_sentence(address):
    """Tell in one sentence that there is no cluster, or none any more."""
    try:
        yield
    except (OSError, ValueError, concurrent.futures.CancelledError) as error:
        told = " ".join(str(error).split())
        raise ExperimentError(
            f"run: --dask needs a scheduler that answers and has workers, got {address} ({told})"
        ) from error
