"""The scripts of all claims run, and show their numbers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Setting
from edgeai_repro.networks.specs import Alternatives
from edgeai_repro.report.script import script
from tests.support.factories import TINY, case, claim
from tests.support.scripts import CASES, COMPARED, IGNORED, WITHOUT, quickest, run

# One claim per kind of script, with the settings to try and a pattern of the output.
SHOWN = {
    "francy2024/dq-params": ({}, r"27,827,818 -> 1,908,480, 93\.14% fewer\n.* 0\.00% fewer"),
    "francy2024/dq-macs": ({}, r"91,097,856 -> 6,155,520, 93\.24% fewer\n.* 0\.00% fewer"),
    "francy2024/dq-size": ({}, r"111\.4 -> 33\.7 MB, 69\.70% smaller\n.* 6\.86% of the parameters"),
    "francy2024/unstructured-macs": (
        {"sparsity": [0.9]},
        r"24,987,312 weights are 0, MACs 91,097,856 -> 91,097,856",
    ),
    "francy2024/unstructured-compression": (
        {"sparsity": [0.9]},
        r"2,791,152 not 0, 111\.4 MB as saved, \d\d\.\d MB defl",
    ),
    "francy2024/structured-size": ({"target": [0.8]}, r"111\.4 -> 28\.5 MB, 74\.44% smaller"),
    "francy2024/combined-size": ({"target": [0.8]}, r"111\.4 -> 13\.0 MB, 88\.37% smaller"),
    "francy2024/combined-params": ({"target": [0.5, 0.8]}, r"93\.14% fewer, 46\.55% .*\n.* 93\.14% fewer, 74\.48%"),
    "francy2024/combined-macs": ({"target": [0.5, 0.8]}, r"93\.24% fewer, 46\.62% .*\n.* 93\.24% fewer, 74\.58%"),
    "francy2024/combined-additive": ({"target": [0.8]}, r"74\.44% smaller by the better alone, 88\.37% by both"),
    "francy2024/edge-latency": ({}, r"median of 50 \d+\.\d ms in eager torch, on this machine"),
    "francy2024/alexnet-imbalance": ({}, r"91\.8% of the MACs, .* 96\.0% of the parameters"),
    "generality/dq-params-is-linear-share": ({}, r"45\.80% fewer by parameters\(\); 45\.80% stand in nn\.Linear"),
    "generality/dq-size-is-linear-share": ({}, r"34\.00% smaller; 3/4 of the share of nn\.Linear is 34\.35%"),
    "generality/torchao-params-do-not-drop": ({}, r"27,827,818 -> 27,827,818, 0\.00% fewer"),
    "generality/torchao-bytes-do-drop": ({}, r"69\.\d\d% smaller; 3/4 of the share of nn\.Linear is 69\.86%"),
    "edge/quantized-faster": ({}, r"fp32 \d+\.\d ms, int8 \d+\.\d ms, \d+\.\d\d times faster here"),
    "edge/pruned-faster": ({}, r"Runtime: \d+\.\d ms, pruned \d+\.\d ms, \d+\.\d\d times faster here"),
    "edge/bundle-faster": ({}, r"eager \d+\.\d ms, ONNX Runtime \d+\.\d ms, \d+\.\d\d times faster here"),
    "liu2022/xlarge-params": ({}, r"350\.1970 M parameters with 1000 classes"),
    "liu2022/tiny-macs": ({}, r"4\.46\d\d G as thop counts; 4\.4[56]\d\d G in"),
    "liu2022/xlarge-macs": ({}, r"60\.9[56]\d\d G as thop counts; 60\.9[12]\d\d G in"),
    "vasu2022/s0-deploy-params": ({}, r"5\.293 M .* training graph, 2\.079 M deployed"),
    "li2017/vgg-a-macs": ({}, r"vgg-a: 34\.134% fewer MACs than vgg16_cifar as thop counts, 34\.193% fewer"),
    "li2017/resnet110-up-to": ({}, r"resnet110-a: 15\.818% .* thop counts, 15\.860% fewer"),
    "li2017/resnet56-a-params": ({}, r"9\.341% fewer parameters than resnet56; 9\.363% fewer without BatchNorm"),
    "luo2017/gap-flops": ({}, r"vgg16 has 3\.31\d times as many MACs"),
    "luo2017/resnet50-flops-count": ({}, r"first: 7\.8008 G .*; 7\.7159 G .*\n.*second: .*; 8\.1784 G"),
    "luo2017/resnet50-half-params": ({}, r"51\.\d+% fewer"),
    "tan2019/resnet50-params-ratio": ({}, r"b0: resnet50-v1\.5 has 4\.833 times as many parameters"),
    "ma2018/macs-1": ({}, r"0\.1458 G in convolutions.*\n.*0\.1449 G in convolutions"),
    "sandler2018/macs-1-4": ({}, r"0\.5822 G in convolutions and Linear layers"),
    "iandola2016/fifty-times-size": ({}, r"alexnet has 48\.\d\d times as many bytes, 244\.4 and 5\.0 MB"),
    "iandola2016/size": ({}, r"squeezenet1_0: 5\.0\d MB saved, 4\.99 MB of values, 4\.76 MiB"),
    "ding2021/b2-params": ({}, r"64\.\d\d% .* training graph, 58\.05% deployed"),
    "counters/vit-torchinfo": ({}, r"0\.17323\d G by torchinfo; 17\.563828 G by torch's own"),
    "counters/dq-macs-torchinfo": ({}, r"torchinfo says .* 86\.\d\d% fewer\n.*compute 169,876,992 products"),
    "vasu2022/s0-deploy-macs": ({}, r"1\.052 G .* training graph at 224 pixels, 0\.275 G deployed"),
}


def kind(entry: Claim) -> tuple[str, ...]:
    """Return the metric, the technique and the way to count, which determine the script."""
    ways = [name for name in ("convention", "counter") if entry.conditions.get(name, ["thop"]) != ["thop"]]
    ways += ["without"] if entry.without else []
    if "convention" in ways:  # one script shows all that is counted so
        return str(entry.conditions["convention"][0]), entry.technique
    return entry.metric, entry.technique, *ways


SLOW = {"convnext_large", "vgg16"}  # half a gigabyte and more to save
TINY_VGG = {"family": "vgg_cifar", "channels": [8, "M", 8]}
# Kinds whose claims are about large networks, or take a second to time: what is run instead, and shown.
RANKED = ("macs_time_tau", "none")  # 42 networks and more
SMALL = [
    ("size", "dynamic_quantization", "tiny", None, r"0\.0\d MB saved, 0\.0\d MB with int8"),
    ("time_ratio", "none", "tiny", "resnet20", r"tiny: \d+\.\d ms, resnet20: \d+\.\d ms, \d+\.\d\d times faster"),
    ("time_ratio", "reparameterize", "timm:mobileone_s0", "tiny", r"mobileone_s0, deployed: \d+\.\d ms, tiny: "),
]


@pytest.fixture
def uninitialised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill new weights with zeros, which takes a tenth of the time; counts stay the same."""
    for name in ("trunc_normal_", "normal_", "kaiming_normal_", "kaiming_uniform_", "xavier_uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor.detach().zero_())


def test_every_kind_of_script_is_tested() -> None:
    """The claims above and below cover every metric and technique of the claims files that a script can show."""
    small = {(metric, technique) for metric, technique, *_ in SMALL}
    assert {kind(CASES[name].claim) for name in (*SHOWN, *COMPARED)} | small | {RANKED} >= {
        kind(case.claim) for name, case in CASES.items() if name not in WITHOUT
    }


@IGNORED
@pytest.mark.parametrize("name", SHOWN)
def test_script_shows_the_number(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script runs and prints the number of its claim, with the numbers that explain it."""
    monkeypatch.chdir(tmp_path)
    settings, expected = SHOWN[name]

    run(name, settings)

    out = capsys.readouterr().out
    assert re.search(expected, out), out


def _other_scripts() -> list[Any]:
    """Return one claim for each kind of script and of networks that no claim above has."""
    tested, others = set(map(_networks_too, (*SHOWN, *COMPARED))), []
    for name, shown in CASES.items():
        if name in WITHOUT or _networks_too(name) in tested:
            continue
        tested.add(_networks_too(name))
        if kind(shown.claim) not in {RANKED, *((metric, technique) for metric, technique, *_ in SMALL)}:
            slow = {*shown.claim.models} & SLOW
            others.append(pytest.param(name, marks=[pytest.mark.slow] if slow else []))
    return others


def _networks_too(name: str) -> tuple[object, ...]:
    """Return the kind of the script of a claim, and the families of its networks."""
    paper, entry = CASES[name].paper, CASES[name].claim
    return *kind(entry), *sorted({paper.networks[network].family for network in entry.networks})


@IGNORED
@pytest.mark.usefixtures("uninitialised")
@pytest.mark.parametrize("name", _other_scripts())
def test_every_other_script_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The scripts of all other claims run; those of one model print a number in the claim's band."""
    entry = CASES[name].claim

    run(name)

    out = capsys.readouterr().out
    network = CASES[name].paper.networks[quickest(entry)]
    single = network.of.values() if isinstance(network, Alternatives) else [quickest(entry)]
    assert out.startswith(tuple(single))
    if entry.quantifier == "named" and entry.expect.verdict == "reproduced":
        numbers = [float(number) for number in re.findall(r"\d+\.\d+", out)]
        assert any(entry.locate(number, number) == "inside" for number in numbers), out


@IGNORED
@pytest.mark.parametrize(("metric", "technique", "model", "against", "expected"), SMALL)
def test_script_of_a_small_network_runs(
    metric: str, technique: str, model: str, against: str | None, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sizes and times of networks of the file's own are shown, too."""
    conditions: dict[str, list[Setting]] = {"resolution": [32], "classes": [10]}
    if metric == "time_ratio":
        conditions |= {"threads": [1], "batch": [1]}
    entry = claim(metric=metric, technique=technique, models=[model], against=against, conditions=conditions)

    exec(compile(script(case(entry, networks={"tiny": TINY_VGG})), metric, "exec"), {"__name__": "__main__"})

    assert re.search(expected, capsys.readouterr().out)


def test_script_runs_in_an_isolated_interpreter() -> None:
    """A script needs only its own text to show the artefact."""
    text = script(CASES["francy2024/dq-params"], [TINY])
    done = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-"], input=text, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "93.14% fewer" in done.stdout
