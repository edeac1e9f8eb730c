"""`python -m tests.check`: every gate of the code base, one line per step. Standard library only."""

import ast
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = [
    "lyra_sim",
    "pipelines",
    "usd_export",
    "robot_tasks",
    "configs",
    "tests",
    "examples",
    "benchmarks",
]
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60


def sizes() -> list[str]:
    """Files and functions over the limit, as `path:line what`."""
    found = []
    for path in sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py")):
        text = path.read_text()
        lines = len(text.splitlines())
        name = path.relative_to(ROOT)
        if lines > MAX_FILE_LINES:
            found.append(f"{name}: {lines} lines, limit {MAX_FILE_LINES}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    found.append(f"{name}:{node.lineno} {node.name}: {length} lines, limit {MAX_FUNCTION_LINES}")
    return found


def run(*command: str) -> Callable[[], int]:
    """A step that runs a module of this interpreter."""
    return lambda: subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode


def size_step() -> int:
    found = sizes()
    print("\n".join(found)) if found else None
    return int(bool(found))


def import_step() -> int:
    code = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode


def main() -> int:
    """Run all steps, the tests last, so that the output ends with pytest's own summary; exit 1 if any failed.

    Arguments are passed on to pytest.
    """
    steps: list[tuple[str, Callable[[], int]]] = [
        ("format", run("ruff", "format", "--check", "--quiet", ".")),
        ("lint", run("ruff", "check", "--quiet", ".")),
        ("types", run("basedpyright", "--level", "error", "--pythonpath", sys.executable)),
        ("imports", import_step),
        ("sizes", size_step),
    ]
    failed = []
    for name, step in steps:
        start = time.monotonic()
        code = step()
        print(f"check {name}: {'ok' if code == 0 else 'FAILED'} in {time.monotonic() - start:.1f} s", flush=True)
        if code != 0:
            failed.append(name)
    if failed:
        print(f"check: FAILED {', '.join(failed)}; the tests follow", flush=True)
    return run("pytest", *sys.argv[1:])() or int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
