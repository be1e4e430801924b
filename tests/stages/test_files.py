"""Files of a batch, on the disk and in archives, of which nothing is unpacked."""

import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages import files
from stages.executor.stamp import stamp
from stages.reasons import Reason, Refused

MOST = 2**20


def archive(path: Path, members: list[tuple[str, bytes]]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return str(path)


def read(path: str, most: int = MOST) -> bytes:
    with files.opened(path, most) as file:
        file.seek(0, os.SEEK_END)
        file.seek(0)
        return file.read()


def refusal(path: str, most: int = MOST) -> tuple[Reason, str]:
    with pytest.raises(Refused) as caught:
        read(path, most)
    return caught.value.reason, caught.value.detail


def test_a_file_and_a_member_read_alike(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"here")
    path = archive(tmp_path / "b.ZIP", [("study/IM1", b"there"), ("study/", b"")])

    assert read(str(tmp_path / "a")) == b"here"
    assert files.members(path) == ["study/IM1"]
    assert read(f"{path}/study/IM1") == b"there"
    assert stamp(Path(f"{path}/study/IM1")) == stamp(Path(path))


HOSTILE = ["../../up", "/etc/passwd", "a\\b", "a//b", "./c", " ", "new\nline", "d.zip/e", "x" * 300, "naïve"]


@given(
    names=st.lists(
        st.sampled_from(HOSTILE) | st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=9),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_member_is_found_by_its_path_whatever_its_name(
    names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    members = [(name, str(number).encode()) for number, name in enumerate(names)]
    try:
        path = archive(folder / "all.zip", members)
    except UnicodeEncodeError:  # a lone surrogate: no archive can hold it
        return
    stored = [(info.filename, info.is_dir()) for info in zipfile.ZipFile(path).infolist()]

    listed = files.members(path)

    assert len(listed) == len(set(listed)) == sum(not folder for _, folder in stored)
    contents = [content for (_, content), (_, folder) in zip(members, stored, strict=True) if not folder]
    assert [read(f"{path}/{name}") for name in listed] == contents
    assert [entry.name for entry in folder.iterdir()] == ["all.zip"]


def test_a_member_that_is_too_large_is_not_inflated(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", [("bomb", bytes(2 * MOST)), ("small", b"1")])

    assert refusal(f"{path}/bomb") == (Reason.TOO_LARGE, "in its archive")
    assert read(f"{path}/small") == b"1"


def test_a_member_that_lies_about_its_size_gives_no_byte_more(tmp_path: Path) -> None:
    path = Path(archive(tmp_path / "a.zip", [("bomb", bytes(2 * MOST))]))
    size = (2 * MOST).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (100).to_bytes(4, "little")))

    assert refusal(f"{path}/bomb") == (Reason.UNREADABLE, "damaged archive")


def test_a_damaged_member_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("bad", b"good content")
        file.writestr("fine", b"fine")
    path.write_bytes(path.read_bytes().replace(b"good content", b"gone content"))

    assert refusal(f"{path}/bad") == (Reason.UNREADABLE, "damaged archive")
    assert read(f"{path}/fine") == b"fine"


def test_an_encrypted_member_says_so(tmp_path: Path) -> None:
    path = Path(archive(tmp_path / "a.zip", [("secret", b"x")]))
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[6] |= 1  # the flag, in the member's header and in the directory
    content[entry + 8] |= 1
    path.write_bytes(content)

    assert refusal(f"{path}/secret") == (Reason.ARCHIVE, "encrypted")


@pytest.mark.parametrize("cut", [10, 60])
def test_what_is_no_archive_has_no_members_and_says_why(tmp_path: Path, cut: int) -> None:
    path = archive(tmp_path / "a.zip", [("a", b"1")])
    os.truncate(path, cut)

    assert files.members(path) == []
    assert files.refusal(path).detail == "damaged archive"
    assert files.refusal(archive(tmp_path / "b.zip", [])).detail == "an empty archive"


def test_what_is_not_there_or_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert refusal(str(tmp_path / "pipe")) == (Reason.NOT_DICOM, "not a regular file")
    assert refusal(str(tmp_path)) == (Reason.LINK, "")
    assert refusal(str(tmp_path / "gone")) == (Reason.UNREADABLE, "FileNotFoundError")
    path = archive(tmp_path / "a.zip", [("a", b"1")])
    assert refusal(f"{path}/b") == (Reason.UNREADABLE, "no longer in its archive")


def test_an_archive_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", [("a", b"1")])
    assert read(f"{path}/a") == b"1"
    Path(path).unlink()
    archive(tmp_path / "a.zip", [("a", b"2")])
    os.utime(path, ns=(1, 1))

    assert read(f"{path}/a") == b"2"


def test_a_directory_is_read_once_for_all_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.zip", [(str(number), b"1") for number in range(50)])
    opened = []
    init = zipfile.ZipFile.__init__
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda self, *given: (opened.append(1), init(self, *given))[1])

    assert {read(f"{path}/{name}") for name in files.members(path)} == {b"1"}
    assert len(opened) == 1


@pytest.mark.timeout(20)
def test_a_pipe_that_is_named_an_archive_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.zip")

    assert files.members(str(tmp_path / "a.zip")) == []
    assert refusal(str(tmp_path / "a.zip")) == (Reason.NOT_DICOM, "not a regular file")
    assert files.refusal(str(tmp_path / "a.zip")).reason is Reason.NOT_DICOM
