"""Judges 10,000 claims from 1,000 records and reports them: seconds, peak memory and the size of the page.

Run it as `python -m tests.benchmarks.scale`. It writes its claims and records into a temporary folder, and measures
`edgeai-repro rejudge` and `edgeai-repro report` there, each in its own process.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from edgeai_repro.checksums import sha256
from edgeai_repro.cli import DRIFT
from edgeai_repro.evidence.store import SUMS
from edgeai_repro.evidence.training_record import TrainingRecord
from edgeai_repro.networks.variants import CIFAR_NETWORKS, CONVNEXT_VARIANTS
from tests.benchmarks.claims_speed import measured
from tests.support.factories import claim_entry, paper_entry
from tests.support.records import FULL_SCALE, dense, pruned

MODELS = (*CONVNEXT_VARIANTS, *CIFAR_NETWORKS)
TARGETS = (0.5, 0.6, 0.7, 0.8, 0.9)
CLAIMS_OF_A_PAPER = 50
IMAGES_RIGHT = 900  # of 1,000, by an uncompressed model
WORDS = (
    "accuracy",
    "channels",
    "compressed",
    "drops",
    "filters",
    "keeps",
    "network",
    "pruned",
    "ratio",
    "the",
    "weights",
)


def main() -> None:
    """Print a table with the figures of both commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=1_000)
    parser.add_argument("--keep", type=Path, help="folder for the claims, the records and the reports")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        write(folder, claims=given.claims, records=given.records)
        title = f"{given.claims} claims, {given.records} records"
        table = Table("step", "seconds", "of the processor", "peak GB", title=title)
        program = [sys.executable, "-c", "from edgeai_repro.__main__ import main; main()"]
        options = [f"--claims-dir={folder / 'claims'}"]
        for name, arguments in {
            "rejudge": [f"--json={folder / 'verdicts.json'}"],
            "report": [str(folder / "verdicts.json"), f"--output={folder}"],
        }.items():
            before = processor_seconds()
            seconds, peak = measured([*program, name, *arguments, *options], folder / f"{name}.log", (0, DRIFT))
            table.add_row(name, f"{seconds:.1f}", f"{processor_seconds() - before:.1f}", f"{peak:.2f}")
        for file in ("verdicts.json", "report.html", "report.md"):
            table.add_row(file, "", "", f"{(folder / file).stat().st_size / 1e6:.2f} MB")
        Console(width=100).print(table)


def processor_seconds() -> float:
    """Return the processor time of all processes that this one started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def write(folder: Path, *, claims: int, records: int) -> None:
    """Write claims and training records into the folders `claims` and `evidence`."""
    (folder / "claims").mkdir(parents=True)
    (folder / "evidence").mkdir()
    for start in range(0, claims, CLAIMS_OF_A_PAPER):
        name = f"paper-{start // CLAIMS_OF_A_PAPER:04}"
        text = yaml.dump(paper(name, range(start, min(start + CLAIMS_OF_A_PAPER, claims))), Dumper=yaml.CSafeDumper)
        (folder / "claims" / f"{name}.yaml").write_text(text, encoding="utf-8")
    sums = []
    for index, record in enumerate(training_records(records)):
        path = folder / "evidence" / f"run-{index:04}.json"
        path.write_text(record.model_dump_json(), encoding="utf-8")
        sums.append(f"{sha256(path)}  {path.name}\n")
    (folder / "evidence" / SUMS).write_text("".join(sums), encoding="utf-8")


def paper(name: str, numbers: range) -> dict[str, Any]:
    """Return the document of a claims file with these claims; half of them expect what they get."""
    return paper_entry(
        *(claim(number) for number in numbers),
        paper={"id": name, "title": f"{name.title()}: a Study", "authors": f"A. {name.title()}", "year": 2024}
        | {"url": f"https://example.org/{name}"},
        full_scale=FULL_SCALE.model_dump(),
    )


def claim(number: int) -> dict[str, Any]:
    """Return a claim on the accuracy of one model, at one target, by pruning with or without quantization."""
    model, target = MODELS[number % len(MODELS)], TARGETS[number % len(TARGETS)]
    points = number % 9 - 6.0
    words = " ".join(WORDS[number * step % len(WORDS)] for step in range(1, 11))
    return claim_entry(
        id=f"claim-{number:05}",
        quote=f"{words}: {points} points with {model} at {target}",
        printed=f"{points} points",
        metric="accuracy_change",
        technique=("structured_pruning", "combined")[number % 2],
        models=[model],
        value=points,
        band={"rounding": 0.5, "tolerance": 1.5, "side": "both", "derivation": f"the printed digits of {points}"},
        settings={"target": [target]},
        needs=["data", "weights"],
        expect={"verdict": "contradicted" if number % 3 else "reproduced", "reason": f"a synthetic claim {number}"},
    )


def training_records(number: int) -> Iterator[TrainingRecord]:
    """Yield records of all models: uncompressed, and pruned to each target; at full scale, then at fewer epochs."""
    produced = 0
    for epochs in (30, *range(1, 30)):
        for seed in range(3):
            for model in MODELS:
                recipe = {
                    **FULL_SCALE.model_dump(exclude_defaults=True),
                    "model": model,
                    "epochs": epochs,
                    "seed": seed,
                }
                runs = [dense(IMAGES_RIGHT + seed, **recipe)]
                for step, target in enumerate(TARGETS):
                    right = IMAGES_RIGHT - 10 * step - MODELS.index(model)
                    runs.append(pruned(right, target, int8=right - 5, **recipe))
                for run in runs:
                    if produced == number:
                        return
                    produced += 1
                    yield run
    raise ValueError(f"there are only {produced} records (got {number}); add epochs or seeds")


if __name__ == "__main__":
    main()
