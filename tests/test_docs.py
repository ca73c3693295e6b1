"""Hold what is checked in of the generated documents to the program."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

from graphopt.cli.app import app
from graphopt.pipeline.registry import installed

ROOT = Path(__file__).parents[1]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_documents_are_up_to_date() -> None:
    stale = [
        path.name
        for path, text in generator().documents().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run `nox -s docs`"


def test_every_name_is_in_a_document() -> None:
    catalogue, reference = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("passes.md", "cli.md"))
    registry = installed()
    ours = {name for name, origin in registry.origin.items() if origin == "graphopt"}
    assert ours <= set(re.findall(r"^### (\S+)$", catalogue, flags=re.MULTILINE))
    assert set(app.commands) <= set(re.findall(r"^## (\S+)$", reference, flags=re.MULTILINE))
    options = {name for command in app.commands.values() for param in command.params for name in param.opts}
    assert {name for name in options if name.startswith("--") and f"{name}" not in reference} == set()


def test_exit_codes_are_those_of_the_errors() -> None:
    codes = {int(code) for code, *_ in generator().EXIT_CODES}
    errors = importlib.import_module("graphopt.errors")
    raised = {error.exit_code for name in errors.__all__ if hasattr(error := getattr(errors, name), "exit_code")}
    assert raised | {0, 1, 130} == codes
    assert set(map(int, re.findall(r"(\d+) [a-z]", (app.help or "").partition("Exit codes:")[2]))) == codes
