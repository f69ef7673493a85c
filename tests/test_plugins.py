"""Plugins: every hook, lazy discovery, isolation, the version handshake, the switches, threads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import candle
from candle import plugins
from candle.errors import BackendError, PluginError

ROOT = Path(__file__).parent.parent


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lay out packages as pip would: modules, metadata, entry points; found by this process, and gone after the test."""
    count = iter(range(1000))

    def one(name, hooks, version="1.2.3", entry=None, package=None, modules=()):
        module = f"{name}_plugin_{tmp_path.name.replace('-', '_')}_{next(count)}"
        folder = tmp_path / "site" / module
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        (folder / "hooks.py").write_text(
            "from candle.plugins import hookimpl\n" + textwrap.dedent(hooks).replace("MODULE", module)
        )
        for file, text in dict(modules).items():
            (folder / file).write_text(textwrap.dedent(text).replace("MODULE", module))
        info = tmp_path / "site" / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package or 'candle-' + name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[candle]\n{entry or name} = {module}.hooks\n")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        plugins.reload()
        return module

    monkeypatch.delenv("CANDLE_PLUGINS", raising=False)
    monkeypatch.delenv("CANDLE_DISABLE_PLUGINS", raising=False)
    monkeypatch.setattr(candle.device_module, "_made", {**candle.device_module._made})
    yield one
    monkeypatch.undo()
    plugins.reload()
    for name in [m for m in sys.modules if "_plugin_" in m]:
        del sys.modules[name]


def named(name):
    return next(p for p in plugins.plugins() if p.name == name)


BACKEND = """
candle_api_version = (1, 0)
from candle.backend import Reference
class Mine(Reference):
    name = "NAME"
@hookimpl
def candle_backends():
    return {"NAME": Mine}
"""


def backend(name):
    return BACKEND.replace("NAME", name)


# -- the hooks -------------------------------------------------------------------------------------


def test_candle_backends(install):
    module = install("away", """
        @hookimpl
        def candle_backends():
            return {"away": "MODULE.backend:Away"}
        """, modules={"backend.py": "from candle.backend import Reference\nclass Away(Reference): name = 'away'\n"})  # fmt: skip
    assert "away" in candle.device_module.names() and f"{module}.backend" not in sys.modules
    assert str(candle.ones(2, device="away").device) == "away" and f"{module}.backend" in sys.modules


def test_candle_backends_with_an_index(install):
    install("many", """
        from candle.backend import Reference
        class Many(Reference):
            name = "many"
            def __init__(self, index=0):
                super().__init__()
                self.index = index
        @hookimpl
        def candle_backends():
            return {"many": Many}
        """)  # fmt: skip
    assert str(candle.ones(2, device="many:3").device) == "many:3"
    assert candle.device_module.resolve("many") is candle.device_module.resolve("many:0")


def test_candle_kernels(install):
    install("fast", """
        from candle.backend import Reference
        class Slow(Reference):
            name = "slow"
        def square(out, x):
            return x * 0 + 42
        @hookimpl
        def candle_kernels(backend):
            return {"square": square} if backend == "slow" else {}
        @hookimpl
        def candle_backends():
            return {"slow": Slow}
        """)  # fmt: skip
    assert candle.square(candle.ones(2, device="slow")).tolist() == [42, 42]
    assert candle.square(candle.ones(2, device="numpy")).tolist() == [1, 1]


def test_candle_ops(install):
    install("more", """
        @hookimpl
        def candle_ops():
            return {"triple_of_plugin": "MODULE.ops:triple_of_plugin"}
        """, modules={"ops.py": '''
            from candle import composite
            from candle.dtype import FLOATS
            @composite("T[] -> T[]", FLOATS)
            def triple_of_plugin(x):
                """Three times."""
                return x * 3
            '''})  # fmt: skip
    try:
        plugins.load_ops()
        x = candle.tensor([1.0, 2.0], requires_grad=True)
        x.triple_of_plugin().sum().backward()
        assert candle.triple_of_plugin(x).tolist() == [3, 6] and x.grad.tolist() == [3, 3]
        assert candle.OPS["triple_of_plugin"].doc == "Three times."
    finally:
        candle.OPS.pop("triple_of_plugin", None)
        candle.__dict__.pop("triple_of_plugin", None)
        for name in ("triple_of_plugin", "triple_of_plugin_"):
            if hasattr(candle.Tensor, name):
                delattr(candle.Tensor, name)


