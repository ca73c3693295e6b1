"""Read pipelines and whole runs from TOML files."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from graphopt.errors import PipelineError, nearest
from graphopt.pipeline.options import Options

__all__ = ["RunFile", "pipeline_text", "read_run"]


@dataclass(frozen=True)
class RunFile:
    """A run: models (paths or globs, relative to the file), where results go, and the options.

    `output` is a pattern with `{stem}` and `{folder}` of each model.
    """

    models: tuple[str, ...] = ()
    output: str = "{folder}/{stem}.opt.onnx"
    options: Options = field(default_factory=Options)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except OSError as error:
        raise PipelineError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PipelineError(f"{str(path)!r} is not TOML: {error}") from error
    if path.name == "pyproject.toml":
        data = data.get("tool", {}).get("graphopt", {})
    return data


def pipeline_text(given: str) -> str:
    """Return pipeline text: `given` itself, or the `pipeline` entry of the TOML file that it names.

    Raises `PipelineError` if the file cannot be read or has no such entry.
    """
    if not given.endswith(".toml"):
        return given
    text = _read(Path(given)).get("pipeline")
    if not isinstance(text, str):
        raise PipelineError(f"{given!r} has no pipeline", advice='write: pipeline = "canonicalize, fold-constants"')
    return text


def read_run(path: Path) -> RunFile:
    """Read a run from a TOML file with `models`, `output`, `pipeline` and a table `options`.

    Raises `PipelineError` for entries that are unknown or of the wrong type.
    """
    data = _read(path)
    known = {"models", "output", "pipeline", "options"}
    _refuse_unknown(path, data, known)
    options = dict(data.get("options", {}))
    types = {entry.name: entry for entry in fields(Options)}
    options = {key.replace("-", "_"): value for key, value in options.items()}
    _refuse_unknown(path, options, set(types))
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    for key, value in options.items():
        default = getattr(Options(), key)
        if default is not None and not isinstance(value, type(default)):
            raise PipelineError(f"{str(path)!r}: {key} = {value!r}: expected {type(default).__name__}")
    if "pipeline" in data:
        options["pipeline"] = data["pipeline"]
    return RunFile(tuple(data.get("models", ())), data.get("output", RunFile.output), Options(**options))


def _refuse_unknown(path: Path, data: dict[str, Any], known: set[str]) -> None:
    for key in data:
        if key not in known:
            advice = nearest(key, known) or f"known: {', '.join(sorted(known))}"
            raise PipelineError(f"{str(path)!r} has an unknown entry {key!r}", advice=advice)
