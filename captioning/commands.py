"""What each command of the command line does; `__main__.py` has their arguments."""

import argparse
import json
import os
import runpy
import shlex
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from captioning import APP
from captioning.errors import CaptioningError
from captioning.files import is_no_file, write_whole
from captioning.inference.options import SearchOptions
from captioning.visualize.formats import FORMATS
from captioning.visualize.looks import OCCLUSION

# As many as a checkpoint's record has room for.
MOST_AVERAGED = 16

if TYPE_CHECKING:
    from PIL import Image

    from captioning.checkpoint import CheckpointInfo


def run_caption(arguments: argparse.Namespace) -> int:
    """Caption each photo; one that cannot be read is named and does not stop the others."""
    if arguments.output:
        return run_caption_folder(arguments)
    # Here, so that a command that only explains itself does not wait for torch.
    from captioning.hiding import read_rectangle
    from captioning.inference.captioner import Captioner

    hidden = tuple(map(read_rectangle, arguments.hide))
    captioner = Captioner.from_checkpoint(arguments.checkpoint, arguments.device, arguments.precision)
    options = SearchOptions(beam_size=arguments.beam_size, length_penalty=arguments.length_penalty)
    status = 0
    for photo in arguments.photos:
        try:
            if os.path.isdir(photo):
                raise CaptioningError(f"{photo} is a folder: name a file for its captions with --output.")
            caption = captioner(photo, options, hidden=hidden)
        except CaptioningError as error:
            print(error, file=sys.stderr)
            status = 2
            continue
        if arguments.json:
            parts = {"hidden": hidden} if hidden else {}
            print(json.dumps({"photo": photo, **caption.as_dict(), **parts}), flush=True)
        else:
            print(f"{photo}: {caption.text}" if len(arguments.photos) > 1 else caption.text, flush=True)
    return status


def run_caption_folder(arguments: argparse.Namespace) -> int:
    """Caption the photos of a folder into a file."""
    # Here, so that captioning a photo does not wait for what only folders need.
    from captioning.batch.run import Job, caption_folder
    from captioning.batch.threads import caption_with_threads

    if len(arguments.photos) > 1 or arguments.json or arguments.hide:
        raise CaptioningError(
            "--output is for the captions of one folder: name no other photo, and leave out --json and --hide."
        )
    if arguments.address and arguments.engine != "ray":
        raise CaptioningError("--address is that of a Ray cluster: add --engine ray.")
    options = SearchOptions(beam_size=arguments.beam_size, length_penalty=arguments.length_penalty)
    job = Job(Path(arguments.photos[0]), arguments.checkpoint, options, arguments.device, arguments.precision)
    if arguments.engine == "threads":
        return caption_folder(job, arguments.output, partial(caption_with_threads, workers=arguments.workers))
    from captioning.batch.ray import caption_with_ray

    engine = partial(caption_with_ray, workers=arguments.workers, address=arguments.address)
    return caption_folder(job, arguments.output, engine)


def run_export(arguments: argparse.Namespace) -> int:
    """Write a caption as a file."""
    # Here, so that captioning does not wait for what only drawing needs.
    from captioning.hiding import hide, read_rectangle
    from captioning.images import open_image
    from captioning.inference.captioner import Captioner
    from captioning.inference.probing import probe
    from captioning.visualize.export import Scene
    from captioning.visualize.player.data import CaptionPane

    hidden = tuple(map(read_rectangle, arguments.hide))
    photo = open_image(arguments.photo)
    options = SearchOptions(beam_size=arguments.beam_size, length_penalty=arguments.length_penalty)
    if arguments.live:
        return export_live(arguments, photo, options)
    captioner = Captioner.from_checkpoint(arguments.checkpoint, arguments.device, arguments.precision)
    credit = f"{arguments.checkpoint.stem}, beam width {arguments.beam_size}. Made with Show, Attend and Tell."
    caption = captioner(photo, options, hidden=hidden)
    occlusion = probe(captioner, hide(photo, hidden), caption) if arguments.look == OCCLUSION else None
    pane = CaptionPane(caption, hidden=hidden, occlusion=occlusion)
    scene = Scene(arguments.photo, photo, (pane,), arguments.look, credit)
    write_whole(arguments.output, FORMATS[arguments.format].make(scene))
    return 0


def export_live(arguments: argparse.Namespace, photo: "Image.Image", options: SearchOptions) -> int:
    """Write a page with the model in it."""
    from captioning.visualize.site import live_page

    if arguments.format != "html" or arguments.hide or arguments.look == OCCLUSION:
        raise CaptioningError(
            f"--live puts the model into a page: add --format html, and leave out --hide and --look {OCCLUSION}."
        )
    title = Path(arguments.photo).name
    page = live_page(*graphs_of(arguments), title, photo, options, arguments.look, arguments.runtime)
    write_whole(arguments.output, page)
    return 0


