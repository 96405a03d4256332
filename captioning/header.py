"""The header of a safetensors file: metadata, and the tensors' types, shapes and places, none of it believed."""

import json
import math
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from captioning.errors import shown

# Bytes of names, shapes and metadata: many times what a model needs, and little even when it is taken apart.
MAX_HEADER = 4 * 2**20
MAX_DIMENSIONS = 8
METADATA = "__metadata__"
# Of a tensor's types those that a checkpoint may have.
TYPES = {
    name: np.dtype(kind)
    for name, kind in {
        "F16": "<f2",
        "F32": "<f4",
        "I64": "<i8",
        "I32": "<i4",
        "I8": "i1",
        "U8": "u1",
        "BOOL": "?",
    }.items()
}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in the file: its type there (a name of TYPES), its shape, and its first byte."""

    type: str
    shape: tuple[int, ...]
    start: int

    @property
    def count(self) -> int:
        return math.prod(self.shape)


def read_header(file: BinaryIO, file_size: int) -> tuple[dict, dict[str, StoredTensor]]:
    """The metadata, and the tensors by their names.

    Args:
        file: at its beginning.
        file_size: bytes of the whole file.

    Raises:
        ValueError: it is not a header, or does not agree with itself or with the file's size; the message is a clause.
        AttributeError, LookupError, RecursionError, TypeError: it is JSON of another shape.
    """
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise ValueError(f"its header claims {length:,} bytes")
    header = json.loads(file.read(length).decode(), object_pairs_hook=_named_once)
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict):
        raise ValueError("its metadata is not a dictionary")
    tensors = {name: _stored_tensor(name, entry, 8 + length, file_size) for name, entry in header.items()}
    places = sorted((tensor.start, tensor.count * TYPES[tensor.type].itemsize) for tensor in tensors.values())
    end = 8 + length
    for start, size in places:
        if start != end:
            raise ValueError("its tensors overlap, or leave gaps")
        end += size
    if end != file_size:
        raise ValueError(f"it has {file_size:,} bytes and its header says {end:,}")
    return metadata, tensors


def _named_once(pairs: list[tuple[str, object]]) -> dict:
    named = dict(pairs)
    if len(named) < len(pairs):
        raise ValueError("its header names something twice")
    return named


def _stored_tensor(name: str, entry: dict, first: int, size: int) -> StoredTensor:
    kind, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if kind not in TYPES:
        raise ValueError(f"{shown(name)} is stored as {shown(kind)}")
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"{shown(name)} has {len(shape):,} dimensions")
    if not all(type(number) is int and 0 <= number <= size for number in (*shape, start, end)):
        raise ValueError(f"{shown(name)} has an invalid shape or place")
    tensor = StoredTensor(kind, shape, first + start)
    if end - start != tensor.count * TYPES[kind].itemsize:
        raise ValueError(f"{shown(name)} has another size than its shape")
    return tensor
