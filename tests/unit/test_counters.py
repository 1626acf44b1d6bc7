"""Other counters: what they report of small layers, and what is found to be missing. MACs are closed forms."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeai_repro.audit import audit, table
from edgeai_repro.audit.audit import SETTINGS
from edgeai_repro.audit.schema import Audit
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.measure import counts
from edgeai_repro.measure.counters import adapters
from edgeai_repro.measure.counters.adapters import COUNTERS, Counter
from edgeai_repro.measure.counters.attribution import counted_calls, explain
from edgeai_repro.measure.counting.run import Inputs
from tests.support.small_networks import CONVOLUTION, HEADS, LINEAR, TOKENS, WIDTH, convolution, image, tokens

PRODUCTS = 2 * TOKENS * TOKENS * WIDTH  # queries by keys, and the result by values
LIGHT = [name for name in COUNTERS if name != "calflops"]  # that `make test` installs


class Attention(nn.Module):
    """Self-attention by a function of torch; its projections are layers."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens, mixed."""
        parts = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in self.into(tokens).chunk(3, -1))
        mixed: Tensor = functional.scaled_dot_product_attention(*parts)
        return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def differences(name: str | Counter, network: nn.Module, inputs: Inputs) -> list[str]:
    """Return what a counter's difference from the actual count is put down to."""
    counter = COUNTERS[name] if isinstance(name, str) else name
    calls = counted_calls(network, inputs)
    actual = counts.actual(network, inputs=inputs).macs
    return explain(counter, counter.count(network, inputs).macs, actual, calls)


@pytest.fixture(scope="module")
def audited() -> Audit:
    """Audit a small network with counters, without techniques that take settings."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 14 * 14, 4))
    left_out: dict[str, list[Settings]] = {name: [] for name in SETTINGS}
    return audit(network, resolution=16, settings=left_out, latency=False, counters=True)


def test_an_audit_has_a_row_for_each_counter_before_and_after_quantization(audited: Audit) -> None:
    """The products of the Linear are a closed form: what thop misses after quantization."""
    linear, convolution = 8 * 14 * 14 * 4, 8 * 3 * 9 * 14 * 14
    rows = {(row["counter"], row["technique"]): row for row in json.loads(audited.model_dump_json())["counters"]}

    assert {name for name, _ in rows} == COUNTERS.keys()
    assert rows["thop", "none"]["macs"] == linear + convolution
    assert rows["thop", "none"]["ratio"] == 1.0
    quantized = rows["thop", "dynamic_quantization"]
    share = linear / (linear + convolution)
    assert quantized["macs"] == convolution
    assert quantized["ratio"] == round(1 - share, 4)
    assert quantized["differences"] == [f"no rule for quantized Linear: 1 call, {100 * share:.1f} %"]


def test_the_table_of_an_audit_shows_what_each_counter_misses(audited: Audit) -> None:
    """A counter that fails has its reason in the table."""
    shown = table.render(audited, colour=False, width=200)

    assert "no rule for quantized Linear" in shown
    assert "fvcore fails: RuntimeError" in shown


def test_counters_need_a_network_of_torch(tmp_path: Path) -> None:
    """An ONNX file has none."""
    with pytest.raises(UserError, match="leave out --counters"):
        audit(str(tmp_path / "model.onnx"), counters=True)


@pytest.mark.parametrize("name", LIGHT)
def test_every_counter_gives_the_products_of_a_convolution_and_finds_nothing_missing(name: str) -> None:
    """The convolution has no biases, which some counters would count."""
    assert COUNTERS[name].count(convolution(), image()).macs == CONVOLUTION
    assert differences(name, convolution(), image()) == []


@pytest.mark.parametrize("name", LIGHT)
def test_no_counter_keeps_a_network_in_memory(name: str) -> None:
    """torchinfo holds the last network of each class; a ViT-B/16 stayed in memory for the rest of a run so."""
    seen: list[weakref.ref[nn.Module]] = []

    def watched(model: nn.Module, inputs: Inputs) -> adapters.Numbers:
        seen.append(weakref.ref(model))
        return COUNTERS[name].call(model, inputs)

    replace(COUNTERS[name], call=watched).count(convolution(), image())
    gc.collect()

    assert [network() for network in seen] == [None]


def test_torchinfo_counts_a_linear_layer_once_however_many_tokens_pass_it() -> None:
    """Return one sequence of tokens."""
    network = nn.Sequential(nn.Linear(WIDTH, WIDTH, bias=False))

    assert COUNTERS["torchinfo"].count(network, tokens()).macs == LINEAR / TOKENS
    assert differences("torchinfo", network, tokens()) == ["counts 2.0 % of Linear: 1 call, 98.0 %"]


@pytest.mark.parametrize("name", ["thop", "fvcore", "torch-pruning"])
def test_a_counter_without_a_rule_for_attention_is_found_out(name: str) -> None:
    """The share is that of the products of two activations."""
    share = 100 * PRODUCTS / (4 * LINEAR + PRODUCTS)

    expected = f"no rule for scaled_dot_product_attention: 1 call, {share:.1f} %"
    assert differences(name, Attention(), tokens())[0] == expected


@pytest.mark.parametrize("name", ["torchprofile", "FlopCounterMode"])
def test_a_counter_with_a_rule_for_attention_misses_nothing(name: str) -> None:
    """Nothing is put down to a missing rule."""
    assert not [words for words in differences(name, Attention(), tokens()) if "no rule" in words]


@pytest.mark.parametrize("bias", [True, False])
def test_an_operator_that_is_missed_within_a_layer_is_named(bias: bool) -> None:
    """fvcore sees the projections of nn.MultiheadAttention, thop sees nothing; with biases it is one operator."""
    share = 100 * PRODUCTS / (4 * LINEAR + PRODUCTS)
    layer = nn.MultiheadAttention(WIDTH, HEADS, bias=bias, batch_first=True)

    class SelfAttention(nn.Module):
        """Calls the layer with one tensor three times."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, sequence: Tensor) -> Any:
            """Return the layer's output."""
            return self.layer(sequence, sequence, sequence, need_weights=False)

    expected = f"no rule for scaled_dot_product_attention in MultiheadAttention: 1 call, {share:.1f} %"
    assert differences("fvcore", SelfAttention(), tokens()) == [expected]
    assert differences("thop", SelfAttention(), tokens()) == ["no rule for MultiheadAttention: 1 call, 100.0 %"]


