"""Settings of a training run: flags, files and the documentation say the same, and mistakes end in one sentence."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import train as train_command
from captioning.config import MAX_SIZE, ModelConfig
from captioning.errors import CaptioningError
from captioning.model.model import save_model
from captioning.record import StageRecord, TrainingRecord
from captioning.training.flags import Flag, TrainingSettings, all_flags, read_settings, settings_page
from captioning.training.settings import STAGES, RunSettings, StageSettings
from captioning.training.unused_settings import check_used
from captioning.vocabulary import SPECIAL_TOKENS, Vocabulary
from tests.conftest import ROOT
from tests.helpers import TINY, refused, tiny_model

DATA = ["--data", "photos"]
ALL_STAGES = ["--stages", "1", "2", "3"]
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
# Another value than the default, as it stands in a file.
OTHER = {bool: None, int: 2, float: 0.25, str: "other", Path: "other/place"}


def write(folder: Path, *lines: str) -> list[str]:
    """Flags that name a file of these settings."""
    path = folder / "settings.toml"
    path.write_text("\n".join(lines))
    return ["--config", str(path)]


def other_value(flag: Flag) -> object:
    if flag.setting.kind is bool:
        return not flag.default
    choices = [value for value in flag.setting.details.get("choices", ()) if value != flag.default]
    value = choices[-1] if choices else OTHER[flag.setting.kind]
    return [value] if flag.setting.several else value


def apart_from_command(settings: TrainingSettings) -> TrainingSettings:
    return replace(settings, run=replace(settings.run, command=""))


def as_flags(flag: Flag, value: object) -> list[str]:
    if isinstance(value, bool):
        return [name if value else f"--no-{name.removeprefix('--')}" for name in flag.names[:1]]
    return [flag.names[0], *map(str, value if flag.setting.several else [value])]


def as_lines(flag: Flag, value: object) -> list[str]:
    """Of a file; JSON writes these values as TOML does."""
    return [*([f"[{flag.table}]"] if flag.table else []), f"{flag.name} = {json.dumps(value)}"]


@pytest.mark.parametrize("flag", list(all_flags()), ids=lambda flag: flag.key)
def test_a_setting_is_the_same_as_a_flag_and_in_a_file_and_flags_override_files(flag, tmp_path):
    other = other_value(flag)
    base = [*([] if flag.name == "data" else DATA), *([] if flag.name == "stages" else ALL_STAGES)]
    # The embedding is frozen with word vectors alone.
    base += ["--word-vectors", "vectors.txt"] if flag.name == "freeze_embedding" else []
    by_flag = read_settings([*base, *as_flags(flag, other)], "")
    by_file = read_settings([*base, *write(tmp_path, *as_lines(flag, other))], "")
    assert apart_from_command(by_flag) == apart_from_command(by_file)
    if flag.default not in ((), None):
        back = list(flag.default) if flag.setting.several else flag.default
        # The flag stands before the file, and holds all the same.
        overridden = read_settings([*base, *as_flags(flag, back), *write(tmp_path, *as_lines(flag, other))], "")
        assert apart_from_command(overridden) == apart_from_command(read_settings(base, ""))
        assert apart_from_command(overridden) != apart_from_command(by_flag)


def test_what_a_file_sets_can_be_unset(tmp_path):
    config = write(tmp_path, "patience = 3", "mirror = true", "[model]", "neck_size = 16")
    settings = read_settings([*DATA, *config, "--neck-size", "none", "--patience", "none", "--no-mirror"], "")
    assert settings.model.neck_size is None
    assert settings.stages[1].patience is None
    assert not settings.stages[1].mirror


def test_flags_from_before_the_tables_still_work():
    flags = [
        "--epochs",
        "3",
        "--trained-blocks",
        "2",
        "--samples",
        "4",
        "--averaging",
        "0.5",
        "--stages",
        "1",
        "2",
        "3",
    ]
    first, second, third = read_settings([*DATA, *flags], "").stages.values()
    assert (first.epochs, second.epochs, third.epochs) == (3, STAGES[2].epochs, STAGES[3].epochs)
    assert (first.trained_blocks, second.trained_blocks, third.trained_blocks) == (0, 2, 0)
    assert (first.samples, second.samples, third.samples) == (0, 0, 4)
    assert {stage.ema_decay for stage in (first, second, third)} == {0.5}


def test_a_file_from_before_the_tables_is_refused_with_where_its_settings_belong(tmp_path):
    old = write(tmp_path, 'encoder = "resnet50"', "epochs = 3", "stage2_epochs = 2", "averaging = 0.9", "seed = 1")
    with refused(
        CaptioningError,
        "encoder under [model]",
        "epochs under [stage1]",
        "epochs under [stage2]",
        "ema_decay at the top",
    ):
        read_settings([*DATA, *old], "")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.stem)
def test_the_files_of_settings_are_read(config):
    settings = read_settings([*DATA, "--config", str(config)], "")
    assert settings.run.stages == tuple(settings.stages)
    assert settings != read_settings(DATA, "")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('[stage1]\nschedule = "cosine"', "stage1.schedule must be one of constant, one-cycle"),
        ("[stage1]\nbatch_size = 2.5", "stage1.batch_size must be a whole number"),
        ("[stage2]\nepochs = true", "stage2.epochs must be a whole number"),
        ("[stage3]\nsamples = 1", "samples must be 0 or at least 2"),
        ("[stage1]\nlearning_rate = inf", "stage1.learning_rate must be a number, above 0"),
        ("[stage1]\nlearning_rate = nan", "stage1.learning_rate must be a number, above 0"),
        ('[stage1]\nlearning_rate = "fast"', "stage1.learning_rate must be a number"),
        ("[stage1]\ncolour = 3", "stage1.colour"),
        ("[stage4]\nepochs = 3", "stage4"),
        ("[model]\ndropout = 1", "model.dropout must be a number, at least 0 and below 1"),
        ("[model]\nencoder = 5", "model.encoder must be a name"),
        ("[model]\nneck_size = [16]", "model.neck_size must be a whole number"),
        ("[seed]\nx = 1", "seed must be a whole number"),
        ("model = 3", "[model]"),
        ('mirror = "false"', "mirror must be true or false"),
        ("mirror = 1", "mirror must be true or false"),
        ("start = 5", "start must be a path"),
        ("stages = 7", "stages must be one of 1, 2, 3, not 7"),
        ("stages = [1, 7]", "stages"),
        ("stages = []", "stages must have at least one value"),
        ("seed = 1.5", "seed must be a whole number"),
        ("seed = 2000-01-01", "seed must be a whole number"),
        ("data = 3", "data must be a path, not 3"),
        ("colour = 3", "colour"),
        ("epochs = = 3", "cannot be read as settings"),
    ],
)
def test_a_wrong_value_in_a_file_is_refused_in_one_sentence(tmp_path, run_main, line, message):
    code, _, error = run_main(train_command.main, *DATA, *write(tmp_path, line))
    assert code == 2
    assert message in error
    assert str(tmp_path / "settings.toml") in error or message.startswith(("samples", "mirror", "stages must have"))
    assert error.endswith(".\n")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "flags",
    [
        "--seed -1",
        "--seed 4294967296",
        "--devices -1",
        "--devices 0",
        f"--devices {(os.cpu_count() or 1) + 1}",
        "--num-nodes 0",
        "--learning-rate inf",
        "--stage2-learning-rate nan",
        "--attention-weight inf",
        "--bleu-reward inf",
        "--save-every -1",
        "--save-every inf",
        "--output /",
        "--output .",
        "--epochs 0",
        "--epochs 1e3",
        "--batch-size 2.5",
        "--schedule cosine",
        "--stages 7",
        "--stages",
        "--find-lr 3",
        "--precision 8",
        "--stages 1 --find-lr 2",
        "--word-vectors none --freeze-embedding",
        "--mirror=yes",
        "--image-size 100000",
        "--config nowhere.toml",
        "--config configs",
        "--nonsense",
    ],
)
def test_a_wrong_flag_is_refused_in_one_sentence(run_main, flags):
    code, _, error = run_main(train_command.main, *DATA, *flags.split())
    assert code == 2
    assert flags.split()[-1].split("=")[0].removeprefix("--").replace("-", "_") in error.replace("-", "_")
    assert error.endswith(".\n")
    assert error.count("\n") == 1


WITHOUT_EFFECT = [
    ("--decoder-size 24 --start START --stages 3", "--decoder-size"),
    ("--dropout 0.1 --start START --stages 3", "--dropout"),
    ("--min-frequency 2 --start START --stages 3", "--min-frequency"),
    ("--word-vectors vectors.txt --start START --stages 3", "--word-vectors"),
    ("--epochs 3 --start START --stages 1 3", "--stage1-epochs"),
    ("--stages 1 --trained-blocks 2", "--stage2-trained-blocks"),
    ("--stages 1 2 --samples 4", "--stage3-samples"),
    ("--stage1-smallest-crop 0.5", "--stage1-smallest-crop"),
    ("--stage2-bleu-reward 1", "--stage2-bleu-reward"),
    ("--label-smoothing 0.1 --stages 3 --start START", "--label-smoothing"),
    ("--attention-weight 2 --stages 3 --start START", "--attention-weight"),
    ("--teacher-forcing 0.5 --epochs 1 --stages 1", "--teacher-forcing"),
    ("--embedding-size 200 --word-vectors vectors.txt", "--embedding-size"),
    ("--find-lr 1 --resume", "--resume"),
    ("--find-lr 1 --score-test", "--score-test"),
]


@pytest.fixture
def started(tmp_path) -> Path:
    """A checkpoint that has finished the first stage."""
    path = tmp_path / "start.safetensors"
    training = TrainingRecord(min_frequency=1, stages=[StageRecord(stage=1, finished=True)])
    save_model(path, tiny_model(), Vocabulary([*SPECIAL_TOKENS, *"abcdefgh"]), training)
    return path


@pytest.mark.parametrize(("flags", "named"), WITHOUT_EFFECT)
def test_a_flag_that_would_have_no_effect_is_refused(run_main, started, flags, named):
    code, out, error = run_main(train_command.main, *DATA, *flags.replace("START", str(started)).split())
    assert (code, out) == (2, "")
    assert error.startswith(f"{named} would have no effect, because ")
    assert error.endswith(": leave it out.\n")
    assert error.count("\n") == 1


def test_entries_of_a_file_that_have_no_effect_are_said_in_a_line(tmp_path, capsys, started):
    lines = [
        "label_smoothing = 0.1",
        "[model]",
        "decoder_size = 24",
        "[stage1]",
        "epochs = 3",
        "[stage2]",
        "epochs = 4",
    ]
    settings = [*DATA, *write(tmp_path, *lines), "--start", str(started), "--stages", "3"]
    check_used(read_settings(settings, ""))
    assert capsys.readouterr().out.splitlines() == [
        f"In the file, model.decoder_size has no effect, because the model is that of {started}.",
        "In the file, label_smoothing has no effect, because self-critical training does without.",
    ]


def test_settings_that_agree_with_the_checkpoint_to_start_from_are_left_alone(capsys, started):
    flags = ["--encoder", TINY.encoder, "--decoder-size", str(TINY.decoder_size), "--min-frequency", "1"]
    check_used(read_settings([*DATA, *flags, "--start", str(started), "--stages", "2", "--freeze-embedding"], ""))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.stem)
def test_every_entry_of_our_files_has_an_effect(config, capsys):
    check_used(read_settings([*DATA, "--config", str(config)], ""))
    assert capsys.readouterr().out == ""


def test_the_data_set_is_asked_for(run_main):
    code, _, error = run_main(train_command.main)
    assert (code, error) == (2, "the data set is missing: name its folder with --data; see --help.\n")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ModelConfig(attention_size=MAX_SIZE + 1), "attention_size"),
        (lambda: ModelConfig(decoder_size=True), "decoder_size"),
        (lambda: ModelConfig(dropout=float("nan")), "dropout"),
        (lambda: StageSettings(epochs=0), "epochs"),
        (lambda: StageSettings(mirror="false"), "mirror"),
        (lambda: RunSettings(data=(Path(),), stages=[1]), "stages"),
        (lambda: RunSettings(data=(Path(),), output="model.safetensors"), "output"),
    ],
)
def test_settings_are_checked_where_they_are_made_too(make, name):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        make()


def test_help_names_every_flag_with_its_default(capsys):
    with pytest.raises(SystemExit) as stopped:
        read_settings(["--help"], train_command.__doc__)
    assert stopped.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for flag in all_flags():
        assert all(name in text for name in flag.names)
        assert f"{flag.help} (default: {flag.shown_default})" in text


def test_the_page_of_settings_is_made_from_the_declarations():
    page = ROOT / "docs" / "SETTINGS.md"
    write = "from captioning.training.flags import settings_page; print(settings_page(), end='')"
    assert page.read_text() == settings_page(), f'write it again: python -c "{write}" > {page.relative_to(ROOT)}'


@pytest.mark.parametrize("flags", [["--help"], ["--epochs", "x"], ["--data", "x", "--samples", "1"]])
def test_nothing_heavy_is_loaded_to_read_flags(flags):
    program = (
        "import sys, train\n"
        f"sys.argv[1:] = {flags!r}\n"
        "try: train.main()\n"
        "except SystemExit: pass\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(run.stderr.splitlines()[-1].split())
    assert "jsonargparse" in loaded
    assert not loaded & {"torch", "lightning", "numpy", "onnx", "onnxruntime", "PIL", "matplotlib", "timm"}
