"""Checkpoints from anywhere: whatever the file is, there is a model with its weights or one sentence that says why not.

No code of the file runs, nothing hangs, and memory stays bounded.
"""

import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from captioning import DEFAULT_CHECKPOINT, Captioner
from captioning.checkpoint import GRAPHS, graph_name, list_checkpoints, read_info
from captioning.errors import CheckpointError
from captioning.header import MAX_HEADER
from captioning.model.model import load_model, save_model
from captioning.page import card
from captioning.record import TrainingRecord
from captioning.vocabulary import LONGEST_WORD, SPECIAL_TOKENS, Vocabulary
from tests.browser import ROOT
from tests.helpers import checkpoint_parts, forge, refused, tiny_model

pytestmark = pytest.mark.hostile

SECONDS = 5
MEMORY = 2**30
NAME = "hostile.safetensors"
LOAD = """
import sys, time
from captioning import Captioner, CheckpointError
from captioning.header import MAX_HEADER
from captioning.model.model import load_model
load = {"PyTorch": load_model, "ONNX Runtime": Captioner.from_checkpoint}[sys.argv[1]]
for path in sys.argv[2:]:
    started = time.process_time()
    try:
        load(path)
        print("loaded", end=" ")
    except CheckpointError:
        print("refused", end=" ")
    print(time.process_time() - started)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
LOAD_AGAIN_AND_AGAIN = """
import sys, time
from captioning.errors import CheckpointError
from captioning.header import MAX_HEADER
from captioning.model.model import load_model
print("ready", flush=True)
started, seen = time.monotonic(), set()
# On a machine with other work both versions take longer to be met.
while time.monotonic() < started + (3 if len(seen) > 1 else 60):
    try:
        model, info = load_model(sys.argv[1])
        print(info.training.command, *info.vocabulary.words[4:], *set(model.decoder.output.bias.tolist()))
        seen.add(info.training.command)
    except CheckpointError:
        print("refused")
"""


@dataclass(frozen=True)
class Target:
    """The real checkpoint, and a copy of it that is changed and put right again."""

    path: Path
    whole: bytes

    @property
    def header(self) -> int:
        """Where the header ends."""
        return 8 + int.from_bytes(self.whole[:8], "little")

    @property
    def tensors(self) -> int:
        """Where in the header the metadata end and the tensors' names, types, shapes and places begin."""
        return self.whole.index(b'"},"') + 3

    @contextmanager
    def changed(self, patches: dict[int, bytes], size: int | None = None) -> Iterator[Path]:
        """The copy with other bytes at these places, and of another size."""
        with self.path.open("r+b") as file:
            for place, data in patches.items():
                file.seek(place)
                file.write(data)
            file.truncate(len(self.whole) if size is None else size)
        yield self.path
        with self.path.open("r+b") as file:
            for place, data in patches.items():
                file.seek(place)
                file.write(self.whole[place : place + len(data)])
            file.truncate(min(file.seek(0, os.SEEK_END), len(self.whole)))
            file.write(self.whole[file.seek(0, os.SEEK_END) :])

    def flipped(self, *bits: int) -> dict[int, bytes]:
        """Patches that flip these bits."""
        patches = {}
        for bit in bits:
            place = bit // 8
            [byte] = patches.get(place, self.whole[place : place + 1])
            patches[place] = bytes([byte ^ 1 << bit % 8])
        return patches


@pytest.fixture(scope="module")
def target(tmp_path_factory) -> Target:
    path = tmp_path_factory.mktemp("checkpoints") / NAME
    path.write_bytes(DEFAULT_CHECKPOINT.read_bytes())
    # Once, so that no other load is the one that builds what they are all compared with.
    load_model(path)
    return Target(path, path.read_bytes())


@pytest.fixture(scope="module")
def parts() -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of the real checkpoint."""
    return checkpoint_parts(DEFAULT_CHECKPOINT)


@pytest.fixture
def forged(tmp_path) -> Callable[..., Path]:
    """The real checkpoint with other tensors and metadata."""
    return lambda tensors=None, **metadata: forge(DEFAULT_CHECKPOINT, tmp_path / NAME, tensors, metadata)


def is_refused(work: Callable[[], object]) -> bool:
    """Whether the file is refused, in one sentence; in any case it does not take long."""
    started, message = time.process_time(), None
    try:
        work()
    except CheckpointError as error:
        message = str(error)
    assert time.process_time() - started < SECONDS
    if message is None:
        return False
    assert message.startswith((f"{NAME} is not a usable checkpoint, ", f"{NAME} computes numbers that are not finite"))
    assert message.endswith(", or copy it again.")
    assert message.isprintable()
    assert len(message) < 400
    return True


def loads(path: Path) -> bool:
    """Whether the file is a model, whose weights are then what the file says."""
    loaded = []
    if is_refused(lambda: loaded.extend(load_model(path))):
        return False
    with safe_open(path, framework="pt") as file:
        for name, weights in loaded[0].state_dict().items():
            assert torch.equal(weights, file.get_tensor(name).to(weights.dtype)), name
    return True


def captions(path: Path) -> bool:
    """Whether a photo is captioned with the file's graphs in each precision; nothing else than a refusal stops it."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    precisions = []
    if is_refused(lambda: precisions.extend(read_info(path).graph_precisions)):
        return False
    return not any(
        is_refused(lambda precision=precision: Captioner.from_checkpoint(path, "cpu", precision)(noise))
        for precision in precisions
    )


