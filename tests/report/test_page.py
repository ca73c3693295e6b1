"""The page as text, the Markdown, the notebook's view, and how the command line writes them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from graphopt.cli import main
from graphopt.demo import MODEL
from graphopt.pipeline.report import Report, RolledBack
from graphopt.report.markdown import markdown
from graphopt.report.page import render as rendering
from graphopt.report.page.document import write_report
from tests.report.results import HOSTILE, LATENCY, checked, hostile_model, measured, optimized, profiled

ALLOWED = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "link",
        "style",
        "body",
        "header",
        "a",
        "span",
        "button",
        "main",
        "article",
        "section",
        "h1",
        "h2",
        "h3",
        "h4",
        "p",
        "div",
        "nav",
        "figure",
        "figcaption",
        "ul",
        "li",
        "i",
        "b",
        "label",
        "input",
        "select",
        "option",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "script",
        "svg",
        "g",
        "rect",
        "line",
        "path",
        "polyline",
        "circle",
        "text",
    ]
)


class Reader(HTMLParser):
    """Collect the tags, attributes and scripts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}
        if tag == "script":
            self.scripts.append("")
        if tag == "style":
            self.styles.append("")

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        if self._inside == "style":
            self.styles[-1] += data

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._inside = ""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    report = replace(optimized(hostile_model(), tmp_path_factory.mktemp("hostile")), latency=LATENCY, notes=HOSTILE)
    back = tuple(RolledBack(step, HOSTILE[0], HOSTILE[6]) for step in report.steps[:3])
    return replace(report, rolled_back=back, pipeline=HOSTILE[2], machine=dict.fromkeys(HOSTILE, HOSTILE))


@pytest.fixture(scope="module")
def page(hostile: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(path, [hostile, measured(HOSTILE), profiled(HOSTILE), checked(HOSTILE)], command=HOSTILE[1])
    return path.read_text(encoding="utf-8")


def test_a_page_holds_no_tag_or_handler_of_a_name(page: str) -> None:
    found = Reader(page)
    assert found.tags <= ALLOWED
    assert [name for name, _ in found.attributes if name.startswith("on") or name in {"style", "src", "srcdoc"}] == []
    links = {value for name, value in found.attributes if name in {"href", "action", "xlink:href"}}
    assert {link[:1] for link in links - {"data:,"}} == {"#"}


def test_a_page_shows_no_more_of_a_long_name_than_anyone_reads(page: str) -> None:
    assert "long" * 100 in page.replace("\n", "")
    assert "long" * 501 not in page
    assert not set(page) & set("\u2028\u2029\u202e\u2066\u200b\u200d\r")


def test_only_the_pages_own_script_and_style_may_run(page: str) -> None:
    found = Reader(page)
    policy = next(value for _, value in found.attributes if value.startswith("default-src"))
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for kind, texts in (("script-src", found.scripts[-1:]), ("style-src", found.styles)):
        (text,) = texts
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"


def test_the_data_of_the_list_is_what_happened(page: str, hostile: Report) -> None:
    (text,) = Reader(page).scripts[:-1]
    assert not set(text) & set("<>&\u2028\u2029")
    data = json.loads(text)
    assert [data["rules"][row[1]] for row in data["rows"][3:]][: len(hostile.steps)] == [s.rule for s in hostile.steps]
    assert [row[0] for row in data["rows"][3:]][: len(hostile.steps)] == [step.number for step in hostile.steps]


def test_a_rewrite_that_was_rolled_back_is_loud(page: str) -> None:
    assert page.count('<p class="loud bad">Rolled back: ') == 3
    assert "3 rolled back" in page


def test_markdown_formats_links_and_mentions_nothing(hostile: Report) -> None:
    text = markdown([hostile, measured(HOSTILE), profiled(HOSTILE), checked(HOSTILE)])
    assert re.search(r"@(?!<!-- -->)", text) is None
    assert re.search(r"(?<!\\)<(?!!-- -->|/?details>|/?summary>)", text) is None
    assert "://" not in text
    assert "long" * 100 not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows
    table: list[str] = []
    for line in rows:
        table = [*table, line] if "---" in line or table else [line]
        assert len(re.findall(r"(?<!\\)\|", line)) >= 3, line


def test_markdown_says_the_verdict_first() -> None:
    lines = markdown([measured()]).splitlines()
    assert lines[0] == "### \N{CROSS MARK} Measurement of base.onnx and 3 more"
    assert lines[2].startswith("**fast is 2.00 times as fast as base (95 % interval")


def test_a_notebook_shows_results_without_a_script(hostile: Report) -> None:
    from graphopt.report.notebook import optimized_html

    views = [each(HOSTILE)._repr_html_() for each in (measured, profiled, checked)]
    for text in (optimized_html(hostile), *views):
        found = Reader(text)
        assert found.tags <= ALLOWED - {"script", "a", "button", "input"}
        assert [name for name, _ in found.attributes if name.startswith("on")] == []
        assert {"style", "table"} <= found.tags
    assert all("svg" in Reader(text).tags for text in (optimized_html(hostile), views[0]))
    assert "Conv takes 50% of the time of all kernels" in profiled()._repr_html_()
    assert "It would not run on openvino. It could not be checked for webgpu. It runs on ort-cpu." in (
        checked()._repr_html_()
    )
    assert "fast is 2.00 times as fast as base" in measured()._repr_html_()


def test_the_result_of_optimize_shows_itself(tmp_path: Path) -> None:
    import graphopt

    shown = graphopt.optimize(MODEL, tmp_path / "out.onnx")._repr_html_()
    assert "107 nodes became" in shown


def test_energy_is_told_once_with_its_unit_or_its_reason(tmp_path: Path) -> None:
    page, base = tmp_path / "page.html", measured(("base", "fast"))
    why = "unavailable: this system has no RAPL counters"
    write_report(page, [replace(base, energy=why)])
    assert f"Energy: {why}" in page.read_text()
    entries = tuple(replace(entry, energy_j=0.00125) for entry in base.entries)
    write_report(page, [replace(base, entries=entries, energy="RAPL, 1 packages")])
    text = page.read_text()
    assert text.count("1.25 mJ") == len(entries)
    assert "0.00125" not in text


def run(*argv: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in argv])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_optimize_writes_a_report_beside_its_output(tmp_path: Path) -> None:
    out, page = tmp_path / "out.onnx", tmp_path / "report.html"
    assert run("optimize", MODEL, "-o", out, "--report", page, "-q") == 0
    text = page.read_text()
    assert "nodes around" in text
    assert "values of" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.onnx", "report.html"]