def test_candle_loaders(install, tmp_path):
    install("lines", """
        @hookimpl
        def candle_loaders():
            return {"lines": "MODULE.lines"}
        """, modules={"lines.py": """
            import numpy as np
            from candle.formats import Checkpoint, Entry
            from candle import Spec
            suffixes = (".lines",)
            def matches(head, path):
                return head.startswith(b"LINES")
            def load(path):
                values = np.array([float(v) for v in path.read_text().split()[1:]], np.float32)
                return Checkpoint({"values": Entry(Spec(values.shape, "float32"), values.nbytes, lambda: values)})
            """})  # fmt: skip
    (tmp_path / "x.any").write_text("LINES 1 2 3")
    assert candle.load(tmp_path / "x.any")["values"].tolist() == [1, 2, 3]


def test_candle_models(install):
    install("zoo", """
        @hookimpl
        def candle_models():
            return {"zebra": "collections:OrderedDict"}
        """)  # fmt: skip
    from collections import OrderedDict

    assert plugins.load("candle_models", "zebra") is OrderedDict and "bert" in plugins.offered("candle_models")


def test_candle_datasets(install):
    install("sets", """
        @hookimpl
        def candle_datasets():
            return {"squares": lambda n=3: [i * i for i in range(n)]}
        """)  # fmt: skip
    assert plugins.load("candle_datasets", "squares")(n=4) == [0, 1, 4, 9]


def test_candle_communicators(install):
    install("wires", """
        class Alone:
            def __init__(self, rank, size):
                self.rank, self.size = rank, size
        @hookimpl
        def candle_communicators():
            return {"alone": Alone}
        """)  # fmt: skip
    made = plugins.load("candle_communicators", "alone")(0, 1)
    assert (made.rank, made.size) == (0, 1)


def test_candle_commands(install, capsys):
    from candle.cli import main

    install("greet", """
        class Greet:
            help = "Say hello."
            def configure(self, parser):
                parser.add_argument("who")
            def run(self, args):
                print(f"hello {args.who}")
                return 0
        @hookimpl
        def candle_commands():
            return {"greet": Greet()}
        """)  # fmt: skip
    assert main(["greet", "you"]) == 0 and capsys.readouterr().out == "hello you\n"
    assert main(["--help"]) == 0 and "greet         Say hello." in capsys.readouterr().out


def test_every_hook_has_a_test():
    assert all(f"test_{hook}" in globals() for hook in plugins.HOOKS) and len(plugins.HOOKS) == 8


# -- lazy ------------------------------------------------------------------------------------------


def python(code, **env):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": str(ROOT), **env},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_candle_looks_for_no_plugin(install, tmp_path):
    install("loud", "raise SystemExit('the hook module was run')")
    path = f"{ROOT}{os.pathsep}{tmp_path / 'site'}"
    code = "import sys, candle\nprint([m for m in sys.modules if 'plugin' in m or m in ('pluggy', 'importlib.metadata')])"
    assert python(code, PYTHONPATH=path) == "[]"


def test_ten_plugins_cost_the_import_less_than_ten_milliseconds(install, tmp_path):
    for i in range(10):
        install(f"costly{i}", "import time; time.sleep(1)")
    code = "import time, numpy, ml_dtypes\nt = time.process_time()\nimport candle\nprint(time.process_time() - t)"

    def best(**env):
        return min(float(python(code, **env)) for _ in range(5))

    assert best(PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path / 'site'}") - best() < 0.010


def test_listing_reads_metadata_and_runs_nothing(install):
    module = install("quiet", "raise RuntimeError('the hook module was run')\ncandle_api_version = (1, 0)")
    found = named("quiet")
    assert (found.package, found.version, found.module, found.status) == ("candle-quiet", "1.2.3", f"{module}.hooks", "installed")
    assert found.api == (1, 0) and f"{module}.hooks" not in sys.modules


def test_the_command_lists_a_plugin_without_running_it(install, capsys):
    from candle.cli import main

    module = install("quiet", "raise RuntimeError('the hook module was run')")
    assert main(["plugins"]) == 0 and "candle-quiet" in capsys.readouterr().out and f"{module}.hooks" not in sys.modules


def test_hook_modules_of_this_package_import_nothing_heavy():
    code = "import sys, candle.plugins\nbefore = set(sys.modules)\nimport candle.hooks\nprint(sorted(set(sys.modules) - before))"
    assert python(code) == "['candle.hooks']"


def test_it_works_where_candle_is_not_installed(tmp_path):
    os.symlink(ROOT / "candle", tmp_path / "candle")
    code = (
        "import importlib.metadata as m; m.entry_points = lambda **k: []\n"
        "import candle; print(candle.zeros(2).tolist(), [p.name for p in candle.plugins.plugins()])"
    )
    assert python(code, PYTHONPATH=str(tmp_path)) == "[0.0, 0.0] ['builtin']"


