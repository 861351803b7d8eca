"""Several processes that begin at the same moment, and the end of some of them at another."""

import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

PATIENCE = 120  # seconds for which a process is waited for


def at_once(*jobs: Callable[[], object], killed: Mapping[int, float] | None = None) -> list[int]:
    """Run each job in a process of its own; their exit codes, 0 where a job ended well.

    killed: numbers of jobs, and after how many seconds each is killed; its code is then -9
    """
    context = multiprocessing.get_context("fork")  # what is imported is not imported again
    start = context.Barrier(len(jobs) + 1)

    def begun(job: Callable[[], object]) -> None:
        start.wait()
        job()

    processes = [context.Process(target=begun, args=(job,)) for job in jobs]
    with forking():
        for process in processes:
            process.start()
    start.wait()
    began = time.monotonic()
    for number, after in sorted((killed or {}).items(), key=lambda one: one[1]):
        processes[number].join(max(0.0, began + after - time.monotonic()))
        processes[number].kill()
    for process in processes:
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
            return [os.EX_TEMPFAIL] * len(jobs)
    return [int(process.exitcode or 0) for process in processes]


@contextmanager
def forking() -> Generator[None]:
    """A block that may fork: Python warns where there are threads, and PyTorch's are harmless."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
