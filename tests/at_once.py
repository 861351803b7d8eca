"""Several processes that begin at the same moment."""

import multiprocessing
import os
from collections.abc import Callable, Sequence


def at_once(*jobs: Callable[[], object]) -> list[int]:
    """Run each job in a process of its own; their exit codes, 0 where a job ended well."""
    context = multiprocessing.get_context("fork")  # what is imported is not imported again
    start = context.Barrier(len(jobs))

    def begun(job: Callable[[], object]) -> None:
        start.wait()
        job()

    processes = [context.Process(target=begun, args=(job,)) for job in jobs]
    return ended(processes)


def ended(processes: Sequence[multiprocessing.Process]) -> list[int]:
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [os.EX_TEMPFAIL if one.exitcode is None else one.exitcode for one in processes]
