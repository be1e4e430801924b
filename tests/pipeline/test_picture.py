"""The drawing of a chain, against networkx's own view of the same graph."""

from itertools import pairwise

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from pipeline import lineage
from pipeline.lineage import Chain, File, Stage
from pipeline.tracking.picture.layout import FAMILY_LIMIT, HEIGHT, WIDTH, draw
from pipeline.tracking.picture.page import page


def _chain(size: int, reads: set[tuple[int, int]]) -> Chain:
    """Stages s00, s01...; of a pair the larger reads what the smaller wrote."""
    stages = [
        Stage(
            name=f"s{at:02}",
            command=f"run {at}",
            code=(),
            inputs=tuple(File(f"out/{low}", f"m{low}") for low, high in sorted(reads) if high == at),
            outputs=(File(f"out/{at}", f"m{at}", 1000 * at),),
            params={},
        )
        for at in range(size)
    ]
    return lineage.chain(stages)


@st.composite
def _chains(draw_: st.DrawFn) -> tuple[Chain, nx.DiGraph]:
    size = draw_(st.integers(1, 12))
    pairs = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)).map(lambda pair: (min(pair), max(pair)))
    reads = {pair for pair in draw_(st.sets(pairs, max_size=30)) if pair[0] != pair[1]}
    graph = nx.DiGraph([(f"s{low:02}", f"s{high:02}") for low, high in reads])
    graph.add_nodes_from(f"s{at:02}" for at in range(size))
    return _chain(size, reads), graph


@given(_chains())
def test_data_flows_to_the_right_and_no_box_hides_another(made: tuple[Chain, nx.DiGraph]) -> None:
    chain, graph = made
    drawing = draw(chain)
    at = {box.name: box for box in drawing.boxes}
    assert set(at) == set(graph)
    assert {(line.source, line.target) for line in drawing.lines} == set(graph.edges)
    for line in drawing.lines:
        assert at[line.source].x + WIDTH < at[line.target].x
    corners = sorted((box.x, box.y) for box in drawing.boxes)
    for (x, y), (other_x, other_y) in pairwise(corners):
        assert other_x >= x + WIDTH or (other_x == x and other_y >= y + HEIGHT)
    assert all(box.x + WIDTH <= drawing.width and box.y + HEIGHT <= drawing.height for box in drawing.boxes)


@given(_chains())
def test_the_lines_that_are_drawn_at_first_are_the_transitive_reduction(made: tuple[Chain, nx.DiGraph]) -> None:
    chain, graph = made
    drawn = {(line.source, line.target) for line in draw(chain).lines if not line.implied}
    assert drawn == set(nx.transitive_reduction(graph).edges)


def test_a_hundred_batches_share_a_box_with_every_stage_in_it() -> None:
    count = 100
    ingest = [
        Stage(f"ingest@b{at}", "i", (), (File("raw", "r"),), (File(f"index/{at}", f"i{at}"),), {})
        for at in range(count)
    ]
    split = Stage("split", "s", (), tuple(File(f"index/{at}", f"i{at}") for at in range(count)), (File("c", "c"),), {})
    few = [Stage(f"few@{at}", "f", (), (), (File(f"few/{at}", f"f{at}"),), {}) for at in range(FAMILY_LIMIT)]
    drawing = draw(lineage.chain([*ingest, split, *few]))
    by_name = {box.name: box for box in drawing.boxes}
    assert len(by_name["ingest x 100"].stages) == count
    assert len(by_name) == 2 + FAMILY_LIMIT
    assert [(line.source, line.target) for line in drawing.lines] == [("ingest x 100", "split")]


def test_what_a_name_holds_is_text_and_no_markup() -> None:
    stage = Stage("<script>alert(1)</script>", "run", (), (), (File("a&b", "m"),), {})
    written = page(lineage.chain([stage]), stage.name)
    assert "<script>alert" not in written
    assert "a&amp;b" in written
