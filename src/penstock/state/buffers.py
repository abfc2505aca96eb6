"""The bytes of text, binary and 16-byte columns, where Polars keeps them, without a copy.

Polars hands out its columns by the Arrow C data interface, whose text is one 16-byte **view** a row:
length and first four bytes, then either the rest (up to 12 bytes in all, padded with zeros) or the
number of a buffer and an offset in it. https://arrow.apache.org/docs/format/CDataInterface.html
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.state.arrays import Ids

Words = npt.NDArray[np.uint64]

INLINE = 12
"""Bytes of a value that lie in its view."""

_VIEW_FORMATS = (b"vu", b"vz")
_WIDE_FORMATS = (b"d:", b"_pli128", b"_plu128")
_PAIR_BYTES = 16
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_NO_BUFFERS = np.zeros(1, np.int64)


class _Schema(ctypes.Structure):
    _fields_ = [
        ("format", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("metadata", ctypes.c_void_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("private", ctypes.c_void_p),
    ]


class _Array(ctypes.Structure):
    _fields_ = [
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("private", ctypes.c_void_p),
    ]


_GET = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class _Stream(ctypes.Structure):
    _fields_ = [
        ("get_schema", _GET),
        ("get_next", _GET),
        ("get_last_error", ctypes.c_void_p),
        ("release", ctypes.c_void_p),  # called by the capsule when it is let go
        ("private", ctypes.c_void_p),
    ]


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


class _Memory:
    """``size`` items from ``address`` on, one beginning each ``step`` bytes, as NumPy takes memory."""

    def __init__(self, address: int, size: int, step: int, item: str) -> None:
        self.__array_interface__ = {
            "data": (address, True),
            "shape": (size,),
            "strides": (step,),
            "typestr": item,
            "version": 3,
        }


@dataclass(frozen=True, slots=True)
class Views:
    """The values of one chunk; valid only while the loop over ``views_of`` is at it.

    ``first`` holds length and first four bytes; ``second`` bytes 4 to 12 of short values, of others
    the number of a buffer and the offset in it. The lowest buffer begins at ``base``, the others
    ``begins`` after it, and all end within ``span`` bytes.
    """

    first: Words
    second: Words
    begins: Ids
    base: int
    span: int

    def part(self, rows: slice) -> Views:
        """Return some of the rows."""
        return Views(self.first[rows], self.second[rows], self.begins, self.base, self.span)

    def lengths(self) -> Ids:
        """Return the bytes of each value."""
        return self.first.astype(np.uint32).astype(np.int64)

    def places(self) -> Ids:
        """Return where the values that are longer than ``INLINE`` lie, counted from ``base``."""
        offsets = (self.second >> _HALF).view(np.int64)
        if len(self.begins) > 1:
            buffers = (self.second & _LOW).view(np.int64)
            offsets += self.begins.take(buffers, mode="clip")  # of short ones it is no number
        return offsets

    def words(self, places: Ids, count: int) -> Words:
        """Return ``count`` words of 8 bytes from each place on, as rows of a matrix.

        All buffers are read as one stretch of memory, of which only what lies in them is touched.
        """
        memory = np.asarray(_Memory(self.base, self.span, 1, f"|V{8 * count}"))
        return memory[places].view(np.uint64).reshape(len(places), count)


def views_of(series: pl.Series) -> Iterator[Views]:
    """Yield the values of each chunk of a text or binary column; null ones are empty."""
    for array, rows in _chunks(series, _VIEW_FORMATS):
        pairs = _pairs(array, rows)
        yield Views(pairs[:, 0], pairs[:, 1], *_data(array))


def pairs_of(series: pl.Series) -> Words:
    """Return the two words of each value of a column 16 bytes wide; zeros where it is null."""
    parts = [_pairs(array, rows).copy() for array, rows in _chunks(series, _WIDE_FORMATS)]
    return np.concatenate(parts) if parts else np.empty((0, 2), np.uint64)


def _chunks(
    series: pl.Series, formats: tuple[bytes, ...]
) -> Iterator[tuple[Any, pl.Series | None]]:
    """Yield each chunk, lent until the next step of the loop, and as a column too if it has nulls."""
    capsule = series.__arrow_c_stream__()
    stream = _Stream.from_address(_pointer(capsule, b"arrow_array_stream"))
    schema, array = _Schema(), _Array()
    _check(stream.get_schema(ctypes.addressof(stream), ctypes.addressof(schema)))
    known = schema.format.startswith(formats)
    schema.release(ctypes.addressof(schema))
    if not known:
        raise AssertionError(f"Polars hands out {series.dtype} in a form that is not known")
    begin = 0
    while True:
        _check(stream.get_next(ctypes.addressof(stream), ctypes.addressof(array)))
        if not array.release:
            return
        try:
            if array.length:
                yield array, series[begin : begin + array.length] if array.null_count else None
            begin += array.length
        finally:
            array.release(ctypes.addressof(array))


def _check(code: int) -> None:
    if code:
        raise AssertionError(f"Polars cannot hand out a column: error {code}")


def _pairs(array: Any, with_nulls: pl.Series | None) -> Words:
    address = array.buffers[1] + _PAIR_BYTES * array.offset
    pairs = np.asarray(_Memory(address, 2 * array.length, 8, "<u8")).reshape(-1, 2)
    if with_nulls is not None:  # what lies under a null is anything
        pairs = np.where(with_nulls.is_not_null().to_numpy()[:, None], pairs, np.uint64(0))
    return pairs


def _data(array: Any) -> tuple[Ids, int, int]:
    """Return where the data buffers of an array begin, the lowest of these, and the bytes to the end."""
    count = array.n_buffers - 3  # validity and views before them, their sizes after them
    if count == 1:
        return _NO_BUFFERS, array.buffers[2] or 0, _sizes(array, 1)[0]
    if count < 1:
        return _NO_BUFFERS, 0, 0
    begins = [array.buffers[2 + i] or 0 for i in range(count)]
    used = [(begin, size) for begin, size in zip(begins, _sizes(array, count), strict=True) if size]
    base = min((begin for begin, _ in used), default=0)
    end = max((begin + size for begin, size in used), default=0)
    return np.array(begins, np.int64) - base, base, end - base


def _sizes(array: Any, count: int) -> list[int]:
    address = array.buffers[array.n_buffers - 1]
    return [int(size) for size in np.asarray(_Memory(address, count, 8, "<i8"))]
