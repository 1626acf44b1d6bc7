"""How a paper codes the layers of a network, as data: the YAML files of a folder, here `claims/coding`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from edgeai_repro.errors import require_known
from edgeai_repro.evidence.measurement import Frozen
from edgeai_repro.files import read_yaml
from edgeai_repro.shipped import claims_folder
from edgeai_repro.validation import parse_as

CODING = "coding"  # the folder of these files in a claims folder
Percent = Annotated[float, Field(gt=0, le=100)]
Bits = Annotated[int, Field(ge=1, le=8)]
Stage = Literal["quantized", "huffman"]  # before and after Huffman coding


class LayerRow(Frozen):
    """A layer: its number of weights, the percentage that is kept, bits of a code and of a gap, and its size.

    `quantized` and `huffman` are the printed sizes in percent of fp32, before and after Huffman coding; the bits
    with `huffman` in their names are the mean ones after it.
    """

    name: str
    weights: PositiveInt
    kept: Percent
    bits: Bits
    huffman_bits: PositiveFloat
    index_bits: Bits
    huffman_index_bits: PositiveFloat
    quantized: Percent
    huffman: Percent


class Total(Frozen):
    """The printed size of a whole network in percent of fp32, before and after Huffman coding."""

    quantized: Percent
    huffman: Percent

    def size_ratio(self, stage: Stage) -> float:
        """Return how many times smaller than fp32 the network is by this row."""
        return 100 / (self.quantized if stage == "quantized" else self.huffman)


class CodingTable(Frozen):
    """A paper's table of a network, its rows in the order of the layers, and its row of totals."""

    layers: list[LayerRow] = Field(min_length=1)
    total: Total

    @property
    def weights(self) -> int:
        """The number of weights of all layers."""
        return sum(row.weights for row in self.layers)

    @property
    def kept(self) -> float:
        """The number of weights that are kept, from the printed percentages."""
        return sum(row.weights * row.kept for row in self.layers) / 100

    def size_ratio(self, stage: Stage) -> float:
        """Return how many times smaller than fp32 the rows add up to."""
        percent = [row.quantized if stage == "quantized" else row.huffman for row in self.layers]
        return (
            100 * self.weights / sum(row.weights * share for row, share in zip(self.layers, percent, strict=True))
        )

    @property
    def mean_bits(self) -> float:
        """The mean bits of a kept weight's code, before Huffman coding and without its position."""
        return sum(row.weights * row.kept * row.bits for row in self.layers) / 100 / self.kept


class CodingFile(Frozen):
    """One file: tables by name."""

    tables: dict[str, CodingTable]


def read_table(name: str, folder: Path | None = None) -> CodingTable:
    """Return a table. Raises UserError for an unknown name or a damaged file."""
    folder = folder or claims_folder() / CODING
    files = [parse_as(CodingFile, read_yaml(path), path) for path in sorted(folder.glob("*.yaml"))]
    tables = {key: table for file in files for key, table in file.tables.items()}
    require_known(f"'table' of {folder}/*.yaml", name, tables)
    return tables[name]
