"""The command ``candle``: what each subcommand prints, as text and as JSON, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import candle
from candle import hooks, plugins
from candle.cli import main

ROOT = Path(__file__).parent.parent
COMMANDS = sorted(hooks._COMMANDS)  # plugins may bring more


def run(capsys, *args):
    """The exit code, standard output and standard error of ``candle ARGS``."""
    capsys.readouterr()
    code = main([str(a) for a in args])
    out, err = capsys.readouterr()
    return code, out, err


def run_json(capsys, *args):
    code, out, err = run(capsys, *args, "--json")
    assert err == "", err
    return code, json.loads(out)


# -- every command ---------------------------------------------------------------------------------


def test_the_overview_names_every_command(capsys):
    code, out, _ = run(capsys, "--help")
    listed = [line.split()[0] for line in out.split("commands:")[1].splitlines() if line.startswith("  ")]
    assert code == 0 and listed == sorted(listed) and set(COMMANDS) <= set(listed)
    assert "not available" not in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples_and_json(capsys, name):
    code, out, _ = run(capsys, name, "--help")
    assert code == 0 and f"usage: candle {name}" in out and "--json" in out and f"  candle {name}" in out.split("examples:")[1]


def test_no_command_is_a_usage_error(capsys):
    code, out, _ = run(capsys)
    assert code == 2 and "commands:" in out


def test_the_version(capsys):
    assert run(capsys, "--version")[:2] == (0, f"candle {candle.__version__}\n")


def test_unknown_commands_are_met_with_near_ones(capsys):
    assert run(capsys, "device") == (2, "", "candle: there is no command 'device'; did you mean 'devices'?\n")
    assert "the commands are bench, check" in run(capsys, "xyzzy")[2]


def test_unknown_options_are_usage_errors(capsys):
    code, _, err = run(capsys, "devices", "--nothing")
    assert code == 2 and "unrecognized arguments: --nothing" in err


def test_an_interrupt_is_130(monkeypatch):
    from candle.cli import devices

    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(devices, "run", interrupted)
    assert main(["devices"]) == 130


def test_a_reader_that_stops_reading_is_no_error():
    command = f"{sys.executable} -m candle.cli ops | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith("op ")


def test_the_entry_point_is_installed_and_means_main():
    from importlib.metadata import entry_points

    found = [e for e in entry_points(group="console_scripts") if e.name == "candle"]
    if not found:
        pytest.skip("candle is on the path but not installed: pip install -e .")
    assert found[0].load() is main


# -- plugins, devices, doctor ----------------------------------------------------------------------


def test_plugins(capsys):
    code, found = run_json(capsys, "plugins", "--load")
    builtin = found[0]
    assert code == 0 and builtin["name"] == "builtin" and builtin["status"] == "loaded" and builtin["api_version"] == [1, 0]
    assert builtin["offers"]["candle_backends"] == ["numpy"] and set(COMMANDS) <= set(builtin["offers"]["candle_commands"])
    code, out, _ = run(capsys, "plugins")
    assert (
        code == 0
        and out.splitlines()[0].split() == ["name", "package", "version", "api", "status", "module"]
        and "candle.hooks" in out
    )


def test_devices(capsys):
    code, found = run_json(capsys, "devices")
    numpy = next(d for d in found if d["device"] == "numpy")
    assert code == 0 and numpy["works"] and numpy["plugin"] == "builtin" and "bfloat16" in numpy["dtypes"]
    assert sum(d["default"] for d in found) == 1
    assert "numpy" in run(capsys, "devices")[1]


def test_a_device_that_does_not_start_is_listed_with_the_reason(capsys, monkeypatch):
    def factory():
        raise OSError("no such board")

    monkeypatch.setitem(candle.device_module._registered, "board", factory)
    code, found = run_json(capsys, "devices")
    board = next(d for d in found if d["device"] == "board")
    assert code == 0 and not board["works"] and "could not be started: OSError: no such board" in board["error"]
    code, found = run_json(capsys, "doctor")
    assert code == 1 and not found["ok"]


def test_doctor_says_what_a_bug_report_needs(capsys, monkeypatch):
    monkeypatch.setenv("CANDLE_PLUGINS", "")
    plugins.reload()
    code, found = run_json(capsys, "doctor")
    assert code == 0 and found["ok"] and found["problems"] == [] and found["environment"]["CANDLE_PLUGINS"] == ""
    assert found["versions"]["numpy"] == np.__version__ and found["python"] in sys.version
    code, out, _ = run(capsys, "doctor")
    assert code == 0 and out.endswith("all well\n")
    monkeypatch.undo()
    plugins.reload()


# -- ops, bench ------------------------------------------------------------------------------------


def test_ops(capsys):
    code, found = run_json(capsys, "ops", "--kind", "required")
    assert code == 0 and {"add", "exp", "reshape"} <= {o["name"] for o in found} and all(o["kind"] == "required" for o in found)
    code, found = run_json(capsys, "ops", "sum")
    assert code == 0 and found[0]["call"] == "sum(x, dim=None, keepdim=False, dtype=None)" and found[0]["group"] == "reduce"
    code, out, _ = run(capsys, "ops", "arg*")
    assert code == 0 and {line.split()[0] for line in out.splitlines()[1:-2]} == {n for n in candle.OPS if n.startswith("arg")}
    assert run(capsys, "ops", "summ") == (2, "", "candle: no op is called 'summ' here; did you mean 'sum'?\n")


def test_every_op_of_the_table_is_listed(capsys):
    assert {o["name"] for o in run_json(capsys, "ops")[1]} == set(candle.OPS)


def test_bench_ops(capsys):
    code, found = run_json(capsys, "bench", "ops", "numpy", "--op", "add", "--op", "sum", "--size", "8", "--seconds", "0.001")
    assert code == 0 and [(r["op"], r["operands"]) for r in found["ops"]] == [
        ("add", ["float32[8,8]"] * 2),
        ("sum", ["float32[8,8]"]),
    ]
    assert all(0 < r["microseconds"] < 1e6 for r in found["ops"])
    code, out, _ = run(capsys, "bench", "ops", "numpy", "--op", "neg", "--against", "numpy", "--seconds", "0.001")
    assert code == 0 and out.count("numpy, us") == 2
    assert run(capsys, "bench", "ops", "numpy", "--op", "nothing")[0] == 2
    code, _, err = run(capsys, "bench", "ops", "nowhere")
    assert code == 2 and "no installed backend is called 'nowhere'" in err and err.count("\n") == 1


@pytest.mark.slow
def test_nearly_every_op_can_be_timed(capsys):
    _, found = run_json(capsys, "bench", "ops", "numpy", "--size", "4", "--seconds", "0")
    failed = {r["op"]: r["error"] for r in found["ops"] if r["microseconds"] is None}
    assert len(failed) < 0.1 * len(found["ops"]), failed


# -- inspect ---------------------------------------------------------------------------------------


def test_inspect(capsys, tmp_path):
    path = tmp_path / "x.safetensors"
    candle.save(
        path, {"layer.weight": candle.zeros(2, 3), "layer.bias": candle.zeros(3, dtype="bfloat16")}, {"made by": "a\ntest"}
    )
    code, found = run_json(capsys, "inspect", path)
    assert code == 0 and found["format"] == "safetensors" and found["size"] == path.stat().st_size and found["parameters"] == 9
    assert found["tensors"]["layer.bias"] == {"dtype": "bfloat16", "shape": [3], "nbytes": 6}
    code, out, _ = run(capsys, "inspect", path, "--tensors", "*.weight")
    assert code == 0 and "made by: a\\ntest" in out and "2x3" in out and "layer.bias" not in out


@pytest.mark.parametrize(
    "content, text",
    [(b"", "truncated"), (b"GGUF" + bytes(40), "GGUF version 0"), (b"\x08" + bytes(7) + b'{"a": 1}', "not described by dtype")],
)
def test_bad_files_are_one_line_and_exit_code_2(capsys, tmp_path, content, text):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    code, out, err = run(capsys, "inspect", path)
    assert code == 2 and out == "" and err.startswith("candle: ") and text in err and err.count("\n") == 1


def test_missing_files_are_named(capsys):
    assert run(capsys, "inspect", "/nowhere/x.npz") == (2, "", "candle: No such file or directory: /nowhere/x.npz\n")


# -- new-backend -----------------------------------------------------------------------------------


def test_new_backend(capsys, tmp_path):
    code, found = run_json(capsys, "new-backend", "tally", "--path", tmp_path)
    assert code == 0 and Path(found["path"]) == tmp_path / "candle-tally" and all(Path(p).exists() for p in found["files"])
    code, _, err = run(capsys, "new-backend", "tally", "--path", tmp_path)
    assert code == 2 and "candle-tally is there already" in err
    code, out, _ = run(capsys, "new-backend", "other", "--path", tmp_path)
    assert code == 0 and f"pip install -e {tmp_path / 'candle-other'}" in out


# -- embed, search ---------------------------------------------------------------------------------


@pytest.fixture
def encoder(monkeypatch):
    """An encoder that counts letters, in the place of a trained one."""

    class Letters:
        def encode(self, sentences, batch_size=32):
            counts = [[s.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for s in sentences]
            return candle.tensor(counts, dtype="float32", device="numpy")

    models = pytest.importorskip("candle.models")
    asked = []
    monkeypatch.setattr(models, "load", lambda name, device=None: asked.append((name, device)) or Letters())
    return asked


def test_embed(capsys, encoder, tmp_path):
    file = tmp_path / "s.txt"
    file.write_text("bb\n\n  ccc \n")
    code, found = run_json(
        capsys, "embed", "a", "--file", file, "--device", "numpy", "--model", "some/model", "--save", tmp_path / "v.safetensors"
    )
    assert code == 0 and found["shape"] == [3, 26] and found["sentences_per_second"] > 0 and encoder == [("some/model", "numpy")]
    assert [(e["sentence"], sum(e["vector"])) for e in found["embeddings"]] == [("a", 1), ("bb", 2), ("ccc", 3)]
    saved = candle.load(tmp_path / "v.safetensors")
    assert saved["embeddings"].shape == (3, 26) and saved.metadata == {"model": "some/model"}
    code, out, _ = run(capsys, "embed", "abc")
    assert code == 0 and "abc" in out and "sentences/s on numpy" in out


def test_search(capsys, encoder, tmp_path):
    code, found = run_json(capsys, "search", "aab", "zzz", "aaabb", "ba", "--top-k", "2")
    assert code == 0 and [r["sentence"] for r in found["results"]] == ["aaabb", "ba"] and found["searched"] == 3
    want = np.dot([2, 1], [3, 2]) / np.sqrt(5 * 13)
    assert abs(found["results"][0]["score"] - want) < 1e-6 and found["results"][0]["index"] == 1
    code, out, _ = run(capsys, "search", "aab", "zzz", "ba")
    assert code == 0 and out.splitlines()[0].endswith("  ba") and "2 sentences searched" in out


@pytest.mark.parametrize(
    "args, text",
    [
        (["embed"], "no sentences were given; write them as arguments or name a text file with --file"),
        (["search", "query"], "no sentences were given"),
        (["search", "q", "s", "--top-k", "0"], "--top-k is at least 1 but 0 was given"),
        (["embed", "s", "--batch-size", "0"], "--batch-size is at least 1 but 0 was given"),
        (["embed", "--file", "/nowhere.txt"], "No such file or directory: /nowhere.txt"),
    ],
)
def test_questions_that_are_wrong_are_answered_in_one_line(capsys, encoder, args, text):
    code, out, err = run(capsys, *args)
    assert code == 2 and out == "" and text in err and err.count("\n") == 1


def test_a_model_that_is_not_there_is_one_line(capsys):
    pytest.importorskip("candle.models")
    code, _, err = run(capsys, "embed", "s", "--model", "./no-such-model")
    assert code == 2 and "no model was found as './no-such-model'" in err and err.count("\n") == 1


# -- weights in files ------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path):
    """A little model's weights as safetensors."""
    rng = np.random.default_rng(0)
    named = {
        "token_embd.weight": (40, 256), "blk.0.attn_q.weight": (256, 256), "blk.0.ffn_down.weight": (256, 96),
        "blk.0.attn_norm.weight": (256,), "output.weight": (40, 256),
    }  # fmt: skip
    candle.save(tmp_path / "m.safetensors", {k: rng.standard_normal(s).astype(np.float32) for k, s in named.items()}, {"k": "v"})
    return tmp_path / "m.safetensors"


