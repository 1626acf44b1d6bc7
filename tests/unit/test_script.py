"""The text of a claim's script is short, has the verdict, and doesn't import this package."""

from __future__ import annotations

import pytest

from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.report import document
from edgeai_repro.report.document import Document, PaperEntry
from edgeai_repro.report.provenance import Provenance
from edgeai_repro.report.script import script
from tests.support.factories import TINY, case, claim, judged, row
from tests.support.reports import HERE
from tests.support.scripts import CASES, WITHOUT

LONGEST, WIDEST = 32, 128  # lines that aren't empty, comments and imports included; and columns
LONGEST_WITH_NETWORKS = 50  # the script builds networks that no library has, or many
LONGEST_WITH_CONVENTION = 90  # the script also counts as the paper's authors did


def lines(text: str) -> list[str]:
    """Return the lines that aren't empty."""
    return [line for line in text.splitlines() if line]


def test_name_and_option_of_a_network_stay_text() -> None:
    """What a claims file calls a network, or its option, can't become code of the script."""
    evil = "x']; raise SystemExit('run') #"
    network = {"family": "torchvision", "name": "mobilenet_v2", "options": {"width_mult": 0.25, evil: 1}}
    entry = claim(
        metric="params", technique="none", models=[evil], conditions={"classes": [10], "resolution": [32]}
    )

    text = script(case(entry, networks={evil: network}))

    with pytest.raises(TypeError, match="unexpected keyword"):
        exec(compile(text, "evil", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("name", [name for name in CASES if name not in WITHOUT])
def test_script_is_short_and_does_not_import_this_package(name: str) -> None:
    """A script quotes its claim, gives the printed number and the reason, and is short."""
    paper, entry = CASES[name].paper, CASES[name].claim
    text = script(CASES[name])
    heading = " ".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("# "))
    imported = {line.removeprefix("import ") for line in lines(text) if line.startswith(("import", "from"))}

    assert heading.startswith(name)
    assert f'{paper.paper.url or name}: "{entry.quote}"' in heading
    assert entry.expect.reason in heading
    assert "edgeai_repro" not in text
    longest = LONGEST_WITH_NETWORKS if "networks = " in text else LONGEST
    assert len(lines(text)) <= (LONGEST_WITH_CONVENTION if "def convention" in text else longest), text
    assert max(map(len, lines(text))) <= WIDEST, text
    assert imported <= {
        *("inspect", "io", "itertools", "math", "runpy", "statistics", "timeit", "zlib"),
        *("torch", "torch.nn.utils.prune", "torch.utils.flop_counter", "torchao.quantization", "torchvision"),
        *("onnxruntime.quantization", "timm", "timm.utils"),
        *("calflops", "fvcore.nn", "ptflops", "thop", "torch_pruning.utils", "torchinfo", "torchprofile"),
    }
    compile(text, name, "exec")


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        ("artefact", "Artefact on 2026-11-21: quantized nn.Linear keeps its weights packed"),
        ("reproduced", "Reproduced on 2026-11-21, not artefact: it was measured so."),
        ("not_testable", "Not tested yet; artefact is expected: quantized nn.Linear"),
        (None, "Not tested yet; artefact is expected: quantized nn.Linear"),
    ],
)
def test_heading_has_the_verdict_of_the_last_run(verdict: str | None, sentence: str) -> None:
    """The expected verdict stands for none that was not reached."""
    entry = claim(id="dq-params")
    found = document.claim_entry(judged(entry, [row(10.0)])).model_copy(
        update={"verdict": verdict, "reason": "it was measured so"}
    )
    paper = PaperEntry(id="francy2024", title="", claims=[found], implications=[])
    made = Provenance(date="2026-11-21T10:00:00+00:00", commit="unknown", command="pytest", options={})
    run = Document(environment=HERE, papers=[paper], run=made) if verdict else None

    text = script(CASES["francy2024/dq-params"], [TINY], run=run)

    heading = " ".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("# "))
    assert f'Printed: "95%". {sentence}' in heading


@pytest.mark.parametrize("name", WITHOUT)
def test_claim_without_a_script_says_why(name: str) -> None:
    """It needs weights or a device, or nobody has written a script for its metric and technique."""
    why = f"^{name} rests on .*, so no short script shows it|^a script must exist .* \\(got none for {name}\\)"
    with pytest.raises((MissingRequirement, UserError), match=why):
        script(CASES[name])


def test_model_of_another_claim_is_refused() -> None:
    """A model that the claim doesn't name is refused, with the closest name."""
    with pytest.raises(
        UserError, match=r"--model must be .* \(got 'convnext_tinny'\); did you mean 'convnext_tiny'"
    ):
        script(CASES["francy2024/dq-params"], ["convnext_tinny"])


def test_metric_without_a_script_is_refused() -> None:
    """A claim whose metric and technique have no script gets an error that names both."""
    without = case(claim(metric="imbalance", technique="combined", needs=[]))

    with pytest.raises(UserError, match=r"'imbalance' .*'combined' .*paper/a-claim"):
        script(without)
