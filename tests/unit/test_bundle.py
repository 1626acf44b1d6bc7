"""Bundles: what is exported answers as torch does, and nothing that is damaged is run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from edgeai_repro.compress import saved_models
from edgeai_repro.compress.quantization import quantize
from edgeai_repro.data.transforms import normalise
from edgeai_repro.edge import build, bundle, export
from edgeai_repro.edge.bundle import Bundle, InputSpec
from edgeai_repro.edge.runtime import TOLERANCE, Deployed, Network, prepare, read_image
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.evidence.training_record import RESULT, WEIGHTS
from edgeai_repro.files import sha256
from edgeai_repro.networks import convnext
from tests.support.helpers import awaken
from tests.support.records import record

Edit = Callable[[dict[str, Any]], object]
IMAGES = np.random.default_rng(1).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)


@pytest.fixture
def loaded(atto_bundle: Path) -> Bundle:
    """The bundle, checked."""
    return bundle.load(atto_bundle)


@pytest.fixture
def copied(atto_bundle: Path, tmp_path: Path) -> Path:
    """A bundle of one's own, to be damaged."""
    return Path(shutil.copytree(atto_bundle, tmp_path / "copy"))


def edit(folder: Path, change: Edit) -> None:
    """Change the manifest of a bundle."""
    path = folder / bundle.MANIFEST
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def replace(folder: Path, name: str, content: bytes) -> None:
    """Replace a file and make the manifest agree."""
    (folder / name).write_bytes(content)
    entry = {"sha256": sha256(folder / name), "bytes": len(content)}
    edit(folder, lambda manifest: manifest["files"].update({name: entry}))


class TestContents:
    """What a bundle holds."""

    def test_files(self, loaded: Bundle) -> None:
        """Holds four models, two files each, the probes and the manifest, and no other file."""
        onnx = {f"{variant}.{end}" for variant in bundle.TECHNIQUE_OF_VARIANT for end in ("onnx", "weights")}

        assert {path.name for path in loaded.folder.iterdir()} == onnx | {bundle.PROBES, bundle.MANIFEST}
        assert set(loaded.manifest.files) == onnx | {bundle.PROBES}

    def test_smaller(self, loaded: Bundle) -> None:
        """Int8 and pruning each shrink the file, and both together the most."""
        size = {name: loaded.size(name) for name in bundle.TECHNIQUE_OF_VARIANT}

        assert size["pruned-int8"] < min(size["int8"], size["pruned"]) < max(size["int8"], size["pruned"])
        assert max(size["int8"], size["pruned"]) < size["fp32"] / 2

    def test_counts(self, loaded: Bundle) -> None:
        """Pruning removes parameters and MACs; int8 removes neither, but bits."""
        counts = {name: loaded.model(name).counts for name in bundle.TECHNIQUE_OF_VARIANT}

        assert counts["int8"].parameters == counts["fp32"].parameters
        assert counts["int8"].macs == counts["fp32"].macs
        assert counts["int8"].bit_operations < counts["fp32"].bit_operations
        assert counts["pruned"].macs < counts["fp32"].macs
        assert counts["pruned"].parameters == counts["pruned-int8"].parameters

    def test_outputs(self, loaded: Bundle) -> None:
        """The fp32 file answers as torch does, on images that it was not checked on."""
        network = build.read_source("convnext_atto").network
        with torch.inference_mode():
            expected = network(normalise(torch.from_numpy(IMAGES))).numpy()

        np.testing.assert_allclose(Deployed(loaded, "fp32", threads=1).predict(IMAGES), expected, atol=1e-5)

    @pytest.mark.parametrize("variant", bundle.TECHNIQUE_OF_VARIANT)
    def test_expected(self, loaded: Bundle, variant: bundle.Variant) -> None:
        """Each model gives the manifest's outputs."""
        assert Deployed(loaded, variant, threads=1).check_outputs() <= 1e-6

    def test_one_at_a_time(self, loaded: Bundle) -> None:
        """An image's logits don't depend on the images that are asked with it."""
        network = Deployed(loaded, "pruned-int8", threads=1)

        np.testing.assert_array_equal(network.predict(IMAGES)[1:], network.predict(IMAGES[1:]))

    def test_without_torch(self, atto_bundle: Path) -> None:
        """Reading and running a bundle imports no torch."""
        program = (
            "import sys; from pathlib import Path; from edgeai_repro.edge import bundle, runtime;"
            "found = bundle.load(Path(sys.argv[1]));"
            "runtime.Deployed(found, 'pruned-int8', threads=1).check_outputs();"
            "sys.exit('torch' in sys.modules)"
        )

        assert subprocess.run([sys.executable, "-c", program, atto_bundle], check=False).returncode == 0


