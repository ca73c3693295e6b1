"""Run the project's checks: `nox` for what CI runs, `nox -s full` for everything, `nox -s NAME` for one."""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.2"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_venv = "yes"


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, spelling and the import contract."""
    session.install("-e", ".[lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run(
        "codespell",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "docs",
        "graphopt",
        "passes",
        "benchmarks",
        "examples",
    )
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Check types over engine, library, tests and benchmarks."""
    session.install("-e", ".[dev]")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests that are not slow."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Write the catalogue of passes and the reference of the command line anew; a test compares them."""
    session.install("-e", ".")
    session.run("python", "docs/generate.py")


@nox.session
def full(session: nox.Session) -> None:
    """Run all tests, the slow ones and those on downloaded models too."""
    session.install("-e", ".[test]")
    session.run("pytest", "-m", "slow or not slow", *session.posargs, env={"GRAPHOPT_ZOO": "1"})


@nox.session
def check(session: nox.Session) -> None:
    """Ask the real OpenVINO and the parser and builder of TensorRT-RTX; neither needs a GPU."""
    session.install("-e", ".[test,openvino,tensorrt-check]")
    session.run("pytest", "tests/measure/test_check.py", "-m", "slow or not slow", *session.posargs)


def _install_with(session: nox.Session, runtime: str) -> None:
    """Install the project with another build of onnxruntime in place of the plain one; all have the same files."""
    session.install("-e", ".[test]")
    session.run("pip", "uninstall", "-q", "-y", "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", silent=True)
    session.install(runtime)


@nox.session
@nox.parametrize(
    "runtime",
    [nox.param("onnxruntime-gpu==1.31.1", id="gpu"), nox.param("onnxruntime-openvino==1.24.1", id="openvino")],
)
def providers(session: nox.Session, runtime: str) -> None:
    """Ask other builds of onnxruntime for what cannot run; neither needs a GPU."""
    _install_with(session, runtime)
    session.run("pytest", "tests/runtime/test_providers.py", *session.posargs)


@nox.session
def gpu(session: nox.Session) -> None:
    """Measure on an NVIDIA GPU; TensorRT's own libraries must be there."""
    _install_with(session, "onnxruntime-gpu[cuda,cudnn]>=1.31")
    session.run("pytest", "tests/gpu", *session.posargs, env={"GRAPHOPT_GPU": "1"})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what has a bound on time, and the suite: the figures of README; `-- --quick` for five models of it."""
    session.install("-e", ".", "-r", "benchmarks/requirements.txt")
    session.run("python", "benchmarks/start_up.py")
    session.run("python", "benchmarks/run.py", *session.posargs)
    if not session.posargs:
        session.run("python", "benchmarks/table.py", "--print")
        session.run("python", "benchmarks/reproduce.py")


@nox.session
def exporters(session: nox.Session) -> None:
    """Compare what graphopt makes of the same modules from several exporters; `-- --time` times the results too."""
    session.install("-e", ".", "-r", "benchmarks/requirements.txt")
    session.run("python", "benchmarks/exporters/compare.py", *session.posargs)


@nox.session
def patterns(session: nox.Session) -> None:
    """Measure what the rules make of known patterns, as PyTorch exports them, and write the table of it."""
    session.install("-e", ".", "-r", "benchmarks/requirements.txt")
    session.run("python", "benchmarks/patterns/run.py", *(session.posargs or ["--write"]))


@nox.session
def targets(session: nox.Session) -> None:
    """Try the zoo on OpenVINO and TensorRT, before and after, and write the table of it."""
    session.install("-e", ".[openvino,tensorrt-check]", "-r", "benchmarks/requirements.txt")
    session.run("python", "benchmarks/targets/run.py", *(session.posargs or ["--write"]))


@nox.session(name="bench-table")
def bench_table(session: nox.Session) -> None:
    """Write README's table and the plots from the newest result file."""
    session.install("-e", ".", "-r", "benchmarks/requirements.txt")
    session.run("python", "benchmarks/table.py", *session.posargs)
