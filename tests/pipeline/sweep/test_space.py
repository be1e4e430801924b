"""Where a sweep looks: what the user writes is understood, or refused in one line before anything runs."""

import shutil
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from pipeline import edit
from pipeline.sweep import space
from stages import params
from stages.runtime import UserError
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def shipped(workspace: Path) -> None:
    shutil.copy(ROOT / params.PATH, params.PATH)


@pytest.mark.parametrize(
    ("text", "name", "wanted"),
    [
        ("lr=loguniform:1e-4,1e-1", "recipes.fine_tune.lr", FloatDistribution(1e-4, 1e-1, log=True)),
        ("momentum=uniform:0.5,0.95", "recipes.fine_tune.momentum", FloatDistribution(0.5, 0.95)),
        ("epochs=int:5,30", "recipes.fine_tune.epochs", IntDistribution(5, 30)),
        ("batch_size=logint:8,64", "recipes.fine_tune.batch_size", IntDistribution(8, 64, log=True)),
        ("optimizer=choice:sgd,adamw", "recipes.fine_tune.optimizer", CategoricalDistribution(["sgd", "adamw"])),
        ("nesterov=choice:false", "recipes.fine_tune.nesterov", CategoricalDistribution([False])),
        ("lr=choice:1e-3,0.01", "recipes.fine_tune.lr", CategoricalDistribution([0.001, 0.01])),
        ("weights=choice:starter,random", "recipes.fine_tune.weights", CategoricalDistribution(["starter", "random"])),
        ("recipes.fine_tune.epochs=int:5,6", "recipes.fine_tune.epochs", IntDistribution(5, 6)),
        ("preprocess.size=choice:96,128", "preprocess.size", CategoricalDistribution([96, 128])),
        (
            "weights.random.architecture=choice:resnet18,mobilenet_v3_small",
            "weights.random.architecture",
            CategoricalDistribution(["resnet18", "mobilenet_v3_small"]),
        ),
    ],
)
def test_what_the_user_writes_is_understood(text: str, name: str, wanted: object) -> None:
    (found,) = space.read([text], "fine_tune")
    assert (found.name, found.distribution, found.text) == (name, wanted, text)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "say where to look"),
        (["lr"], "write a parameter, '=' and where to look"),
        (["lr=0.1"], "write a parameter, '=' and where to look"),
        (["lr=normal:0,1"], "'normal' is unknown: write uniform:LOW,HIGH"),
        (["lr=uniform:0.1"], "write two numbers"),
        (["lr=uniform:a,b"], "write two numbers"),
        (["epochs=int:1.5,3"], "write two whole numbers"),
        (["lr=uniform:0.1,0.1"], "the lower end must be below the upper one"),
        (["lr=uniform:0.1,inf"], "the lower end must be below the upper one"),
        (["weight_decay=loguniform:0,1"], "a logarithm needs ends above 0"),
        (["optimizer=choice:"], "write the choices as params.yaml has them"),
        (["optimizer=choice:[sgd],adamw"], "write the choices as params.yaml has them"),
        (["optimizer=choice:sgd,adam"], "recipes.fine_tune.optimizer: "),
        (["momentum=uniform:0.5,1.5"], "recipes.fine_tune.momentum: "),
        (["epochs=uniform:1,3"], "recipes.fine_tune.epochs: "),
        (["warmup_epochs=int:1,50"], "must not be more than epochs"),
        (["rl=loguniform:1e-4,1e-1"], "'rl' is no parameter of 'fine_tune' (epochs, "),
        (["recipes.scratch.lr=uniform:0.1,0.2"], "is no parameter of 'fine_tune'"),
        (["seed=int:1,9"], "no two trials could be compared"),
        (["split.fractions.val=uniform:0.1,0.2"], "no two trials could be compared"),
        (["lr.of.what=int:1,9"], "'lr' holds a value, not parameters"),
        (["preprocess.sise=choice:96"], "preprocess.sise: no such parameter"),
        (["lr=uniform:0.1,0.2", "recipes.fine_tune.lr=int:1,2"], "it is there twice"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(texts: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        space.read(texts, "fine_tune")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UserError, match="no recipe 'finetune': it has linear_probe, fine_tune, scratch"):
        space.read(["lr=uniform:0.1,0.2"], "finetune")


def test_a_recipe_whose_name_has_dots_is_one_name() -> None:
    edit.edit({("recipes", "full.2"): {"strategy": "full", "weights": "starter", "epochs": 1, "lr": 0.1}})
    for text in ("lr=uniform:0.1,0.2", "recipes.full.2.lr=uniform:0.1,0.2"):
        (found,) = space.read([text], "full.2")
        assert found.path == ("recipes", "full.2", "lr")


def test_values_are_tried_as_somebody_would_write_them_and_never_outside_the_range() -> None:
    (lr,) = space.read(["lr=loguniform:1.2344e-4,0.1"], "fine_tune")
    assert lr.tidy(0.0123456789) == 0.01235
    assert lr.tidy(1.2344e-4) == 1.2344e-4
    (epochs,) = space.read(["epochs=int:5,30"], "fine_tune")
    assert epochs.tidy(7) == 7


def test_what_trials_have_in_common_is_all_but_what_is_searched_and_what_comes_later() -> None:
    dimensions = space.read(["lr=uniform:0.1,0.2", "preprocess.size=choice:96,128"], "fine_tune")

    def common() -> dict:
        return space.settings(params.load(), "fine_tune", dimensions)

    before = common()
    edit.edit(
        {
            ("recipes", "fine_tune", "lr"): 0.5,
            ("preprocess", "size"): 128,
            ("recipes", "scratch", "lr"): 0.5,
            ("evaluate", "resamples"): 200,
        }
    )
    assert common() == before
    edit.edit({("recipes", "fine_tune", "epochs"): 77})
    assert common() != before


def test_an_edit_keeps_comments_and_is_all_or_nothing() -> None:
    before = params.PATH.read_text()
    edit.edit({("recipes", "fine_tune", "lr"): 1e-05, ("recipes", "fine_tune", "optimizer"): "sgd"})
    after = params.PATH.read_text()
    changed = [(was, now) for was, now in zip(before.splitlines(), after.splitlines(), strict=True) if was != now]
    assert [now.strip() for _, now in changed] == [
        "optimizer: sgd   # or sgd with momentum, the default; this gets there in fewer epochs",
        "lr: 1e-05",
    ]
    assert params.load()["recipes"]["fine_tune"]["lr"] == 1e-05
    with pytest.raises(UserError, match="momentum"):
        edit.edit({("recipes", "fine_tune", "lr"): 0.1, ("recipes", "fine_tune", "momentum"): 2.0})
    assert params.PATH.read_text() == after
