"""Applying techniques, alone and after one another, with a cache and all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from torch import nn

from edgeai_repro.claims import registry
from edgeai_repro.claims.registry import technique
from edgeai_repro.compress.techniques import Variant, apply, apply_all
from edgeai_repro.evidence.measurement import Settings


class Step(nn.Module):
    """A network that records the techniques that made it."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The techniques `base`, `next` and `last`, each from the result of the one before; returns their calls."""
    made: list[str] = []
    monkeypatch.setitem(registry.TECHNIQUES, "base", None)  # restored after the test, and so are the other two
    monkeypatch.setitem(registry.TECHNIQUES, "next", None)
    monkeypatch.setitem(registry.TECHNIQUES, "last", None)

    def record(name: str) -> Callable[[Step, Sequence[Settings]], Iterator[nn.Module]]:
        def function(network: Step, settings: Sequence[Settings]) -> Iterator[nn.Module]:
            made.append(f"{name} of {len(settings)}")
            for setting in settings:
                yield Step(*network.names, f"{name} {setting['x']}")

        return function

    technique("base")(record("base"))
    technique("next", base="base")(record("next"))
    technique("last", base="next")(record("last"))
    return made


def test_a_technique_is_applied_after_those_that_it_starts_from() -> None:
    """All of them have the same settings."""
    assert apply(Step(), "last", {"x": 1}).names == ("base 1", "next 1", "last 1")


def test_no_technique_returns_the_network_itself() -> None:
    """`none` is the uncompressed network."""
    network = Step()

    assert apply(network, "none") is network


def test_networks_in_the_cache_are_not_made_again(calls: list[str]) -> None:
    """Neither as a result nor as the start of another technique."""
    network, cache = Step(), {}
    first = apply(network, "next", {"x": 1}, cache)
    calls.clear()

    assert apply(network, "next", {"x": 1}, cache) is first
    assert apply(network, "last", {"x": 1}, cache).names == ("base 1", "next 1", "last 1")
    assert calls == ["last of 1"]


def test_a_network_put_into_the_cache_is_used() -> None:
    """A pruned network that was trained, for example."""
    cache: dict[Variant, nn.Module] = {Variant.of("", "base", {"x": 1}): Step("trained")}

    assert apply(Step(), "next", {"x": 1}, cache).names == ("trained", "next 1")


def test_all_wanted_networks_are_yielded_once_and_share_work(calls: list[str]) -> None:
    """The settings of a technique are applied in one call, together with those of its dependents."""
    wanted = {"base": [{"x": 1}, {"x": 2}], "last": [{"x": 2}, {"x": 3}, {"x": 2}]}

    results = [(name, dict(settings), network.names) for name, settings, network in apply_all(Step(), wanted)]

    assert results == [
        ("base", {"x": 1}, ("base 1",)),
        ("base", {"x": 2}, ("base 2",)),
        ("last", {"x": 2}, ("base 2", "next 2", "last 2")),
        ("last", {"x": 3}, ("base 3", "next 3", "last 3")),
    ]
    assert calls == ["base of 3", "next of 1", "last of 1", "next of 1", "last of 1"]


def test_variants_are_equal_for_settings_in_any_order() -> None:
    """The settings are sorted; another technique gives another variant."""
    first = Variant.of("model", "base", {"x": 1, "y": 2})

    assert first == Variant.of("model", "base", {"y": 2, "x": 1})
    assert first != Variant.of("model", "next", {"x": 1, "y": 2})
