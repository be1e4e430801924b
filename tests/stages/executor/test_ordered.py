"""Chunks of work in supervised processes: order, crashes, hangs, memory, resuming; and the same on a Dask cluster."""

import json
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from distributed import LocalCluster

from stages import runtime
from stages.executor import code, supervisor
from stages.executor.limits import Limits
from stages.executor.ordered import ordered
from stages.executor.work import Chunk, Home, Work
from stages.reasons import Reason
from stages.runtime import UserError

MIB = 2**20


@dataclass(frozen=True)
class Each:
    """Doubles numbers, notes each call in ``log``, and does something else to the items that ``odd`` names."""

    log: Path
    odd: dict[int, str]

    def __call__(self, item: int) -> int:
        with self.log.open("a") as file:
            file.write(f"{item}\n")
        match self.odd.get(item):
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "kill once" if not (once := self.log.with_name("once")).exists():
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                signal.pause()
            case "fill":
                return int(np.ones((2 * 1024, MIB), np.uint8).sum())
            case "mistake":
                raise UserError("that was wrong: do the right thing")
            case "defect":
                raise KeyError("DOE^JANE")
            case "print":
                os.write(1, b"DOE^JANE")
                os.write(2, b"DOE^JANE")
            case "slow":
                time.sleep(0.2)
        return 2 * item

    def lost(self, item: int, reason: Reason) -> str:
        return f"{item} {reason.name}"

    @property
    def calls(self) -> list[int]:
        return [int(line) for line in self.log.read_text().split()] if self.log.exists() else []


def save(path: Path, results: Iterable[object]) -> None:
    path.write_text("\n".join(map(json.dumps, results)))


def load(path: Path) -> Iterator[object]:
    yield from map(json.loads, path.read_text().split("\n"))


def stamp(item: int) -> int:
    return item


@pytest.fixture
def each(workspace: Path) -> Each:
    return Each(workspace / "log", {})


def work(each: Each, **changes) -> Work:
    made = Work(each, each.lost, save, load, stamp, "", Limits(seconds=2, memory_mib=1024))
    return replace(made, **changes)


