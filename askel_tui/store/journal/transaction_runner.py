"""Methods of the journal that run a function inside a transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from askel_tui.store.journal.transaction import Transaction

P = ParamSpec("P")
T = TypeVar("T")

_Work = Callable[Concatenate[Transaction, P], T]
_Method = Callable[Concatenate["TransactionRunner", P], Coroutine[Any, Any, T]]


ONLY_READS = "only_reads"
"""The attribute of methods that only read."""


class TransactionRunner(ABC):
    """A runner of functions inside transactions; an engine implements it."""

    @abstractmethod
    def _read(self, work: Callable[..., T], /, *arguments: Any) -> Awaitable[T]:
        """Runs a function with a reading transaction and the arguments."""

    @abstractmethod
    def _write(self, work: Callable[..., T], /, *arguments: Any) -> Awaitable[T]:
        """Runs a function with a writing transaction and the arguments; returns its result once it is durable.

        The function belongs to a module, and what it takes and gives can be pickled.
        """


def reads(work: _Work[P, T]) -> _Method[P, T]:
    """Makes a method that runs a function inside a reading transaction."""

    async def method(self: TransactionRunner, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._read(partial(work, **kwargs) if kwargs else work, *args)

    method.__doc__ = work.__doc__
    setattr(method, ONLY_READS, True)
    return method


def writes(work: _Work[P, T]) -> _Method[P, T]:
    """Makes a method that runs a function inside a writing transaction, and returns once that is durable."""

    async def method(self: TransactionRunner, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._write(partial(work, **kwargs) if kwargs else work, *args)

    method.__doc__ = work.__doc__
    return method
