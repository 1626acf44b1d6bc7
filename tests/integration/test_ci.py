"""Each script of `ci/` does its part of a workflow.

`test_edge_install.py` runs the scripts for edge devices (`edge-install.sh`, `edge.sh`, `compare-benchmarks.sh`).
"""

from __future__ import annotations

import re
import sys
import tarfile
from pathlib import Path

import pytest

from edgeai_repro.checksums import sha256
from edgeai_repro.report import document
from tests.support.ci_scripts import script


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables that let make use the environment of these tests instead of creating one, and mypy its cache."""
    folder = tmp_path_factory.mktemp("environment")
    (folder / ".ready").touch()
    return {"MAKEFLAGS": f"VENV={folder} BIN={sys.prefix}/bin"}


class TestScripts:
    """Each script does its part of a workflow."""

    def test_test_script_runs_linters_types_import_rules_and_tests(self, environment: dict[str, str]) -> None:
        """`ci/test.sh` passes its arguments to pytest, also those with spaces."""
        selected = ["-q", "--collect-only", "-k", "test_errors or no_such", "tests/unit/test_errors.py"]
        done = script("test.sh", *selected, **environment)

        assert done.returncode == 0, done.stdout + done.stderr
        for line in ("All checks passed!", "Success: no issues found", "0 broken", "test_errors.py::"):
            assert line in done.stdout

    def test_judge_script_writes_what_the_summary_script_shows(
        self, environment: dict[str, str], atto_bundle: Path, tmp_path: Path
    ) -> None:
        """`ci/judge.sh` writes verdicts and report; `ci/summary.sh` appends the report to the job's summary."""
        summary = tmp_path / "summary.md"
        summary.write_text("before\n", encoding="utf-8")
        judged = script(
            *("judge.sh", atto_bundle, tmp_path / "results", "-k", "alexnet-imbalance or edge-accuracy"),
            SHARD="1/1",
            **environment,
        )
        shown = script("summary.sh", tmp_path / "results", GITHUB_STEP_SUMMARY=summary)

        assert judged.returncode == 0, judged.stdout + judged.stderr
        results = document.read(tmp_path / "results" / "verdicts.json")
        assert results.shards == ["1/1"]
        reasons = {entry.id: entry.reason for entry in results.papers[0].claims}
        assert "convnext_atto" in reasons["edge-accuracy"], "the given bundle must be judged"
        assert shown.returncode == 0, shown.stderr
        assert summary.read_text(encoding="utf-8").startswith("before\n")
        assert re.search(r"^\| .*alexnet-imbalance.*reproduced", summary.read_text(encoding="utf-8"), re.MULTILINE)

    def test_summary_without_verdicts_still_shows_benchmarks(self, tmp_path: Path) -> None:
        """If a run ended before any verdict, the summary states that."""
        (tmp_path / "benchmarks.txt").write_text("the table\n", encoding="utf-8")
        done = script("summary.sh", tmp_path)

        assert done.returncode == 0
        assert done.stdout.startswith("No verdict")
        assert "```text\nthe table\n```" in done.stdout

    def test_bundle_script_uses_the_downloaded_weights(self, environment: dict[str, str], tmp_path: Path) -> None:
        """`ci/fetch-weights.sh` downloads and checks an archive; `ci/build-bundle.sh` bundles its models."""
        from edgeai_repro.compress import saved_models
        from edgeai_repro.edge.bundle import load
        from edgeai_repro.networks import convnext

        name, widths = "convnext_atto", [16] * 12
        pruned = convnext.build(name, hidden_widths=widths)
        saved = {
            "pruned": saved_models.save(pruned, name, "structured_pruning", {"target": 0.9}, root=tmp_path),
            "dense": saved_models.save(convnext.build(name), name, "none", root=tmp_path),
        }
        with tarfile.open(tmp_path / "weights.tar.gz", "w:gz") as archive:
            for folder, source in saved.items():
                archive.add(source, folder)
        path = tmp_path / "weights.tar.gz"
        fetched = script(
            "fetch-weights.sh", tmp_path / "weights", WEIGHTS_URL=path.as_uri(), WEIGHTS_SHA256=sha256(path)
        )
        built = script("build-bundle.sh", tmp_path / "bundle", tmp_path / "weights", **environment)

        assert fetched.returncode == 0, fetched.stderr
        assert built.returncode == 0, built.stdout + built.stderr
        *lines, path = built.stdout.splitlines()[-5:]
        assert path == str(tmp_path / "bundle")
        assert [line.partition(":")[0] for line in lines] == [
            f"{variant}.onnx + {variant}.weights" for variant in ("fp32", "int8", "pruned", "pruned-int8")
        ]
        manifest = load(tmp_path / "bundle").manifest
        assert manifest.model == name
        assert all(model.origin.sha256 for model in manifest.models.values()), "no weights must be random"
        assert manifest.models["pruned-int8"].hidden_widths == tuple(widths)

    def test_nightly_script_needs_the_index_of_the_nightly_builds(self, tmp_path: Path) -> None:
        """Without it nothing is installed; the error is one line."""
        done = script("nightly.sh", tmp_path / "results", TORCH_NIGHTLY_INDEX="")

        assert done.returncode == 1
        assert re.search("TORCH_NIGHTLY_INDEX is missing; set it to the index .*\n$", done.stderr)
        assert not (tmp_path / "results").exists()

    def test_archive_with_another_checksum_is_refused_and_not_unpacked(self, tmp_path: Path) -> None:
        """The error is one line with both checksums."""
        path = tmp_path / "weights.tar"
        path.write_bytes(b"altered")
        done = script("fetch-weights.sh", tmp_path / "weights", WEIGHTS_URL=path.as_uri(), WEIGHTS_SHA256="0" * 64)

        assert done.returncode == 1
        assert re.fullmatch(r"WEIGHTS_URL must .* sha256 0{64} \(got [0-9a-f]{64}\); .*\n", done.stderr)
        assert not (tmp_path / "weights").exists()

    def test_without_a_url_nothing_is_downloaded(self, tmp_path: Path) -> None:
        """A message states the consequence: no accuracy on the device."""
        done = script("fetch-weights.sh", tmp_path / "weights", WEIGHTS_URL="")

        assert done.returncode == 0
        assert "accuracy can't be judged" in done.stdout
        assert not (tmp_path / "weights").exists()
