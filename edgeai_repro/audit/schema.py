"""The data of an audit: one row per technique, each quantity as reported and as it actually is. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.evidence.measurement import Environment, Frozen, Interval, Setting, percent_saved

RankedBy = Literal["expected", "bound", "measured", "bytes"]
FP32_PRODUCT, INT8_PRODUCT = 32 * 32, 8 * 8  # bit operations of a product


class ReportedAndActual(Frozen):
    """A quantity as common counters report it, and the actual one; None if it couldn't be counted."""

    reported: NonNegativeInt | None
    actual: NonNegativeInt | None


class Latency(Frozen):
    """The latency of one image on this machine.

    `milliseconds` are the median and the quartiles of `n` samples. `speedup` is relative to the uncompressed model
    (None for that model). `control` is the A/A control: the ratio of a model to itself, the worse of the two.
    `problem` is the reason why the times are unreliable, or None.
    """

    milliseconds: Interval
    p90: NonNegativeFloat
    n: PositiveInt
    speedup: Interval | None = None
    control: Interval
    problem: str | None = None


class Operators(Frozen):
    """The operators that a model runs for one image; views, which compute nothing, are left out.

    `small` have fewer output values than torch divides among threads. `imitating` round floats to the values of
    int8 and compute with floats. `seconds_each` is the fixed cost of an operator here, measured with one value.
    """

    count: NonNegativeInt
    small: NonNegativeInt = 0
    imitating: NonNegativeInt = 0
    seconds_each: NonNegativeFloat | None = None


class Weights(Frozen):
    """How the weights are stored, which are the learned values in tensors with two or more dimensions.

    `by_bits` are their numbers by the bits of a stored value. Of those that are stored as floats and not 0,
    `judged` are in channels with enough values to tell; `on_few_levels` take at most 256 values per channel, which
    `level_bits` bits can number. `half_values` are fp32 weights whose values all fit into 16 bits.
    `quantized_later` are weights that a file stores in fp32 and that are quantized when it runs.
    """

    by_bits: dict[int, int]
    judged: NonNegativeInt = 0
    on_few_levels: NonNegativeInt = 0
    level_bits: NonNegativeInt = 0
    half_values: NonNegativeInt = 0
    quantized_later: NonNegativeInt = 0


class SkippedLinear(Frozen):
    """The layers of subclasses of nn.Linear, which torch's dynamic quantization leaves in fp32 in silence.

    `parameters` are theirs, `share` the fraction of all, 0 to 1. `bytes_saved` is what a mapping of their `types`
    to torch's dynamic Linear would save in the quantized file, without the layers that compute something else.
    """

    layers: list[str]
    types: list[str]
    parameters: NonNegativeInt
    share: NonNegativeFloat
    bytes_saved: int | None = None
    computing_something_else: list[str] = Field(default_factory=list)


class Conventions(Frozen):
    """Numbers by which counts of the same model differ, because papers and tools draw the line elsewhere.

    `vectors` are the parameters with one dimension: biases, and the weights of normalisations. `running_statistics`
    are saved by batch normalisation, but no parameters. `last_layer` are the parameters of the last linear layer,
    which has `outputs` outputs.
    """

    vectors: NonNegativeInt
    running_statistics: NonNegativeInt
    last_layer: NonNegativeInt
    outputs: NonNegativeInt


class Answer(Frozen):
    """A question that users ask about a model, and the answer in sentences."""

    question: str
    sentences: list[str]


