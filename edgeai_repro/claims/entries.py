"""What is known of a metric and of a technique: the entries of the registry, and their types. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from edgeai_repro.evidence.measurement import Measured, Measurement, Setting, Settings

if TYPE_CHECKING:
    from edgeai_repro.claims.schema import Claim, ClaimCase

NOTES = "compression_notes"  # the attribute of a compressed network with notes for the reader, if it has some
SourceName = Literal["compressed", "trained", "deployed"]
Compares = Literal["never", "sometimes", "always"]
Better = Literal["higher", "lower"]
S = TypeVar("S")
# A metric: (source, claim, model name) -> the rows of that model.
Measure = Callable[[S, "Claim", str], Iterable[Measurement]]
# A technique: (network, list of settings) -> one new network per entry of the list; one that `takes_inputs` is also
# given the network's inputs. Networks are torch modules, which this package does not import.
Apply = Callable[..., Iterator[Any]]
# What a row adds for the reader about a compressed network, for example the share of its layers that stayed fp32.
Describe = Callable[[Any], Settings]
AnyApply = TypeVar("AnyApply", bound=Apply)


def own_notes(network: Any) -> Settings:
    """Return the notes that a technique left in a network that it compressed, none for any other."""
    return dict(getattr(network, NOTES, {}))


class Source(Protocol):
    """Measures claims: `CompressedModels`, `TrainedModels` or `DeployedModels`."""

    def measure(self, case: ClaimCase) -> Measured:
        """Return the rows of a claim, and the obstacle if it can't be judged here."""


@dataclass(frozen=True)
class MetricGroup(Generic[S]):
    """The metrics that are measured on one kind of source; `S` is what their functions may ask of it.

    A claim may give the `conditions` to every metric of the group, and list the `needs`.
    """

    source: SourceName
    conditions: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    functions: dict[str, Measure[S]] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A metric: its unit, the source that measures it, and the conditions that a claim gives it.

    `has_actual` is true if the actual quantity can differ from the reported one, which is that of `counter`.
    `is_count` is true if the actual value itself is a count, so that what is not counted can only add to it.
    `better` says which end is better, for claims with "up to". `deflated` asks for deflated bytes
    in the profiles that the metric reads, which take seconds to count. A claim must give every one of `conditions`
    and may give those of `optional`; `values` are those that a condition may have. `compares` is whether a claim
    names the other network, `against`. `techniques` are those that the metric can measure, all if it names none.
    `over` is the setting whose values make one row, a trend. A claim may list `needs`: what must be here. `timed`
    is true if the metric times something: no other process of the run may work meanwhile. `ranks` is true if each
    of its models is a set of networks.
    """

    name: str
    unit: str
    source: SourceName
    has_actual: bool
    deflated: bool
    conditions: tuple[str, ...]
    optional: tuple[str, ...]
    compares: Compares
    description: str
    better: Better | None
    counter: str
    is_count: bool
    values: Mapping[str, Sequence[Setting]]
    techniques: tuple[str, ...]
    over: str
    needs: tuple[str, ...]
    timed: bool
    ranks: bool

    @property
    def needed(self) -> tuple[str, ...]:
        """The names that a claim must give it."""
        return self.conditions


@dataclass(frozen=True)
class Technique:
    """A technique: `apply` yields one new network per entry of a list of settings, in its order.

    `base` is the technique whose result it starts from, under the same settings. `settings` are the names that a
    claim must give, `optional` those that it may give. `notes` returns the notes of a row about a new network.
    `package` is the optional package that it needs, empty if it needs none. With `takes_inputs`, `apply` is given
    the network's inputs, too. `needs_values` is false if the shapes of the result do not depend on the weights'
    values: then it can be applied on the meta device.
    """

    name: str
    base: str
    settings: tuple[str, ...]
    apply: Apply
    description: str
    optional: tuple[str, ...] = ()
    notes: Describe = own_notes
    package: str = ""
    takes_inputs: bool = False
    needs_values: bool = True

    def run(self, network: Any, grid: Sequence[Settings], inputs: tuple[Any, ...] | None = None) -> Iterator[Any]:
        """Yield a new network per entry of `grid`. `inputs` are the network's, None for one that takes an image."""
        return self.apply(network, grid, inputs) if self.takes_inputs else self.apply(network, grid)

    @property
    def needed(self) -> tuple[str, ...]:
        """The names that a claim must give it."""
        return self.settings

    @property
    def installed(self) -> bool:
        """Whether the package that it needs is installed."""
        return not self.package or find_spec(self.package) is not None