# -- isolation -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["raise RuntimeError('no driver')", "import nothing_like_this", "raise SystemExit(3)", "def broken(:"]
)
def test_a_plugin_that_raises_is_recorded_and_harms_nobody(install, fault):
    install("sick", fault)
    install("well", backend("well"))
    assert candle.ones(2).tolist() == [1, 1] and candle.ones(2, device="well").tolist() == [1, 1]
    found = named("sick")
    assert found.status == "failed" and type(found.error).__name__ in found.traceback
    with pytest.raises(PluginError, match=r"'sick' would be offered by the plugin sick \(candle-sick 1.2.3\), which failed") as e:
        candle.ones(2, device="sick")
    assert e.value.__cause__ is found.error


def test_a_hook_that_raises_is_recorded(install):
    install("late", "@hookimpl\ndef candle_backends():\n    raise OSError('no libcuda.so')\n")
    with pytest.raises(PluginError, match="OSError: no libcuda.so; `candle doctor` shows the traceback") as e:
        candle.ones(2, device="late")
    assert isinstance(e.value.__cause__, OSError)


def test_a_backend_that_cannot_be_imported_or_started_says_why(install):
    install("gone", "@hookimpl\ndef candle_backends():\n    return {'gone': 'MODULE.nowhere:Gone', 'dead': 'MODULE.dead:Dead'}\n",
            modules={"dead.py": "def Dead():\n    raise RuntimeError('no such GPU')\n"})  # fmt: skip
    with pytest.raises(
        PluginError, match="'gone' of the plugin gone .* cannot be loaded from '.*nowhere:Gone': ModuleNotFoundError"
    ):
        candle.ones(2, device="gone")
    with pytest.raises(BackendError, match="the backend 'dead' could not be started: RuntimeError: no such GPU") as e:
        candle.ones(2, device="dead")
    assert isinstance(e.value.__cause__, RuntimeError)


def test_an_unknown_device_may_be_one_of_a_plugin_that_failed(install):
    install("sick", "raise RuntimeError('no driver')")
    with pytest.raises(BackendError, match=r"is called 'odd'; installed are .* \(not loaded: sick; `candle doctor` says why\)"):
        candle.ones(2, device="odd")


def test_doctor_shows_the_traceback(install, capsys):
    from candle.cli import main

    install("sick", "def start():\n    raise RuntimeError('no driver')\nstart()\n")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "the plugin sick (candle-sick 1.2.3) failed to load: RuntimeError: no driver" in out and "in start" in out


@pytest.mark.parametrize(
    "hooks, text",
    [
        ("@hookimpl\ndef candle_backend():\n    return {}\n", "there is no hook candle_backend; did you mean candle_backends"),
        (
            "def candle_backends():\n    return {}\n",
            "candle_backends is not marked as a hook: decorate it with candle.plugins.hookimpl",
        ),
        ("@hookimpl\ndef candle_backends():\n    return ['odd']\n", "returns a dictionary from names to values but returned"),
        ("@hookimpl\ndef candle_backends(device):\n    return {}\n", "hook call must provide argument|device"),
    ],
)
def test_hooks_that_are_not_right_are_recorded_with_what_to_do(install, hooks, text):
    install("odd", hooks)
    with pytest.raises(PluginError, match=text):
        candle.ones(2, device="odd")


def test_an_op_of_a_plugin_that_does_not_fit_is_recorded(install):
    install("odd", "@hookimpl\ndef candle_ops():\n    return {'other': 'candle:OPS'}\n")
    plugins.load_ops()
    assert any("the op other of the plugin odd" in text for _, text, _ in plugins.problems())


def test_unknown_devices_name_what_is_installed_and_what_to_install(install):
    install("well", backend("well"))
    with pytest.raises(BackendError, match="called 'wel'; installed are .*numpy.*well.*; did you mean 'well'"):
        candle.ones(2, device="wel")
    if "cuda" not in plugins.offered("candle_backends"):
        with pytest.raises(BackendError, match="install it with: pip install candle-cuda"):
            candle.ones(2, device="cuda")


# -- handshake -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version, taken", [((1, 0), True), ((0, 9), True), ((1, 7), False), ((2, 0), False)])
def test_the_version_is_checked_before_anything_is_run(install, version, taken):
    major, minor = version
    module = install("made", f"candle_api_version = ({major}, {minor})\n" + backend("made").split("\n", 2)[2])
    if taken:
        assert candle.ones(2, device="made").tolist() == [1, 1]
        return
    with pytest.raises(
        PluginError,
        match=rf"made for version {major}.{minor} of the plugin interface and this candle has 1.0; install a newer candle",
    ):
        candle.ones(2, device="made")
    assert f"{module}.hooks" not in sys.modules and module not in sys.modules and named("made").status == "refused"