def test_convert_writes_other_formats(capsys, tmp_path, weights):
    for name in ("m.gguf", "m.pt", "m.npz", "n.safetensors"):
        code, found = run_json(capsys, "convert", weights, tmp_path / name)
        assert code == 0 and found["tensors"] == 5 and found["bytes"] == (tmp_path / name).stat().st_size
        back = candle.load(tmp_path / name)
        for k, x in candle.load(weights).items():
            assert np.array_equal(back[k].numpy(), x.numpy())
    assert candle.load(tmp_path / "m.gguf").metadata["k"] == candle.load(tmp_path / "n.safetensors").metadata["k"] == "v"
    code, out, _ = run(capsys, "convert", weights, tmp_path / "h.gguf", "--dtype", "float16", "--tensors", "blk.*")
    assert code == 0 and "3 tensors" in out
    assert {s.dtype.name for s in candle.load(tmp_path / "h.gguf").specs.values()} == {"float16"}


def test_quantize_reports_sizes_and_errors_and_dequantize_undoes_it(capsys, tmp_path, weights):
    code, found = run_json(capsys, "quantize", weights, tmp_path / "q.gguf", "--kind", "q4_k")
    kinds = {t["name"]: t["after"] for t in found["tensors"]}
    assert code == 0 and kinds == {
        "token_embd.weight": "q4_k", "blk.0.attn_q.weight": "q4_k", "blk.0.ffn_down.weight": "q5_0",
        "blk.0.attn_norm.weight": "float32", "output.weight": "q6_k",
    }  # fmt: skip
    errors = {t["name"]: t["error"] for t in found["tensors"]}
    assert 0.03 < errors["blk.0.attn_q.weight"] < 0.1 and errors["blk.0.attn_norm.weight"] is None
    assert 4.5 < found["bits_per_weight"] < 6 and found["bytes_before"] > 5 * found["bytes_after"]
    code, out, _ = run(capsys, "dequantize", tmp_path / "q.gguf", tmp_path / "d.safetensors", "--dtype", "float16")
    assert code == 0 and "5 tensors, 4 of them dequantized to float16" in out
    back, want = candle.load(tmp_path / "d.safetensors"), candle.load(weights)
    x, y = (f["blk.0.attn_q.weight"].float().numpy() for f in (back, want))
    assert np.abs(x - y).max() < 0.5 and back["blk.0.attn_norm.weight"].dtype is candle.float32