class TestBuild:
    """Writing a bundle."""

    def test_wrong_export(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that answers otherwise than torch is not let out, and nothing is left."""
        exported = export.export

        def wrong(model: Any, path: Path, **options: Any) -> None:
            other = convnext.clone_sharing_tensors(model)
            weight = other.classifier[2].weight
            other.classifier[2].weight = torch.nn.Parameter(weight * (1 + 1e-3))
            exported(other, path, **options)

        monkeypatch.setattr(export, "export", wrong)
        with pytest.raises(UserError, match=r"^fp32\.onnx: must answer as torch does"):
            build.build(build.read_source("convnext_atto"), tmp_path / "b", target=0.8, test_split=False)

        assert list(tmp_path.iterdir()) == []

    def test_wrong_int8(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A quantized file that is far worse than torch's own is not let out."""
        source = build.read_source("convnext_atto")
        other = convnext.clone_sharing_tensors(source.network)

        def wrong(_: Path, target: Path) -> None:
            other.classifier[2] = torch.nn.Linear(320, 10)
            export.export(other, target)

        monkeypatch.setattr(export, "quantize", wrong)
        with pytest.raises(UserError, match=r"^int8\.onnx: must answer as torch does"):
            build.build(source, tmp_path / "b", target=0.8, test_split=False)

    @pytest.mark.parametrize("factor", [0.95, 1.05])
    def test_int8_file_with_a_wrong_scale_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
    ) -> None:
        """A scale of the last int8 product that is off by 5 % shows in the logits, on every processor."""
        quantized = export.quantize

        def wrong(source: Path, target: Path) -> None:
            quantized(source, target)
            model = onnx.load(target)
            *_, scales = (tensor for tensor in model.graph.initializer if tensor.name.endswith("_scale"))
            values = onnx.numpy_helper.to_array(scales) * np.float32(factor)
            scales.CopyFrom(onnx.numpy_helper.from_array(values, scales.name))
            export._save(model, target)

        monkeypatch.setattr(export, "quantize", wrong)
        with pytest.raises(UserError, match=r"^int8\.onnx: must answer as torch does"):
            build.build(build.read_source("convnext_atto"), tmp_path / "b", target=0.8, test_split=False)

    def test_pruned_saved_model(self, tmp_path: Path) -> None:
        """A pruned saved model keeps its widths and weights; its dense counterpart is marked as random."""
        widths = [20 * (index + 1) for index in range(12)]
        pruned = convnext.build("convnext_atto", hidden_widths=widths, seed=3)
        folder = saved_models.save(pruned, "convnext_atto", "structured_pruning", {"target": 0.7}, root=tmp_path)
        source = build.read_source(str(folder))

        found = build.build(source, tmp_path / "b", target=0.8, test_split=False).manifest.models

        assert found["pruned-int8"].hidden_widths == tuple(widths)
        assert found["pruned-int8"].params == {"target": 0.7}
        assert found["pruned"].origin.sha256 == saved_models.read(folder).weights_sha256
        assert found["fp32"].origin.sha256 is None

    @pytest.fixture
    def run(self, tmp_path: Path) -> Callable[..., str]:
        """Return a function that makes a training run's folder of a model, and returns its name."""

        def make(name: str, model: Any, **recipe: Any) -> str:
            folder = tmp_path / name
            folder.mkdir()
            save_file(model.state_dict(), folder / WEIGHTS)
            made = record(**recipe).model_copy(
                update={"weights_sha256": sha256(folder / WEIGHTS), "hidden_widths": convnext.hidden_widths(model)}
            )
            (folder / RESULT).write_text(made.model_dump_json(), encoding="utf-8")
            return str(folder)

        return make

    def test_trained(self, tmp_path: Path, run: Callable[..., str]) -> None:
        """A training run's folder gives weights, widths, stem and recipe; its dense twin stands beside it."""
        widths = [16] * 12
        narrow = awaken(convnext.build("convnext_atto", hidden_widths=widths, stem_stride=2, seed=3))
        dense = awaken(convnext.build("convnext_atto", stem_stride=2, seed=4))
        source = build.read_source(run("narrow", narrow, structured=0.8))
        twin = build.read_source(run("dense", dense))

        found = build.build(source, tmp_path / "b", dense=twin, target=0.5, test_split=False)

        pruned = found.model("pruned-int8")
        assert (found.manifest.stem_stride, pruned.params) == (2, {"target": 0.8})
        assert pruned.hidden_widths == tuple(widths)
        assert pruned.origin == source.origin
        assert (source.origin.recipe or {})["structured"] == 0.8
        assert found.model("int8").origin == twin.origin
        with torch.inference_mode():
            expected = narrow(normalise(torch.from_numpy(IMAGES))).numpy()
        np.testing.assert_allclose(Deployed(found, "pruned", threads=1).predict(IMAGES), expected, atol=1e-4)

    def test_another_stem(self, run: Callable[..., str], tmp_path: Path) -> None:
        """A dense model with another stem than the pruned one's is refused."""
        narrow = convnext.build("convnext_atto", hidden_widths=[16] * 12, stem_stride=2)
        source = build.read_source(run("narrow", narrow, structured=0.8))
        dense = build.read_source("convnext_atto")

        with pytest.raises(UserError, match=r"'--dense' must be an unpruned .* stride 2 \(got .* stride 4"):
            build.build(source, tmp_path / "b", dense=dense, target=0.5, test_split=False)

    def test_another_twin(self, run: Callable[..., str], tmp_path: Path) -> None:
        """A dense model that isn't the pruned one's kind is refused with both."""
        narrow = convnext.build("convnext_atto", hidden_widths=[16] * 12, stem_stride=2)
        source = build.read_source(run("narrow", narrow, structured=0.8))

        with pytest.raises(UserError, match=r"'--dense' must be an unpruned convnext_atto .* \(got structured"):
            build.build(source, tmp_path / "b", dense=source, target=0.5, test_split=False)

    def test_unstructured_run(self, run: Callable[..., str]) -> None:
        """A run whose weights were zeroed one by one has nothing to deploy that a dense one hasn't."""
        zeroed = run("zeroed", convnext.build("convnext_atto", stem_stride=2), unstructured=0.5)

        with pytest.raises(UserError, match=r"must be dense or structurally pruned \(got zeroed weights\)"):
            build.read_source(zeroed)

    def test_quantized_saved_model(self, tmp_path: Path) -> None:
        """A saved model whose weights are int8 already is refused."""
        model = quantize(convnext.build("convnext_atto"))
        folder = saved_models.save(model, "convnext_atto", "dynamic_quantization", root=tmp_path)

        with pytest.raises(UserError, match=r"must hold fp32 weights, dense or structurally pruned \(got dynamic"):
            build.read_source(str(folder))

    def test_unknown(self) -> None:
        """A source that is neither a folder nor a model is refused with the nearest name."""
        with pytest.raises(UserError, match=r"^'source' must be .* \(got 'convnext_smal'\); .*'convnext_small'"):
            build.read_source("convnext_smal")

    def test_dense_beside_dense(self, tmp_path: Path) -> None:
        """A dense model beside a dense one makes no sense."""
        source = build.read_source("convnext_atto")

        with pytest.raises(UserError, match=r"^'--dense' must go with a pruned model"):
            build.build(source, tmp_path / "b", dense=source, target=0.8, test_split=False)

    def test_there_already(self, atto_bundle: Path) -> None:
        """A folder that is there is not written over."""
        with pytest.raises(UserError, match="must not be there yet"):
            bundle.write(atto_bundle, lambda _: {})

    def test_split_not_here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without data, asking for the test split says how to get it."""
        monkeypatch.delenv("EDGEAI_DATA", raising=False)

        with pytest.raises(MissingRequirement, match="EDGEAI_DATA"):
            build.build(build.read_source("convnext_atto"), tmp_path / "b", target=0.8, test_split=True)

    def test_split(self, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The test split of a bundle comes back as it went in, and an exchanged one is noticed."""
        labels = np.repeat(np.arange(10, dtype=np.uint8), 1000)
        images = np.broadcast_to(labels[:, None, None, None], (10_000, 3, 32, 32)).astype(np.uint8)
        digest = build._write_split(copied, images, labels)
        for name in (bundle.TEST_IMAGES, bundle.TEST_LABELS):
            replace(copied, name, (copied / name).read_bytes())
        edit(copied, lambda manifest: manifest.update(data_sha256=digest))

        found = bundle.load(copied).test_split()

        np.testing.assert_array_equal(found[0], images)
        np.testing.assert_array_equal(found[1], labels)
        edit(copied, lambda manifest: manifest.update(data_sha256="0" * 64))
        with pytest.raises(UserError, match="must hold the test images of the manifest"):
            bundle.load(copied).test_split()


