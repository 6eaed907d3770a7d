"""pyproject.toml and environment.yml ask for the same packages in the same versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENT = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(.*)")


def split(requirement: str) -> tuple[str, frozenset[str]]:
    """A package's name and its set of version bounds."""
    match = REQUIREMENT.fullmatch(requirement.strip())
    assert match, requirement
    return match[1].lower(), frozenset(part.strip() for part in match[2].split(",") if part.strip())


def project() -> dict[str, frozenset[str]]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = list(table["dependencies"])
    for extra, requirements in table["optional-dependencies"].items():
        if extra != "browser":  # pip only, and said so there
            wanted += requirements
    return {**dict(split(item) for item in wanted), **dict([split("python" + table["requires-python"])])}


def environment() -> dict[str, frozenset[str]]:
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").split("dependencies:", 1)[1].splitlines()
    items = [line.strip()[2:] for line in lines if line.strip().startswith("- ")]
    return dict(split(item) for item in items if item not in ("pip", "pip:", "-e ."))


def test_both_ask_for_the_same() -> None:
    assert environment() == project()


def test_versions_are_ranges() -> None:
    for name, bounds in project().items():
        assert any(bound.startswith(">=") for bound in bounds), f"{name} has no lower bound"
        assert not any(bound.startswith("==") for bound in bounds), f"{name} is pinned"
