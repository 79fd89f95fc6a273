"""Frames between two processes of this program: pickled values, each behind its length."""

from __future__ import annotations

import pickle
import struct
from typing import Any

RECEIVE_BYTES = 1 << 20
"""Bytes read at once."""

Reply = tuple[Exception | None, Any]
"""What became of a question: why there is no answer, or the answer."""


class WorkerError(Exception):
    """An error of a worker process that can't be pickled, as its sentence."""


_LENGTH = struct.Struct(">Q")


def encode_frame(value: Any) -> bytes:
    """A value as a frame."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


class FrameDecoder:
    """Cuts what comes over a socket into values."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Takes what has come."""
        self._data += data

    def next(self) -> tuple[Any] | None:
        """The next value, alone in a tuple; None until it is whole."""
        if len(self._data) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._data)
        end = _LENGTH.size + length
        if len(self._data) < end:
            return None
        with memoryview(self._data) as data:
            value = pickle.loads(data[_LENGTH.size : end])
        del self._data[:end]
        return (value,)