class TestDamage:
    """A bundle that isn't whole is refused, in one line."""

    @pytest.mark.parametrize("name", ["fp32.onnx", "fp32.weights", "pruned-int8.onnx", bundle.PROBES])
    def test_missing(self, copied: Path, name: str) -> None:
        """A missing file is named."""
        (copied / name).unlink()

        with pytest.raises(UserError, match=rf"{name}: must be there, .* \(got no file\)"):
            bundle.load(copied)

    def test_truncated(self, copied: Path) -> None:
        """A truncated file is told by its size."""
        path = copied / "int8.onnx"
        path.write_bytes(path.read_bytes()[:-1])

        with pytest.raises(UserError, match=r"int8\.onnx: must have \d+ bytes \(got \d+\); it is truncated"):
            bundle.load(copied)

    @pytest.mark.parametrize("name", ["pruned.onnx", "pruned.weights"])
    def test_altered(self, copied: Path, name: str) -> None:
        """A file with one other byte is told by its sha256."""
        path = copied / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

        with pytest.raises(UserError, match=rf"{name}: must have the sha256 .* it is altered"):
            bundle.load(copied)

    def test_other_weights(self, copied: Path) -> None:
        """A graph vouches for its weights: others are refused even where the manifest was made to list them."""
        content = bytearray((copied / "int8.weights").read_bytes())
        content[len(content) // 2] ^= 1
        replace(copied, "int8.weights", bytes(content))

        with pytest.raises(UserError, match=r"int8\.onnx: must name the sha256 of int8\.weights \(got "):
            Deployed(bundle.load(copied), "int8", threads=1)

    def test_only_what_is_asked(self, copied: Path) -> None:
        """Where some models are asked for, the others are not read: it is what a quick start takes."""
        (copied / "fp32.onnx").unlink()

        assert bundle.load(copied, ["pruned-int8"]).model("pruned-int8").technique == "combined"

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            (lambda m: m.update(schema_version=1), r"'schema_version' must be 2 \(got 1\); write the bundle again"),
            (lambda m: m.pop("schema_version"), r"'schema_version' must be 2 \(got None\)"),
            (lambda m: m.update(model="convnext_nano"), r"'model' must be known \(got 'convnext_nano'\)"),
            (lambda m: m.pop("input"), r"input: is missing"),
            (lambda m: m["files"].pop("int8.onnx"), r"'files' must list 'int8\.onnx'"),
            (lambda m: m["files"].update({"../x": m["files"]["int8.onnx"]}), r"'files' must be of"),
            (lambda m: m["files"].update({"..": m["files"]["int8.onnx"]}), r"'files' must be of"),
        ],
    )
    def test_manifest(self, copied: Path, change: Edit, complaint: str) -> None:
        """A manifest of another version, or with a wrong entry, is refused."""
        edit(copied, change)

        with pytest.raises(UserError, match=complaint) as caught:
            bundle.load(copied)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("content", [b"", b"{", b"[]"])
    def test_no_manifest(self, copied: Path, content: bytes) -> None:
        """What is no manifest at all is refused."""
        (copied / bundle.MANIFEST).write_bytes(content)

        with pytest.raises(UserError, match=r"manifest\.json: "):
            bundle.load(copied)

    def test_no_folder(self, tmp_path: Path) -> None:
        """A folder that isn't there is named."""
        with pytest.raises(UserError, match=r"nowhere/manifest\.json: must be a readable JSON file"):
            bundle.load(tmp_path / "nowhere")

    def test_not_onnx(self, copied: Path) -> None:
        """A file with the manifest's sha256 that is no model is refused."""
        replace(copied, "int8.onnx", b"no model")

        with pytest.raises(UserError, match=r"int8\.onnx: must be an ONNX model"):
            Deployed(bundle.load(copied), "int8", threads=1)

    def test_wrong_input(self, loaded: Bundle) -> None:
        """A model that takes another image than the manifest says is refused, with both."""
        wanted = loaded.manifest.input.model_copy(update={"shape": (1, 3, 64, 64)})

        with pytest.raises(UserError, match=r"must take .*64, 64.* \(got .*32, 32"):
            Network(loaded.path("int8"), wanted, threads=1)

    def test_rounding(self, copied: Path) -> None:
        """Outputs of int8 may differ by the error that int8 makes, for a rounding can flip; no further."""
        error = bundle.load(copied).model("int8").error
        logits = bundle.load(copied).model("int8").expected

        def moved(by: float) -> Deployed:
            expected = [[logits[0][0] + by, *logits[0][1:]], *logits[1:]]
            edit(copied, lambda manifest: manifest["models"]["int8"].update(expected=expected))
            return Deployed(bundle.load(copied), "int8", threads=1)

        assert moved(0.9 * error).check_outputs() > TOLERANCE
        with pytest.raises(UserError, match=r"must give the manifest's outputs to"):
            moved(1.1 * error).check_outputs()

    def test_other_outputs(self, copied: Path) -> None:
        """A machine that computes something else than the manifest's outputs is told so."""
        edit(copied, lambda m: m["models"]["int8"].update(expected=m["models"]["pruned"]["expected"]))

        with pytest.raises(UserError, match=r"int8\.onnx: must give the manifest's outputs to \de-0\d \(got"):
            Deployed(bundle.load(copied), "int8", threads=1).check_outputs()

    def test_exchanged_later(self, copied: Path) -> None:
        """A file that is exchanged after the bundle was checked isn't run, nor is one exchanged after it ran."""
        found = bundle.load(copied)
        network = Deployed(found, "int8", threads=1)
        shutil.copy(copied / "fp32.onnx", copied / "int8.onnx")

        with pytest.raises(UserError, match="truncated or altered"):
            network.check_unchanged()
        with pytest.raises(UserError, match="truncated or altered"):
            Deployed(found, "int8", threads=1)