# Two thousand mutations


def count_loaded(target: Target, mutations: list[tuple[dict[int, bytes], int | None]]) -> int:
    count = 0
    for patches, size in mutations:
        with target.changed(patches, size) as path:
            count += loads(path)
            captions(path)
    assert target.path.read_bytes() == target.whole
    return count


def test_1050_bits_flipped_in_names_types_shapes_and_places(target):
    draw = random.Random(1)
    bits = draw.sample(range(8 * target.tensors, 8 * target.header), 1050)
    assert count_loaded(target, [(target.flipped(bit), None) for bit in bits]) == 0


def test_80_bits_flipped_in_the_metadata(target):
    draw = random.Random(2)
    bits = draw.sample(range(64, 8 * target.tensors), 80)
    assert 0 < count_loaded(target, [(target.flipped(bit), None) for bit in bits]) < 80


def test_60_bits_flipped_in_tensors(target):
    draw = random.Random(3)
    bits = draw.sample(range(8 * target.header, 8 * len(target.whole)), 60)
    assert count_loaded(target, [(target.flipped(bit), None) for bit in bits]) > 30


def test_260_swarms_of_bits_flipped_anywhere_in_the_header(target):
    draw = random.Random(4)
    swarms = [draw.sample(range(8 * target.header), draw.randint(8, 64)) for _ in range(260)]
    assert count_loaded(target, [(target.flipped(*swarm), None) for swarm in swarms]) == 0


def test_400_other_lengths_of_file_and_header(target):
    draw = random.Random(5)
    cut = [({}, draw.randrange(len(target.whole))) for _ in range(150)]
    cut_header = [({}, draw.randrange(target.header)) for _ in range(50)]
    longer = [({}, len(target.whole) + draw.randint(1, 10**6)) for _ in range(50)]
    lengths = [draw.randrange(2 ** draw.randint(1, 64)) for _ in range(148)] + [100 * 10**9, 2**64 - 1]
    claims = [({0: length.to_bytes(8, "little")}, None) for length in lengths]
    assert count_loaded(target, cut + cut_header + longer + claims) == 0


def test_150_places_of_tensors_swapped(target):
    """Two tensors of one type and size have each other's weights then, and those are what the file says."""
    draw = random.Random(6)
    text = target.whole[target.tensors : target.header].decode()
    places = [part.split("]")[0] for part in text.split('"data_offsets":[')[1:]]
    mutations = []
    while len(mutations) < 150:
        one, other = draw.sample(places, 2)
        if len(one) == len(other):
            where = (target.tensors + text.index(f"[{place}]") + 1 for place in (one, other))
            mutations.append((dict(zip(where, (other.encode(), one.encode()), strict=True)), None))
    assert 0 < count_loaded(target, mutations) < 150


def test_90_bits_flipped_in_graphs(target):
    """What the graphs are is checked before ONNX Runtime sees them; what they compute is the file's to say."""
    draw, info = random.Random(9), read_info(target.path)
    graphs = [
        tensor for name, tensor in info.tensors.items() if name.rpartition(".")[2] in GRAPHS and tensor.type == "U8"
    ]
    assert len(graphs) >= len(GRAPHS)
    captioned = 0
    for _ in range(90):
        graph = draw.choice(graphs)
        bit = draw.randrange(8 * graph.start, 8 * (graph.start + graph.count))
        with target.changed(target.flipped(bit)) as path:
            captioned += captions(path)
    assert 0 < captioned < 90


