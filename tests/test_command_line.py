"""`python -m captioning`: what it prints, writes and returns."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
import torch

import captioning
from captioning import SearchOptions
from captioning.__main__ import main
from tests.conftest import ROOT
from tests.helpers import make_photos


@pytest.fixture
def command(run_main):
    """Runs `python -m captioning` with arguments."""
    return partial(run_main, main)


def test_prints_a_caption(command, captioner, photos):
    code, out, err = command("caption", photos / "astronaut.jpg", "--beam-size", 3)
    assert (code, err) == (0, "")
    assert out.strip() == captioner(photos / "astronaut.jpg", SearchOptions(beam_size=3)).text


def test_prints_json_with_everything_behind_the_caption(command, captioner, photos):
    names = [str(photos / "astronaut.jpg"), str(photos / "chelsea.jpg")]
    code, out, _ = command("caption", *names, "--beam-size", 4, "--json")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["photo"] for row in rows] == names
    for row in rows:
        fields = "photo caption log_probability sureness words hypotheses seconds runtime"
        assert set(row) == set(fields.split())
        assert row["runtime"] == asdict(captioner.runtime)
        assert len(row["hypotheses"]) == 4
        assert row["hypotheses"][0] == {"caption": row["caption"], "log_probability": row["log_probability"]}
        assert [word["word"] for word in row["words"] if not word.get("end")] == row["caption"].split()
        assert row["words"][-1]["end"] is True
        assert set(row["seconds"]) == {"encode", "search"}
        for word in row["words"]:
            assert sum(map(sum, word["attention"])) == pytest.approx(1, abs=1e-4)
            assert len(word["alternatives"]) == 5


def test_one_bad_photo_does_not_stop_the_others(command, photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"")
    code, out, err = command("caption", bad, photos / "coffee.jpg")
    assert code == 2
    assert err == "bad.jpg is empty: choose another photo.\n"
    assert "coffee.jpg: " in out


def bad_photos(folder: Path, photos: Path) -> list[Path]:
    text, empty, cut = folder / "text.jpg", folder / "empty.png", folder / "cut.jpg"
    text.write_text("no photo at all")
    empty.touch()
    cut.write_bytes((photos / "rocket.jpg").read_bytes()[:20_000])
    return [text, empty, cut, folder / "missing.jpg", folder]


def bad_checkpoints(folder: Path, checkpoint: Path) -> list[Path]:
    pickle, cut = folder / "pickle.safetensors", folder / "cut.safetensors"
    torch.save({"weights": torch.zeros(3)}, pickle)
    cut.write_bytes(checkpoint.read_bytes()[:100_000])
    return [pickle, cut, folder / "missing.safetensors", folder]


def test_what_is_wrong_is_reported_in_one_sentence(command, captioner, photos, tmp_path):
    no_data = tmp_path / "no data"
    no_data.mkdir()
    calls = [("caption", bad) for bad in bad_photos(tmp_path, photos)]
    checkpoints = bad_checkpoints(tmp_path, captioner.info.path)
    calls += [("caption", photos / "coffee.jpg", "--checkpoint", bad) for bad in checkpoints]
    calls += [("evaluate", "--data", no_data), ("evaluate", "--data", tmp_path / "nowhere"), ("evaluate",), ()]
    calls += [("caption",), ("caption", photos / "coffee.jpg", "--beam-size", 0), ("caption", "--nonsense", "x")]
    calls += [("caption", photos / "coffee.jpg", "--length-penalty", value) for value in (1000, "nan", "x")]
    calls += [("caption", tmp_path, "--output", tmp_path / "a.csv", "--workers", 100_000)]
    calls += [("caption", "long" * 100, "--output", tmp_path / "a.csv"), ("evaluate", "--data", "long" * 100)]
    calls += [("caption", "long" * 100), ("caption", tmp_path, "--output", f"{'long' * 100}.csv")]
    calls += [("export", photos / "coffee.jpg", "--format", "json", "-o", file) for file in (".", "/", "/dev/null")]
    for call in calls:
        code, out, err = command(*call)
        assert (code, out) == (2, ""), call
        assert err.count("\n") == 1, call
        assert err.endswith(".\n"), call


@pytest.mark.slow
@pytest.mark.parametrize(("output", "said"), [("/dev/full", "space"), ("a closed pipe", "")])
def test_output_that_cannot_be_written_ends_without_a_traceback(photos, output, said):
    reader, pipe = os.pipe()
    os.close(reader)
    with open(output, "wb") if output.startswith("/") else os.fdopen(pipe, "wb") as file:
        command = [sys.executable, "-m", "captioning", "caption", photos / "coffee.jpg"]
        run = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert run.returncode == 2
    assert said in run.stderr
    assert run.stderr.count("\n") == bool(said)


@pytest.mark.slow
def test_evaluate_scores_every_width_and_writes_results(command, small_flickr8k, tmp_path):
    results = tmp_path / "results.json"
    code, out, _ = command(
        "evaluate", "--data", small_flickr8k, "--beam-size", 1, 3, 3, "--json", "--results", results
    )  # fmt: skip
    assert code == 0
    report = json.loads(out)
    assert (report["split"], report["photos"]) == ("dev", 12)
    assert [row["beam_size"] for row in report["scores"]] == [1, 3]
    for row in report["scores"]:
        assert len(row["bleu"]) == 4
        assert all(0 <= value <= 100 for value in row["bleu"])
        assert row["seconds"] > 0
    rows = json.loads(results.read_text())
    assert len(rows) == 12
    assert all(set(row) == {"image_id", "caption"} for row in rows)


def test_evaluate_reads_a_file_as_it_reads_the_folder(command, tmp_path, monkeypatch):
    # Without Java on the path METEOR is left out, which takes longer than all the rest.
    monkeypatch.setenv("PATH", "/nowhere")
    make_photos(tmp_path, ["a.png", "b.png"])
    (tmp_path / "mine.csv").write_text("photo,caption,split\na.png,a dog,dev\nb.png,a cat,dev\n")
    for named in (tmp_path, tmp_path / "mine.csv"):
        code, out, _ = command("evaluate", "--data", named, "--beam-size", 1, "--json")
        assert (code, json.loads(out)["photos"]) == (0, 2)


@pytest.fixture
def small_flickr8k(flickr8k, tmp_path) -> Path:
    """Flickr8k with twelve photos in each split, as a person would cut it down."""
    folder = tmp_path / "flickr8k"
    text = folder / "Flickr8k_text"
    text.mkdir(parents=True)
    (folder / "Flicker8k_Dataset").symlink_to(flickr8k / "Flicker8k_Dataset")
    shutil.copy(flickr8k / "Flickr8k_text" / "Flickr8k.token.txt", text)
    for split in ("train", "dev", "test"):
        name = f"Flickr_8k.{split}Images.txt"
        (text / name).write_text("\n".join((flickr8k / "Flickr8k_text" / name).read_text().split()[:12]))
    return folder


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("from captioning import Captioner", ["lightning", "matplotlib", "nltk", "pyarrow", "ray"]),
        ("from captioning.__main__ import build_parser; build_parser()", ["numpy", "PIL", "torch"]),
    ],
)
def test_only_what_is_needed_is_loaded(statement, unwanted):
    script = f"{statement}; import sys; print([module for module in {unwanted} if module in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.strip() == "[]"


def test_the_package_names_what_it_has():
    assert set(captioning.__all__) <= set(dir(captioning))
    for name in captioning.__all__:
        value = getattr(captioning, name)
        assert isinstance(value, Path | str) or value.__name__ == name
    with pytest.raises(ImportError, match="cannot import name 'Painter'"):
        from captioning import Painter  # noqa: F401
