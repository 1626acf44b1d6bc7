"""The claims, evidence and verdicts that come with the package: next to it in a clone, in it in a wheel."""

from __future__ import annotations

from pathlib import Path

CLAIMS = Path("claims")  # the folder of the user's own claims, and of ours
VERDICTS = Path("docs/verdicts.json")  # of the last run of all claims
PACKAGE = Path(__file__).parent
IN_WHEEL = PACKAGE / "shipped"  # written by setup.py when a wheel is built


def claims_folder(folder: Path = CLAIMS) -> Path:
    """Return a claims folder: `folder`, or ours if that is the default one and the working folder has none."""
    if folder != CLAIMS or folder.is_dir():
        return folder
    ours = IN_WHEEL / CLAIMS if IN_WHEEL.is_dir() else PACKAGE.parent / CLAIMS
    return ours if ours.is_dir() else folder
