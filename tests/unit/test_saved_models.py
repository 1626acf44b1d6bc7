"""Artefacts: saved and rebuilt to the bit, whole or not there, and refused when broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from edgeai_repro.compress import saved_models
from edgeai_repro.compress.quantization import engine, quantize
from edgeai_repro.compress.saved_models import DESCRIPTION, WEIGHTS, load, read, save
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
    """A narrowed atto whose every weight shows in the output."""
    return awaken(build(NAME, hidden_widths=WIDTHS, **settings))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a saved, quantized model."""
    return save(quantize(narrow()), NAME, "dynamic_quantization", {"seed": 0}, root=tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_a_rebuilt_model_answers_to_the_bit(form: str, tmp_path: Path) -> None:
    """Dense, int8, pruned, pruned and int8: the outputs are those of the model that was saved."""
    model = FORMS[form](narrow())
    rebuilt = load(save(model, NAME, form, root=tmp_path))

    assert_same_outputs(model, rebuilt, IMAGES, tolerance=0.0)
    assert difference(rebuilt, FORMS[form](awaken(build(NAME, hidden_widths=WIDTHS, seed=1))), IMAGES) > 1e-2
    assert not rebuilt.training


def test_classes_and_stem_come_back(tmp_path: Path) -> None:
    """Another number of classes and another stem are rebuilt as they were."""
    model = narrow(num_classes=3, stem_stride=2)

    assert_same_outputs(model, load(save(model, NAME, "none", root=tmp_path)), IMAGES, tolerance=0.0)


def test_int8_weights_are_plain_tensors(saved: Path) -> None:
    """A quantized layer is an int8 weight with a scale, a zero point and a bias; the file is smaller for it."""
    from safetensors.torch import load_file

    tensors = load_file(saved / WEIGHTS)
    layer = "features.1.0.block.3"

    assert tensors[f"{layer}.weight"].dtype == torch.int8
    assert {f"{layer}.scale", f"{layer}.zero_point", f"{layer}.bias"} <= tensors.keys()
    assert sorted(path.name for path in saved.iterdir()) == [DESCRIPTION, WEIGHTS]


def test_the_description_says_what_it_takes(saved: Path) -> None:
    """artefact.json holds model, technique, settings, geometry, widths, engine, hash and versions."""
    artefact = read(saved)

    assert (artefact.model, artefact.technique, artefact.params) == (NAME, "dynamic_quantization", {"seed": 0})
    assert (artefact.resolution, artefact.num_classes, artefact.stem_stride) == (32, 10, 4)
    assert WIDTHS == artefact.hidden_widths == hidden_widths(load(saved))
    assert artefact.engine == engine()
    assert {"python", "torch", "torchvision", "safetensors", "edgeai-repro"} == artefact.versions.keys()


def test_an_fp32_artefact_has_no_engine(tmp_path: Path) -> None:
    """What isn't quantized was packed by none."""
    assert read(save(narrow(), NAME, "none", root=tmp_path)).engine is None


def test_the_folder_is_named_after_what_it_holds(tmp_path: Path) -> None:
    """The same model under the same settings has the same folder; other weights or other settings have another."""
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


def test_a_broken_folder_is_written_anew(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where an artefact was damaged, saving it again mends it, and says so."""
    (saved / WEIGHTS).write_bytes(b"")

    again = save(quantize(narrow()), NAME, "dynamic_quantization", {"seed": 0}, root=saved.parent)

    assert again == saved
    assert hidden_widths(load(saved)) == WIDTHS


def test_an_interrupted_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is stopped between the weights and the description, neither is left."""

    def interrupt(path: Path) -> str:
        assert path.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(saved_models, "sha256", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(narrow(), NAME, "none", root=tmp_path)

    assert not list(tmp_path.iterdir())


def test_the_root_is_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EDGEAI_ARTEFACTS names the folder; without it, it is in the user's cache."""
    monkeypatch.setenv("EDGEAI_ARTEFACTS", str(tmp_path / "mine"))
    assert save(narrow(), NAME, "none").parent == tmp_path / "mine"

    monkeypatch.delenv("EDGEAI_ARTEFACTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert saved_models.default_root() == tmp_path / "cache" / "edgeai-repro" / "artefacts"


def truncate(folder: Path) -> None:
    """Cut the weights short."""
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def alter(folder: Path) -> None:
    """Flip one bit of the last weight."""
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def describe(**changes: object) -> Callable[[Path], None]:
    """Change fields of the description."""

    def change(folder: Path) -> None:
        path = folder / DESCRIPTION
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "weights gone": (lambda folder: (folder / WEIGHTS).unlink(), "must be there to be loaded"),
    "weights truncated": (truncate, "truncated or altered"),
    "one bit flipped": (alter, "truncated or altered"),
    "description gone": (lambda folder: (folder / DESCRIPTION).unlink(), "must be an artefact's folder"),
    "description cut": (lambda folder: (folder / DESCRIPTION).write_text("{"), "must be valid JSON"),
    "field unknown": (describe(colour="red"), "colour: is not a known key"),
    "schema of the future": (describe(schema_version=2), "schema_version: must be "),
    "model unknown": (describe(model="convnext_tini"), "did you mean 'convnext_tiny'"),
    "model another": (describe(model="convnext_tiny", hidden_widths=[8] * 18), "must hold the tensors"),
    "widths other": (describe(hidden_widths=[9] * 12), "must hold the tensors"),
    "widths missing": (describe(hidden_widths=[9]), "'hidden_widths' must be one a block"),
    "widths negative": (describe(hidden_widths=[-9] * 12), "greater than 0"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_artefact_is_refused_in_one_line(damage: str, saved: Path) -> None:
    """Each damage is one line that says which file, what is wrong and what to do."""
    break_it, message = DAMAGES[damage]
    break_it(saved)

    with pytest.raises(UserError, match=message) as caught:
        load(saved)

    assert all(line.startswith(("'", str(saved))) for line in str(caught.value).splitlines())


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The line names the folder."""
    with pytest.raises(UserError, match=r"nowhere: must be an artefact's folder"):
        load(tmp_path / "nowhere")


def test_an_unknown_model_is_not_saved(tmp_path: Path) -> None:
    """The line offers the nearest name, and nothing is written."""
    with pytest.raises(UserError, match="did you mean 'convnext_atto'"):
        save(narrow(), "convnext_ato", "none", root=tmp_path)

    assert not list(tmp_path.iterdir())


def test_a_root_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A file in the folder's place is one line that names EDGEAI_ARTEFACTS."""
    (tmp_path / "file").touch()

    with pytest.raises(UserError, match="set EDGEAI_ARTEFACTS to another"):
        save(narrow(), NAME, "none", root=tmp_path / "file")
