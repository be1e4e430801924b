"""DVC's own view of the pipeline: which stages there are now, in which order `dvc repro` takes them, what is stale."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import networkx as nx
from dvc.exceptions import DvcException
from dvc.repo import Repo

from pipeline.text import nameless
from stages.runtime import UserError

ROOT = "dvc.yaml"


@dataclass(frozen=True)
class Step:
    """A stage as `dvc repro` meets it."""

    name: str  # as DVC addresses it
    upstream: frozenset[str]  # the stages it directly depends on
    stale: bool  # whether something it depends on, or an output, differs from dvc.lock already


def order() -> list[str]:
    """Names of the stages that `dvc repro` reproduces, upstream first; `.dvc` files and needed suppliers included.

    Raises
    ------
    UserError
        If this is no DVC repository, or a dvc.yaml in it is at fault.
    """
    with _opened() as repo:
        return [stage.addressing for stage in nx.dfs_postorder_nodes(_needed(repo))]


def plan() -> list[Step]:
    """The same, with what `dvc status` says of each. Raises as :func:`order` does."""
    with _opened() as repo:
        needed = _needed(repo)
        changed = repo.status()
        return [
            Step(
                stage.addressing,
                frozenset(upstream.addressing for upstream in needed.successors(stage)),
                stage.addressing in changed,
            )
            for stage in nx.dfs_postorder_nodes(needed)
        ]


@contextmanager
def _opened() -> Iterator[Repo]:
    try:
        with Repo() as repo:
            yield repo
    except DvcException as error:
        said = nameless(" ".join(str(error).split()))
        raise UserError(
            f"DVC cannot read the pipeline ({said}): see what 'radrepro check' says, or correct dvc.yaml"
        ) from None
    except OSError as error:  # of a file in a batch, and its text holds the path
        raise UserError(
            f"DVC cannot read a file ({error.strerror or type(error).__name__}): 'dvc status' says which; a batch must "
            "hold what it was added with, links to nowhere excluded"
        ) from None


def _needed(repo: Repo) -> Any:
    """The graph of what the root dvc.yaml needs; an edge leads from a stage to one that it depends on."""
    graph = repo.index.graph
    roots = [stage for stage in graph if stage.path_in_repo == ROOT]
    return graph.subgraph({*roots, *(stage for root in roots for stage in nx.descendants(graph, root))})