def test_quantize_takes_kinds_by_name_and_importances(capsys, tmp_path, weights):
    rng = np.random.default_rng(1)
    named = "blk.0.attn_q.weight"
    importance = rng.random(256).astype(np.float32) ** 4
    candle.save(tmp_path / "i.gguf", {f"{named}.in_sum2": importance[None], f"{named}.counts": np.ones((1, 1), np.float32)})
    code, _ = run_json(capsys, "quantize", weights, tmp_path / "q.gguf", "--kind", "q3_k", "--imatrix", tmp_path / "i.gguf",
                           "--kind-of", "token_embd.*=keep", "--kind-of", "*down*=bfloat16")  # fmt: skip
    assert code == 0
    specs = candle.load(tmp_path / "q.gguf").specs
    assert [specs[n].dtype.name for n in ("token_embd.weight", "blk.0.ffn_down.weight", named)] == ["float32", "bfloat16", "q3_k"]
    run(capsys, "quantize", weights, tmp_path / "p.gguf", "--kind", "q3_k")
    want = candle.load(weights)[named].numpy()
    off = [
        float((importance * (candle.load(tmp_path / f)[named].float().numpy() - want) ** 2).mean()) for f in ("q.gguf", "p.gguf")
    ]
    assert off[0] < off[1]


