"""Open pages in a real browser: they ask for nothing, complain of nothing, and run nothing but themselves.

Needs Chromium, node 20 and `npm ci --ignore-scripts` in tests/browser; where GRAPHOPT_BROWSER is set, that is a must.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graphopt.demo import MODEL
from graphopt.kinds import Exactness
from graphopt.report.page.document import write_report
from graphopt.report.results import Found
from graphopt.rewrite.steps import Step
from tests.report.results import HOSTILE, LATENCY, checked, hostile_model, measured, optimized, profiled

FOLDER = Path(__file__).parents[1] / "browser"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "microsoft-edge")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), "")
NODE = shutil.which("node") or ""
READY = bool(BROWSER and NODE and (FOLDER / "node_modules" / "playwright-core").is_dir())
MUST = bool(os.environ.get("GRAPHOPT_BROWSER"))
MOST_BYTES = 6_000_000
MOST_SECONDS = 2.0
PAGES = ("digits", "hostile", "bench", "hostile-bench", "profile", "hostile-profile", "large", "all")

Look = dict[str, Any]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a page of each kind of result."""
    folder = tmp_path_factory.mktemp("pages")
    digits = replace(optimized(MODEL, folder, "digits"), latency=LATENCY)
    hostile = replace(optimized(hostile_model(), folder, "<img src=x onerror=alert(4)>"), latency=LATENCY)
    kinds = list(Exactness)
    steps = tuple(Step(n, f"rule-{n % 40}", f"layer/{n}/node", kinds[n % len(kinds)]) for n in range(1, 30_000))
    results: dict[str, list[Found]] = {
        "digits": [digits],
        "hostile": [replace(hostile, notes=HOSTILE, pipeline=HOSTILE[0], machine={name: name for name in HOSTILE})],
        "bench": [measured()],
        "hostile-bench": [measured(HOSTILE)],
        "profile": [profiled()],
        "hostile-profile": [profiled(HOSTILE)],
        "large": [replace(digits, steps=steps)],
        "all": [digits, measured(), profiled(), checked(HOSTILE)],
    }
    assert set(results) == set(PAGES)
    for name, found in results.items():
        write_report(folder / f"{name}.html", found, command=f"graphopt {HOSTILE[0]}")
    return folder


@pytest.fixture(scope="module")
def looks(pages: Path) -> dict[str, Look]:
    """Return what a browser sees on each page."""
    if not READY and not MUST:
        pytest.skip("needs chromium, node, and `npm ci --ignore-scripts` in tests/browser")
    command = [NODE, str(FOLDER / "look.mjs"), BROWSER, os.environ.get("GRAPHOPT_PICTURES", "")]
    files = [str(pages / f"{name}.html") for name in PAGES]
    done = subprocess.run([*command, *files], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(PAGES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing_and_complains_of_nothing(looks: dict[str, Look], name: str) -> None:
    look = looks[name]
    assert look["messages"] == []
    assert [url.rpartition("/")[2] for url in look["requests"]] == [f"{name}.html"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_small_and_opens_at_once(looks: dict[str, Look], pages: Path, name: str) -> None:
    assert (pages / f"{name}.html").stat().st_size < MOST_BYTES
    assert looks[name]["seconds"] < MOST_SECONDS


@pytest.mark.parametrize("name", PAGES)
def test_all_charts_are_drawn(looks: dict[str, Look], name: str) -> None:
    for drawn in (looks[name]["pictures"], looks[name]["phone"]["pictures"]):
        assert drawn
        assert [each for each in drawn if not each["marks"] or each["broken"] or each["width"] < 100] == []


def test_every_kind_of_chart_is_there(looks: dict[str, Look]) -> None:
    labels = " ".join(each["label"] for look in looks.values() for each in look["pictures"])
    for kind in (
        "latency ratios",
        "share of rounds",
        "nodes by provider",
        "quality against latency",
        "operators by nodes",
        "values of",
        "time of the passes",
        "time by operator",
        "nodes around",
    ):
        assert kind in labels, kind


@pytest.mark.parametrize("name", PAGES)
def test_names_execute_nothing(looks: dict[str, Look], name: str) -> None:
    assert looks[name]["executed"] == ["undefined", 0]
    assert looks[name]["dialogs"] == 0


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_light_or_dark_as_wished(looks: dict[str, Look], name: str) -> None:
    look = looks[name]
    assert look["light"] != look["dark"]
    assert look["toggled"] == look["dark"]
    assert look["print"] == "rgb(255, 255, 255)"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_wide_as_its_screen(looks: dict[str, Look], name: str) -> None:
    assert looks[name]["overflow"] <= 0
    assert looks[name]["phone"]["overflow"] <= 0


def test_thousands_of_rewrites_are_found_at_once(looks: dict[str, Look]) -> None:
    listing = looks["large"]["listing"]
    assert listing["rows"] == 25
    assert listing["where"] == "1 to 25 of 20000"
    assert listing["next"] == "26 to 50 of 20000"
    assert listing["nothing"] == "none"
    assert listing["again"] == "1 to 25 of 20000"
    assert listing["rules"] == ["rule-1"]
    assert listing["seconds"] < 1


def test_a_rewrite_shows_the_graph_around_it(looks: dict[str, Look]) -> None:
    listing = looks["digits"]["listing"]
    assert listing["shown"] == 1
    assert listing["chosen"].startswith(f"{listing['clicked']}: ")
    assert listing["drawn"] == listing["index"]


def test_tabs_follow_the_arrow_keys(looks: dict[str, Look]) -> None:
    assert looks["digits"]["keyboard"] == {"before": "By nodes", "after": ["By multiply-accumulates", "true"]}


def test_a_mark_says_what_it_is(looks: dict[str, Look]) -> None:
    assert looks["bench"]["tip"].startswith("noise: the base against itself, 0.990 to 1.010")