def test_what_a_counter_adds_for_norms_is_found() -> None:
    """thop counts four operations per element."""
    network = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH))
    share = 100 * 4 * TOKENS * WIDTH / LINEAR

    assert differences("thop", network, tokens()) == [
        f"counts 4 operations per output of LayerNorm: 1 call, +{share:.1f} %"
    ]


def test_a_bias_that_a_counter_adds_is_told_from_products() -> None:
    """One operation per output is a bias."""
    network = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1))

    assert differences("torch-pruning", network, image()) == [
        "counts an operation per output of Conv2d, as for a bias: 1 call, +1.4 %"
    ]


def test_products_in_the_code_of_a_layer_are_found() -> None:
    """A function on a parameter is a call of its own."""

    class Scores(nn.Module):
        """Multiplies by a parameter of its own."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(WIDTH, WIDTH))

        def forward(self, sequence: Tensor) -> Tensor:
            """Return the products."""
            return functional.linear(sequence, self.weight)

    assert differences("thop", Scores(), tokens()) == ["no rule for linear: 1 call, 100.0 %"]


def test_a_difference_that_the_calls_do_not_explain_is_not_explained() -> None:
    """A planted counter adds to whole networks what no call has."""

    def too_much_for_whole_networks(model: nn.Module, inputs: Inputs) -> adapters.Numbers:
        known = COUNTERS["FlopCounterMode"].count(model, inputs).macs
        return known + (CONVOLUTION if len(list(model.children())) > 1 else 0), None

    network = nn.Sequential(*convolution().children(), nn.ReLU())
    planted = Counter("planted", "torch", too_much_for_whole_networks)

    (words,) = differences(planted, network, image())
    assert words.startswith("difference not explained")
    assert f"{CONVOLUTION:,}" in words
    assert f"{2 * CONVOLUTION:,}" in words


def test_calls_that_are_not_all_of_the_network_explain_nothing() -> None:
    """A planted list of calls lacks one of two."""
    network = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * WIDTH))
    first, _ = counted_calls(network, tokens())

    (words,) = explain(COUNTERS["torchinfo"], 0, 3 * LINEAR, [first])

    assert words == (
        f"difference not explained: the single calls compute {LINEAR:,} MACs, the network {3 * LINEAR:,}"
    )


def test_calls_that_are_alike_are_counted_together() -> None:
    """Three layers of one shape are one entry."""
    network = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(3)))

    (only,) = counted_calls(network, tokens())
    assert (only.call.times, only.macs) == (3, LINEAR)
