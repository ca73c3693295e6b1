"""Pipelines as text: what is read prints back, and nonsense is refused with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphopt.errors import PipelineError
from graphopt.pipeline.presets import PRESETS
from graphopt.pipeline.text import Fixpoint, Item, PipelineTree, parse_pipeline, print_pipeline

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True).filter(lambda name: name != "fixpoint")
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"'), min_size=1)
ITEMS = st.builds(Item, NAMES, st.lists(st.tuples(NAMES, VALUES), max_size=2).map(tuple))


def _trees() -> st.SearchStrategy[PipelineTree]:
    return st.recursive(
        st.lists(ITEMS, min_size=1, max_size=3).map(tuple),
        lambda inner: st.lists(st.one_of(ITEMS, st.builds(Fixpoint, inner)), min_size=1, max_size=3).map(tuple),
        max_leaves=6,
    )


@given(_trees())
def test_what_is_printed_reads_back(tree: PipelineTree) -> None:
    assert parse_pipeline(print_pipeline(tree)) == tree


@pytest.mark.parametrize("name", PRESETS)
def test_presets_print_as_they_are_written(name: str) -> None:
    assert print_pipeline(parse_pipeline(PRESETS[name])) == PRESETS[name]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a, (b)", "(b)"),
        ("fixpoint", "its end"),
        ("fixpoint(a", "its end"),
        ("a{", "its end"),
        ("a{b", "b"),
        ("a{b=1", "its end"),
        ("a{b=1,", "its end"),
        ("a{b}", "b}"),
        ("a b", "b"),
        ("a{b=1} ; c", " ; c"),
        ("a)", ")"),
    ],
)
def test_nonsense_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(PipelineError) as caught:
        parse_pipeline(text)
    assert (place if place == "its end" else repr(place)) in str(caught.value)
    assert "character" in str(caught.value)


def test_an_empty_pipeline_is_empty() -> None:
    assert parse_pipeline("") == ()
