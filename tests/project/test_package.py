"""The package as a whole: light to import, layered, its public names there; notebooks fit to commit."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import pyvirt_edu

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pyvirt_edu"
NOTEBOOKS = sorted(p for folder in ("book", "exercises") for p in (ROOT / folder).rglob("*.ipynb"))

CORE_FOLDERS = ("machine", "devices")
#: Their functions have Numba's types.
CORE_MAKERS = {"core", "core_hot", "core_inlined", "unit", "intrinsic"}

HEAVY = {"IPython", "capstone", "ipywidgets", "llvmlite", "numba", "numpy", "pandas", "plotly"}

#: From the bottom up; a module may import from its own package and from lower layers. Some are
#: still to come: fullvirt, paravirt, hvm, datacenter, compare, grading.
LAYERS = (
    {"machine"},
    {"devices"},
    {"guests"},
    {"computer"},
    {"hypervisor"},
    {"fullvirt", "paravirt", "hvm"},
    {"datacenter"},
    {"compare"},
    {"lab", "grading"},
    {"bench", "commands"},
    {"cli"},
)
#: Above all of them, and imported by them too: its public names are strings until they are used.
TOP = "__init__"


def child(code: str) -> str:
    """What a fresh Python prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_nothing_heavy() -> None:
    before, after = (
        set(child(f"{code}import sys; print(*{{n.split('.')[0] for n in sys.modules}})").split())
        for code in ("", "import pyvirt_edu, pyvirt_edu.cli; ")
    )
    assert not (after - before) & HEAVY


def test_import_is_quick() -> None:
    code = "import time; t = time.perf_counter(); import pyvirt_edu; print(time.perf_counter() - t)"
    assert min(float(child(code)) for _ in range(3)) < 0.3


def test_machine_needs_no_lab() -> None:
    """A server that runs guests has no notebook: the core must not want one."""
    code = "import sys; from pyvirt_edu import Machine; print(*sys.modules)"
    assert not {"IPython", "ipywidgets", "anywidget", "plotly", "pandas"} & set(child(code).split())


@pytest.mark.parametrize("name", pyvirt_edu.__all__)
def test_public_name(name: str) -> None:
    assert getattr(pyvirt_edu, name).__doc__, f"{name} says nothing about itself"
    assert name in dir(pyvirt_edu)


def test_public_names_are_listed_once() -> None:
    assert pyvirt_edu.__all__ == sorted(pyvirt_edu._EXPORTS)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Machin'"):
        _ = pyvirt_edu.Machin  # type: ignore[attr-defined]


def imports(path: Path) -> set[str]:
    """The parts of this package that a file imports: `machine`, `lab` ..."""
    package = ["pyvirt_edu", *path.relative_to(PACKAGE).parts[:-1]]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            names.update(".".join([*base, *filter(None, [node.module]), a.name]) for a in node.names)
    parts = {name.split(".")[1] for name in names if name.startswith("pyvirt_edu.")}
    exports = {name: module.split(".")[0] for name, module in pyvirt_edu._EXPORTS.items()}
    return {exports.get(part, part) for part in parts} - {"__version__", "__file__"}


def test_every_part_has_a_layer() -> None:
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")}
    assert parts - {TOP} <= set().union(*LAYERS)


def test_imports_point_downward() -> None:
    level = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own != TOP:
            for name in imports(path) - {own}:
                assert level[name] < level[own], f"{path.relative_to(ROOT)} imports {name}"


def test_the_top_imports_nothing() -> None:
    """Before a name is used; what type checkers read does not count."""
    body = ast.parse((PACKAGE / f"{TOP}.py").read_text(encoding="utf-8")).body
    found = [node for node in body if isinstance(node, ast.ImportFrom)]
    assert {node.module for node in found if not node.level} == {"__future__", "typing"}
    assert not [ast.unparse(node) for node in found if node.level]


def unhinted(source: str) -> list[str]:
    """Functions outside the core that do not say the types of what they take and return."""
    found = []

    def look(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                if CORE_MAKERS & {d.id for d in child.decorator_list if isinstance(d, ast.Name)}:
                    continue
                given = child.args
                taken = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
                bare = [a.arg for a in taken if a and not a.annotation and a.arg not in ("self", "cls")]
                if bare or child.returns is None:
                    found.append(f"line {child.lineno}: {child.name}")
            look(child)

    look(ast.parse(source))
    return found


def test_python_beside_the_core_has_hints() -> None:
    """mypy is lenient with the folders of the core, whose types are Numba's: see pyproject.toml."""
    for folder in CORE_FOLDERS:
        for path in (PACKAGE / folder).rglob("*.py"):
            assert not unhinted(path.read_text(encoding="utf-8")), path.relative_to(ROOT)


def test_missing_hints_are_found() -> None:
    core = "@core\ndef add(m, a):\n    return a\n"
    python = "class C:\n    def f(self, a: int, *b: int):\n        def g(a) -> int: ...\n"
    assert unhinted(core + python) == ["line 5: f", "line 6: g"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_fit_to_commit(path: Path) -> None:
    assert path.stat().st_size < 500_000
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert "widgets" not in notebook["metadata"], "metadata.widgets holds megabytes of script"
    if path.parent.name == "book":  # exercises are handed out empty
        cells = [c for c in notebook["cells"] if c["cell_type"] == "code" and "".join(c["source"]).strip()]
        counts = [cell["execution_count"] for cell in cells]
        assert counts == list(range(1, len(cells) + 1)), "run it from top to bottom, then save"
        assert not [o for cell in cells for o in cell["outputs"] if o["output_type"] == "error"]


def test_readme_example() -> None:
    """The five lines of the README, as a reader would paste them."""
    example = (ROOT / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    assert sum(map(bool, example.splitlines())) == 5
    assert "42" in child(example)
