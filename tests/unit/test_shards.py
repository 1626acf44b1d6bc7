"""Shards divide the claims: each is in exactly one, and claims on the same networks stay together."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_repro.claims.schema import ClaimCase, Paper
from edgeai_repro.claims.shards import Shard, divide
from edgeai_repro.errors import UserError
from tests.support.factories import PAPER, claim_entry, paper_entry

NETWORKS = ["alexnet", "resnet18", "resnet34", "resnet50", "squeezenet1_0", "vgg11", "vgg13", "vgg16", "vgg19"]


def cases(*models: str | list[str], **fields: Any) -> list[ClaimCase]:
    """Return one claim for each of the lists of models."""
    entries = [
        claim_entry(id=f"claim-{index}", models=[named] if isinstance(named, str) else named, quantifier="every")
        for index, named in enumerate(models)
    ]
    return Paper.model_validate(paper_entry(*entries, **fields)).cases


def names(parts: list[list[ClaimCase]]) -> list[set[str]]:
    """Return the ids of the claims of each part."""
    return [{case.claim.id for case in part} for part in parts]


models = st.lists(st.sampled_from(NETWORKS), min_size=1, max_size=3, unique=True)


@given(st.lists(models, min_size=1, max_size=30), st.integers(1, 8))
def test_each_claim_is_in_exactly_one_shard(named: list[list[str]], of: int) -> None:
    """Also if there are more shards than claims; the claims of a shard keep their order."""
    whole = cases(*named)

    shards = [Shard(of, number).select(whole) for number in range(1, of + 1)]

    assert Counter(case.id for shard in shards for case in shard) == Counter(case.id for case in whole)
    assert all(shard == [case for case in whole if case in shard] for shard in shards)


@given(st.lists(models, min_size=1, max_size=30), st.integers(1, 8), st.randoms())
def test_order_of_the_claims_does_not_change_the_shards(named: list[list[str]], of: int, random: Any) -> None:
    """So every machine divides them in the same way."""
    whole = cases(*named)
    shuffled = random.sample(whole, len(whole))

    assert names(divide(shuffled, of)) == names(divide(whole, of))


def test_shards_do_not_depend_on_the_hash_seed() -> None:
    """Python orders sets of texts differently in each process, unless it is told not to."""
    code = (
        "from tests.unit.test_shards import *\n"
        "print([sorted(part) for part in names(divide(cases(*NETWORKS, NETWORKS[:2], NETWORKS[4:]), 3))])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(printed) == 1


def test_claims_that_share_networks_stay_together() -> None:
    """Also if they share them through a third claim, as long as they fit into a shard."""
    parts = divide(cases("vgg11", "vgg16", ["vgg16", "vgg11"], "alexnet", "resnet18", "resnet34", "resnet50"), 2)

    assert {"claim-0", "claim-1", "claim-2"} in names(parts)


def test_cluster_that_is_too_large_is_divided_between_networks() -> None:
    """The claims on one network stay together, so each network that only single claims need is built once."""
    parts = divide(cases(*3 * ["vgg11"], *3 * ["vgg16"], ["vgg11", "vgg16"]), 2)

    assert sorted(map(len, parts)) == [3, 4]
    assert {"claim-0", "claim-1", "claim-2"} <= names(parts)[0] or {"claim-0", "claim-1", "claim-2"} <= names(
        parts
    )[1]


def test_shards_have_about_the_same_number_of_rows() -> None:
    """A claim that measures more models counts more."""
    parts = divide(cases(NETWORKS[:4], *NETWORKS[4:8]), 2)

    assert names(parts) == [{"claim-0"}, {"claim-1", "claim-2", "claim-3", "claim-4"}]


def test_networks_of_two_papers_with_the_same_name_are_different() -> None:
    """Each paper defines its own."""
    one, other = (
        cases("net", networks={"net": {"family": "vgg_cifar", "channels": [width]}}, paper={**PAPER, "id": name})
        for name, width in (("one", 8), ("other", 16))
    )

    assert len(divide([*one, *other], 2)) == 2
    assert len(divide([*one, *one], 2)) == 1


@pytest.mark.parametrize(
    "text", ["0/5", "6/5", "x", "", "1", "1/0", "-1/5", "1/5/5", "1.0/5", "٣/٥", "1/10000", " 1/5"]
)
def test_wrong_shard_is_refused(text: str) -> None:
    """The message gives the rule, the value and an example."""
    with pytest.raises(
        UserError, match=r"^--claims-shard must be NUMBER/OF .* \(got .*\); write --claims-shard=2/5"
    ):
        Shard.parse(text)


def test_shard_is_read_and_written_alike() -> None:
    """As `NUMBER/OF`."""
    assert str(Shard.parse("2/5")) == "2/5"