# Forged on purpose


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
def test_a_weight_that_is_no_finite_number_is_refused_by_its_name(forged, parts, number):
    draw = random.Random(7)
    for name in draw.sample([name for name, tensor in parts[0].items() if tensor.is_floating_point()], 5):
        tensor = parts[0][name].clone()
        tensor.view(-1)[draw.randrange(tensor.numel())] = number
        path = forged({name: tensor})
        [precision] = {"int8", "float32"} & {*name.split(".")[:2]} or {"float32"}
        with refused(CheckpointError, NAME, name, "not all finite"):
            Captioner.from_checkpoint(path, "cpu", precision)
        if not name.startswith("graph."):
            with refused(CheckpointError, NAME, name, "not all finite"):
                load_model(path)


@pytest.mark.parametrize(
    "kind", [torch.float64, torch.bfloat16, torch.float8_e4m3fn, torch.complex64, torch.int64, torch.int8, torch.bool]
)
def test_a_type_that_is_no_checkpoints_is_refused(forged, parts, kind):
    path = forged({"decoder.output.bias": parts[0]["decoder.output.bias"].to(kind)})
    assert not loads(path)
    assert not captions(path)


@pytest.mark.parametrize("name", ["decoder.embedding.weight", "decoder.neck.0.weight", "decoder.lstm.weight_hh"])
def test_a_tensor_that_is_missing_or_has_another_shape_is_refused(forged, parts, name):
    tensor = parts[0][name]
    for other in (None, tensor.flatten(), tensor[None], tensor[1:], tensor.new_zeros(0)):
        path = forged({name: None if other is None else other.clone()})
        assert not loads(path)
        assert not captions(path)


def test_finite_weights_whose_numbers_overflow_are_reported_when_they_do(forged, parts, photos):
    variances = next(name for name in parts[0] if name.endswith("running_var"))
    captioner = Captioner.from_checkpoint(forged({variances: -parts[0][variances]}), "cpu", "float32")
    with refused(CheckpointError, NAME, "not finite"):
        captioner(photos / "coffee.jpg")


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["dog", "dog"], "each word once"),
        (["<unk>"], "each word once"),
        ([7], "strings"),
        ([None], "strings"),
        ([], "no words"),
        ([""], "can be printed"),
        (["two words"], "can be printed"),
        (["line\nbreak"], "can be printed"),
        (["nul\0"], "can be printed"),
        (["\x1b[31mred"], "can be printed"),
        (["\u202egod"], "can be printed"),
        (["\u2066god"], "can be printed"),
        (["half\ud800"], "can be printed"),
        (["a" * (LONGEST_WORD + 1)], "can be printed"),
        (["a" * 2**20, "b" * 2**20], "can be printed"),
        (["a" * MAX_HEADER], "header claims"),
        ([str(number) for number in range(1_500_000)], "header claims"),
        ([str(number) for number in range(250_000)], "has shape"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_vocabulary_that_is_none_is_refused(forged, words, cause):
    path = forged(vocabulary=json.dumps([*SPECIAL_TOKENS, *words]))
    with refused(CheckpointError, NAME, cause):
        load_model(path)
    assert not captions(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"config": '{"encoder": "resnet18", "encoder": "' + "a" * 10**6 + '"}'},
        {"config": '{"' + "unheard_of" * 10**5 + '": 1}'},
        {"config": '{"line\\nbreak\\u202e": 1}'},
        {"config": '{"encoder": "local-dir:/etc"}'},
        {"config": '{"encoder": "hf-hub:someone/something"}'},
        {"config": '{"encoder": "resnet18.\\u202e\\n' + "a" * 999 + '"}'},
        {"config": '{"dropout": NaN}'},
        {"config": '{"dropout": -Infinity}'},
        {"config": '{"image_size": 1e999}'},
        {"config": '{"image_size": 8192}'},
        {"config": '{"image_size": ' + "9" * 4000 + "}"},
        {"config": '{"image_size": ' + "9" * 5000 + "}"},
        {"config": '{"a":' * 10**5},
        {"training": "[" * 10**6},
        {"training": json.dumps([[]] * 10**6)},
    ],
    ids=lambda metadata: repr(metadata)[:60],
)
def test_a_description_that_is_none_is_refused(forged, metadata):
    assert not loads(forged(**metadata))


SCORE = {"beam_size": 3, "bleu": [60.5, 40, 28, 20.25], "cider": 60}


