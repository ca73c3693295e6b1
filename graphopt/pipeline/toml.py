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
    """A run: models (paths or globs), where results go, and the options; paths are relative to the file.

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

    Raises `PipelineError` for entries that are unknown or of the wrong type, and `UsageError` for unknown values.
    """
    import msgspec

    data = _read(path)
    known = {"models", "output", "pipeline", "options"}
    _refuse_unknown(path, data, known)
    options = data.get("options", {})
    if not isinstance(options, dict):
        raise PipelineError(f"{str(path)!r}: options = {options!r}: expected a table")
    options = {key.replace("-", "_"): _placed(path, key, value) for key, value in options.items()}
    _refuse_unknown(path, options, {entry.name for entry in fields(Options)})
    if "pipeline" in data:
        options["pipeline"] = data["pipeline"]
    models = data.get("models", [])
    run = {**data, "models": [models] if isinstance(models, str) else models, "options": options}
    run.pop("pipeline", None)
    try:
        found = msgspec.convert(run, RunFile)
        found.output.format(stem="", folder="")
    except msgspec.ValidationError as error:
        raise PipelineError(f"{str(path)!r}: {str(error)[:1].lower()}{str(error)[1:]}") from error
    except (LookupError, ValueError) as error:
        advice = 'write for example: output = "results/{stem}.onnx"; {folder} is known as well'
        raise PipelineError(f"{str(path)!r}: output = {data['output']!r} cannot be filled in", advice=advice) from error
    return found


def _placed(path: Path, key: str, value: object) -> object:
    """Take a path among the options as relative to the file, as models are."""
    if key in {"task", "snapshots"} and isinstance(value, str) and value:
        return str(path.parent / value)
    if key in {"custom-ops", "custom_ops"} and isinstance(value, list):
        return [str(path.parent / item) for item in value if isinstance(item, str)]
    return value


def _refuse_unknown(path: Path, data: dict[str, Any], known: set[str]) -> None:
    for key in data:
        if key not in known:
            advice = nearest(key, known) or f"known: {', '.join(sorted(known))}"
            raise PipelineError(f"{str(path)!r} has an unknown entry {key!r}", advice=advice)