def test_the_core_takes_the_present_and_the_previous_version(install, monkeypatch):
    monkeypatch.setattr(plugins, "API_VERSION", (3, 2))
    for name, version in {"now": (3, 2), "before": (2, 9), "long_ago": (1, 0)}.items():
        install(name, f"candle_api_version = {version}\n")
    plugins.offered("candle_backends")
    assert [named(n).status for n in ("now", "before", "long_ago")] == ["loaded", "loaded", "refused"]
    assert "install a newer candle-long_ago" in str(named("long_ago").error)


def test_a_version_that_is_computed_is_checked_after_loading(install):
    install("sly", "candle_api_version = tuple([9, 9])\n")
    plugins.offered("candle_backends")
    assert named("sly").status == "refused"


# -- switches, duplicates --------------------------------------------------------------------------


def test_candle_plugins_lists_the_only_ones(install, monkeypatch):
    install("one", backend("one"))
    install("two", backend("two"))
    monkeypatch.setenv("CANDLE_PLUGINS", "candle-two, nobody")
    plugins.reload()
    assert {n for n in ("numpy", "one", "two") if n in plugins.offered("candle_backends")} == {"numpy", "two"}
    with pytest.raises(
        PluginError, match="'one' is offered by the plugin one .* which CANDLE_PLUGINS='candle-two, nobody' switches off"
    ):
        candle.ones(2, device="one")
    assert any("CANDLE_PLUGINS names 'nobody', but no such plugin is installed" in text for _, text, _ in plugins.problems())
    monkeypatch.setenv("CANDLE_PLUGINS", "")
    plugins.reload()
    assert all(p.builtin for _, p in plugins.offered("candle_backends").values())


def test_candle_disable_plugins_leaves_some_out(install, monkeypatch):
    install("one", backend("one"))
    install("two", backend("two"))
    monkeypatch.setenv("CANDLE_DISABLE_PLUGINS", "One")
    plugins.reload()
    assert "two" in plugins.offered("candle_backends") and named("one").status == "disabled"
    with pytest.raises(PluginError, match="CANDLE_DISABLE_PLUGINS='One' switches off"):
        candle.ones(2, device="one")


def test_of_two_with_one_name_the_first_wins_and_both_are_named(install):
    install("aaa", "@hookimpl\ndef candle_datasets():\n    return {'same': 'first'.upper}\n")
    install(
        "bbb",
        "@hookimpl\ndef candle_datasets():\n    return {'same': 'second'.upper}\n"
        "@hookimpl\ndef candle_backends():\n    return {'numpy': print}\n",
    )
    assert plugins.load("candle_datasets", "same")() == "FIRST"
    assert plugins.offered("candle_backends")["numpy"][1].builtin
    texts = [text for _, text, _ in plugins.problems()]
    assert any(
        "'same' of the plugin bbb (candle-bbb 1.2.3) is not used, for aaa (candle-aaa 1.2.3) offers it too" in t for t in texts
    )


# -- in this process, threads, re-entrance ---------------------------------------------------------


def test_plugins_may_be_added_in_this_process():
    class Mine:
        @plugins.hookimpl
        def candle_datasets(self):
            return {"mine": lambda: 7}

    added = plugins.register(Mine(), "mine")
    try:
        assert plugins.load("candle_datasets", "mine")() == 7
    finally:
        plugins.unregister(added)
    assert plugins.load("candle_datasets", "mine") is None


def test_unknown_hooks_are_refused():
    with pytest.raises(PluginError, match="there is no hook 'candle_devices'; the hooks are candle_backends"):
        plugins.offered("candle_devices")


def test_a_hook_module_may_use_candle_while_it_is_loaded(install):
    install("eager", "import candle\nvalue = candle.ones(2).sum().item()\n" + backend("eager"))
    assert candle.ones(2, device="eager").tolist() == [1, 1] and named("eager").status == "loaded"


def test_many_threads_ask_at_once_and_modules_run_once(install):
    install(
        "slow",
        "import builtins, time\nbuiltins._loads = getattr(builtins, '_loads', 0) + 1\ntime.sleep(0.05)\n" + backend("slow_one"),
    )
    found, start = [], threading.Barrier(8)

    def ask():
        start.wait()
        found.append("slow_one" in plugins.offered("candle_backends"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    [t.start() for t in threads]
    [t.join(10) for t in threads]
    import builtins

    assert found == [True] * 8 and builtins.__dict__.pop("_loads") == 1 and plugins.problems() == []


def test_the_two_names_of_a_first_device_are_one_backend():
    class First(candle.backend.Reference):
        def __init__(self, index=0):
            super().__init__()
            self.name, self.index = "first", index

    candle.register_backend("first", First)
    numbered, plain = candle.ones(2, device="first:0"), candle.ones(2, device="first")
    assert candle.ones(2, device="first").backend is plain.backend is numbered.backend
    assert (plain + numbered).tolist() == [2.0, 2.0] and candle.ones(2, device="first:1").backend is not plain.backend
