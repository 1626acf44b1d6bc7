"""A grid's file is checked, and expanded to runs whose names depend on nothing but what they train."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.errors import UserError
from edgeai_repro.grid.runs import read_grid
from edgeai_repro.training.options import TrainOptions, run_name
from tests.support.grids import SMALL, runs_of, write_grid

ROOT = Path(__file__).parents[2]
PLAN = {"plan": "li2017-resnet56-b"}


def test_runs_are_the_product_of_networks_techniques_settings_and_seeds(tmp_path: Path) -> None:
    """2 networks × 2 techniques × 2 × 3 settings × 2 seeds; each run has its values."""
    runs = runs_of(
        tmp_path,
        networks=["resnet20", "convnext_atto"],
        techniques={"dense": {"batch_size": 8}, "fast": {"recipe": "cifar-fast"}},
        settings={"epochs": [1, 2], "lr": [0.1, 0.2, 0.3]},
        seeds=[4, 7],
    )

    assert len(runs) == len({run.id for run in runs}) == 48
    values = {(run.recipe.model, run.recipe.epochs, run.recipe.lr, run.recipe.seed) for run in runs}
    assert len(values) == 24
    assert {run.recipe.batch_size for run in runs if "dense" in run.label} == {8}


def test_names_do_not_depend_on_order_or_on_the_names_of_techniques(tmp_path: Path) -> None:
    """The same grid, with every list and every mapping in another order."""
    changes: dict[str, Any] = {
        "networks": ["resnet20", "resnet56"],
        "techniques": {"a": {"batch_size": 8, "precision": "fp32"}, "b": {"batch_size": 16}},
        "settings": {"epochs": [1, 2], "lr": [0.1, 0.2]},
        "seeds": [0, 1],
    }
    other = {
        "networks": ["resnet56", "resnet20"],
        "techniques": {"c": {"batch_size": 16}, "d": {"precision": "fp32", "batch_size": 8}},
        "settings": {"lr": [0.2, 0.1], "epochs": [2, 1]},
        "seeds": [1, 0],
    }

    names = [run.id for run in runs_of(tmp_path, **changes)]

    assert sorted(names) == sorted(run.id for run in runs_of(tmp_path, **other))
    assert names != [run.id for run in runs_of(tmp_path, **other)]


@pytest.mark.parametrize(
    "changes",
    [
        {"networks": ["resnet32"]},
        {"techniques": {"dense": {**SMALL["techniques"]["dense"], "lr": 0.5}}},
        {"settings": {"resolution": [32], "lr": [0.5]}},
        {"seeds": [1]},
    ],
)
def test_what_is_trained_changes_the_name(tmp_path: Path, changes: dict[str, Any]) -> None:
    """The control of the test above."""
    assert runs_of(tmp_path)[0].id != runs_of(tmp_path, **changes)[0].id


def test_folder_is_that_of_the_train_command(tmp_path: Path) -> None:
    """`edgeai-repro train` with the same options names its folder by the same recipe."""
    [run] = runs_of(tmp_path)

    options = TrainOptions(epochs=2, batch_size=8, precision="fp32")
    assert run.id == run_name(options.recipe_for("resnet20", 0))
    assert tuple(shlex.split(run.command(Path("out")))) == (
        *("edgeai-repro", "train", "resnet20", "--epochs=2", "--batch-size=8", "--precision=fp32"),
        *("--seed=0", "--out=out"),
    )


def test_techniques_of_some_networks_leave_out_the_others(tmp_path: Path) -> None:
    """A plan belongs to one network."""
    runs = runs_of(
        tmp_path, networks=["resnet20", "resnet56"], techniques={"all": {}, "b": {**PLAN, "networks": ["resnet56"]}}
    )

    assert [(run.recipe.model, run.recipe.plan) for run in runs] == [
        ("resnet20", None),
        ("resnet56", None),
        ("resnet56", "li2017-resnet56-b"),
    ]


def test_init_may_name_the_network(tmp_path: Path) -> None:
    """`{network}` in it is replaced."""
    for name in ("resnet20", "resnet56"):
        (tmp_path / f"{name}.safetensors").touch()
    technique = {"epochs": 1, "init": str(tmp_path / "{network}.safetensors")}

    runs = runs_of(tmp_path, networks=["resnet20", "resnet56"], techniques={"tuned": technique})

    assert [Path(run.recipe.init).stem for run in runs] == ["resnet20", "resnet56"]


def test_example_is_a_grid() -> None:
    """The file that the documentation names has no mistake."""
    assert len(read_grid(ROOT / "examples" / "grid.yaml").runs) == 30


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"networks": ["resnet57"]},
            "networks: name must be of a network that can be trained (got 'resnet57'); did ",
        ),
        ({"networks": []}, "networks: must have at least 1 item"),
        ({"networks": ["resnet20", "resnet20"]}, "networks: value must occur once (got 'resnet20' more often)"),
        ({"techniques": {}}, "techniques: must have at least 1 item"),
        ({"techniques": {"a": {"epoch": 3}}}, "techniques.a.epoch: is not a known key; did you mean 'epochs'?"),
        ({"techniques": {"a": {"epochs": "three"}}}, "techniques.a.epochs: must be a valid integer"),
        ({"techniques": {"a": {"epochs": 0}}}, "techniques[a]: 'epochs' must be at least 1 (got 0)"),
        (
            {"techniques": {"a": {"recipe": "li2017"}}},
            "techniques[a]: 'recipe' must be one of claims/training/*.yaml",
        ),
        ({"techniques": {"a": PLAN}}, "techniques[a]: 'plan' must be one of resnet20 (got 'li2017-resnet56-b'"),
        (
            {"techniques": {"a": {"networks": ["resnet56"]}}},
            "techniques.a: network must be of the grid (got 'resnet56'",
        ),
        (
            {"networks": ["resnet20", "resnet56"], "techniques": {"a": {"networks": ["resnet56"]}}},
            "networks: 'resnet20' must have a technique (got none)",
        ),
        ({"settings": {"epoch": [1]}}, "settings: 'epoch' is not a known option; did you mean 'epochs'?"),
        ({"settings": {"lr": []}}, "settings: 'lr' must have a value (got an empty list)"),
        ({"settings": {"lr": [1, 1]}}, "settings: 'lr': value must occur once (got 1 more often)"),
        ({"settings": {"lr": ["fast"]}}, "techniques[dense]: lr: must be a valid number"),
        (
            {"settings": {"epochs": [1]}},
            "techniques.dense: 'epochs' must be given once (got it in 'settings', too)",
        ),
        (
            {"techniques": {"a": {}, "b": {"epochs": 30}}},
            "runs must differ ('resnet20 a seed=0' and 'resnet20 b seed=0'",
        ),
        ({"seeds": []}, "seeds: must have at least 1 item"),
        ({"seeds": [3, 3]}, "seeds: value must occur once (got 3 more often)"),
        ({"seeds": [-1]}, "seeds[0]: must be greater than or equal to 0"),
        ({"seed": [1]}, "seed: is not a known key; did you mean 'seeds'?"),
        ({"schema_version": 1}, "schema_version: must be 2"),
        ({"resources": {"cpus": 0}}, "resources.cpus: must be greater than 0"),
        ({"seeds": [*range(50_001)]}, "must have at most 50000 runs (got 50001); divide it into several grids"),
        (
            {"settings": {name: [*range(1, 41)] for name in ("lr", "resolution", "stem_stride")}},
            "must have at most 50000 runs (got 64000)",
        ),
    ],
)
def test_mistake_is_one_line(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    """It names the file, the place, the rule and what was given."""
    path = write_grid(tmp_path, **changes)

    with pytest.raises(UserError) as caught:
        read_grid(path)

    [line] = str(caught.value).splitlines()
    assert line.startswith(f"{path}: {complaint}")


def test_each_of_several_mistakes_has_its_line(tmp_path: Path) -> None:
    """One reading of the file shows all of them; what two networks share is said once."""
    shared = write_grid(tmp_path, networks=["resnet20", "resnet56"], techniques={"a": {"lr": -1}})

    with pytest.raises(UserError, match="'lr' must be a positive number") as once:
        read_grid(shared)
    path = write_grid(tmp_path, networks=["resnet57", "vgg61"], settings={"lr": [], "epoch": [1]}, seeds=[1, 1])
    with pytest.raises(UserError) as several:
        read_grid(path)

    assert len(str(once.value).splitlines()) == 1
    assert len(str(several.value).splitlines()) == 5
