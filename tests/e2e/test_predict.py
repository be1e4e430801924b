"""The demonstration's registered model, asked about the demonstration's files."""

import json

import pandas as pd
import pytest

from tests.e2e.conftest import Clone

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


def test_answers_are_those_of_evaluate_to_a_millionth(built: Clone) -> None:
    done = built.run("radrepro", "predict", "radrepro", "data/raw", "--out", "json", "--to", "answers.json")
    answers = pd.DataFrame(json.loads(built.read("answers.json")))
    (built.path / "answers.json").unlink()
    answers["batch"], answers["path"] = zip(
        *(path.removeprefix("data/raw/").split("/", 1) for path in answers["path"]), strict=True
    )
    compared = json.loads(built.read("reports/comparison.json"))
    best = compared["best"]
    keys = pd.concat(
        pd.read_csv(built.path / f"data/restricted/{batch}.csv", keep_default_na=False).assign(batch=batch)
        for batch in ("site-a", "site-b")
    )
    accepted = keys[keys["status"] == "accepted"]
    judged = pd.read_parquet(built.path / f"reports/recipes/{best}/predictions.parquet")
    both = answers.merge(accepted, on=["batch", "path"]).merge(
        judged, left_on="instance", right_on="image", suffixes=("", "_of_evaluate")
    )
    assert len(both) == len(judged) > 20
    for name in ("normal", "pneumonia", "effusion"):
        assert both[f"probability:{name}"].to_numpy() == pytest.approx(both[f"score:{name}"].to_numpy(), abs=1e-6)
    assert set(both["recipe"]) == {best}
    assert "images of" in done.stderr
    refused = answers[answers["refused"].notna()]["refused"].str.partition(":")[0].str.split().str[0]
    assert {"NOT_DICOM", "TRUNCATED", "NO_PIXEL_DATA"} <= set(refused)
    assert "OUT_OF_DOMAIN" not in set(refused)
