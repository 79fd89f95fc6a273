"""Errors of a worker process."""


class WorkerError(Exception):
    """An error in a worker process that can't be pickled, as its sentence."""


class WorkerEnded(WorkerError):
    """The worker process ended before it answered."""

    def __init__(self) -> None:
        super().__init__("the worker process ended before it answered")
