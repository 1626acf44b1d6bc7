"""Documents of several machines are merged into one, or refused in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Environment
from edgeai_repro.report import document, html, markdown, merging, terminal
from edgeai_repro.report.diff import compare
from edgeai_repro.report.document import Document, ImplicationEntry, PaperEntry, claim_entry
from tests.support.commands import Command
from tests.support.factories import claim, judged, row
from tests.support.shards import FILE, FIRST, SECOND, run

ALTERED = FILE.model_copy(update={"sha256": "1" * 64})
IMPLIED = ImplicationEntry(id="implied", holds=True, text="it holds")


def of(**fields: Any) -> Environment:
    """Return the first environment with other fields."""
    return FIRST.model_copy(update=fields)


def merged(*runs: Document) -> Document:
    """Return the merged documents, whose files are called 1.json, 2.json and so on."""
    return merging.merge([(Path(f"{number}.json"), one) for number, one in enumerate(runs, 1)])


def without(fields: dict[str, Any]) -> Document:
    """Return a run whose paper has other fields."""
    whole = run("two")
    return whole.model_copy(update={"papers": [whole.papers[0].model_copy(update=fields)]})


class TestMerged:
    """The merged document is that of one run."""

    def test_claims_have_the_order_of_their_file(self) -> None:
        """Whichever run judged them."""
        whole = merged(run("three", shard="2/2"), run("one", "two", shard="1/2"))

        assert [entry.id for entry in whole.papers[0].claims] == ["one", "two", "three"]
        assert whole.shards == ["1/2", "2/2"]
        assert whole.seconds == {"build": 2.0}

    def test_it_equals_the_document_of_one_run(self) -> None:
        """If the machines are alike."""
        expected = run("one", "two", "three", seconds={"build": 2.0})

        assert merged(run("two"), run("one", "three")) == expected

    def test_each_claim_names_the_environment_that_measured_it(self) -> None:
        """An environment without a claim is left out, and equal ones are one."""
        whole = merged(run("three", environment=SECOND), run("one"), run(environment=HERE_TOO), run("two"))

        assert [whole.environments[entry.environment].cpu for entry in whole.papers[0].claims] == [
            "first cpu",
            "first cpu",
            "second cpu",
        ]
        assert len(whole.environments) == 2

    def test_merged_documents_may_be_merged(self) -> None:
        """With the same result as all at once."""
        runs = [run("one", shard="1/3"), run("two", shard="2/3", environment=SECOND), run("three", shard="3/3")]

        assert merged(merged(*runs[:2]), runs[2]) == merged(*runs)

    def test_implications_are_kept(self) -> None:
        """Two runs may have checked the same one, because nothing is measured."""
        paper = PaperEntry(id="paper", title="A Paper", claims=[], implications=[IMPLIED])
        whole = merged(run(papers=[paper]), run(papers=[paper]), run("one"))

        assert whole.papers[0].implications == [IMPLIED]

    def test_missing_shards_are_known(self) -> None:
        """Claims that were not divided lack none."""
        assert merging.missing_shards(merged(run("one", shard="2/4"), run("two", shard="4/4"))) == ["1/4", "3/4"]
        assert merging.missing_shards(run("one")) == []


HERE_TOO = FIRST.model_copy(update={"cpu": "third cpu"})


class TestRefused:
    """What can't be merged is refused, with the file and the reason."""

    @pytest.mark.parametrize(
        ("other", "complaint"),
        [
            (run("two", environment=of(versions={"torch": "2.10.0"})), "torch 2.15.0 → 2.10.0"),
            (run("two", environment=of(python="3.13")), "python 3.11 → 3.13"),
            (run("two", "one"), "must hold no claim of 1.json .got 'paper/one' in both, 1 in all.; leave"),
            (run("two", claims_files={"paper": ALTERED}), "must come from the claims .* another file of 'paper'"),
            (run("two", claims_files={}), "the list of its claims is missing or not whole; run the claims again"),
            (run("four"), "the list of its claims is missing or not whole"),
            (run("two", shard="1/3"), "must be a shard of as many as 1/2 .got 1/3.; run it again"),
            (run("two", shard="1/2"), "must be another shard than 1.json .got 1/2 twice.; leave one out"),
            (run("two", shard="2/2", claims_files={"paper": FILE, "more": FILE}), "a shard of the papers of 1"),
            (without({"title": "Another"}), "must know the devices and records of 1.json .got others of 'paper'."),
        ],
    )  # fmt: skip
    def test_document_of_another_run_is_refused(self, other: Document, complaint: str) -> None:
        """The message is one line."""
        with pytest.raises(UserError, match=rf"^2\.json: .*{complaint}") as raised:
            merged(run("one", shard="1/2"), other)

        assert "\n" not in str(raised.value)

    def test_implication_with_two_results_is_refused(self) -> None:
        """One of the runs can't be right."""
        one, other = (
            run(papers=[PaperEntry(id="paper", title="A Paper", claims=[], implications=[entry])])
            for entry in (IMPLIED, IMPLIED.model_copy(update={"holds": False}))
        )

        with pytest.raises(UserError, match=r"^2\.json: must know the devices and records"):
            merged(one, other)

    def test_environment_that_does_not_exist_is_refused(self) -> None:
        """An altered file is no reason for a traceback."""
        whole = run("one")
        altered = whole.papers[0].claims[0].model_copy(update={"environment": 3})
        paper = whole.papers[0].model_copy(update={"claims": [altered]})

        with pytest.raises(UserError, match=r"^1\.json: each claim's 'environment' must be one of 1; run"):
            merged(whole.model_copy(update={"papers": [paper]}), run("two"))

    def test_single_file_is_refused(self) -> None:
        """There is nothing to merge."""
        with pytest.raises(UserError, match=r"must be two or more \(got 1\)"):
            merged(run("one"))


