"""`make pruning-survey`: one network of each of 40 families, pruned by two libraries, and `docs/pruning.md`.

Each network has a process of its own, and results are kept as JSON lines, so that an interrupted survey goes on
where it stopped.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from edgeai_repro.errors import one_line
from edgeai_repro.files import write_text
from tests.benchmarks.pruning_survey_page import page
from tests.support.pruning import METHODS, Method, Outcome, Survey, pruned

ROOT = Path(__file__).parents[2]
SECONDS = 60  # of processor time that a library may take for a network
SIDE = 64  # of the image, for networks that take any
# By family: the network, and the side of its image if it takes no other.
FAMILIES: dict[str, tuple[str, int]] = {
    "ResNet": ("timm:resnet10t", SIDE),
    "ResNeXt": ("timm:resnext26ts", SIDE),
    "Res2Net": ("timm:res2net50_14w_8s", SIDE),
    "ResNeSt": ("timm:resnest14d", SIDE),
    "SKNet": ("timm:skresnet18", SIDE),
    "RegNet": ("timm:regnety_002", SIDE),
    "NF-RegNet": ("timm:nf_regnet_b0", SIDE),
    "TResNet": ("timm:tresnet_m", SIDE),
    "VGG": ("vgg11_bn", SIDE),
    "GoogLeNet": ("googlenet", SIDE),
    "SqueezeNet": ("squeezenet1_1", SIDE),
    "DenseNet": ("densenet121", SIDE),
    "DPN": ("timm:dpn48b", SIDE),
    "DLA": ("timm:dla46_c", SIDE),
    "VoVNet": ("timm:ese_vovnet19b_dw", SIDE),
    "HRNet": ("timm:hrnet_w18_small", SIDE),
    "CSPNet": ("timm:cspresnet50", SIDE),
    "SelecSLS": ("timm:selecsls42", SIDE),
    "MobileNetV2": ("mobilenet_v2", SIDE),
    "MobileNetV3": ("timm:mobilenetv3_small_050", SIDE),
    "MobileNetV4": ("timm:mobilenetv4_conv_small_035", SIDE),
    "MNASNet": ("mnasnet0_5", SIDE),
    "EfficientNet": ("timm:efficientnet_b0", SIDE),
    "ReXNet": ("timm:rexnet_100", SIDE),
    "ShuffleNetV2": ("shufflenet_v2_x0_5", SIDE),
    "GhostNet": ("timm:ghostnet_050", SIDE),
    "RepVGG": ("timm:repvgg_a0", SIDE),
    "MobileOne": ("timm:mobileone_s0", SIDE),
    "StarNet": ("timm:starnet_s1", SIDE),
    "ConvNeXt": ("timm:convnext_atto", SIDE),
    "ConvNeXt V2": ("timm:convnextv2_atto", SIDE),
    "EdgeNeXt": ("timm:edgenext_xx_small", SIDE),
    "PoolFormer": ("timm:poolformer_s12", SIDE),
    "MobileViT": ("timm:mobilevit_xxs", SIDE),
    "EfficientViT": ("timm:efficientvit_b0", SIDE),
    "FastViT": ("timm:fastvit_t8", SIDE),
    "ViT": ("timm:vit_tiny_patch16_224", 224),
    "Swin": ("timm:swin_tiny_patch4_window7_224", 224),
    "LeViT": ("timm:levit_128s", 224),
    "MLP-Mixer": ("timm:mixer_s32_224", 224),
}


def main(
    only: Annotated[list[str] | None, typer.Option(help="Only these families.")] = None,
    results: Annotated[Path, typer.Option(help="File of the results, JSON lines.")] = ROOT
    / "runs"
    / "pruning-survey.jsonl",
    minutes: Annotated[float, typer.Option(help="Start no family after so many minutes.")] = 1e9,
) -> None:
    """Prune a network of each family with both libraries and write docs/pruning.md."""
    known = read(results)
    deadline = time.monotonic() + 60 * minutes
    for family in tqdm([name for name in FAMILIES if name not in known and name in (only or FAMILIES)]):
        if time.monotonic() > deadline:
            break
        outcomes = (in_own_process(method, family) for method in METHODS)
        known[family] = Survey(family, FAMILIES[family][0], *outcomes)
        write_text(results, "".join(json.dumps(asdict(entry)) + "\n" for entry in known.values()))
    surveys = [known[name] for name in FAMILIES if name in known]
    write_text(ROOT / "docs" / "pruning.md", page(surveys, len(FAMILIES)))


def read(results: Path) -> dict[str, Survey]:
    """Return the results so far by family."""
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    return {entry.family: entry for entry in (Survey.parse(json.loads(line)) for line in lines)}


def in_own_process(method: Method, family: str) -> Outcome:
    """Return the outcome of a method, or the reason if its process fails or takes too long."""
    with multiprocessing.get_context("fork").Pool(1) as pool:  # a fork has imported the libraries already
        try:
            return pool.apply_async(limited, (method, *FAMILIES[family])).get(10 * SECONDS)
        except multiprocessing.TimeoutError:
            return Outcome("fails", f"takes more than {10 * SECONDS} s")
        except Exception as error:  # whatever a network or a library raises
            return Outcome("fails", one_line(error))


class TooLongError(BaseException):
    """The processor time of a method is used up. No `except Exception` of a library stops it."""


def limited(method: Method, name: str, side: int) -> Outcome:
    """Return the outcome of a method, within a minute of processor time, which a busy machine does not change."""

    def stop(*_: object) -> None:
        raise TooLongError

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS, 1)  # again, should a library catch the first
    try:
        return pruned(method, name, side)
    except TooLongError:
        return Outcome("fails", f"takes more than {SECONDS} s of processor time")


if __name__ == "__main__":
    typer.run(main)