class Row(Frozen):
    """A model under a technique with its settings. All work is for one image; None is unknown.

    `parameters`: by `parameters()` and as stored, packed weights included. `macs`: by thop and as computed; weights
    and attention count, normalisations don't. `nonzero_macs` leaves out products with a weight of 0;
    `activation_macs` are products of two activations. `bit_operations` are MACs × bits of a weight × bits of an
    activation; `fp32_macs` are those of 32 × 32 bits. `bytes` are the size of the saved state_dict or of the file,
    `deflated_bytes` of its tensors after deflate. `seconds` is the time that compressing and counting took.
    `output_error` is the largest difference of the outputs from the uncompressed model's, as a share of its largest
    output. `notes` are the technique's about its result. `problem` says what couldn't be compressed, counted or
    timed.
    """

    technique: str
    settings: dict[str, Setting] = Field(default_factory=dict)
    notes: dict[str, Setting] = Field(default_factory=dict)
    parameters: ReportedAndActual | None = None
    nonzero_parameters: NonNegativeInt | None = None
    macs: ReportedAndActual | None = None
    nonzero_macs: NonNegativeInt | None = None
    activation_macs: NonNegativeInt | None = None
    bit_operations: NonNegativeInt | None = None
    fp32_macs: NonNegativeInt | None = None
    output_error: NonNegativeFloat | None = None
    operators: Operators | None = None
    bytes: NonNegativeInt | None = None
    deflated_bytes: NonNegativeInt | None = None
    latency: Latency | None = None
    seconds: NonNegativeFloat = 0.0
    problem: str | None = None


class CounterRow(Frozen):
    """What another counter says of a model under a technique, for one image; None if it fails.

    `provider` is the distribution that the counter comes from, with its version. `ratio` is its MACs divided by the
    actual ones. `differences` say what it misses and what it counts beyond products; a share is one of the actual
    MACs. `problem` says why it counts nothing.
    """

    counter: str
    provider: str
    technique: str
    macs: NonNegativeInt | None = None
    parameters: NonNegativeInt | None = None
    ratio: NonNegativeFloat | None = None
    differences: list[str] = Field(default_factory=list)
    problem: str | None = None


class Ranked(Frozen):
    """A variant of the model: its place, 1 the fastest, and what it costs. None is unknown.

    `milliseconds` is the median time here, if it is reliable; `bound_ms` and `expected_ms` are the roofline's for
    the device. `on_front` is whether no other variant is better in time, bytes and error. `reason` says why it has
    no rank.
    """

    name: str
    bytes: NonNegativeInt
    milliseconds: NonNegativeFloat | None = None
    bound_ms: NonNegativeFloat | None = None
    expected_ms: NonNegativeFloat | None = None
    error: NonNegativeFloat | None = None
    rank: PositiveInt | None = None
    on_front: bool = False
    meets_target: bool | None = None
    reason: str = ""


class Ranking(Frozen):
    """The variants, the fastest first, on a device or on this machine, by the time that `ranked_by` names.

    `advice` is one sentence, and `unknown` what it does not know.
    """

    device: str
    target_ms: NonNegativeFloat | None = None
    ranked_by: RankedBy
    variants: list[Ranked]
    advice: str
    unknown: str


class Audit(Frozen):
    """An audited model: its source in words, its image's height in pixels, one row per technique, and warnings.

    The first row is the uncompressed model. With `own_inputs` the model came with inputs that aren't an image.
    `shares` are the fractions (0 to 1) of the parameters in each kind of layer: nn.Linear, which dynamic
    quantization replaces, 1 × 1 convolutions, other convolutions, and the rest. `int8_instructions` are those of
    this processor that add up int8 products, None if unknown. `counters` are the rows of other counters, if they
    were asked for. `skipped` are the layers that dynamic quantization leaves out because of their type, if any;
    `ranking` are the variants in order. A `partial` audit was interrupted: it has the rows of the techniques that
    it reached, and no ranking.
    """

    schema_version: Literal[2] = 2
    model: str
    source: str
    resolution: PositiveInt
    own_inputs: bool = False
    shares: dict[str, float]
    rows: list[Row]
    warnings: list[str]
    answers: list[Answer] = Field(default_factory=list)
    weights: Weights | None = None
    conventions: Conventions | None = None
    int8_instructions: list[str] | None = None
    counters: list[CounterRow] = Field(default_factory=list)
    skipped: SkippedLinear | None = None
    ranking: Ranking | None = None
    partial: bool = False
    environment: Environment

    @property
    def uncompressed(self) -> Row:
        """The row of the uncompressed model."""
        return next(row for row in self.rows if row.technique == UNCOMPRESSED)


def saving(before: int | None, after: int | None) -> float | None:
    """Return the saving in percent; None if a number is unknown or there was nothing to save."""
    return None if not before or after is None else percent_saved(before, after)
