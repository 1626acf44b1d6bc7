"""The sweep over all networks: its judgement of a comparison, its page, and what it reads again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgeai_repro.measure.counts import Counts
from tests.benchmarks import count_sweep, count_sweep_page
from tests.support.killed_workers import DEADLY, compare_or_die
from tests.support.zoo import Built, Inputs, Network, reference
from tests.support.zoo_counts import Comparison, compare, count_actual, missing_macs, weights_in_buffers

RESNET = Network("timm", "resnet10t", "resnet")


def comparison(**changed: Any) -> Comparison:
    """Return a comparison that agrees, but for what is changed."""
    same = {"macs": 1000, "torch_macs": 1000, "parameters": 50, "torch_parameters": 50}
    return Comparison.model_validate({"id": "timm:resnet10t", "family": "resnet", **same, **changed})


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({}, "agrees"),
        ({"macs": 1001}, "agrees"),
        ({"macs": 1002}, "differs"),
        ({"parameters": 51}, "differs"),
        ({"uncounted": ["aten::new"]}, "differs"),
        ({"quantized": True}, "differs"),
        ({"quantized": True, "int8": True}, "agrees"),
        ({"macs": 1500, "missing": {"aten.mv": 500}}, "explained"),
        ({"macs": 1500, "missing": {"aten.mv": 400}}, "differs"),
        ({"parameters": 60, "buffers": {"filter": 10}}, "explained"),
        ({"refused": "ValueError: no"}, "refused"),
        ({"fails": "ValueError: no"}, "does not run"),
    ],
)
def test_a_comparison_has_its_outcome(changed: dict[str, Any], outcome: str) -> None:
    """Agreement is 0.1 % of the MACs and the same parameters, bits and operators."""
    assert comparison(**changed).outcome == outcome


@pytest.mark.parametrize(("factor", "outcome"), [(1.0, "agrees"), (0.99, "differs")])
def test_a_counter_that_misses_one_percent_is_found_out(factor: float, outcome: str) -> None:
    """The planted counter scales ours."""

    def planted(model: nn.Module, inputs: Inputs) -> Counts:
        counts = count_actual(model, inputs)
        return Counts(parameters=counts.parameters, macs=round(factor * counts.macs))

    assert compare(RESNET, planted).outcome == outcome


def test_a_counter_that_fails_is_a_refusal_and_a_network_that_is_unknown_does_not_run() -> None:
    """Both are told in one line."""

    def breaks(model: nn.Module, inputs: Inputs) -> Counts:
        raise ValueError("first line\nsecond line")

    assert compare(RESNET, breaks).refused == "ValueError: first line"
    assert compare(Network("timm", "no_such_network", "resnet")).outcome == "does not run"


def test_products_of_a_matrix_and_a_vector_are_missing_in_torchs_count() -> None:
    """FlopCounterMode has no formula for them; the closed form is the size of the matrix."""

    class Product(nn.Module):
        """Multiplies a matrix by a vector."""

        def forward(self, matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
            """Return the product."""
            return matrix @ vector

    built = Built(Product(), (torch.zeros(7, 5), torch.zeros(5)))

    assert reference(built).macs == 0
    assert missing_macs(built) == {"aten.mv": 35}


def test_weights_in_buffers_explain_just_the_parameters_that_they_are() -> None:
    """A vector, as of a norm, is no weight."""
    network = nn.Sequential(nn.BatchNorm1d(3))
    network.register_buffer("filter", torch.zeros(2, 5))

    assert weights_in_buffers(network, 10) == {"filter": 10}
    assert weights_in_buffers(network, 9) == {}


def test_the_page_counts_the_networks_and_gives_the_reason_of_each_exception() -> None:
    """One that agrees is not named; one that is not explained is, with its difference."""
    page = count_sweep_page.page(
        [
            comparison(),
            comparison(id="timm:unknown", macs=1100),
            comparison(id="timm:lstm", macs=1500, missing={"aten.mkldnn_rnn_layer": 500}),
            comparison(id="torchvision:quantized_resnet18", family="quantization.resnet", quantized=True),
            comparison(id="timm:huge", fails="ValueError: too large"),
        ],
        networks=5,
    )

    assert "| timm | 4 | 3 | 1 | 1 | 1 | 3 | 1 | 0 | 1 |" in page
    assert "| torchvision, quantization | 1 | 1 | 1 | 1 | 1 | 1 | 0 | 0 | 1 |" in page
    assert "| other MACs | `timm:unknown` (+10.00%) |" in page
    assert "| FlopCounterMode has no formula for `aten.mkldnn_rnn_layer` | `timm:lstm` (+50.00%) |" in page
    assert "| other bits | `torchvision:quantized_resnet18` |" in page
    assert "| ValueError: too large | `timm:huge` |" in page
    assert "resnet10t" not in page
    assert "Not complete" not in page


def test_the_page_says_if_networks_are_left() -> None:
    """Two are known, one is counted."""
    assert "Not complete: 1 of 2 networks" in count_sweep_page.page([comparison()], networks=2)


def test_results_of_another_counter_are_not_used_again(tmp_path: Path) -> None:
    """A line holds the digest of the code and the libraries that it was made with."""
    results = tmp_path / "results.jsonl"
    lines = [{"code": code, **comparison(id=name).model_dump()} for code, name in (("old", "a"), ("new", "b"))]
    results.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    assert list(count_sweep.read(results, "new")) == ["b"]
    assert count_sweep.read(tmp_path / "absent.jsonl", "new") == {}


def test_a_killed_process_is_told_in_one_line_and_the_other_networks_are_counted(tmp_path: Path) -> None:
    """The worker is killed by -9 for the second network; the third has another worker, the file no second one."""
    zoo = [Network("torchvision", name, name) for name in ("squeezenet1_0", DEADLY, "squeezenet1_1")]
    results = tmp_path / "results.jsonl"

    found = count_sweep.compare_all(zoo, 1, results, compare_or_die)

    assert [one.outcome for one in found] == ["agrees", "does not run", "agrees"]
    assert count_sweep_page.reason(found[1]) == "its process was killed, perhaps for its memory"
    assert list(count_sweep.read(results, count_sweep.fingerprint())) == [zoo[0].id, zoo[2].id], "the next sweep's"


def test_networks_are_chosen_by_id_or_family() -> None:
    """Without a pattern, all are."""
    assert count_sweep.matches(RESNET, None)
    assert count_sweep.matches(RESNET, ["timm:res*"])
    assert count_sweep.matches(RESNET, ["resnet"])
    assert not count_sweep.matches(RESNET, ["torchvision:*"])
