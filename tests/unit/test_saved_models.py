"""Saved models: rebuilt bit for bit, written whole or not at all, and refused if damaged."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from edgeai_repro.compress.quantization import engine, quantize
from edgeai_repro.compress.saved_models import DESCRIPTION, OLD_DESCRIPTION, WEIGHTS, load, read, save
from edgeai_repro.compress.unstructured import prune
from edgeai_repro.errors import UserError
from edgeai_repro.networks.convnext import build, hidden_widths, random_images
from tests.support.helpers import assert_same_outputs, awaken, difference

IMAGES = random_images(2)
WIDTHS = tuple(range(8, 20))
NAME = "convnext_atto"
FORMS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "none": lambda model: model,
    "dynamic_quantization": quantize,
    "unstructured_pruning": lambda model: prune(model, 0.5),
    "pruned_and_quantized": lambda model: quantize(prune(model, 0.5)),
}


def narrow(**settings: int) -> nn.Module:
    """Return an atto with narrow MLPs, whose every weight affects the output."""
    return awaken(build(NAME, hidden_widths=WIDTHS, **settings))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a saved, quantized model."""
    return save(quantize(narrow()), NAME, "dynamic_quantization", {"seed": 0}, root=tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_outputs_of_a_rebuilt_model_are_the_same_bit_for_bit(form: str, tmp_path: Path) -> None:
    """A dense, an int8, a pruned, and a pruned int8 model; the control has other weights."""
    model = FORMS[form](narrow())
    rebuilt = load(save(model, NAME, form, root=tmp_path))

    assert_same_outputs(model, rebuilt, IMAGES, tolerance=0.0)
    assert difference(rebuilt, FORMS[form](awaken(build(NAME, hidden_widths=WIDTHS, seed=1))), IMAGES) > 1e-2
    assert not rebuilt.training


def test_classes_and_stem_are_rebuilt(tmp_path: Path) -> None:
    """A model with 3 classes and a stem of stride 2."""
    model = narrow(num_classes=3, stem_stride=2)

    assert_same_outputs(model, load(save(model, NAME, "none", root=tmp_path)), IMAGES, tolerance=0.0)


def test_int8_weights_are_saved_as_plain_tensors(saved: Path) -> None:
    """A quantized layer is saved as an int8 weight, a scale, a zero point and a bias, in two files only."""
    from safetensors.torch import load_file

    tensors = load_file(saved / WEIGHTS)
    layer = "features.1.0.block.3"

    assert tensors[f"{layer}.weight"].dtype == torch.int8
    assert {f"{layer}.scale", f"{layer}.zero_point", f"{layer}.bias"} <= tensors.keys()
    assert sorted(path.name for path in saved.iterdir()) == [DESCRIPTION, WEIGHTS]


def test_description_has_all_that_rebuilding_needs(saved: Path) -> None:
    """model.json has the model, technique, settings, geometry, widths, engine and versions."""
    description = read(saved)

    assert json.loads((saved / "model.json").read_text())["schema_version"] == 2
    assert (description.model, description.technique, description.settings) == (
        NAME,
        "dynamic_quantization",
        {"seed": 0},
    )
    assert (description.resolution, description.num_classes, description.stem_stride) == (32, 10, 4)
    assert WIDTHS == description.hidden_widths == hidden_widths(load(saved))
    assert description.engine == engine()
    assert {"python", "torch", "torchvision", "safetensors", "edgeai-repro"} == description.versions.keys()


def test_an_fp32_model_is_saved_without_an_engine(tmp_path: Path) -> None:
    """An engine packs int8 weights only."""
    assert read(save(narrow(), NAME, "none", root=tmp_path)).engine is None


def test_a_description_of_version_1_is_converted(saved: Path) -> None:
    """The old file name and the old key `params` give the same description and the same model."""
    expected = read(saved)
    document = json.loads((saved / DESCRIPTION).read_text())
    old = {"params" if key == "settings" else key: value for key, value in document.items()} | {"schema_version": 1}
    (saved / DESCRIPTION).unlink()
    (saved / OLD_DESCRIPTION).write_text(json.dumps(old))

    assert read(saved) == expected
    assert_same_outputs(load(saved), quantize(narrow()), IMAGES, tolerance=0.0)


def test_the_saved_model_of_the_repository_can_be_read() -> None:
    """The model in evidence/models keeps its description of version 1."""
    (folder,) = (Path(__file__).parents[2] / "evidence" / "models").iterdir()

    assert (folder / OLD_DESCRIPTION).is_file()
    assert read(folder).settings == {"epochs": 12, "seed": 0, "target": 0.8}


def test_folder_name_depends_on_settings_and_weights(tmp_path: Path) -> None:
    """Settings in another order give the same folder; other weights or other settings give another."""
    model = narrow()
    first, again = (save(model, NAME, "none", {"b": 1, "a": 2}, root=tmp_path) for _ in range(2))
    reordered = save(model, NAME, "none", {"a": 2, "b": 1}, root=tmp_path)
    others = {
        save(narrow(seed=1), NAME, "none", {"b": 1, "a": 2}, root=tmp_path),
        save(model, NAME, "none", {"b": 1, "a": 3}, root=tmp_path),
    }

    assert first == again == reordered
    assert first.name.startswith(f"{NAME}--none--")
    assert len(others | {first}) == 3 == len(list(tmp_path.iterdir()))


@pytest.mark.parametrize("content", [None, b""], ids=["missing", "empty"])
def test_a_damaged_folder_is_written_again(
    saved: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Saving the model again replaces the damaged folder and logs it."""
    (saved / WEIGHTS).unlink()
    if content is not None:
        (saved / WEIGHTS).write_bytes(content)

    with caplog.at_level(logging.WARNING):
        again = save(quantize(narrow()), NAME, "dynamic_quantization", {"seed": 0}, root=saved.parent)

    assert again == saved
    assert hidden_widths(load(saved)) == WIDTHS
    assert f"{saved}: is damaged" in caplog.text


def test_an_interrupted_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt between the two files leaves neither."""

    def interrupt(path: Path, *_: object, **__: object) -> int:
        assert (path.parent / WEIGHTS).exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(narrow(), NAME, "none", root=tmp_path)

    assert not list(tmp_path.iterdir())


def truncate(folder: Path) -> None:
    """Cut the weights short."""
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(folder: Path) -> None:
    """Flip one bit of the last weight."""
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def describe(**changes: object) -> Callable[[Path], None]:
    """Return a function that changes fields of the description."""

    def change(folder: Path) -> None:
        path = folder / DESCRIPTION
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "weights missing": (lambda folder: (folder / WEIGHTS).unlink(), "is missing; save it again"),
    "weights truncated": (truncate, "must have the sha256"),
    "one bit flipped": (flip_a_bit, "must have the sha256"),
    "description missing": (lambda folder: (folder / DESCRIPTION).unlink(), "model.json is missing"),
    "description cut short": (
        lambda folder: (folder / DESCRIPTION).write_text("{"),
        "must be valid JSON",
    ),
    "unknown field": (describe(colour="red"), "colour: is not a known key"),
    "schema of the future": (describe(schema_version=3), "schema_version: must be "),
    "unknown model": (describe(model="convnext_tini"), "did you mean 'convnext_tiny'"),
    "another model": (describe(model="convnext_tiny", hidden_widths=[8] * 18), "must hold the tensors"),
    "other widths": (describe(hidden_widths=[9] * 12), "must hold the tensors"),
    "too few widths": (describe(hidden_widths=[9]), "'hidden_widths' must be one per block"),
    "negative widths": (describe(hidden_widths=[-9] * 12), "greater than 0"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_refused(damage: str, saved: Path) -> None:
    """Every line of the error starts with the path."""
    break_it, message = DAMAGES[damage]
    break_it(saved)

    with pytest.raises(UserError, match=message) as caught:
        load(saved)

    assert all(line.startswith(str(saved)) for line in str(caught.value).splitlines())


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """The line names the folder."""
    with pytest.raises(UserError, match=r"nowhere: must be the folder of a saved model"):
        load(tmp_path / "nowhere")


def test_an_unknown_model_is_not_saved(tmp_path: Path) -> None:
    """The line offers the nearest name, and nothing is written."""
    with pytest.raises(UserError, match="did you mean 'convnext_atto'"):
        save(narrow(), "convnext_ato", "none", root=tmp_path)

    assert not list(tmp_path.iterdir())


def test_a_root_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """If the root is a file, the line names the path."""
    (tmp_path / "file").touch()

    with pytest.raises(UserError, match=r"file.*: must be writable \(got"):
        save(narrow(), NAME, "none", root=tmp_path / "file")
