"""The figure of latencies: what was measured, and what devices allow, with the claim's own line through both."""

from __future__ import annotations

from matplotlib.axes import Axes

from edgeai_repro.devices.roofline import VARIANTS, Variant
from edgeai_repro.evidence.measurement import Interval
from edgeai_repro.judge.formatting import format_number
from edgeai_repro.report import text as cells
from edgeai_repro.report.document import ClaimEntry, PaperEntry, Roofline
from edgeai_repro.report.figures import style as svg
from edgeai_repro.report.figures.style import BAND, INK, MUTED, REPORTED, SERIES, WIDTH, Plot

ROW = 21  # units for one line
UNIT = "ms"
COLOURS: dict[Variant, str] = dict(zip(VARIANTS, (MUTED, SERIES[0], SERIES[1]), strict=True))


def latency(paper: PaperEntry, roofline: Roofline) -> Plot | None:
    """Draw a latency claim's line, the rows that were measured of it, and each device's bound and expectation."""
    claim = next((claim for claim in paper.claims if claim.id == roofline.claim), None)
    if claim is None or not roofline.rows:
        return None
    name = f"{paper.id}-latency-{claim.id}"
    inputs = list(dict.fromkeys((row.device, row.resolution) for row in roofline.rows))
    lines = len(claim.rows) + len(inputs) + len(roofline.devices) + bool(claim.rows)
    measured = [*claim.rows, *(each.row for each in roofline.measured)]
    head = 58 if measured else 44  # a third line of the legend
    with svg.style(name):
        drawing = svg.figure(ROW * lines + head + 48)
        axes = svg.axes(drawing, 116, head, WIDTH - 128, ROW * lines)
        axes.set_xscale("log")
        axes.set_ylim(lines - 0.5, -0.5)
        low, high = claim.band.low, claim.band.high
        axes.axvspan(low or 1e-9, high or 1e9, color=BAND, linewidth=0, zorder=0)
        axes.axvline(claim.paper_value, color=INK, linewidth=1.4)
        labels = [*_measured(axes, claim), *_devices(axes, roofline, first=len(claim.rows) + bool(claim.rows))]
        axes.set_yticks(range(len(labels)), [text for text, _ in labels])
        for text, (_, heading) in zip(axes.get_yticklabels(), labels, strict=True):
            text.set(fontweight="bold" if heading else "normal", color=INK if heading else MUTED)
        times = [time for row in roofline.rows for time in (row.bound_ms, row.expected_ms) if time]
        times += [claim.paper_value, *(end for row in measured for end in (row.reported.low, row.reported.high))]
        axes.set_xlim(min(times) / 1.6, max(times) * 1.6)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        svg.caption(drawing, "milliseconds for one image, each step ten times the last")
        svg.legend(
            drawing,
            [
                svg.key(f"paper, {cells.paper_value(claim)}", INK, "|", markersize=9.0, markeredgewidth=1.4),
                svg.key("at least", MUTED, "|", markersize=7.0, markeredgewidth=2.0),
                svg.key("expected", MUTED, "o", markersize=5.0),
                *(svg.key(variant, COLOURS[variant], "", linestyle="-", linewidth=2.0) for variant in VARIANTS),
                *([svg.key("measured", REPORTED, "D", markersize=5.4)] if measured else []),
            ],
            columns=3,
        )
        return svg.inline(
            drawing, name, f"How long one image takes, against {cells.paper_value(claim)}", _told(claim, roofline)
        )


def _measured(axes: Axes, claim: ClaimEntry) -> list[tuple[str, bool]]:
    """Draw the rows that were measured, with their intervals; return the lines' labels, and which are headings."""
    for y, row in enumerate(claim.rows, start=1):
        _time(axes, row.reported, y)
    heading = [("measured", True)] if claim.rows else []
    return [*heading, *((row.model, False) for row in claim.rows)]


def _devices(axes: Axes, roofline: Roofline, first: int) -> list[tuple[str, bool]]:
    """Draw each device's rows from line `first` on; return the lines' labels, and which are headings."""
    labels: list[tuple[str, bool]] = []
    for device in roofline.devices:
        labels.append((device, True))
        rows = [row for row in roofline.rows if row.device == device]
        for resolution in dict.fromkeys(row.resolution for row in rows):
            for row in rows:
                if row.resolution != resolution:
                    continue
                y = first + len(labels) + 0.27 * (VARIANTS.index(row.variant) - 1)
                colour = COLOURS[row.variant]
                axes.plot(row.bound_ms, y, "|", color=colour, markersize=5.4, markeredgewidth=2)
                if row.expected_ms is not None:
                    axes.plot([row.bound_ms, row.expected_ms], [y, y], color=colour, linewidth=1.4)
                    axes.plot(row.expected_ms, y, "o", color=colour, markersize=4.4)
            for each in roofline.measured:
                if (each.device, each.row.details.get("resolution")) == (device, resolution):
                    _time(axes, each.row.reported, first + len(labels))
            labels.append((f"{resolution} × {resolution}", False))
    return labels


def _time(axes: Axes, reported: Interval, y: float) -> None:
    errors = [[reported.value - reported.low], [reported.high - reported.value]]
    axes.errorbar(reported.value, y, xerr=errors, fmt="D", color=REPORTED, markersize=5.6, capsize=3)
    end, text = (reported.high, y), format_number(reported.value, UNIT)
    axes.annotate(text, end, (7, 0), textcoords="offset points", va="center", fontweight="bold")


def _told(claim: ClaimEntry, roofline: Roofline) -> str:
    rows = [f"{cells.where(row)}: {cells.interval(row.reported, UNIT)}" for row in claim.rows]
    rows += [
        f"{each.device}, {cells.contributed(each)}: {cells.interval(each.row.reported, UNIT)}"
        for each in roofline.measured
    ]
    rows += [
        f"{row.device} at {row.resolution}, {row.variant}: at least {format_number(row.bound_ms, UNIT)}, expected "
        + ("unknown" if row.expected_ms is None else format_number(row.expected_ms, UNIT))
        for row in roofline.rows
    ]
    return f"{'; '.join(rows)}."
