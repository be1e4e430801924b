from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import labels
from stages.artifacts.cohort import Task
from stages.labels import Labels
from stages.pseudonyms import Pseudonyms
from stages.runtime import UserError

KEY = Pseudonyms(b"k" * 32)
CANARY = "Zebedee-4711"
"""In every identifier of a table that is refused: no message may hold it."""


def read(
    text: str | bytes,
    task: Task = Task.BINARY,
    classes: tuple[str, ...] = ("normal", "sick"),
    key: str = "SOPInstanceUID",
    batches: tuple[str, ...] = ("first",),
) -> Labels:
    path = Path("labels.csv")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return labels.read(path, key, task, classes, batches, KEY)


def refused(*args: object, **given: object) -> str:
    """What the user is told: one line, about nobody."""
    with pytest.raises(UserError) as raised:
        read(*args, **given)  # type: ignore[arg-type]
    said = str(raised.value)
    assert "\n" not in said
    assert "Zebedee" not in said
    assert said.startswith("labels.csv"), "the message says which file"
    return said


def images(level: str, *identifiers: str) -> pd.DataFrame:
    """What the index knows of images with these identifiers."""
    return pd.DataFrame({level: [KEY.of(level, identifier) for identifier in identifiers]})


def test_a_binary_label_is_one_of_two_columns(workspace: Path) -> None:
    table = read("SOPInstanceUID,label\n1,sick\n2,normal\n3,\n")

    assert table.level == "instance"
    found = table.of(images("instance", "2", "1", "3", "1", "9"))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:2], [[1, 0], [0, 1]], "in the order of split.classes")
    np.testing.assert_array_equal(found[3], [0, 1])
    assert np.isnan(found[[2, 4]]).all(), "neither a blank nor an image that is not in the table has a label"
    assert labels.labelled(found).tolist() == [True, True, False, True, False]


def test_a_multiclass_label_is_one_of_several_columns(workspace: Path) -> None:
    table = read("label,SOPInstanceUID\n b ,1\nc,2\na,3\n", Task.MULTICLASS, ("a", "b", "c"))
    np.testing.assert_array_equal(table.of(images("instance", "1", "2", "3")), [[0, 1, 0], [0, 0, 1], [1, 0, 0]])


def test_a_blank_of_a_multilabel_table_is_unknown_and_not_no(workspace: Path) -> None:
    table = read("SOPInstanceUID,b,a,note\n1,1,,x\n2,0.0,1.0,\n3,,,x\n", Task.MULTILABEL, ("a", "b"))
    found = table.of(images("instance", "1", "2", "3"))
    np.testing.assert_array_equal(found, [[np.nan, 1], [1, 0], [np.nan, np.nan]])
    assert labels.labelled(found).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("key", "level"), [("SOPInstanceUID", "instance"), ("StudyInstanceUID", "study"), ("PatientID", "patient")]
)
def test_the_key_column_says_what_a_row_labels(workspace: Path, key: str, level: str) -> None:
    other = "PatientID" if key == "StudyInstanceUID" else "StudyInstanceUID"
    table = read(f"{other},{key},label\nx,1.2,sick\ny, 1.3 ,normal\nz,1.4,normal\n", key=key)

    assert table.level == level
    found = images(level, "1.3", "1.2", "1.2")
    np.testing.assert_array_equal(table.of(found), [[1, 0], [0, 1], [0, 1]])
    assert table.unknown(found) == 1, "1.4 has no image"


def test_identifiers_that_look_like_numbers_or_like_nothing_are_text(workspace: Path) -> None:
    table = read("PatientID,label\n007,sick\n7,normal\nNA,sick\n1e3,normal\n", key="PatientID")
    found = table.of(images("patient", "007", "7", "NA", "1e3", "1000"))
    np.testing.assert_array_equal(found[:4], [[0, 1], [1, 0], [0, 1], [1, 0]])
    assert np.isnan(found[4]).all()


def test_no_identifier_is_kept(workspace: Path) -> None:
    table = read(f"PatientID,label\n{CANARY},sick\n", key="PatientID")
    assert CANARY not in repr(table)


def test_rows_of_other_batches_are_left_out(workspace: Path) -> None:
    text = "batch,SOPInstanceUID,label\nfirst,1,sick\nsecond,2,normal\nsecond,1,normal\nthird,3,nonsense\n"
    assert read(text).unknown(images("instance")) == 1
    assert len(read(text, batches=("second",)).values) == 2
    assert "lines 2, 4 have labels that contradict" in refused(text, batches=("first", "second"))
    said = refused(text, batches=("fourth", "fifth"))
    assert "no row for the batches fourth, fifth" in said


