"""Versions are read from the lock as it is."""

import pytest

from stages.card import packages
from tests.conftest import ROOT

LOCK = """\
torchvision==0.28.0 \\
    --hash=sha256:00
torch==2.13.0 ; python_version >= '3.11' \\
    --hash=sha256:00
pandas[performance]==3.1.1 \\
numpy==2.4.6 ; python_full_version < '3.12' \\
numpy==2.5.5 ; python_full_version >= '3.12' \\
pydicom==3.0.2
imagecodecs==2026.3.6
opencv-python-headless==5.0.0.93
scikit-learn==1.9.1
"""


def test_a_version_is_read_whatever_stands_around_it() -> None:
    found = packages.pinned(LOCK)
    assert list(found) == list(packages.NAMED)
    assert found["torch"] == "2.13.0"
    assert found["pandas"] == "3.1.1"
    assert found["numpy"] == "2.4.6 or 2.5.5"


def test_the_lock_of_this_repository_names_them_all() -> None:
    assert set(packages.pinned((ROOT / "requirements.lock").read_text())) == set(packages.NAMED)


def test_one_that_is_not_pinned_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not pin pydicom"):
        packages.pinned(LOCK.replace("pydicom", "pydicum"))
