"""A bundle on disk: its content, and that a damaged one is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_repro.edge import build, bundle
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.errors import UserError
from tests.support.bundles import Change, change_manifest, flip_a_bit, replace_file


class TestContent:
    """The files of a bundle and the manifest's entries."""

    def test_folder_holds_two_files_per_model_the_probes_and_the_manifest(self, loaded: Bundle) -> None:
        """No other file is in the folder, and the manifest lists all files but itself."""
        models = {f"{variant}.{end}" for variant in loaded.manifest.models for end in ("onnx", "weights")}

        assert {path.name for path in loaded.folder.iterdir()} == models | {bundle.PROBES, bundle.MANIFEST}
        assert set(loaded.manifest.files) == models | {bundle.PROBES}

    def test_int8_and_pruning_shrink_the_files(self, loaded: Bundle) -> None:
        """Both together shrink them the most."""
        size = {variant: loaded.size(variant) for variant in loaded.manifest.models}

        assert size["pruned-int8"] < min(size["int8"], size["pruned"])
        assert max(size["int8"], size["pruned"]) < size["fp32"] / 2

    def test_pruning_removes_parameters_and_macs_and_int8_only_bit_operations(self, loaded: Bundle) -> None:
        """Int8 keeps the actual parameters and MACs."""
        counts = {variant: loaded.model(variant).counts for variant in loaded.manifest.models}

        assert counts["int8"].parameters == counts["fp32"].parameters
        assert counts["int8"].macs == counts["fp32"].macs
        assert counts["int8"].bit_operations < counts["fp32"].bit_operations
        assert counts["pruned"].macs < counts["fp32"].macs
        assert counts["pruned"].parameters == counts["pruned-int8"].parameters

    def test_reading_and_running_a_bundle_imports_no_torch(self, atto_bundle: Path) -> None:
        """A device has ONNX Runtime only."""
        program = (
            "import sys; from pathlib import Path; from edgeai_repro.edge import bundle, runtime;"
            "loaded = bundle.load(Path(sys.argv[1]));"
            "runtime.Deployed(loaded, 'pruned-int8', threads=1).check_outputs();"
            "sys.exit('torch' in sys.modules)"
        )

        assert subprocess.run([sys.executable, "-c", program, atto_bundle], check=False).returncode == 0

    def test_loading_one_model_skips_the_files_of_the_others(self, copied: Path) -> None:
        """One model is enough for a quick start."""
        (copied / "fp32.onnx").unlink()

        assert bundle.load(copied, ["pruned-int8"]).model("pruned-int8").technique == "combined"

    def test_unknown_variant_is_refused(self) -> None:
        """The message names the closest variant."""
        with pytest.raises(UserError, match=r"'model' must be known \(got 'pruned_int8'\); .*'pruned-int8'"):
            bundle.parse_variant("pruned_int8")

    def test_existing_folder_is_not_overwritten(self, tmp_path: Path) -> None:
        """A folder that is no bundle is refused before the work."""
        with pytest.raises(UserError, match="must not exist yet"):
            bundle.write(tmp_path, lambda _: {})

    @pytest.mark.parametrize("altered", [False, True])
    def test_bundle_that_is_written_again_must_be_the_same(self, copied: Path, altered: bool) -> None:
        """A finished one is recognised by its content; another one is neither accepted nor overwritten."""
        fields = bundle.load(copied).manifest.model_dump(exclude={"files"})
        if altered:
            (copied / "fp32.onnx").write_bytes(b"altered")

        def fill(folder: Path) -> dict[str, Any]:
            for file in copied.iterdir():
                if file.name != "manifest.json":
                    shutil.copy(file, folder)
            if altered:
                (folder / "fp32.onnx").write_bytes(b"whole")
            return fields

        if altered:
            with pytest.raises(UserError, match=r"the same content \(got another fp32\.onnx\)"):
                bundle.write(copied, fill)
        else:
            assert bundle.write(copied, fill) == copied