@pytest.mark.parametrize(("options", "text"), [
    (["--kind", "iq2_xxs"], "but iq2_xxs was given"), (["--kind-of", "x"], "PATTERN=KIND"),
    (["--kind-of", "nothing*=q8_0"], "no tensor is called 'nothing*'"), (["--kind", "q4_kk"], "did you mean 'q4_k'"),
])  # fmt: skip
def test_quantize_says_what_is_wrong(capsys, tmp_path, weights, options, text):
    code, out, err = run(capsys, "quantize", weights, tmp_path / "q.gguf", *options)
    assert code == 2 and out == "" and text in err and not (tmp_path / "q.gguf").exists()
    assert run(capsys, "quantize", weights, tmp_path / "q.npz")[0] == 2


def test_inspect_sums_up_kinds_and_long_metadata(capsys, tmp_path, weights):
    candle.save(tmp_path / "v.gguf", {"a": np.ones((2, 2), np.float32), "b": np.ones(3, np.float16)},
                {"words": [str(i) for i in range(100)]})  # fmt: skip
    code, out, _ = run(capsys, "inspect", tmp_path / "v.gguf")
    assert code == 0 and "words: [0, 1, 2, 3, ...] of 100" in out and "kinds: 1 float32 (16 B), 1 float16 (6 B)" in out
    code, found = run_json(capsys, "inspect", tmp_path / "v.gguf")
    assert code == 0 and found["format"] == "gguf" and found["metadata"]["words"][99] == "99"