class TestImages:
    """From pixels to what a model takes."""

    @pytest.mark.parametrize("resolution", [32, 48, 224])
    def test_prepare(self, loaded: Bundle, resolution: int) -> None:
        """Images are normalised and enlarged as for torch, to the rounding of its weights (1.5e-5 seen)."""
        wanted = InputSpec.model_validate(
            {**loaded.manifest.input.model_dump(), "shape": (1, 3, resolution, resolution)}
        )

        expected = normalise(torch.from_numpy(IMAGES), resolution).numpy()
        np.testing.assert_allclose(prepare(IMAGES, wanted), expected, atol=1e-4)

    def test_read(self, tmp_path: Path) -> None:
        """An image file comes as its pixels, channels first."""
        path = tmp_path / "image.png"
        Image.fromarray(IMAGES[0].transpose(1, 2, 0)).save(path)

        np.testing.assert_array_equal(read_image(path), IMAGES[:1])

    @pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n truncated"])
    def test_no_image(self, tmp_path: Path, content: bytes) -> None:
        """What isn't an image is refused, in one line."""
        path = tmp_path / "image.png"
        path.write_bytes(content)

        with pytest.raises(UserError, match=r"image\.png: must be an image \(") as caught:
            read_image(path)
        assert "\n" not in str(caught.value)