def test_a_missing_extra_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rendering, "find_spec", lambda _: None)
    out = tmp_path / "out.onnx"
    assert run("optimize", MODEL, "-o", out, "--report", tmp_path / "report.html") == 2
    assert "pip install 'graphopt[report]'" in capsys.readouterr().err
    assert run("report", tmp_path / "absent.json", "-o", tmp_path / "report.html") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_is_said_before_any_work(tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    assert run("optimize", MODEL, "-o", out, "--report", tmp_path / "absent" / "report.html") == 5
    assert run("optimize", MODEL, "-o", out, "--report", tmp_path) == 5
    assert not out.exists()


def test_report_shows_files_of_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, three = (tmp_path / f"{name}.json" for name in ("one", "two", "three"))
    one.write_bytes(msgspec.json.encode(measured()))
    two.write_bytes(msgspec.json.encode(profiled()))
    three.write_bytes(msgspec.json.encode(checked()))
    assert run("report", one, two, three, "-o", tmp_path / "all.html") == 0
    assert (tmp_path / "all.html").read_text().count("<article>") == 3
    assert capsys.readouterr().out == f"{tmp_path / 'all.html'}: 3 results\n"
    assert run("report", one, "-o", tmp_path / "one.md", "-q") == 0
    assert capsys.readouterr().out == ""
    assert run("report", one) == 0
    assert capsys.readouterr().out == (tmp_path / "one.md").read_text()
    assert run("report", one, "-o", tmp_path / "one.pdf") == 2
    assert run("report", MODEL, "-o", tmp_path / "model.html") == 3
    assert not (tmp_path / "model.html").exists()


def test_a_comparison_of_two_files_is_refused_with_what_to_give(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "compared.json"
    path.write_text('{"ratios": {}, "alone": [], "unlike": []}')
    assert run("report", path) == 3
    assert "graphopt report OLD.json NEW.json" in capsys.readouterr().err


@pytest.mark.slow
def test_the_demo_writes_a_report_with_its_accuracy(tmp_path: Path) -> None:
    page = tmp_path / "demo.html"
    assert run("demo", "-q", "--report", page) == 0
    text = page.read_text()
    assert "accuracy on 300 samples" in text
    assert "nodes around" in text
    assert list(tmp_path.iterdir()) == [page]


@pytest.mark.slow
def test_what_is_measured_is_shown(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for command in (["bench", MODEL, MODEL], ["compare", MODEL, MODEL]):
        assert run(*command, "--budget", 1, "-q", "--report", page) == 0
        assert "share of rounds" in page.read_text()
    assert run("profile", MODEL, "-q", "--runs", 5, "--report", page) == 0
    assert "time by operator" in page.read_text()