class TestReports:
    """Reports of a merged document show which machine measured which row."""

    @pytest.fixture
    def whole(self) -> Document:
        """A document of two machines, with a row of recorded evidence."""
        recorded = claim_entry(
            judged(claim(id="three"), [row(10.0, source="recorded", evidence="evidence/a.json")])
        )
        paper = PaperEntry(id="paper", title="A Paper", claims=[recorded], implications=[])
        return merged(run("one"), run("two", environment=SECOND), run(papers=[paper]))

    def test_terminal_has_a_column_and_a_line_for_each_machine(self, whole: Document) -> None:
        """The versions, which are the same, follow once."""
        shown = terminal.render(whole, colour=False)

        assert re.findall(r"^ *(\w+) .* reproduced +([12]?) ", shown, re.MULTILINE) == [
            ("one", "1"),
            ("two", "2"),
            ("three", ""),
        ]
        assert "machine 1  first cpu, 2 cores, x86_64; 2 threads, engine x86" in shown
        assert "machine 2  second cpu, 2 cores, aarch64; 2 threads, engine x86" in shown
        assert shown.count("torch 2.15.0") == 1

    @pytest.mark.parametrize("render", [html.render, markdown.render])
    def test_files_number_the_machines_and_give_each_row_its_own(self, whole: Document, render: Any) -> None:
        """A recorded row has none: it was measured elsewhere."""
        page = render(whole)
        cell = '<td>{}</td><td class="number">{}</td>' if render is html.render else "| {} | {} |"
        rows = [line for line in page.splitlines() if "(decides)" in line or 'class="mark">decides' in line]
        expected = [("live", "1"), ("live", "2"), ("recorded", "")]

        assert [cell.format(*cells) in line for cells, line in zip(expected, rows, strict=True)] == [True] * 3
        assert "second cpu" in page

    def test_document_of_one_machine_has_no_column(self) -> None:
        """Its reports stay as they were."""
        assert "machine 1" not in terminal.render(run("one"), colour=False)
        assert ">machine<" not in html.render(run("one"))
        assert " machine " not in markdown.render(run("one"))

    def test_diff_names_all_machines(self, whole: Document) -> None:
        """A field of a merged document may have several values."""
        changes = {change.field: (change.before, change.after) for change in compare(run("one"), whole).environment}

        assert changes["cpu"] == ("first cpu", "first cpu, second cpu")


class TestCommand:
    """`edgeai-repro merge` reads and writes files."""

    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The working directory, with the files of two of three shards."""
        monkeypatch.chdir(tmp_path)
        document.write(run("one", shard="1/3"), Path("1.json"))
        document.write(run("two", shard="2/3", environment=SECOND), Path("2.json"))

    def test_merged_file_is_a_document(self, command: Command) -> None:
        """Its reader knows it, and its schema version stays 2."""
        document.write(run("three", shard="3/3"), Path("3.json"))
        status, out, err = command("merge", "1.json", "2.json", "3.json", "-o", "all.json")

        assert (status, out, err) == (0, "all.json\n", "")
        whole = document.read(Path("all.json"))
        assert [entry.id for entry in whole.papers[0].claims] == ["one", "two", "three"]
        assert json.loads(Path("all.json").read_text("utf-8"))["schema_version"] == 2

    def test_missing_shard_is_named(self, command: Command) -> None:
        """The file has the others, and the exit status tells that something is missing."""
        status, _, err = command("merge", "1.json", "2.json", "-o", "all.json")

        assert status == 3
        assert err == "edgeai-repro: shards are missing (got all but 3/3); merge them, too\n"
        assert len(document.read(Path("all.json")).papers[0].claims) == 2

    def test_nothing_is_written_or_lost_if_a_file_is_refused(self, command: Command) -> None:
        """An earlier result stays."""
        Path("all.json").write_text("before", "utf-8")
        status, _, err = command("merge", "1.json", "1.json", "-o", "all.json")

        assert status == 2
        assert err.startswith("edgeai-repro: 1.json: must hold no claim of 1.json (got 'paper/one' in both")
        assert Path("all.json").read_text("utf-8") == "before"

    def test_merged_file_never_replaces_its_parts(self, command: Command) -> None:
        """Otherwise a second call would be refused, and the part would be gone."""
        status, _, err = command("merge", "1.json", "2.json", "-o", "./2.json")

        assert status == 2
        assert err.count("\n") == 1
        assert "must be another file than those to merge (got 2.json)" in err
        assert document.read(Path("2.json")).shards == ["2/3"]

    def test_other_schema_is_refused(self, command: Command) -> None:
        """The message names the file."""
        content = json.loads(Path("2.json").read_text("utf-8"))
        Path("2.json").write_text(json.dumps({**content, "schema_version": 3}), "utf-8")
        status, _, err = command("merge", "1.json", "2.json", "-o", "all.json")

        assert status == 2
        assert err.startswith("edgeai-repro: 2.json: schema_version: ")
        assert not Path("all.json").exists()
