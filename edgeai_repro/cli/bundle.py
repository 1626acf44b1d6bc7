"""`edgeai-repro bundle` and `classify`: write a bundle for an edge device, and classify images with it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_repro.errors import UserError

if TYPE_CHECKING:
    from edgeai_repro.edge.any_network import Channels, Normalisation
    from edgeai_repro.edge.bundle import Bundle
    from edgeai_repro.edge.export_variants import Problem
    from edgeai_repro.edge.model_source import ModelSource
    from edgeai_repro.edge.runtime import Deployed
    from edgeai_repro.edge.static_int8 import Calibration


def bundle(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="a network (convnext_small, resnet50, timm:NAME, FILE.py:FUNCTION), an ONNX file, or the folder "
            "of a saved model or training run",
        ),
    ],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.")],
    resolution: Annotated[
        int | None,
        typer.Option(min=1, help="Side of the image in pixels (default: the network's own; ConvNeXt's is 32)."),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(min=1, help="Classes of a network built by name (default: 1000; ConvNeXt's are 10)."),
    ] = None,
    dense: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="The unpruned model, if SOURCE is a pruned one.")
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(help="Share of the hidden channels to prune, if SOURCE is unpruned (default: 0.8)."),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Images to calibrate static int8 on (default: random images)."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Test images to include, in one folder per class."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Text file with the name of each class, one per line.")
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", help="Mean of the channels, 0 to 1 (default: timm's or ImageNet's)."),
    ] = None,
    std: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="Standard deviation of the channels (default: as the mean).")
    ] = None,
    with_test_split: Annotated[
        bool, typer.Option("--with-test-split", help="Include CIFAR-10's test images (17 MB).")
    ] = False,
) -> None:
    """Export a network as ONNX for an edge device.

    The bundle holds it in fp32, with dynamic int8 and with static int8, each dense and pruned. Every variant is
    compared with torch before it is written; one that can't be made is left out with the reason. A ConvNeXt has
    static int8 only with --calibrate.

    Example: edgeai-repro bundle timm:mobilenetv3_large_100 --calibrate=photos --output=mobile-bundle
    """
    from edgeai_repro.edge import build, user_images

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    model = _source(source, resolution, classes, _normalisation(mean, std))
    side, number = model.resolution, model.num_classes
    names = None if labels is None else user_images.read_labels(labels)
    if names is not None and len(names) != number:
        raise UserError(f"{labels}: must have one label per class, {number} (got {len(names)}); correct the file")
    if names is None and images is not None:
        names = user_images.labels_of(images, number)
    written = build.build(
        model,
        out,
        dense=None if dense is None else build.read_source(dense),
        target=build.TARGET if target is None else target,
        test_split=with_test_split,
        images=None if images is None else user_images.read_test_images(images, side, number, names),
        labels=names,
        calibration=None if calibrate is None else _calibration(calibrate, side),
    )
    _show(written)
    typer.echo(out)


def _calibration(folder: Path, side: int) -> Calibration | Problem:
    """Return the images to calibrate on. Without any, the variants that don't need them still come out."""
    from edgeai_repro.edge.export_variants import Problem
    from edgeai_repro.edge.user_images import read_calibration

    try:
        return read_calibration(folder, side)
    except UserError as error:
        return Problem(str(error))


def _show(written: Bundle) -> None:
    for variant, entry in written.manifest.models.items():
        megabytes = written.size(variant) / 1e6
        typer.echo(f"{' + '.join(entry.files)}: {megabytes:.1f} MB, sha256 {written.sha256(variant)[:12]}…")
        if notes := entry.static_int8:
            operators = f" ({', '.join(notes.fp32_operators)})" if notes.fp32_operators else ""
            typer.echo(
                f"  calibrated on {notes.calibration}; {notes.fp32_share:.1%} of the MACs in fp32{operators}"
            )