@pytest.mark.parametrize(("count", "chunk"), [(1, 3), (2, 7), (5, 1)])
def test_results_come_in_order_whatever_the_number_of_processes(
    each: Each, count: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADREPRO_WORKERS", str(count))

    assert list(ordered("x", work(each), range(40), chunk)) == [2 * item for item in range(40)]
    assert sorted(each.calls) == list(range(40))


def test_nothing_to_do(each: Each) -> None:
    assert list(ordered("x", work(each), [], 3)) == []


@pytest.mark.parametrize(
    ("odd", "reason"), [("kill", "DECODER_CRASHED"), ("hang", "DECODE_TIMEOUT"), ("fill", "TOO_LARGE")]
)
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_an_item_that_ends_its_process_costs_no_other(each: Each, odd: str, reason: str, chunk: int) -> None:
    each.odd.update({7: odd})
    limits = Limits(seconds=0.5 if odd == "hang" else 30, memory_mib=1024)

    results = list(ordered("x", work(each, limits=limits), range(12), chunk))

    assert results == [f"7 {reason}" if item == 7 else 2 * item for item in range(12)]


def test_two_items_of_a_chunk_can_end_their_process(each: Each) -> None:
    each.odd.update({1: "kill", 3: "kill"})

    assert list(ordered("x", work(each), range(5), 5)) == [0, "1 DECODER_CRASHED", 4, "3 DECODER_CRASHED", 8]


def test_an_item_is_not_blamed_for_what_the_machine_did_once(each: Each) -> None:
    each.odd.update({7: "kill once"})

    assert list(ordered("x", work(each), range(12), 4)) == [2 * item for item in range(12)]
    assert each.calls.count(7) == 2


def test_what_libraries_print_is_not_seen(each: Each, capfd: pytest.CaptureFixture[str]) -> None:
    each.odd.update({1: "print"})

    assert list(ordered("x", work(each), range(2), 2)) == [0, 2]
    assert "DOE" not in "".join(capfd.readouterr())


def test_a_mistake_of_the_user_ends_the_run_with_its_own_words(each: Each) -> None:
    each.odd.update({5: "mistake"})

    with pytest.raises(UserError, match="that was wrong: do the right thing"):
        list(ordered("x", work(each), range(12), 4))


def test_a_defect_ends_the_run_and_says_where_but_not_of_whom(each: Each) -> None:
    each.odd.update({5: "defect"})

    with pytest.raises(supervisor.DefectError, match=r"KeyError in .*test_ordered.py, line \d+") as caught:
        list(ordered("x", work(each), range(12), 4))
    assert "DOE" not in str(caught.value)


def test_no_process_is_left(each: Each) -> None:
    list(ordered("x", work(each), range(4), 2))
    abandoned = ordered("y", work(each, limits=None), range(400), 2)
    next(abandoned)
    assert [child for child in psutil.Process().children() if "stages.executor.child" in child.cmdline()]
    abandoned.close()

    children = [child.cmdline() for child in psutil.Process().children()]
    assert not [command for command in children if "stages.executor.child" in command]


def test_a_run_that_ended_early_goes_on_from_its_finished_chunks(each: Each) -> None:
    each.odd.update({9: "mistake"})
    with pytest.raises(UserError):
        list(ordered("x", work(each), range(12), 3))
    before = set(each.calls)
    each.odd.clear()
    each.log.unlink()

    assert list(ordered("x", work(each), range(12), 3)) == [2 * item for item in range(12)]
    assert before >= set(range(3))
    assert not set(each.calls) & set(range(3))
    assert list(runtime.work("x").iterdir())  # until the stage has written what it makes of them
    runtime.forget("x")
    assert not runtime.work("x").exists()


@pytest.mark.parametrize("change", [{"parameters": "other"}, {"stamp": str}, {"limits": Limits(seconds=9)}])
def test_finished_chunks_of_other_inputs_are_not_taken_up(each: Each, change: dict[str, object]) -> None:
    each.odd.update({9: "mistake"})
    with pytest.raises(UserError):
        list(ordered("x", work(each), range(12), 3))
    each.odd.clear()
    each.log.unlink()

    assert list(ordered("x", work(each, **change), range(12), 3)) == [2 * item for item in range(12)]
    assert sorted(each.calls) == list(range(12))


def test_a_process_that_runs_other_code_is_refused(workspace: Path, each: Each) -> None:
    home = Home(workspace, code.SOURCE, "of another checkout")

    with pytest.raises(UserError, match="runs other code"):
        supervisor.run(Chunk(work(each), [1], workspace / "result", home))


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as started:
        yield started


@pytest.mark.slow
def test_a_cluster_gives_the_same_results(cluster: LocalCluster, each: Each, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADREPRO_DASK", cluster.scheduler_address)
    each.odd.update({7: "kill", 9: "fill", 11: "kill once"})

    results = list(ordered("x", work(each), range(30), 4))

    assert results == [{7: "7 DECODER_CRASHED", 9: "9 TOO_LARGE"}.get(item, 2 * item) for item in range(30)]


@pytest.mark.slow
def test_a_worker_of_the_cluster_that_dies_half_way_costs_nothing(
    cluster: LocalCluster, each: Each, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADREPRO_DASK", cluster.scheduler_address)
    each.odd.update(dict.fromkeys(range(60), "slow"))

    results = ordered("x", work(each), range(60), 4)
    first = [next(results) for _ in range(4)]
    victim = next(iter(cluster.workers.values())).process.process.pid
    os.kill(victim, signal.SIGKILL)

    assert first + list(results) == [2 * item for item in range(60)]


@pytest.mark.slow
def test_a_mistake_on_the_cluster_comes_back_in_its_own_words(
    cluster: LocalCluster, each: Each, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADREPRO_DASK", cluster.scheduler_address)
    each.odd.update({5: "mistake"})

    with pytest.raises(UserError, match="that was wrong"):
        list(ordered("x", work(each), range(12), 4))


@pytest.mark.slow
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tls://127.0.0.1:1", "nowhere"])
def test_a_cluster_that_is_not_there_is_told(address: str, each: Each, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.executor.places._CONNECT_SECONDS", 1)
    monkeypatch.setenv("RADREPRO_DASK", address)

    with pytest.raises(UserError, match="no Dask scheduler answers at RADREPRO_DASK"):
        list(ordered("x", work(each), range(12), 4))


LEAKED = []


class Leaky:
    """Loses 700 MiB over each item that is odd, as native decoders do over damaged files."""

    def __call__(self, item: int) -> int:
        if item % 2:
            LEAKED.append(np.empty((700, MIB), np.uint8))
        return os.getpid()

    def lost(self, _: int, reason: Reason) -> str:
        return reason.name


def test_what_one_file_leaks_is_not_held_against_the_next(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADREPRO_WORKERS", "1")
    leaky = Leaky()
    wanted = Work(leaky, leaky.lost, save, load, stamp, "", Limits(seconds=30, memory_mib=1024))
    processes = list(ordered("leaky", wanted, range(12), 6))
    assert "TOO_LARGE" not in processes, "700 MiB each, three to a chunk"
    assert len(set(processes[:6])) == len(set(processes[6:])) == 1
    assert processes[0] != processes[6], "and the process goes before it has taken all there is"