def run_app(arguments: argparse.Namespace) -> int:
    """Start the page as `streamlit run` does, which reads the settings beside it; it runs until it is stopped."""
    photos = ["--photos", arguments.photos] if arguments.photos else []
    data = ["--data", *arguments.data] if arguments.data else []
    site = ["--site", arguments.site] if arguments.site else []
    sys.argv = ["streamlit", "run", str(APP), f"--server.port={arguments.port}", "--", *map(str, photos + data + site)]
    runpy.run_module("streamlit", run_name="__main__")
    return 0


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Score a split at each beam width."""
    # Here, so that captioning does not wait for what only scoring needs.
    from captioning.data.datasets import read_dataset
    from captioning.evaluation.evaluate import coco_results, evaluate, score_table
    from captioning.inference.captioner import Captioner

    captioner = Captioner.from_checkpoint(arguments.checkpoint, arguments.device, arguments.precision)
    dataset = read_dataset(arguments.data)
    examples = dataset.split(arguments.split)
    print(dataset.describe(), file=sys.stderr)
    options = SearchOptions(length_penalty=arguments.length_penalty)
    scores = evaluate(captioner, examples, arguments.beam_size, options)
    rows = [score.as_dict() for score in scores]
    if arguments.json:
        print(json.dumps({"split": arguments.split, "photos": len(examples), "scores": rows}))
    else:
        print(score_table(rows))
    if arguments.results:
        # Last, so that a file that cannot be written does not cost the scores.
        results = coco_results(examples, scores[-1].captions)
        write_whole(arguments.results, json.dumps(results).encode())
    return 0


def run_optimize(arguments: argparse.Namespace) -> int:
    """Write graphs into a checkpoint."""
    # Here, so that nobody else waits for PyTorch.
    from captioning.checkpoint import read_info
    from captioning.data.datasets import read_dataset
    from captioning.training.scores import optimize_checkpoint

    datasets = [read_dataset(folder) for folder in arguments.data]
    optimize_checkpoint(arguments.checkpoint, datasets, score_test=arguments.score_test)
    precisions = " and ".join(read_info(arguments.checkpoint).graph_precisions)
    print(f"{arguments.checkpoint} has graphs in {precisions}.")
    if not datasets:
        print("For graphs in int8, which are faster, name the data sets that it learned from with --data.")
    return 0


def run_average(arguments: argparse.Namespace) -> int:
    """Write the mean of several checkpoints."""
    _check_making("average", arguments.output)
    paths = arguments.checkpoints
    if not 2 <= len(paths) <= MOST_AVERAGED:
        raise CaptioningError(f"A mean is of 2 to {MOST_AVERAGED} checkpoints, not {len(paths)}: name as many.")
    # Here, so that nobody else waits for PyTorch.
    from captioning.model.model import save_model
    from captioning.training.mean import mean_of_checkpoints

    command = shlex.join(["captioning", "average", *map(str, paths), "--output", str(arguments.output)])
    model, info = mean_of_checkpoints(paths, [1 / len(paths)] * len(paths), command)
    save_model(arguments.output, model, info.vocabulary, info.training)
    print(
        f"{arguments.output} is the mean of {len(paths)} checkpoints, without graphs: captioning optimize makes them."
    )
    return 0


def _check_making(command: str, output: Path) -> None:
    """Check that a checkpoint can be made.

    Raises:
        CaptioningError: PyTorch is not installed, or the output is no name of a checkpoint.
    """
    if find_spec("torch") is None:
        raise CaptioningError(
            f"{command} needs PyTorch, which is not installed: pip install -r requirements-train.txt."
        )
    if output.suffix != ".safetensors" or is_no_file(output):
        raise CaptioningError(f"{output} is not the name of a checkpoint: name a .safetensors with --output.")


def run_import(arguments: argparse.Namespace) -> int:
    """Write a checkpoint with graphs from one of the tutorial."""
    _check_making("import", arguments.output)
    # Here, so that nobody else waits for PyTorch.
    from captioning.model.model import save_model
    from captioning.model.tutorial import import_tutorial
    from captioning.record import TrainingRecord
    from captioning.training.optimize import float32_graphs

    model, vocabulary = import_tutorial(arguments.source, arguments.word_map)
    command = f"captioning import {arguments.source.name} {arguments.word_map.name}"
    save_model(arguments.output, model, vocabulary, TrainingRecord(command=command), float32_graphs(model))
    print(f"{arguments.output} has {len(vocabulary):,} words, and graphs in float32.")
    return 0


def run_export_onnx(arguments: argparse.Namespace) -> int:
    """Write a checkpoint's graphs as files."""
    # Here, so that a command that only explains itself does not wait for numpy.
    from captioning.inference.onnx_files import write_onnx

    info, precision = graphs_of(arguments)
    write_onnx(info, precision, arguments.output)
    print(f"The graphs in {precision} are in {arguments.output}.")
    return 0


def graphs_of(arguments: argparse.Namespace) -> tuple["CheckpointInfo", str]:
    """The checkpoint, and the precision of the graphs that are asked for."""
    from captioning.checkpoint import read_info
    from captioning.inference.runtime import ONNX_RUNTIME, choose_runtime

    info = read_info(arguments.checkpoint)
    runtime = choose_runtime(info, "cpu", arguments.precision)
    if runtime.library != ONNX_RUNTIME:
        raise CaptioningError(f"{arguments.checkpoint} has no graphs: make them with python -m captioning optimize.")
    return info, runtime.precision


def run_site(arguments: argparse.Namespace) -> int:
    """Write the page without a server."""
    # Here, so that a command that only explains itself does not wait for numpy.
    from captioning.page.gallery import sample_credit, sample_photos
    from captioning.visualize.site import GalleryPhoto, write_site

    photos = [
        GalleryPhoto(title, path.name, path.read_bytes(), *(sample_credit(path) or ()))
        for title, path in sample_photos().items()
    ]
    size = write_site(arguments.output, *graphs_of(arguments), photos, arguments.runtime)
    print(f"The page is in {arguments.output} ({size / 1e6:.1f} MB).")
    print(f"To see it: python -m http.server --directory {arguments.output}")
    return 0


def run_push(arguments: argparse.Namespace) -> int:
    """Upload a checkpoint, or write what would be uploaded."""
    # Here, so that a command that only explains itself does not wait for numpy.
    from captioning.hub import push, write_repository

    if arguments.folder:
        write_repository(arguments.checkpoint, arguments.folder)
    place = arguments.folder or push(arguments.checkpoint, arguments.repository)
    print(f"{arguments.checkpoint} is in {place}.")
    return 0
