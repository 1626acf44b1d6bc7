"""An engine of a grid that can't work is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_repro.errors import UserError
from edgeai_repro.grid import engines
from edgeai_repro.grid.engines import engine
from edgeai_repro.grid.runs import read_grid
from tests.support.grids import write_grid

pytestmark = pytest.mark.usefixtures("one_thread")


class TestEngines:
    """An engine that can't work is one line."""

    def refused(self, name: str, tmp_path: Path, **changes: object) -> str:
        """Return the line with which an engine is refused."""
        file = read_grid(write_grid(tmp_path, **changes)).file
        with pytest.raises(UserError) as caught:
            engine(name, file, tmp_path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_unknown_name(self, tmp_path: Path) -> None:
        """The known names follow."""
        assert "--on must be local, ray, ray://HOST or slurm (got 'dask')" in self.refused("dask", tmp_path)

    @pytest.mark.parametrize(
        ("name", "package", "extra"),
        [("ray", "ray", "ray"), ("ray://host", "ray", "ray"), ("slurm", "submitit", "slurm")],
    )
    def test_missing_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str, extra: str
    ) -> None:
        """The line names the extra that installs it."""
        monkeypatch.setattr(engines, "find_spec", lambda package: None)

        line = self.refused(name, tmp_path)

        assert line == f"--on={name} needs {package}, which is missing; pip install 'edgeai-repro[{extra}]'"

    def test_slurm_without_sbatch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """This is no login node."""
        pytest.importorskip("submitit")
        monkeypatch.setenv("PATH", str(tmp_path))

        assert "--on=slurm needs sbatch and srun, which are missing" in self.refused("slurm", tmp_path)

    def test_unknown_option_of_sbatch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is refused before a job is submitted."""
        pytest.importorskip("submitit")
        for name in ("sbatch", "srun"):
            (tmp_path / name).write_text("#!/bin/sh\n", encoding="utf-8")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

        assert "'slurm' must have options that submitit knows" in self.refused(
            "slurm", tmp_path, slurm={"partit": 1}
        )

    @pytest.mark.parametrize("address", ["ray://127.0.0.1:9", "ray://nowhere.invalid", "ray://host:port"])
    def test_ray_cluster_that_does_not_answer(self, tmp_path: Path, address: str) -> None:
        """Nobody listens, there is no such host, or the address is none."""
        pytest.importorskip("ray")

        line = self.refused(address, tmp_path)

        assert line.startswith(f"--on={address} must be a Ray cluster that answers (got ")
