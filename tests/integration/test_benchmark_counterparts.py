"""Each stored benchmark needs a test in the run: none is dropped silently."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.stored_benchmarks import COMPARE, TEST, Device


def with_a_renamed_test(document: dict[str, Any]) -> None:
    """Give a stored benchmark a name that no test has."""
    document["benchmarks"][0]["fullname"] = "test_speed.py::test_model[gone]"


def with_a_removed_file(document: dict[str, Any]) -> None:
    """Move a stored benchmark to a file that doesn't exist."""
    document["benchmarks"][0]["fullname"] = "test_gone.py::test_model[dense]"


class TestCounterparts:
    """Each stored benchmark needs a test in the run."""

    def test_renamed_test_fails_the_run(self, device: Device) -> None:
        """The missing benchmark is an error with its name; the new one is a notice."""
        device.save(with_a_renamed_test)
        result = device.run(*COMPARE)

        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(
            [
                "ERROR: stored benchmark test_speed.py::test_model?gone? must have a counterpart (got none)*",
                "benchmarks: new, nothing stored to compare with: test_speed.py::test_model?dense?",
            ]
        )

    @pytest.mark.parametrize("marks", [(), ("-m", "not claims")])
    def test_removed_file_fails_the_run(self, device: Device, marks: tuple[str, ...]) -> None:
        """The same, with and without a selection by marks."""
        device.save(with_a_removed_file)

        assert device.run(*COMPARE, *marks).ret == pytest.ExitCode.TESTS_FAILED

    def test_skipped_test_fails_the_run(self, device: Device) -> None:
        """A test that is skipped measures nothing."""
        device.save()
        device.pytester.makepyfile(
            test_speed=TEST.replace("    benchmark.", "    pytest.skip('not today')\n    benchmark.")
        )

        assert device.run(*COMPARE).ret == pytest.ExitCode.TESTS_FAILED

    @pytest.mark.parametrize(
        "arguments", [("-k", "dense"), ("test_speed.py::test_model[dense]",), ("test_other.py",)]
    )
    def test_tests_that_the_command_line_leaves_out_are_not_missing(
        self, device: Device, arguments: tuple[str, ...]
    ) -> None:
        """A selection by name, id or path is on purpose."""
        device.save()
        device.pytester.makepyfile(test_other="def test_other(benchmark):\n    benchmark.pedantic(int)\n")

        assert device.run(*arguments, *COMPARE).ret == 0
