"""Values that no flag can have: more than two hundred of them, each refused in one sentence, with exit code 2."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import train as train_command
from captioning import DEFAULT_CHECKPOINT
from captioning.__main__ import main
from captioning.training.flags import Flag, all_flags

# What is no value of a kind, whatever the range of the setting.
OF_NO_KIND = {
    int: ("1.5", "1e3", ""),
    float: ("1,5", "nan", "inf"),
    bool: ("yes",),
    str: (),
    Path: (),
}


def wrong_values(flag: Flag) -> Iterator[str]:
    """Of another kind, beyond each bound, and not among the choices."""
    details, kind = flag.setting.details, flag.setting.kind
    yield from OF_NO_KIND[kind]
    if "choices" in details:
        yield from ("other", "7")
    for bound, beyond in (("least", -1), ("above", 0), ("most", 1), ("below", 0)):
        if bound in details:
            yield str(details[bound] + beyond)


FLAGS = [flag for flag in all_flags() if any(wrong_values(flag))]
BEAMS = ("0", "-1", "1.5", "x", "nan", "", "1001", "1e3")
PENALTIES = ("x", "nan", "inf", "-inf", "11", "-11", "")
DEVICES = ("tpu", "gpu", "", "cuda:99", "CPU ")
PLACES = ("", ".", "/", "nowhere/file.gif", "x" * 300, "/dev/null")
# A command, a flag of it, and the values that it refuses, while all else is right: PHOTO is one, PHOTOS their folder,
# HERE an empty folder, MODEL a checkpoint.
OF_COMMANDS = [
    ("caption PHOTO", "--beam-size", BEAMS),
    ("caption PHOTO", "--length-penalty", PENALTIES),
    ("caption PHOTO", "--precision", ("int4", "", "float64", "INT8")),
    ("caption PHOTO", "--device", DEVICES),
    ("caption PHOTO", "--checkpoint", ("nowhere.safetensors", ".", "", "PHOTO", "x" * 300)),
    ("caption PHOTO", "--engine", ("spark", "")),
    ("caption PHOTOS --output HERE/a.csv", "--workers", ("0", "-1", "1.5", "x", "1001", "", "nan")),
    ("caption PHOTOS", "--output", ("a.doc", ".", "/", "csv", "nowhere/a.csv")),
    ("export PHOTO -o HERE/a.gif --format gif", "--look", ("x", "", "HEAT")),
    ("export PHOTO -o HERE/a.gif", "--format", ("avi", "", "GIF", "gif,png")),
    ("export PHOTO --format json", "--output", PLACES),
    ("evaluate --data HERE", "--beam-size", BEAMS),
    ("evaluate --data HERE", "--split", ("train", "", "TEST")),
    ("evaluate", "--data", ("nowhere", "", "PHOTO", "HERE", "x" * 300)),
    ("import PHOTO PHOTO", "--output", ("a.pth", "", ".", "/")),
    ("optimize MODEL", "--data", ("nowhere", "HERE", "PHOTO")),
    ("export-onnx MODEL", "--output", ("PHOTO", "PHOTO/onnx")),
    ("export-onnx MODEL -o HERE/onnx", "--precision", ("float16", "bfloat16", "")),
    ("push MODEL", "--folder", ("PHOTO", "PHOTO/hub")),
    ("app", "--port", ("x", "-1", "70000", "1.5", "")),
]


def check_refused(code: int, out: str, error: str) -> None:
    """It ends with 2, and one sentence."""
    assert (code, out) == (2, "")
    assert error.endswith(".\n")
    assert error.count("\n") == 1


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.key)
def test_a_setting_of_training_refuses_what_it_cannot_be(flag, run_main):
    for value in wrong_values(flag):
        code, out, error = run_main(train_command.main, "--data", "photos", f"{flag.names[0]}={value}")
        check_refused(code, out, error)
        assert flag.name in error.replace("-", "_")


@pytest.mark.parametrize(("command", "flag", "values"), OF_COMMANDS)
def test_a_flag_of_a_command_refuses_what_it_cannot_be(command, flag, values, photos, tmp_path, run_main):
    def given(text: str) -> str:
        places = {"PHOTOS": photos, "PHOTO": photos / "coffee.jpg", "HERE": tmp_path, "MODEL": DEFAULT_CHECKPOINT}
        for name, place in places.items():
            text = text.replace(name, str(place))
        return text

    for value in map(given, values):
        code, out, error = run_main(main, *map(given, command.split()), f"{flag}={value}")
        check_refused(code, out, error)
        words = {word.rstrip(":;") for word in error.split()}
        assert flag in error or words & {value.strip(), str(Path(value)), Path(value).name}, error
    assert not list(tmp_path.iterdir())


def test_there_are_two_hundred_of_them():
    of_training = sum(len(list(wrong_values(flag))) for flag in FLAGS)
    assert of_training + sum(len(values) for *_, values in OF_COMMANDS) > 200
