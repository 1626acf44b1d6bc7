"""Networks in unusual forms are counted right, or refused in one line that says why."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from edgeai_repro.errors import UserError
from edgeai_repro.measure.counts import Counts, actual, reported
from tests.support.unusual import Apply, Form, images, linear, masked, quantized, small_cnn, tokens
from tests.support.unusual_forms import FORMS

# Building a network in a deprecated form warns; the counter must not fail because of it.
pytestmark = pytest.mark.filterwarnings("ignore")


def counts_of(form: Form) -> Counts:
    """Return the actual counts of a form, with reproducible random weights that are not 0."""
    torch.manual_seed(0)
    return actual(form.build(), inputs=form.inputs())


@pytest.mark.parametrize("name", FORMS)
def test_an_unusual_form_is_counted_right(name: str) -> None:
    """MACs, parameters, products of activations and bits by a closed form; no operator is unknown."""
    form = FORMS[name]
    counts = counts_of(form)

    assert (counts.macs, counts.parameters) == (form.macs, form.parameters)
    assert counts.activation_macs == form.activation_macs
    assert counts.bit_operations == form.macs * form.bits
    assert counts.uncounted == ()


REFUSED = {
    "optimized for inference": (
        lambda: torch.jit.optimize_for_inference(torch.jit.script(small_cnn())),
        images,
        "operators that can be observed.*before torch.jit.optimize_for_inference",
    ),
    "lazy layer": (lambda: nn.LazyLinear(4), tokens, "must have its shape.*call the network once first"),
    "input of a wrong shape": (small_cnn, tokens, "must run on its input float32 .1, 5, 8. .*; pass other inputs"),
    "shape that depends on data": (
        lambda: Apply(lambda self, x: self.a(x[x > 0]), a=linear()),
        lambda: (torch.ones(1, 2, device="meta"),),
        "must run on its input.*; count it on the CPU",
    ),
    "NumPy": (
        lambda: Apply(lambda self, x: torch.from_numpy(x.numpy() @ self.a.weight.numpy(force=True).T), a=linear()),
        tokens,
        "operators that can be observed .got an output from elsewhere.; do without NumPy",
    ),
    "NumPy between layers": (
        lambda: Apply(lambda self, x: self.a(torch.from_numpy(x.numpy() * 2)), a=linear()),
        tokens,
        "operators that can be observed .got an output from elsewhere.",
    ),
    "another thread": (
        lambda: Apply(lambda self, x: ThreadPoolExecutor(1).submit(self.a, x).result(), a=linear()),
        tokens,
        "operators that can be observed .got an output from elsewhere.",
    ),
    "forward that raises nothing but its type": (
        lambda: Apply(lambda self, x: (_ for _ in ()).throw(KeyError())),
        tokens,
        "got KeyError",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_cannot_be_counted_is_refused_in_one_line(name: str) -> None:
    """The line has the reason and the next step."""
    build, inputs, message = REFUSED[name]

    with pytest.raises(UserError, match=message) as error:
        actual(build(), inputs=inputs())
    assert "\n" not in str(error.value)


def test_unknown_operators_make_a_count_a_lower_bound() -> None:
    """They are named; an operator whose input is only stored makes no difference."""
    network = Apply(lambda self, x: torch.fft.rfft(self.a(x)), a=linear())
    of_weights = Apply(lambda self, x: self.a(x) + torch.fft.rfft(self.a.weight).real.sum(), a=linear())

    counts = actual(network, inputs=tokens())
    assert counts.uncounted == ("aten::_fft_r2c",)
    assert (counts.macs, counts.parameters) == (160, 36)
    assert actual(of_weights, inputs=tokens()).uncounted == ()


def test_custom_operators_are_named() -> None:
    """The name is that of the library and the operator."""
    with torch.library._scoped_library("edgeai_test", "FRAGMENT") as library:
        library.define("scan(Tensor x) -> Tensor")
        library.impl("scan", lambda x: x.cumsum(0), "CompositeExplicitAutograd")
        network = Apply(lambda self, x: torch.ops.edgeai_test.scan(self.a(x)), a=linear())

        assert actual(network, inputs=tokens()).uncounted == ("edgeai_test::scan",)


@pytest.mark.filterwarnings("error")
def test_warnings_of_a_network_are_no_reason_to_refuse_it() -> None:
    """Here they are errors, as in many test suites."""
    network = Apply(lambda self, x: (warnings.warn("deprecated", stacklevel=1), self.a(x)), a=linear())

    assert actual(network, inputs=tokens()).macs == 160


def test_masked_weights_count_as_zeros() -> None:
    """12 of 32 weights are masked; the bias has 4 values."""
    counts = actual(masked(), inputs=tokens())

    assert (counts.nonzero_parameters, counts.nonzero_macs) == (20 + 4, 5 * 20)


def test_bytes_are_those_of_the_stored_values() -> None:
    """int8 weights have a byte each, their scale and zero point 16, fp16 weights two, biases four."""
    bytes_of = {
        "fp32": actual(linear(), inputs=tokens()).stored_bytes,
        "int8": actual(quantized(linear()), inputs=tokens()).stored_bytes,
        "fp16": actual(quantized(linear(), torch.float16), inputs=tokens()).stored_bytes,
        "int8 in buffers": counts_of(FORMS["int8 in buffers"]).stored_bytes,
    }

    assert bytes_of == {
        "fp32": 36 * 4,
        "int8": 32 + 16 + 4 * 4,
        "fp16": 32 * 2 + 4 * 4,
        "int8 in buffers": 32 + 4 * 4 + 4 * 4,
    }


def test_products_of_stored_values_count_unless_they_make_a_weight() -> None:
    """A table of positions goes through a layer in each call; its result is added, as in Swin Transformer V2."""
    network = Apply(lambda self, x: x + self.a(self.table), a=nn.Linear(8, 8), table=nn.Parameter(torch.ones(5, 8)))

    assert actual(network, inputs=tokens()).macs == 5 * 64


def test_counting_leaves_no_trace() -> None:
    """The mode, the fast path of attention and the gradient mode are as before, even if the network raises."""
    network = Apply(lambda self, x: self.a(x[0, 0, 0, 0]), a=nn.Sequential(linear()).train())

    with pytest.raises(UserError):
        actual(network, inputs=tokens())
    assert all(module.training for module in network.modules())
    assert torch.is_grad_enabled()
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_network_larger_than_memory_is_counted_on_meta() -> None:
    """A layer of 102 GB."""
    network = nn.Linear(160_000, 160_000, bias=False, device="meta")
    counts = actual(network, inputs=(torch.empty(1, 160_000, device="meta"),))

    assert counts.macs == counts.parameters == counts.nonzero_parameters == 160_000**2
    assert counts.stored_bytes == 4 * 160_000**2


def test_a_network_of_videos_gets_a_video_in_its_own_type() -> None:
    """16 frames, in half precision."""
    counts = actual(nn.Conv3d(3, 2, (16, 4, 4), dtype=torch.bfloat16), 4)

    assert (counts.macs, counts.bit_operations) == (2 * 3 * 16 * 16, 2 * 3 * 16 * 16 * 16 * 16)


def test_what_thop_prints_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints even if it is told not to be verbose."""
    reported(nn.Sequential(nn.Conv2d(3, 2, 1), Apply(lambda self, x: print("noise") or x)), 4)

    assert capsys.readouterr().out == ""
