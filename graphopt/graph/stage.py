"""Write a model beside its place, so that it can be tried there and put in place in one step.

Everything is written into a hidden folder within the output's folder: the model under its own name and, where it has
one, its data file under its final name. The two can be run there. `commit` moves the data, then the model; `discard`
removes the folder. Nobody else sees a half-written file, and several processes may write the same output.
"""

from __future__ import annotations

import filecmp
import os
import re
import secrets
import shutil
import stat
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from graphopt.errors import GraphOptError, OutputError
from graphopt.graph.data_file import DataFile, needs_data_file, source_folders
from graphopt.graph.escape import clean, quote
from graphopt.graph.save import serialize, to_proto

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import onnx

    from graphopt.graph.external import DataFolder
    from graphopt.graph.model import Model

__all__ = ["Staged", "stage"]

_FOLDERS_OPEN = hasattr(os, "O_DIRECTORY")
Sign = Callable[[bytes], tuple[str, str]]

_DIGITS = 16
_MAX_OLD_BYTES = 1 << 28
"""Larger old models are not searched for the data files that they refer to; those then stay."""


@dataclass
class Staged:
    """A model written but not yet in place. Use it as a context manager, which discards what was not committed.

    `model_path` is the model as it can be run now, `target` where `commit` puts it. `data_name` names its data file.
    """

    model_path: Path
    target: Path
    data_name: str | None = None
    sources: list[DataFolder] = field(default_factory=list)
    done: bool = False

    def __post_init__(self) -> None:
        """Have the folder removed at the latest when nobody holds this any more, wherever Ctrl-C strikes."""
        self._end = weakref.finalize(self, _remove, self.model_path.parent, os.getpid())

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Discard what was not committed."""
        self.discard()

    def commit(self) -> None:
        """Put data and model in place, durably; then delete the data files that only the old model used.

        Raises `OutputError`; the old file is intact then.
        """
        if self.done:
            raise OutputError("already committed or discarded", where=quote(self.target))
        try:
            self._finish_files()
            with _exclusive(self.target.parent):
                old = _own_data_of(self.target)
                self._replace()
                self._delete(old)
        except OSError as error:
            raise _unwritable(self.target, error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was staged; nothing happens if it was committed."""
        self.done = True
        _remove(self.model_path.parent, os.getpid())
        self._end.detach()

    def _data_path(self) -> Path | None:
        return self.model_path.parent / self.data_name if self.data_name else None

    def _finish_files(self) -> None:
        mode = stat.S_IMODE(self.target.stat().st_mode) if self.target.exists() else None
        for path in (self._data_path(), self.model_path):
            if path is None:
                continue
            if mode is not None:
                path.chmod(mode)
            with path.open("rb+" if os.name == "nt" or path.stat().st_mode & stat.S_IWUSR else "rb") as file:
                os.fsync(file.fileno())

    def _replace(self) -> None:
        data, folder = self._data_path(), self.target.parent
        placed = None
        if data is not None and not _same_file(data, folder / data.name):
            self._refuse_source(folder / data.name)
            placed = None if (folder / data.name).exists() else folder / data.name
            data.replace(folder / data.name)
            _sync_folder(folder)
        try:
            self.model_path.replace(self.target)
        except BaseException:
            if placed is not None and self.model_path.exists():
                placed.unlink(missing_ok=True)
            raise
        _sync_folder(folder)

    def _refuse_source(self, path: Path) -> None:
        if any(source.holds(path) for source in self.sources):
            raise OutputError("the data file would overwrite data of the input", where=quote(path))

    def _delete(self, old: set[str]) -> None:
        for name in sorted(old - {self.data_name}):
            path = self.target.parent / name
            # The model is in place; what cannot be deleted stays, as does what cannot be kept for the model in memory.
            with suppress(OSError, GraphOptError):
                for source in self.sources:
                    source.keep_file(path)
                path.unlink()


