"""The deployed model that is timed is the one that is evaluated on the test images."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.edge import bundle
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.edge.deployed_models import DeployedModels
from edgeai_repro.edge.manifest import Origin
from edgeai_repro.errors import UserError
from edgeai_repro.judge.verdict import judge
from tests.support.deployed_models import (
    ACCURACY,
    PI5,
    RECIPE,
    deployed_claim,
    measure,
    only_obstacle,
    only_row,
    with_images,
    with_origin,
)
from tests.support.timers import FakeTimer


@pytest.fixture
def exchangeable(copied: Path) -> Bundle:
    """A copy of the bundle, whose files a test may exchange."""
    return bundle.load(copied)


class TestSameFile:
    """The file that is timed is the file that is evaluated, or there is no verdict."""

    def test_file_exchanged_while_it_is_timed_is_refused(self, exchangeable: Bundle) -> None:
        """Its times are discarded."""
        timer = FakeTimer(
            afterwards=lambda: shutil.copy(exchangeable.path("fp32"), exchangeable.path("pruned-int8"))
        )

        with pytest.raises(UserError, match=r"pruned-int8\.onnx: .*truncated or altered"):
            measure(DeployedModels(exchangeable, named=PI5, threads=1, timer=timer), deployed_claim())

    def test_file_exchanged_after_timing_is_refused(self, exchangeable: Bundle) -> None:
        """Its accuracy would be that of another model."""
        models = DeployedModels(with_images(exchangeable, RECIPE), named=PI5, threads=1, timer=FakeTimer())
        only_row(models, deployed_claim())
        shutil.copy(exchangeable.path("fp32"), exchangeable.path("pruned-int8"))

        with pytest.raises(UserError, match=r"pruned-int8\.onnx: .*truncated or altered"):
            measure(models, ACCURACY)


class TestAccuracy:
    """The accuracy of the deployed model on the test images."""

    def test_share_of_right_images_is_reported(self, loaded: Bundle) -> None:
        """A recipe with the paper's budget puts the row at full scale. The evidence is the sha256 of the file."""
        row = only_row(DeployedModels(with_images(loaded, RECIPE, right=6), threads=1), ACCURACY)

        assert (row.reported.value, row.n, row.scale) == (75, 8, "full")
        assert row.evidence == loaded.sha256("pruned-int8")

    @pytest.mark.parametrize(
        "recipe",
        [None, RECIPE | {"epochs": 29}, RECIPE | {"structured": None}],
        ids=["unknown", "shorter", "pruned-after-training"],
    )
    def test_weights_of_less_training_are_at_reduced_scale(
        self, loaded: Bundle, recipe: dict[str, Any] | None
    ) -> None:
        """They decide nothing."""
        measured = measure(DeployedModels(with_images(loaded, recipe), threads=1), ACCURACY)

        assert [row.scale for row in measured.rows] == ["reduced"]
        assert judge(ACCURACY, measured).verdict == "not_testable"

    def test_random_weights_are_not_evaluated(self, loaded: Bundle) -> None:
        """The remedy is to train the model."""
        obstacle = only_obstacle(DeployedModels(loaded, threads=1), ACCURACY)

        assert obstacle.kind == "weights"
        assert "random weights" in obstacle.remedy
        assert "`edgeai-repro train`" in obstacle.remedy

    def test_test_images_may_be_missing(self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """They are neither in the bundle nor under EDGEAI_DATA."""
        monkeypatch.delenv("EDGEAI_DATA", raising=False)
        trained = with_origin(loaded, Origin(sha256="f" * 64, recipe=RECIPE))

        obstacle = only_obstacle(DeployedModels(trained, threads=1), ACCURACY)

        assert obstacle.kind == "data"
        assert "--with-test-split" in obstacle.remedy
