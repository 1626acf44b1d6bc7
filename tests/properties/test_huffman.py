"""Huffman codes respect Shannon's bounds and can be decoded, whatever the symbols."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeai_repro.compress import huffman

counts = st.lists(st.integers(0, 5_000), min_size=1, max_size=256).filter(any).map(np.array)


@given(counts)
def test_code_is_within_one_bit_of_the_entropy(counts: np.ndarray) -> None:
    """H <= mean bits < H + 1, except that one symbol alone takes a bit."""
    lengths = huffman.code_lengths(counts)
    shares = counts[counts > 0] / counts.sum()
    entropy = -(shares * np.log2(shares)).sum()
    mean = (counts * lengths).sum() / counts.sum()

    assert entropy - 1e-9 <= mean < entropy + 1 + 1e-9


@given(counts)
def test_code_is_complete(counts: np.ndarray) -> None:
    """Kraft's sum is 1 for two symbols or more: no code is longer than it must be; absent symbols have none."""
    lengths = huffman.code_lengths(counts).astype(int)

    assert ((lengths > 0) == (counts > 0)).all()
    if np.count_nonzero(counts) > 1:
        assert sum(2.0 ** -lengths[lengths > 0]) == 1.0


@given(st.lists(st.integers(0, 31), max_size=300))
def test_stream_is_decoded_to_its_symbols(symbols: list[int]) -> None:
    """It has as many bytes as counted."""
    array = np.array(symbols, np.uint8)
    counted = np.bincount(array, minlength=32)
    lengths = huffman.code_lengths(counted)
    stream = huffman.encode(array, lengths)

    assert len(stream) == huffman.stream_bytes(counted, lengths)
    assert huffman.decode(stream, lengths, len(array)).tolist() == symbols


def test_lengths_are_those_of_a_textbook() -> None:
    """Cormen et al., Introduction to Algorithms, section 15.3: a to f occur 45, 13, 12, 16, 9 and 5 times."""
    assert huffman.code_lengths(np.array([45, 13, 12, 16, 9, 5])).tolist() == [1, 3, 3, 3, 4, 4]


def test_stream_that_ends_too_early_is_refused() -> None:
    """The decoder does not invent symbols."""
    lengths = huffman.code_lengths(np.array([3, 1]))
    with pytest.raises(ValueError, match=r"must hold 9 symbols \(got 8\)"):
        huffman.decode(b"\x00", lengths, 9)
