"""A run as a Process Run Crate: a folder that says, as linked data, which software made which results on what.

https://w3id.org/ro/wfrun/process/0.5
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_repro.checksums import sha256
from edgeai_repro.errors import UserError
from edgeai_repro.extras import how_to_install
from edgeai_repro.files import atomic_folder
from edgeai_repro.report import document, front_page, text
from edgeai_repro.report.document import Document, PaperEntry

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
VERSION = "1.1"  # of RO-Crate, which the profile extends
PACKAGE = "pkg:pypi/{}@{}"  # https://github.com/package-url/purl-spec


def write(json_path: Path, folder: Path, licence: str) -> None:
    """Write the crate of a run, whose JSON is in `json_path`, into a new folder, whole or not at all.

    The action of each machine made the run's file from the claims files. Raises UserError if the file is no run,
    the folder exists, or rocrate is missing.
    """
    if find_spec("rocrate") is None:
        raise UserError(f"rocrate is missing and a crate needs it; {how_to_install('crate')}")
    run = document.read(json_path)
    with atomic_folder(folder) as temporary:
        shutil.copy2(json_path, temporary / json_path.name)
        _crate(run, temporary / json_path.name, licence).write(temporary)


def _crate(run: Document, file: Path, licence: str) -> ROCrate:
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version=VERSION)

    def add(entity: str, kind: str, **properties: Any) -> Any:
        return crate.add(ContextEntity(crate, entity, properties={"@type": kind, **properties}))

    claims = front_page.all_claims(run)
    crate.name = f"Verdicts on {len(claims)} claims about network compression"
    crate.description = front_page.headline(claims)
    crate.license = add(licence, "CreativeWork", name=licence)
    crate.root_dataset["conformsTo"] = add(PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    result = crate.add_file(str(file), properties=_result(file))
    first, *others = (
        add(PACKAGE.format(name, version), "SoftwareApplication", name=name, softwareVersion=version)
        for name, version in {
            "edgeai-repro": "",
            **run.environment.versions,
            "python": run.environment.python,
        }.items()
    )
    first["softwareRequirements"] = others
    objects = [
        add(f"#claims-{paper.id}", "CreativeWork", name=f"Claims of {paper.title}", **_claims_file(run, paper))
        for paper in run.papers
    ]
    for number, environment in enumerate(run.environments, 1):
        judged = [claim for claim in claims if claim.environment == number - 1]
        action = add(
            f"#run-{number}",
            "CreateAction",
            name=f"Judging {len(judged)} claims",
            description=f"pytest -m claims on {text.machine(environment)}",
            endTime=_changed(file),
            instrument=first,
            object=objects,
            result=[result],
        )
        crate.root_dataset.append_to("mentions", action)
    return crate


def _result(file: Path) -> dict[str, str]:
    """Return the properties of the run's file."""
    return {
        "name": "Verdicts and all measured rows",
        "encodingFormat": "application/json",
        "contentSize": str(file.stat().st_size),
        "identifier": f"sha256:{sha256(file)}",  # version 1.1 of RO-Crate has no property for it
        "dateModified": _changed(file),
    }


def _claims_file(run: Document, paper: PaperEntry) -> dict[str, str]:
    """Return the properties of a paper's claims file, as far as the run knows them."""
    file = run.claims_files.get(paper.id)
    known = {"identifier": f"sha256:{file.sha256}" if file else "", "isBasedOn": paper.url}
    return {name: value for name, value in known.items() if value}


def _changed(file: Path) -> str:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="seconds")