@pytest.mark.parametrize(
    "record",
    [
        {"dataset": []},
        {"dataset": {"name": 5}},
        {"dataset": {"train": "many"}},
        {"dataset": {"train": True}},
        {"dataset": {"train": 10**400}},
        {"seed": {}},
        {"command": ["python"]},
        {"versions": ["torch"]},
        {"versions": {"torch": 2}},
        {"scores": 5},
        {"scores": [SCORE]},
        {"scores": {"test": SCORE}},
        {"scores": {"test": [[SCORE]]}},
        {"scores": {"test": [{**SCORE, "bleu": 5}]}},
        {"scores": {"test": [{**SCORE, "bleu": ["a", "b", "c", "d"]}]}},
        {"scores": {"test": [{**SCORE, "cider": 10**400}]}},
        {"scores": {"test": [{**SCORE, "![x](http://x)": 1}]}},
        {"scores": {"**test**": [SCORE]}},
        {"scores": {"test": [SCORE] * 10**4}},
        {"stages": "x"},
        {"stages": [[]]},
        {"stages": [{"epochs": 3}]},
        {"stages": [{"epochs": [3]}]},
        {"stages": [{"epochs": [{"train_loss": "low"}]}]},
        {"stages": [{"epochs": [{f"a{number}": 1 for number in range(10**4)}]}]},
        {"stages": [{"epochs": [{"a": 1}]}] * 10**4},
        {"stages": [{"stage": [1]}]},
    ],
    ids=lambda record: repr(record)[:60],
)
def test_a_training_record_that_no_page_could_show_is_refused_by_its_place(forged, record):
    [place] = record
    path = forged(training=json.dumps(record))
    for read in (load_model, read_info):
        with refused(CheckpointError, NAME, place):
            read(path)