@pytest.mark.parametrize(
    ("header", "task", "missing", "hint"),
    [
        ("SOPInstanceUid,label", Task.BINARY, "SOPInstanceUID", "is it 'SOPInstanceUid'?"),
        ("SOPInstanceUID,Label", Task.BINARY, "label", "is it 'Label'?"),
        ("SOPInstanceUID,normal,sik", Task.MULTILABEL, "sick", "is it 'sik'?"),
        ("number,label", Task.BINARY, "SOPInstanceUID", "correct split.key"),
        ("SOPInstanceUID,normal,sick", Task.BINARY, "label", "correct split.key, split.task or split.classes"),
    ],
)
def test_a_missing_column_is_named_with_the_one_that_looks_like_it(
    workspace: Path, header: str, task: Task, missing: str, hint: str
) -> None:
    said = refused(header + "\n" + ",".join([CANARY, "0", "1"][: header.count(",") + 1]) + "\n", task)
    assert f"no column '{missing}'" in said
    assert hint in said


def test_a_strange_label_is_shown_with_its_lines_and_the_classes(workspace: Path) -> None:
    rows = "".join(f"{CANARY}{number},{'sick' if number % 2 else 'Sick'}\n" for number in range(20))
    said = refused("SOPInstanceUID,label\n" + rows)
    assert "lines 2, 4, 6, 8, 10 and 5 more have" in said
    assert "'Sick' is close to 'sick'" in said
    assert "does not name (normal, sick)" in said


def test_strange_labels_that_are_no_slip_of_the_pen_are_not_shown(workspace: Path) -> None:
    rows = "".join(f"{number},{CANARY}^{number}\n" for number in range(20))
    assert len(refused("SOPInstanceUID,label\n" + rows)) < 300


def test_a_multilabel_value_is_1_0_or_nothing(workspace: Path) -> None:
    said = refused(f"SOPInstanceUID,a,b\n{CANARY},1,0\n{CANARY}2,1,2\n", Task.MULTILABEL, ("a", "b"))
    assert "line 3 has something else than 1, 0 or nothing in column 'b'" in said


@pytest.mark.parametrize("second", ["normal", ""])
def test_rows_that_contradict_one_another_are_refused(workspace: Path, second: str) -> None:
    said = refused(f"SOPInstanceUID,label\n{CANARY},sick\nx,normal\n{CANARY},{second}\n")
    assert "lines 2, 4 have labels that contradict" in said


def test_multilabel_rows_that_contradict_one_another_are_refused(workspace: Path) -> None:
    said = refused(f"SOPInstanceUID,a,b\n{CANARY},1,\n{CANARY},1,0\n", Task.MULTILABEL, ("a", "b"))
    assert "lines 2, 3 have labels that contradict" in said


def test_rows_that_say_the_same_twice_are_fine(workspace: Path) -> None:
    binary = read("PatientID,label\n1,sick\n2,normal\n1,sick\n", key="PatientID")
    assert len(binary.values) == 2
    several = read("PatientID,a,b\n1,1,\n1 ,1.0,\n", Task.MULTILABEL, ("a", "b"), key="PatientID")
    np.testing.assert_array_equal(several.of(images("patient", "1")), [[1, np.nan]])


def test_a_row_without_its_key_is_refused(workspace: Path) -> None:
    said = refused(f"PatientID,SOPInstanceUID,label\n{CANARY},,sick\n", key="SOPInstanceUID")
    assert "line 2 has no SOPInstanceUID" in said


def test_line_numbers_are_those_of_an_editor(workspace: Path) -> None:
    assert "line 5 has a label" in refused(f"SOPInstanceUID,label\n1,sick\n\n2,normal\n{CANARY},ill\n\n")
    assert "line 3 has a label" in refused(f"batch,SOPInstanceUID,label\nlast,1,sick\nfirst,{CANARY},ill\n")


@pytest.mark.parametrize("text", ["\ufeffSOPInstanceUID,label\r\n1,sick\r\n\r\n", ' SOPInstanceUID , label\n"1",sick'])
def test_a_table_as_a_spreadsheet_writes_it_is_read(workspace: Path, text: str) -> None:
    np.testing.assert_array_equal(read(text).of(images("instance", "1")), [[0, 1]])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00\xeb\xff" + CANARY.encode(),
        f"SOPInstanceUID,label\n{CANARY},sick\n{CANARY},sick,more\n".encode(),
        f'SOPInstanceUID,label\n{CANARY},"sick\n'.encode(),
        f"SOPInstanceUID,label\n{CANARY},krank für immer\n".encode("latin-1"),
    ],
)
def test_what_is_no_csv_table_is_refused(workspace: Path, content: bytes) -> None:
    assert "not a CSV table in UTF-8" in refused(content)


def test_a_value_without_a_column_moves_no_other(workspace: Path) -> None:
    """pandas takes the first column as the index then, and identifiers become labels."""
    said = refused(f"label,SOPInstanceUID\nnormal,{CANARY},free text\nsick,{CANARY}2,\n")
    assert "more values in a row than names" in said


def test_a_table_that_is_not_there_says_where_it_is_named(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.csv \(split.labels\) is not here"):
        labels.read(Path("nowhere.csv"), "PatientID", Task.BINARY, ["a", "b"], ["first"], KEY)
