"""`edgeai-repro networks`: what a network has: parameters, MACs and bytes of anything that a claim can name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeai_repro.cli import echo
from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.report.plain import on_one_line

if TYPE_CHECKING:
    from edgeai_repro.measure.network_profiles import Profile
    from edgeai_repro.networks.specs import NetworkSpec

CLASSES, RESOLUTION = 1000, 224


def networks(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME…", help="torchvision's, timm:NAME, file.py:function, or a name of --claims"),
    ],
    resolution: Annotated[int, typer.Option(help="Side of the image in pixels.")] = RESOLUTION,
    classes: Annotated[int, typer.Option(help="Number of classes.")] = CLASSES,
    claims: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A claims file with the names under 'networks'.")
    ] = None,
) -> None:
    """Show parameters, MACs and bytes of networks.

    Each is shown as counters report it and as it actually is. Nothing is compressed.

    Examples: edgeai-repro networks resnet50 timm:convnext_atto,
    edgeai-repro networks thinet-gap --claims=claims/luo2017.yaml
    """
    from edgeai_repro.claims.registry import UNCOMPRESSED
    from edgeai_repro.measure.network_profiles import NetworkProfiles, Subject

    profiles = NetworkProfiles()
    specs = {label: spec for name in names for label, spec in _named(name, claims).items()}
    typer.echo(_line("network", "", "parameters", "MACs", "bytes"))
    for label, spec in specs.items():
        subject = Subject(spec, spec.classes or classes, spec.resolution or resolution)
        for line in _lines(label, profiles.profile(subject, UNCOMPRESSED, {})):
            echo(on_one_line(line))


def _named(name: str, claims: Path | None) -> dict[str, NetworkSpec]:
    """Return the networks that a name stands for, by a label each: several if a condition selects one."""
    import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
    from edgeai_repro.claims.load import load_file
    from edgeai_repro.claims.schema import Paper
    from edgeai_repro.networks.references import reference, unknown
    from edgeai_repro.networks.specs import Alternatives, NetworkSet

    paper = None if claims is None else load_file(claims)
    defined = paper.networks if isinstance(paper, Paper) else {}
    spec = defined.get(name) or reference(name)
    if isinstance(spec, Alternatives):
        return {
            f"{name}, {spec.by} {value}": network
            for value, other in spec.of.items()
            for network in _named(other, claims).values()
        }
    if isinstance(spec, NetworkSet):
        return {label: network for other in spec.of for label, network in _named(other, claims).items()}
    if hint := unknown(spec):
        close = did_you_mean(name, defined) if defined else hint
        raise UserError(f"NAME must be a known network (got {name!r}); {close}")
    return {name: spec}


def _lines(label: str, profile: Profile) -> list[str]:
    actual = profile.actual
    return [
        _line(label, "reported", profile.reported.parameters, profile.reported.macs, profile.state_dict_bytes),
        _line("", "actual", actual.parameters, actual.macs, profile.value_bytes),
    ]


def _line(label: str, kind: str, *cells: int | str) -> str:
    texts = [f"{cell:,}" if isinstance(cell, int) else cell for cell in cells]
    return f"{label:<32} {kind:<9}" + "".join(f"{text:>18}" for text in texts)
