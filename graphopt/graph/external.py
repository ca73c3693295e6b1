"""Open external data: the only place that opens a file because a model names it."""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import IO, Any, cast

import numpy as np

from graphopt.errors import ModelError
from graphopt.graph._onnx_ir import ir
from graphopt.graph.escape import quote

__all__ = ["CHUNK", "DataFolder", "ExternalData", "open_regular"]

Array = np.ndarray[Any, Any]

CHUNK = 1 << 22
"""Bytes copied at a time."""

_MAPS = 64
"""Files kept mapped at a time; a mapping holds a file descriptor, and some models have thousands of files."""

_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_STEPWISE = bool(_NOFOLLOW) and os.open in os.supports_dir_fd
_COPY = "copy the model and its data into one folder, as plain files"


@dataclass(frozen=True)
class _Identity:
    device: int
    inode: int
    size: int
    modified_ns: int


def open_regular(path: str | Path, *, dir_fd: int | None = None, flags: int = 0) -> int:
    """Open a file for reading and return its descriptor; never waits for a FIFO or device.

    Raises `OSError`, with EINVAL if `path` is no regular file.
    """
    fd = os.open(path, _READ | flags, dir_fd=dir_fd)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "not a regular file")


class DataFolder:
    """The folder of a model, from which its external data may come and nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: dict[str, _Identity] = {}
        self._maps: OrderedDict[str, mmap.mmap] = OrderedDict()
        self._kept: dict[str, mmap.mmap] = {}

    def check(self, location: str) -> int:
        """Check that `location` may be read; return its size in bytes.

        Raises `ModelError` for a path out of the folder, a link out of it or a hard link, and for what is no file.
        """
        if location not in self._seen:
            os.close(self.open(location))
        return self._seen[location].size

    def open(self, location: str) -> int:
        """Open `location` for reading and return the descriptor, which the caller closes.

        Raises `ModelError` as `check` does, and if the file changed since it was first seen.
        """
        parts = _parts(location)
        try:
            fd = self._walk(parts)
        except OSError as error:
            raise _refused(location, _reason(error), self.path) from error
        try:
            self._admit(location, os.fstat(fd))
        except ModelError:
            os.close(fd)
            raise
        return fd

    def _walk(self, parts: list[str]) -> int:
        if not _STEPWISE:
            return open_regular(_resolved(self.path, parts))
        try:
            return _open_below(self.path, parts)
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENOTDIR, errno.EMLINK}:
                raise
        # A link that stays inside is harmless: walk to where it leads, this time without any link.
        inside = _resolved(self.path, parts).relative_to(self.path.resolve())
        return _open_below(self.path.resolve(), list(inside.parts))

    def _admit(self, location: str, status: os.stat_result) -> None:
        if status.st_nlink > 1:
            raise _refused(location, "it has more than one hard link", self.path)
        now = _Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if self._seen.setdefault(location, now) != now:
            msg = f"external data {quote(location)} changed since the model was loaded"
            raise ModelError(msg, where=f"in folder {quote(self.path)}", advice="load the model again")

    def map(self, location: str) -> mmap.mmap:
        """Map the whole file into memory, read-only; it must not be empty."""
        held = self._kept.get(location) or self._maps.get(location)
        if held is not None:
            if location in self._maps:
                self._maps.move_to_end(location)
            return held
        fd = self.open(location)
        try:
            held = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise _refused(location, _reason(error), self.path) from error
        finally:
            os.close(fd)
        self._maps[location] = held
        if len(self._maps) > _MAPS:
            # Arrays made from it keep it alive; it is closed with the last of them.
            self._maps.popitem(last=False)
        return held

    def keep(self, location: str) -> None:
        """Keep the content of `location` readable even if the file is deleted."""
        if self.check(location):
            self._kept[location] = self.map(location)

    def holds(self, path: Path) -> bool:
        """Tell whether a tensor of the model lies in the file at `path`."""
        return self._location(path) is not None

    def keep_file(self, path: Path) -> None:
        """Keep the content of the file at `path` readable, if a tensor of the model lies in it."""
        location = self._location(path)
        if location is not None:
            self.keep(location)

    def _location(self, path: Path) -> str | None:
        if not path.exists():
            return None
        for location in self._seen:
            mine = self.path / location
            if mine.exists() and mine.samefile(path):
                return location
        return None

    def chunks(self, location: str, offset: int, length: int) -> Iterator[memoryview]:
        """Yield `length` bytes from `offset` on, at most `CHUNK` at a time, in one reused buffer."""
        if location in self._kept:
            view = memoryview(self._kept[location])
            yield from (view[at : min(at + CHUNK, offset + length)] for at in range(offset, offset + length, CHUNK))
            return
        buffer = memoryview(bytearray(min(CHUNK, length)))
        with os.fdopen(self.open(location), "rb", buffering=0) as file:
            file.seek(offset)
            while length > 0:
                count = file.readinto(buffer[: min(CHUNK, length)])
                if not count:
                    raise _refused(location, "it is shorter than the model says", self.path)
                yield buffer[:count]
                length -= count


def _parts(location: str) -> list[str]:
    if not location or "\0" in location:
        raise _refused(location, "the path is empty or has a NUL byte")
    windows = PureWindowsPath(location)
    rooted = location.startswith("/") or (os.name == "nt" and (windows.drive or windows.root))
    if rooted:
        raise _refused(location, "the path is absolute")
    text = location.replace("\\", "/") if os.name == "nt" else location
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if not parts or ".." in parts:
        raise _refused(location, "the path leads out of the model's folder")
    return parts


def _open_below(folder: Path, parts: list[str]) -> int:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = inner
        return open_regular(parts[-1], dir_fd=fd, flags=_NOFOLLOW)
    finally:
        os.close(fd)


def _resolved(folder: Path, parts: list[str]) -> Path:
    # Not Path.resolve, which raises RuntimeError for a link to itself.
    real = Path(os.path.realpath(folder.joinpath(*parts), strict=True))
    if not real.is_relative_to(folder.resolve()):
        raise OSError(errno.ELOOP, "a link leads out of the model's folder")
    return real


def _reason(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a link leads out of the model's folder"
    return (error.strerror or "it cannot be opened").lower()


def _refused(location: str, reason: str, folder: Path | None = None) -> ModelError:
    where = f"in folder {quote(folder)}" if folder else ""
    return ModelError(f"external data {quote(location)} refused: {reason}", where=where, advice=_COPY)


class ExternalData(ir.ExternalTensor):
    """A tensor whose bytes lie in a file beside the model, read when asked for and never kept."""

    __slots__ = ("folder",)

    def __init__(self, tensor: ir.ExternalTensor, folder: DataFolder) -> None:
        super().__init__(
            tensor.location,
            tensor.offset,
            tensor.length,
            tensor.dtype,
            shape=tensor.shape,
            name=tensor.name,
            doc_string=tensor.doc_string,
            metadata_props=dict(tensor.metadata_props) or None,
            base_dir=folder.path,
        )
        self.folder = folder

    @property
    def place(self) -> str:
        """The path of the file relative to the folder."""
        return str(self.location)

    def _load(self) -> None:
        """Do nothing: the bytes are mapped on each reading."""

    def _view(self) -> memoryview:
        start = self.offset or 0
        return memoryview(self.folder.map(self.place))[start : start + self.nbytes]

    def numpy(self) -> Array:
        """Return the tensor as a read-only array; it is mapped, not read, except for types below one byte."""
        shape = tuple(cast("int", dim) for dim in self.shape)
        dtype = self.dtype.numpy()
        if self.size == 0:
            return np.empty(shape, dtype)
        if self.dtype.bitwidth % 8:
            packed = np.frombuffer(self._view(), np.uint8)
            return cast("Array", ir.PackedTensor(packed, self.dtype, shape=shape).numpy())
        return np.frombuffer(self._view(), np.dtype(dtype).newbyteorder("<")).reshape(shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return the array for numpy."""
        array = self.numpy()
        return array.astype(dtype) if dtype is not None and dtype != array.dtype else array

    def tobytes(self) -> bytes:
        """Return the bytes as the model stores them."""
        return bytes(self._view()) if self.size else b""

    def tofile(self, file: IO[bytes]) -> None:
        """Copy the bytes to `file` without holding more than `CHUNK` of them."""
        if self.size:
            for chunk in self.folder.chunks(self.place, self.offset or 0, self.nbytes):
                file.write(chunk)

    def release(self) -> None:
        """Do nothing: mappings belong to the folder and are shared."""
