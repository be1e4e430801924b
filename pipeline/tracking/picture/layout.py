"""Where the boxes of a chain stand: in columns, as data flows, with few crossings.

The layered drawing of Sugiyama et al. 1981 (doi:10.1109/TSMC.1981.4308636) in its simplest form: a stage's column is
its longest way from a source, and a column's order follows the mean position of what its stages read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pipeline.lineage import Chain, Join, Stage

FAMILY_LIMIT = 8
"""More stages of one kind than this (a hundred batches) share one box."""

WIDTH, HEIGHT = 182, 40
"""Of a box, in pixels."""
_ACROSS, _DOWN, _MARGIN = 222, 58, 16


@dataclass(frozen=True)
class Box:
    """One box: a stage, or all stages of a kind. ``x`` and ``y`` are its upper left corner, in pixels."""

    name: str
    stages: tuple[Stage, ...]
    x: int
    y: int


@dataclass(frozen=True)
class Line:
    """What a box read from another; ``join`` is the weakest of the links that it stands for."""

    source: str
    target: str
    join: Join
    implied: bool
    """Whether other lines lead from the one to the other too: such a line is drawn for a chosen box only."""


@dataclass(frozen=True)
class Drawing:
    """Boxes, lines and the size of it all, in pixels."""

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    width: int
    height: int


_WEAKEST_FIRST = (Join.BROKEN, Join.BY_PATH, Join.SOURCE, Join.ASSEMBLED, Join.EXACT)


def draw(chain: Chain) -> Drawing:
    """Place the stages of ``chain``."""
    box_of = _boxes(chain.stages)
    members: dict[str, list[Stage]] = {}
    for stage in chain.stages:  # as data flows, so every list is in that order
        members.setdefault(box_of[stage.name], []).append(stage)
    joins: dict[tuple[str, str], Join] = {}
    for link in chain.links:
        for producer in link.producers:
            ends = (box_of[producer], box_of[link.stage])
            if ends[0] == ends[1]:
                continue  # within a box of many
            joins[ends] = min(joins.get(ends, Join.EXACT), link.join, key=_WEAKEST_FIRST.index)
    columns = _columns(list(members), joins)
    boxes = []
    for at, names in enumerate(columns):
        for row, name in enumerate(names):
            boxes.append(Box(name, tuple(members[name]), _MARGIN + at * _ACROSS, _MARGIN + row * _DOWN))
    reached = _reached(list(members), joins)
    lines = tuple(
        Line(*ends, join, any(ends[0] in reached[source] for source, target in joins if target == ends[1]))
        for ends, join in sorted(joins.items())
    )
    tallest = max((len(names) for names in columns), default=0)
    width = 2 * _MARGIN + max(len(columns) - 1, 0) * _ACROSS + WIDTH
    return Drawing(tuple(boxes), lines, width, 2 * _MARGIN + tallest * _DOWN)


def _boxes(stages: Sequence[Stage]) -> dict[str, str]:
    """The box of each stage, by the stage's name."""
    sizes: dict[str, int] = {}
    for stage in stages:
        sizes[_family(stage)] = sizes.get(_family(stage), 0) + 1
    many = {family for family, size in sizes.items() if size > FAMILY_LIMIT}
    return {
        stage.name: f"{_family(stage)} x {sizes[_family(stage)]}" if _family(stage) in many else stage.label
        for stage in stages
    }


def _family(stage: Stage) -> str:
    """``ingest`` of ``ingest@site-a``; a folder's of the ``.dvc`` files in it."""
    label = stage.label
    return label.rpartition("/")[0] if label.endswith(".dvc") else label.partition("@")[0]


def _reached(names: Sequence[str], joins: Mapping[tuple[str, str], Join]) -> dict[str, set[str]]:
    """Of each box, all that it rests on."""
    found: dict[str, set[str]] = {name: set() for name in names}
    for name in names:  # what it reads comes before it
        for source, target in joins:
            if target == name:
                found[name] |= {source} | found[source]
    return found


def _columns(names: Sequence[str], joins: Mapping[tuple[str, str], Join]) -> list[list[str]]:
    reads: dict[str, list[str]] = {name: [] for name in names}
    for source, target in joins:
        reads[target].append(source)
    rank: dict[str, int] = {}
    for name in names:  # what it reads comes before it; of a box of many, what its first stage reads
        rank[name] = 1 + max((rank.get(source, -1) for source in reads[name]), default=-1)
    columns: list[list[str]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for name in names:
        columns[rank[name]].append(name)
    height: dict[str, float] = {}
    for column in columns:
        column.sort(key=lambda name: fmean([height[source] for source in reads[name] if source in height] or [0.0]))
        height |= {name: row - (len(column) - 1) / 2 for row, name in enumerate(column)}
    return columns