def test_whatever_record_is_read_can_be_shown(parts, tmp_path):
    """The real record with something odd in a random place, 900 times."""
    draw = random.Random(8)
    odd = [None, True, -1, 2**53, 1e308, float("nan"), float("inf"), "", "**x**\n<b>", [], {}, [1], {"a": 1}, [{}]]
    described = 0
    for _ in range(900):
        record = json.loads(parts[1]["training"])
        inner, key = record, draw.choice(list(record))
        while isinstance(inner[key], dict | list) and inner[key] and draw.random() < 0.8:
            inner = inner[key]
            key = draw.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        inner[key] = draw.choice(odd)
        # A header is all that is read of a checkpoint before its card is.
        save_file({}, tmp_path / NAME, {**parts[1], "training": json.dumps(record)})
        try:
            info = read_info(tmp_path / NAME)
        except CheckpointError:
            continue
        described += 1
        for describe in (
            card.describe_scores,
            card.describe_training,
            card.describe_stages,
            card.score_table,
            card.measure_table,
        ):
            describe(info)
    assert 100 < described < 800


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "twice",
    [
        b'"decoder.output.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}',
        b'"decoder.output.bias":{"dtype":"F32","shape":[2538],"data_offsets":[0,10152]}',
        b'"__metadata__":{"format":"captioning/1","config":"{}","training":"{}","vocabulary":"[]"}',
    ],
)
def test_a_header_that_names_something_twice(target, tmp_path, twice, first):
    header = target.whole[8 : target.header].rstrip()
    header = b"{" + twice + b"," + header[1:] if first else header[:-1] + b"," + twice + b"}"
    path = tmp_path / NAME
    path.write_bytes(len(header).to_bytes(8, "little") + header + target.whole[target.header :])
    assert not loads(path)


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_12_pickles_and_zip_files_run_nothing(target, tmp_path):
    mark, path = tmp_path / "mark", tmp_path / NAME
    pickles = [pickle.dumps(Trap(mark), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    pickle.loads(pickles[0])
    assert mark.exists()
    mark.unlink()
    for new in (True, False):
        torch.save({"decoder.output.bias": Trap(mark)}, path, _use_new_zipfile_serialization=new)
        pickles.append(path.read_bytes())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickles[2])
        archive.writestr(NAME, target.whole)
    pickles.append(path.read_bytes())
    attacks = [*pickles, target.whole + pickles[-1], pickles[2] + target.whole, target.whole[:-99] + pickles[4][:99]]
    assert len(attacks) == 12
    for attack in attacks:
        path.write_bytes(attack)
        loads(path)
    assert not mark.exists()


def inflated(header: bytes, name: str, size: int) -> tuple[bytes, int]:
    """The beginning of a sound file, but for a tensor of this many bytes at its end; and the size of all of it."""
    entries = json.loads(header)
    metadata, tensor = entries.pop("__metadata__"), entries.pop(name)
    ordered, end = {"__metadata__": metadata}, 0
    for other, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        first, last = entry["data_offsets"]
        ordered[other] = {**entry, "data_offsets": [end, end := end + last - first]}
    ordered[name] = {**tensor, "dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
    written = json.dumps(ordered).encode()
    return len(written).to_bytes(8, "little") + written, 8 + len(written) + end + size


@pytest.mark.parametrize(("library", "sound"), [("PyTorch", {"photo", "graph"}), ("ONNX Runtime", {"layers"})])
def test_the_worst_files_take_less_than_a_gigabyte(target, parts, tmp_path, library, sound):
    """Each is loaded by a process of its own memory, and none takes long."""
    config = json.loads(parts[1]["config"])
    words = json.dumps([*SPECIAL_TOKENS, *(format(number, "x") for number in range(375_000))])
    forged = {
        "words": (parts[0], {"vocabulary": words}),
        "lists": (parts[0], {"training": json.dumps([[]] * 1_000_000, separators=(",", ":"))}),
        "names": ({f"{number:x}": torch.zeros(0) for number in range(60_000)}, {}),
        "photo": (parts[0], {"config": json.dumps({**config, "image_size": 768})}),
        "layers": (parts[0], {"config": json.dumps({**config, "encoder": "vit_7b_patch16_dinov3"})}),
        "double": ({name: tensor.double() for name, tensor in parts[0].items()}, {}),
    }
    for name, (tensors, metadata) in forged.items():
        save_file(tensors, tmp_path / f"{name}.safetensors", {**parts[1], **metadata})
    huge = 10**11
    sparse = {"claims": (huge.to_bytes(8, "little"), huge), "zeros": (b"", huge)}
    for name, tensor in {"graph": graph_name("float32", "step"), "tensor": "decoder.output.bias"}.items():
        sparse[name] = inflated(target.whole[8 : target.header], tensor, huge)
    for name, (start, size) in sparse.items():
        with (tmp_path / f"{name}.safetensors").open("wb") as file:
            file.write(start)
            file.truncate(size)
    paths = sorted(tmp_path.iterdir())
    run = subprocess.run(
        [sys.executable, "-c", LOAD, library, *map(str, paths)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *outcomes, peak = run.stdout.splitlines()
    assert {path.stem for path, line in zip(paths, outcomes, strict=True) if line.startswith("loaded")} == sound
    assert all(float(line.split()[1]) < SECONDS for line in outcomes)
    assert int(peak) * 2**10 < MEMORY


# Files that change, and the folder


def test_a_file_that_is_replaced_again_and_again_is_one_or_the_other_or_refused(tmp_path):
    """As `mv` replaces it, whole, and as `cp` does: emptied first, and then written bit by bit."""
    versions = []
    for number, word in enumerate(("dog", "cat")):
        model = tiny_model(5, seed=number)
        model.decoder.output.bias.data.fill_(number)
        save_model(tmp_path / word, model, Vocabulary([*SPECIAL_TOKENS, word]), TrainingRecord(command=word))
        versions.append((tmp_path / word).read_bytes())
    path, other = tmp_path / NAME, tmp_path / "other"
    path.write_bytes(versions[0])
    command = [sys.executable, "-c", LOAD_AGAIN_AND_AGAIN, path]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        turn = 0
        while process.poll() is None:
            turn += 1
            other.write_bytes(versions[turn % 2])
            if turn % 4 < 2:
                other.replace(path)
            else:
                shutil.copyfile(other, path)
            time.sleep(0.02 * (turn % 16))
        outcomes = process.stdout.read().splitlines()
    assert process.returncode == 0
    assert {"dog dog 0.0", "cat cat 1.0"} <= set(outcomes) <= {"dog dog 0.0", "cat cat 1.0", "refused"}


def test_only_files_of_the_folder_are_listed(tmp_path):
    folder, outside = tmp_path / "checkpoints", tmp_path / "outside.safetensors"
    folder.mkdir()
    outside.touch()
    kept = [folder / name for name in ("<b>**x**.safetensors", "a.safetensors", "ḥ $x$ [y](z).safetensors")]
    for path in kept:
        path.touch()
    (folder / "inside.safetensors").symlink_to("a.safetensors")
    for name, place in [("out", outside), ("up", "../outside.safetensors"), ("loop", "loop.safetensors"),
                        ("gone", "nowhere"), ("device", "/dev/zero"), ("parent", "..")]:  # fmt: skip
        (folder / f"{name}.safetensors").symlink_to(place)
    os.mkfifo(folder / "pipe.safetensors")
    for name in (b"line\nbreak", b"\xff", "\u202egod".encode()):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name + b".safetensors")).touch()
    assert list_checkpoints(folder) == sorted([*kept, folder / "inside.safetensors"])
    (tmp_path / "link").symlink_to(folder)
    assert len(list_checkpoints(tmp_path / "link")) == 4


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "a" * 5000, "nul\0", "."])
def test_what_is_no_file_is_not_read(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    for read in (load_model, read_info):
        with refused(CheckpointError, "There is no checkpoint"):
            read(tmp_path / name)
