"""The folder that models are saved to."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_repro.compress.saved_models import default_root
from edgeai_repro.errors import UserError


class TestDefaultRoot:
    """The folder that models are saved to."""

    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The user's cache, with no variable set."""
        for name in ("EDGEAI_MODELS", "EDGEAI_ARTEFACTS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        return tmp_path / "edgeai-repro"

    def test_variable_names_the_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """EDGEAI_MODELS."""
        monkeypatch.setenv("EDGEAI_MODELS", str(tmp_path / "mine"))

        assert default_root() == tmp_path / "mine"

    def test_without_the_variable_it_is_in_the_cache(self, cache: Path) -> None:
        """The folder `models` of the package's cache."""
        assert default_root() == cache / "models"

    def test_a_cache_of_version_0_1_is_still_used(self, cache: Path) -> None:
        """Models that were saved under the old name of the folder are found, as long as there is no new one."""
        (cache / "artefacts").mkdir(parents=True)
        assert default_root() == cache / "artefacts"

        (cache / "models").mkdir()
        assert default_root() == cache / "models"

    def test_the_old_variable_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The line gives the new name."""
        monkeypatch.setenv("EDGEAI_ARTEFACTS", str(tmp_path))

        with pytest.raises(UserError, match=r"^'EDGEAI_ARTEFACTS' must not be set .*; set EDGEAI_MODELS instead$"):
            default_root()
