"""The rules that keep the code readable, checked on its source: who imports whom, what is pure, how long.

A failing test lists every offender, not only the first.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from stream.cli import COMMANDS
from tests.source import PACKAGES, ROOT, Function, Module, body_lines, modules

PURE, SHELL = "PURE:", "SHELL:"

MAY_IMPORT_LEARNER = re.compile(
    r"stream/(wiring|backfill|doctor)\.py|stream/(prequential|commands|demo)/\w+\.py"
)
"""Where stream may import learner: the composition root, what runs the learner offline, and the doctor."""

DECLARED = {
    PURE: """schemas/codec stream/sessions stream/labeling stream/satisfaction stream/trust stream/exploration
        stream/ranking stream/rollout learner/adapter learner/allocation learner/losses learner/batching
        learner/evaluation learner/checkpoint""",
    SHELL: """stream/batches stream/agents stream/storage stream/replay stream/broker stream/metrics
        stream/wiring stream/cli learner/__main__ learner/loop learner/kafka""",
}
"""What the design says of each file, where it says so."""

IMPURE_MODULES = (
    *("aiokafka", "asyncio", "faust", "http", "kafka", "logging", "mode", "multiprocessing", "os", "random"),
    *("requests", "shutil", "signal", "socket", "sqlalchemy", "subprocess", "sys", "tempfile", "threading"),
    *("time", "urllib"),
)
IMPURE_CALLS = re.compile(
    r"""(open|input|print)
      | (.*\.)?(datetime|date)\.(now|utcnow|today)
      | Path\.(cwd|home) | .*\.(read_text|read_bytes|write_text|write_bytes|mkdir|rmdir|unlink|touch
                                |iterdir|glob|rglob|exists|is_file|is_dir|stat|expanduser)
      | (np|numpy)\.random\.(?!default_rng|Generator|PCG64|SeedSequence)\w+
      | (np|numpy|torch)\.(load|save)
      | torch\.(manual_seed|seed|get_rng_state|set_rng_state|rand_like|randn_like)""",
    re.VERBOSE,
)
DRAWS = re.compile(r"torch\.(rand|randn|randint|randperm|normal|bernoulli|multinomial)")
"""Torch draws from its global generator unless it is given one."""

UNSAFE_MODULES = ("pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve")
MACHINE_PATH = re.compile(r"(?<![\w.$}/])/(?:work|root|home|Users)/\w")

Offences = Iterator[str]


def none_of(offences: Offences) -> None:
    found = sorted(offences)
    assert not found, "\n".join(found)


def pure_modules() -> Iterator[Module]:
    return (module for module in modules() if module.docstring.startswith(PURE))


def test_the_packages_are_there() -> None:
    assert {module.package for module in modules()} == set(PACKAGES)


def test_imports_are_absolute() -> None:
    none_of(f"{m.path}: {i}" for m in modules() for i in m.imports if i.startswith("."))


def forbidden_imports(candidates: Iterable[Module], *names: str) -> Offences:
    return (f"{module.path} imports {name}" for module in candidates for name in module.imports_of(*names))


def test_schemas_import_neither_learner_nor_stream() -> None:
    ours = (module for module in modules() if module.package == "schemas")
    none_of(forbidden_imports(ours, "learner", "stream", "faust", "torch"))


def test_learner_imports_neither_stream_nor_faust() -> None:
    ours = (module for module in modules() if module.package == "learner")
    none_of(forbidden_imports(ours, "stream", "faust", "mode", "aiokafka"))


def test_in_stream_only_the_wiring_and_the_offline_tools_import_learner() -> None:
    ours = (module for module in modules() if module.package == "stream")
    none_of(forbidden_imports((m for m in ours if not MAY_IMPORT_LEARNER.fullmatch(m.path)), "learner"))


def test_only_storage_and_migrations_know_the_tables() -> None:
    may = re.compile(r"stream/storage\.py|stream/migrations/.+|schemas/tables\.py")
    others = (module for module in modules() if not may.fullmatch(module.path))
    none_of(forbidden_imports(others, "schemas.tables", "sqlalchemy"))


def test_pure_modules_import_nothing_that_touches_the_world() -> None:
    none_of(forbidden_imports(pure_modules(), *IMPURE_MODULES))


def test_pure_modules_import_no_shell() -> None:
    shells = {module.name for module in modules() if module.docstring.startswith(SHELL)}
    none_of(f"{m.path} imports {name}" for m in pure_modules() for name in m.imports & shells)


def test_pure_modules_read_no_file_clock_or_global_randomness() -> None:
    none_of(offence for module in pure_modules() for offence in _impure_calls(module))


def _impure_calls(module: Module) -> Offences:
    for name, call in module.calls():
        if IMPURE_CALLS.fullmatch(name) or (DRAWS.fullmatch(name) and not _has(call, "generator")):
            yield f"{module.path}:{call.lineno} calls {name}"


def _has(call: ast.Call, keyword: str) -> bool:
    return any(given.arg == keyword for given in call.keywords)


def test_modules_say_what_the_design_says_of_them() -> None:
    kinds = {f"{path}.py": kind for kind, paths in DECLARED.items() for path in paths.split()}
    none_of(
        f"{module.path}: expected a docstring that starts with {kinds[module.path]!r}"
        for module in modules()
        if module.path in kinds and not module.docstring.startswith(kinds[module.path])
    )


def test_every_module_has_a_docstring() -> None:
    none_of(module.path for module in modules() if not module.docstring)


def test_no_file_is_longer_than_400_lines() -> None:
    none_of(f"{module.path}: {module.lines}" for module in modules() if module.lines > 400)


def test_no_function_is_longer_than_40_lines() -> None:
    none_of(
        f"{module.path}:{function.lineno} {function.name}: {body_lines(function)}"
        for module in modules()
        for function in module.functions()
        if body_lines(function) > 40
    )


def test_no_bytes_are_ever_executed() -> None:
    none_of(forbidden_imports(modules(), *UNSAFE_MODULES))
    none_of(
        f"{m.path}:{call.lineno} {name}" for m in modules() for name, call in m.calls() if _unsafe(name, call)
    )


def _unsafe(name: str, call: ast.Call) -> bool:
    """Loading with torch or numpy is unpickling, unless it is told not to."""
    if name == "torch.load":
        return not any(
            k.arg == "weights_only" and getattr(k.value, "value", None) is True for k in call.keywords
        )
    return (
        name in ("torch.save", "eval", "exec")
        or _has(call, "allow_pickle")
        or _has(call, "trust_remote_code")
    )


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("schemas.codec", "faust torch kafka sqlalchemy"),
        ("stream", "faust torch kafka sqlalchemy"),
        ("stream.cli", "faust torch kafka sqlalchemy"),
        ("stream.commands.models", "torch transformers"),
        ("stream.sessions", "faust torch kafka sqlalchemy"),
        ("stream.labeling", "faust torch kafka sqlalchemy"),
        ("learner.adapter", "faust kafka sqlalchemy transformers"),
    ],
)
def test_importing_a_part_does_not_load_the_engines(module: str, heavy: str) -> None:
    if module not in {known.name for known in modules()}:
        pytest.skip(f"{module} does not exist yet")
    code = f"import sys, {module}; print(*sorted({set(heavy.split())!r} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr


def test_every_command_has_its_file_and_every_file_its_command() -> None:
    defined = {
        Path(module.path).stem: {function.name for function in module.functions() if _is_command(function)}
        for module in modules()
        if module.path.startswith("stream/commands/")
    }
    commands = {name.replace("-", "_") for name in COMMANDS}
    assert {stem for stem, names in defined.items() if stem in names} == commands
    none_of(
        f"stream/commands/{stem}.py defines {names}"
        for stem, names in defined.items()
        if names and stem not in names
    )


def _is_command(function: Function) -> bool:
    calls = (decorator for decorator in function.decorator_list if isinstance(decorator, ast.Call))
    return any(ast.unparse(call.func) in ("click.command", "click.group") for call in calls)


def tracked_texts() -> Iterator[tuple[str, str]]:
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: no list of tracked files")
    for name in filter(None, listed.stdout.split("\0")):
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # a picture or archive; or removed, and not yet committed


@pytest.mark.parametrize(
    "source",
    [
        "import os.path",
        "from time import time",
        "def f():\n    from logging import getLogger",
        "datetime.datetime.now(UTC)",
        "np.random.rand(3)",
        "torch.rand(3)",
        "open('x')",
        "Path('x').read_text()",
    ],
)
def test_impurity_is_seen(source: str) -> None:
    module = Module("learner/bad.py", source)
    assert module.imports_of(*IMPURE_MODULES) or list(_impure_calls(module))


@pytest.mark.parametrize(
    "source",
    [
        "np.random.default_rng(seed)",
        "torch.rand(3, generator=g)",
        "Path(a) / b",
        "import osmium",
        "text.replace(a, b)",
    ],
)
def test_purity_is_left_alone(source: str) -> None:
    module = Module("learner/good.py", source)
    assert not module.imports_of(*IMPURE_MODULES)
    assert not list(_impure_calls(module))


def test_no_tracked_file_names_a_place_on_somebodys_machine() -> None:
    none_of(
        f"{name}:{number} {line.strip()[:80]}"
        for name, text in tracked_texts()
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line) or (name.endswith(".lock") and "index-url" in line)
    )