def stage(model: Model, path: str | os.PathLike[str], sign: Sign | None = None) -> Staged:
    """Write `model` completely into a hidden folder beside `path`, ready to be tried and committed.

    Tensors go to a data file named by its content, `NAME.<16 hex>.data`, if the model came with external data or is
    too large for one file. A link at `path` is followed and its target replaced, unless a data file is needed, which
    would not be found through the link. The mode of an existing file is kept.

    `sign` is given the serialized model and returns a metadata entry, key and value, that is written with it.

    Raises `OutputError`; nothing is left behind then. `model` is left unchanged.
    """
    target, with_data = _target(Path(path)), needs_data_file(model)
    if with_data and Path(path).is_symlink():
        advice = f"write to {quote(target)} itself"
        what = "the output is a link, and the model needs a data file beside it"
        raise OutputError(what, where=quote(path), advice=advice)
    # Named before it is there, so that it never stands without an owner; short, as some names have 255 bytes.
    folder = target.parent / f".{target.name[:40]}.{secrets.token_hex(8)}.tmp"
    staged = Staged(folder / target.name, target, sources=source_folders(model))
    try:
        folder.mkdir(mode=0o700)
        if with_data:
            _write_with_data(model, staged, sign)
        else:
            _write(staged.model_path, to_proto(model), sign)
    except BaseException as error:
        staged.discard()
        if isinstance(error, OSError):
            raise _unwritable(target, error) from error
        raise
    return staged


def _remove(folder: Path, owner: int) -> None:
    """Remove what was staged, unless this is a fork of the process that did it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _write(path: Path, proto: onnx.ModelProto, sign: Sign | None) -> None:
    with path.open("xb", buffering=0) as file:
        for part in _signed(proto, sign):
            rest = memoryview(part)
            while rest:
                rest = rest[file.write(rest) or 0 :]


def _signed(proto: onnx.ModelProto, sign: Sign | None) -> list[bytes]:
    """Serialize a model and its manifest, in parts so that large models are not copied once more."""
    content = serialize(proto)
    if sign is None:
        return [content]
    tail = type(proto)()
    entry = tail.metadata_props.add()
    entry.key, entry.value = sign(content)
    later = any(each.key > entry.key for each in proto.metadata_props)
    if later or proto.functions or proto.configuration:
        # Metadata stands in the order of its keys, as on every later save, and before fields of higher numbers.
        proto.MergeFrom(tail)
        proto.metadata_props.sort(key=lambda each: each.key)
        return [serialize(proto)]
    return [content, serialize(tail)]


def _write_with_data(model: Model, staged: Staged, sign: Sign | None) -> None:
    folder = staged.model_path.parent
    draft = folder / "data"
    with draft.open("xb", buffering=0) as file:
        data = DataFile(file)
        data.add_tensors(model)
    staged.data_name = f"{staged.target.name}.{data.digest()[:_DIGITS]}.data"
    draft.rename(folder / staged.data_name)
    with data.standing_in(model, staged.data_name):
        proto = to_proto(model)
    _write(staged.model_path, proto, sign)


def _target(path: Path) -> Path:
    try:
        target = Path(os.path.realpath(path))
        if target.is_symlink():
            raise OutputError("the output is a link that leads nowhere", where=quote(path), advice="name a file")
        if target.exists() and not target.is_file():
            kind = "a folder" if target.is_dir() else "no regular file"
            raise OutputError(f"the output is {kind}", where=quote(path), advice="name a file")
        if not target.parent.is_dir():
            advice = "create the folder first"
            raise OutputError("the output's folder does not exist", where=quote(target.parent), advice=advice)
        if target.exists() and not os.access(target, os.W_OK):
            advice = "allow writing, or choose another name"
            raise OutputError("the output exists and is read-only", where=quote(path), advice=advice)
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error
    return target


def _unwritable(path: Path, error: Exception) -> OutputError:
    reason = clean((getattr(error, "strerror", None) or str(error)).lower())
    return OutputError(
        f"cannot write the output: {reason}", where=quote(path), advice="the old file, if any, is intact"
    )


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Let one process at a time commit into `folder`, where the system can."""
    if not _FOLDERS_OPEN or fcntl is None:
        yield
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot lock
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _sync_folder(folder: Path) -> None:
    if not _FOLDERS_OPEN:
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems cannot sync a folder; the rename is done
            os.fsync(fd)
    finally:
        os.close(fd)


def _same_file(path: Path, other: Path) -> bool:
    if other.is_symlink() or not other.is_file() or other.stat().st_nlink > 1:
        return False
    return filecmp.cmp(path, other, shallow=False)


def _own_data_of(target: Path) -> set[str]:
    """List the data files, named as `stage` names them, to which the model at `target` refers."""
    pattern = re.compile(re.escape(target.name) + rf"\.[0-9a-f]{{{_DIGITS}}}\.data")
    found = {entry.name for entry in os.scandir(target.parent) if pattern.fullmatch(entry.name)}
    if not found or not target.exists() or target.stat().st_size > _MAX_OLD_BYTES:
        return set()
    content = target.read_bytes()
    return {name for name in found if os.fsencode(name) in content}
