"""Measuring many seeds at a time, each in a process of its own that never outlives this one.

They compute as `bnlib.experiments.arithmetic` says, whatever the processor has.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from bnlib.experiments import arithmetic
from bnlib.experiments.experiment import Experiment, measure_seed


class Task(NamedTuple):
    """One seed of one experiment."""

    experiment: Experiment
    seed: int
    data: str


class Outcome(NamedTuple):
    """What came of a task: values, or a sentence that says why there are none."""

    task: Task
    values: dict | None
    complaint: str


def outcomes(tasks, jobs):
    """Measure all tasks, `jobs` at a time.

    Parameters
    ----------
    tasks : sequence of Task
    jobs : int
        How many processes.

    Yields
    ------
    Outcome
        In the order in which they end. A task that fails, or whose process dies, does not keep the
        others from being measured.
    """
    # spawn: a fork would copy threads' locks, and what this process happens to have in memory.
    context = multiprocessing.get_context("spawn")
    waiting, idle = deque(tasks), list[Connection]()
    working: dict[Connection, Task] = {}
    processes: dict[Connection, BaseProcess] = {}
    try:
        while waiting or working:
            while waiting and len(working) < jobs:
                if not idle:
                    with _interrupts_wait(), arithmetic.for_new_processes():
                        here, there = context.Pipe()
                        processes[here] = context.Process(target=_work, args=[there], daemon=True)
                        processes[here].start()
                        there.close()  # else the end of the process would not show here
                        idle.append(here)
                connection, task = idle.pop(), waiting.popleft()
                working[connection] = task
                with contextlib.suppress(BrokenPipeError):  # it died; recv will tell
                    experiment = task.experiment
                    connection.send((experiment.measure, task.seed, task.data, experiment.arms))
            for connection in [one for one in wait(list(working)) if isinstance(one, Connection)]:
                task = working.pop(connection)
                try:
                    values, complaint = connection.recv()
                    idle.append(connection)
                except (EOFError, OSError):
                    processes[connection].join()
                    code = processes.pop(connection).exitcode
                    values, complaint = None, f"its process ended with exit code {code}"
                yield Outcome(task, values, complaint)
    finally:
        for process in processes.values():
            process.kill()  # it holds nothing that could be lost
        for process in processes.values():
            process.join()


@contextlib.contextmanager
def _interrupts_wait():
    """Hold Ctrl-C back for a moment: a process that starts inherits that it does not listen to it.

    The terminal sends Ctrl-C to all processes; only the first is to answer.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it would unblock the signal itself
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection):
    """Measure what comes through the connection, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task: Any = connection.recv()
            answer = measure_seed(*task), ""
        except EOFError:
            return
        except Exception as error:
            answer = None, f"{type(error).__name__}: {' '.join(str(error).split())}"
        connection.send(answer)


def _end_with_parent():
    """End at once when the process that asks for the measurements is gone, however it went."""
    parent: Any = multiprocessing.parent_process()
    wait([parent.sentinel])
    os._exit(1)