def _source(
    text: str, resolution: int | None, classes: int | None, normalisation: Normalisation | None
) -> ModelSource:
    """Return the network that a text names. Raises UserError if it names none, or for options that don't fit it."""
    from edgeai_repro.edge.any_network import network_source, onnx_source
    from edgeai_repro.edge.build import read_source
    from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, IMAGENET_CLASSES

    if Path(text).suffix == ".onnx":
        return onnx_source(Path(text), resolution=resolution, normalisation=normalisation)
    if Path(text).is_dir() or text in CONVNEXT_VARIANTS:
        if normalisation is not None:
            raise UserError(f"'--mean' and '--std' must go with another network (got {text}); leave them out")
        if Path(text).is_dir() and (resolution or classes):
            raise UserError(f"'--resolution' and '--classes' must go with a name (got {text}); leave them out")
        return read_source(text, classes=classes, resolution=resolution)
    from edgeai_repro.audit.model_source import resolve_model

    resolved = resolve_model(text, classes=classes or IMAGENET_CLASSES)
    return network_source(
        resolved.name,
        resolved.model,
        resolution=resolution or resolved.resolution,
        inputs=resolved.inputs,
        normalisation=normalisation,
        trained=resolved.source == "a function",
    )


def _normalisation(mean: str | None, std: str | None) -> Normalisation | None:
    from edgeai_repro.edge.any_network import Normalisation

    if (mean is None) != (std is None):
        raise UserError(f"'{'--std' if std is None else '--mean'}' is missing; give both or none")
    if mean is None or std is None:
        return None
    return Normalisation(_channels("--mean", mean), _channels("--std", std))


def _channels(option: str, text: str) -> Channels:
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"'{option}' must be three numbers (got {text!r}); write 0.5,0.5,0.5") from None
    if option == "--std" and min(red, green, blue) <= 0:
        raise UserError(f"'{option}' must be above 0 (got {text!r}); correct it")
    return red, green, blue


def classify(
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="a folder written by `edgeai-repro bundle`")],
    image: Annotated[
        Path | None,
        typer.Argument(metavar="[IMAGE]", help="a PNG or JPEG file (default: the bundle's test images)"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The variant, such as fp32 or static-int8 (default: pruned-int8, else the smallest)."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Number of threads (default: one per usable core).")
    ] = None,
) -> None:
    """Classify an image with a model from a bundle (no torch needed), or measure the model's accuracy.

    Prints classes by descending logit. Without an image, prints the share of the bundle's own test images that the
    model classifies correctly.

    Example: edgeai-repro classify small-bundle frog.png --model=int8
    """
    from edgeai_repro.edge import bundle as bundles
    from edgeai_repro.edge.images import read_image
    from edgeai_repro.edge.runtime import Deployed

    given = None if model is None else bundles.parse_variant(model)
    pixels = None if image is None else read_image(image)
    loaded = bundles.load(folder, [])  # the files of the model are checked when it is deployed
    deployed = Deployed(loaded, given or loaded.preferred, threads=threads)
    if image is None or pixels is None:
        _show_accuracy(deployed)
        return
    if not loaded.manifest.is_convnext:  # a ConvNeXt's image has CIFAR-10's size, and is enlarged
        pixels = read_image(image, loaded.manifest.input.shape[3])
    logits = deployed.predict(pixels)[0]
    names = loaded.manifest.labels
    for index in logits.argsort()[::-1]:
        name = f"class {index}" if names is None else names[index]
        typer.echo(f"{name}: {logits[index]:.3f}")
    _warn_of_random_weights(deployed, "these classes mean nothing")


def _show_accuracy(deployed: Deployed) -> None:
    from edgeai_repro.evidence.statistics import wilson
    from edgeai_repro.judge.formatting import format_interval

    correct = deployed.correct(*deployed.bundle.test_split())
    deployed.check_unchanged()
    accuracy = format_interval(wilson(int(correct.sum()), len(correct)), "%")
    typer.echo(f"{deployed.variant}: {accuracy} of {len(correct)} test images are classified correctly")
    _warn_of_random_weights(deployed, "this share means nothing")


def _warn_of_random_weights(deployed: Deployed, consequence: str) -> None:
    if deployed.bundle.model(deployed.variant).origin.sha256 is None:
        typer.echo(f"edgeai-repro: {deployed.variant} has random weights: {consequence}", err=True)
