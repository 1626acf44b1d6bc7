"""Layers whose type is a subclass of nn.Linear stay in fp32 without a word; the audit names them and the loss."""

from __future__ import annotations

from torch import Tensor, nn

from edgeai_repro.audit.audit import audit
from edgeai_repro.audit.subclasses import find_skipped
from edgeai_repro.claims.registry import TECHNIQUES
from edgeai_repro.compress.quantization import quantize
from edgeai_repro.measure import size


class Same(nn.Linear):
    """A subclass that adds nothing, as timm's does in eager mode."""


class Doubled(nn.Linear):
    """A subclass that computes something else."""

    def forward(self, features: Tensor) -> Tensor:
        """Return twice what nn.Linear returns."""
        return 2 * super().forward(features)


def test_a_mapping_saves_what_an_exact_linear_would() -> None:
    """The bytes are those between quantizing the subclass and quantizing nn.Linear of the same shape."""
    network = nn.Sequential(nn.Linear(64, 256), Same(256, 128)).eval()
    exact = nn.Sequential(nn.Linear(64, 256), nn.Linear(256, 128)).eval()
    quantized = size.state_dict_bytes(quantize(network))

    skipped = find_skipped(network, quantized)

    assert skipped is not None
    assert (skipped.layers, skipped.parameters) == (["1"], 256 * 128 + 128)
    expected = quantized - size.state_dict_bytes(quantize(exact))
    assert skipped.bytes_saved == expected
    assert 0.9 * 3 * 256 * 128 < expected < 3 * 256 * 128  # three of four bytes; scales and names take some


def test_a_subclass_that_computes_something_else_is_named_and_not_mapped() -> None:
    """To replace it would change the outputs, so that nothing can be gained."""
    skipped = find_skipped(nn.Sequential(Doubled(8, 8)), 1000)

    assert skipped is not None
    assert skipped.computing_something_else == ["0"]
    assert skipped.bytes_saved is None


def test_networks_of_exact_types_and_attention_have_nothing_skipped() -> None:
    """The output projection of attention has a subclass on purpose: torch's fast path reads its weights itself."""
    assert find_skipped(nn.Sequential(nn.Linear(4, 4), nn.Conv2d(3, 4, 1)), 1000) is None
    assert find_skipped(nn.TransformerEncoderLayer(8, 2, 16), 1000) is None


def test_the_audit_warns_of_timms_own_linear() -> None:
    """The classifier of timm's MobileNets is of timm's type: the sentence gives share, name and bytes."""
    from timm.layers import Linear

    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(64, 1000)]
    model = nn.Sequential(nn.Conv2d(3, 64, 1), *head).eval()
    left_out = dict.fromkeys(set(TECHNIQUES) - {"dynamic_quantization"}, ())
    result = audit(model, resolution=8, latency=False, settings=left_out)

    (text,) = (text for text in result.warnings if "matches exact types" in text)
    assert "leaves 99.6 % of the parameters in fp32 in silence" in text
    assert "subclasses of nn.Linear: 3; a mapping of timm's Linear to torch's dynamic Linear" in text
    assert "would save 0.19 MB more" in text  # three of four bytes of 64,000 weights