class TestTestSplit:
    """CIFAR-10's test images in a bundle."""

    @pytest.fixture
    def labels(self) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        """1,000 labels of each class."""
        return np.repeat(np.arange(10, dtype=np.uint8), 1000)

    @pytest.fixture
    def with_split(self, copied: Path, labels: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> Path:
        """A bundle with a test split; every pixel of an image is its label."""
        images = np.broadcast_to(labels[:, None, None, None], (10_000, 3, 32, 32)).astype(np.uint8)
        digest = build._write_split(copied, images, labels)
        for name in (bundle.TEST_IMAGES, bundle.TEST_LABELS):
            replace_file(copied, name, (copied / name).read_bytes())
        change_manifest(copied, lambda manifest: manifest.update(data_sha256=digest))
        return copied

    def test_test_split_is_returned_unchanged(
        self, with_split: Path, labels: np.ndarray[tuple[int], np.dtype[np.uint8]]
    ) -> None:
        """The images are stored without loss."""
        images, stored_labels = bundle.load(with_split).test_split()

        assert images.shape == (10_000, 3, 32, 32)
        np.testing.assert_array_equal(images.reshape(10_000, -1).T, np.broadcast_to(labels, (3072, 10_000)))
        np.testing.assert_array_equal(stored_labels, labels)

    def test_exchanged_test_split_is_refused(self, with_split: Path) -> None:
        """The manifest has the sha256 of the images and labels themselves."""
        change_manifest(with_split, lambda manifest: manifest.update(data_sha256="0" * 64))

        with pytest.raises(UserError, match="must hold the test images of the manifest"):
            bundle.load(with_split).test_split()


class TestDamage:
    """A damaged bundle is refused."""

    @pytest.mark.parametrize("name", ["fp32.onnx", "fp32.weights", "pruned-int8.onnx", bundle.PROBES])
    def test_missing_file_is_named(self, copied: Path, name: str) -> None:
        """Weights and probes are checked like graphs."""
        (copied / name).unlink()

        with pytest.raises(UserError, match=rf"{name}: is missing; the bundle is truncated or altered"):
            bundle.load(copied)

    def test_truncated_file_is_refused_with_both_sizes(self, copied: Path) -> None:
        """One byte is missing."""
        path = copied / "int8.onnx"
        path.write_bytes(path.read_bytes()[:-1])

        with pytest.raises(
            UserError, match=r"int8\.onnx: must have \d+ bytes \(got \d+\); the bundle is truncated"
        ):
            bundle.load(copied)

    @pytest.mark.parametrize("name", ["pruned.onnx", "pruned.weights"])
    def test_altered_file_is_refused_with_both_sums(self, copied: Path, name: str) -> None:
        """One bit is changed."""
        (copied / name).write_bytes(flip_a_bit(copied / name))

        with pytest.raises(UserError, match=rf"{name}: must have the sha256 .* the bundle is truncated or altered"):
            bundle.load(copied)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda m: m.update(schema_version=2), r"'schema_version' must be 3 \(got 2\); write the bundle again"),
            (lambda m: m.pop("schema_version"), r"'schema_version' must be 3 \(got None\); write the bundle again"),
            (lambda m: m.update(model="convnext_nano"), r"'model' must be known \(got 'convnext_nano'\)"),
            (lambda m: m.pop("input"), r"input: is missing"),
            (lambda m: m["files"].pop("int8.onnx"), r"'files' must list 'int8\.onnx'"),
            (lambda m: m["files"].update({"../x": m["files"]["int8.onnx"]}), r"'files' must be names"),
            (lambda m: m["files"].update({"..": m["files"]["int8.onnx"]}), r"'files' must be names"),
        ],
    )
    def test_invalid_manifest_is_refused(self, copied: Path, change: Change, message: str) -> None:
        """Another version and wrong entries are refused in one line."""
        change_manifest(copied, change)

        with pytest.raises(UserError, match=message) as caught:
            bundle.load(copied)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("content", [b"", b"{", b"[]"])
    def test_file_that_is_no_manifest_is_refused(self, copied: Path, content: bytes) -> None:
        """Neither an empty file, nor broken JSON, nor a list is a manifest."""
        (copied / bundle.MANIFEST).write_bytes(content)

        with pytest.raises(UserError, match=r"manifest\.json: "):
            bundle.load(copied)

    def test_missing_folder_is_named(self, tmp_path: Path) -> None:
        """The message has the path of the manifest."""
        with pytest.raises(UserError, match=r"nowhere/manifest\.json: must be a readable JSON file"):
            bundle.load(tmp_path / "nowhere")

    def test_array_of_another_type_is_refused(self, copied: Path) -> None:
        """Probes must be uint8."""
        np.save(copied / bundle.PROBES, np.zeros((1, 3, 32, 32), np.float32))
        replace_file(copied, bundle.PROBES, (copied / bundle.PROBES).read_bytes())

        with pytest.raises(UserError, match=r"probes\.npy: must hold uint8 \(got float32\)"):
            bundle.load(copied).probes()

    def test_manifest_is_readable_json(self, atto_bundle: Path) -> None:
        """It has the version that `load` asks for, and the settings of each technique."""
        manifest = json.loads((atto_bundle / bundle.MANIFEST).read_text(encoding="utf-8"))

        assert manifest["schema_version"] == bundle.VERSION
        assert manifest["models"]["pruned"]["settings"] == {"target": 0.8}
        assert manifest["models"]["fp32"]["settings"] == {}
