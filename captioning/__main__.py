"""The command line: `python -m captioning caption`, `app`, `evaluate`, `export`, `optimize` …"""

import argparse
import gc
import json
import os
import runpy
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from captioning import APP, CHECKPOINT_FOLDER, DEFAULT_CHECKPOINT, __version__
from captioning.config import GRAPH_PRECISIONS, PRECISIONS
from captioning.data.layouts import SCORED_SPLITS
from captioning.errors import CaptioningError
from captioning.files import is_no_file, write_whole
from captioning.inference.options import SearchOptions
from captioning.settings import declared
from captioning.visualize.formats import FORMATS
from captioning.visualize.looks import LOOKS, OCCLUSION

MAX_WORKERS, MAX_PORT = 1000, 65_535
# Python looks for garbage after this many new objects. Imports make half a million that are not garbage; looking
# through them after every 700, as is the default, takes a tenth of the time of captioning one photo.
OBJECTS_A_COLLECTION = 100_000


class Parser(argparse.ArgumentParser):
    """An argument parser that does not print its usage before what is wrong; it exits with 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see --help.\n")


def search_option(name: str) -> dict[str, Any]:
    """The type, default and help of an option of the search, as an argument's."""
    [option] = [each for each in declared(SearchOptions) if each.name == name]

    def read(text: str) -> object:
        try:
            return option.read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    help = f"{option.details['help']} (default: %(default)s)"
    return {"type": read, "default": option.default, "help": help}


def whole_number(text: str, most: int) -> int:
    """A number from 1 to `most` given on the command line."""
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {most}, not {text!r}")
    return int(text)


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m captioning",
        description="Caption photos, and see where the model looked.",
        epilog=f"Checkpoints are in {CHECKPOINT_FOLDER}; the variable CAPTIONING_CHECKPOINTS names another folder.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    shared = Parser(add_help=False)
    shared.add_argument("--checkpoint", type=Path, default=DEFAULT_CHECKPOINT, help="default: %(default)s")
    shared.add_argument("--length-penalty", **search_option("length_penalty"))
    shared.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of the graphs (int8, float32), or on a GPU of the encoder (default: the checkpoint's; float16 on a GPU)",
    )
    shared.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, mps, or a provider of ONNX Runtime by its name (default: %(default)s)",
    )
    hiding = Parser(add_help=False)
    hiding.add_argument(
        "--hide",
        action="append",
        default=[],
        metavar="L,T,R,B",
        help="a part of the photo that the model does not see: left,top,right,bottom from 0 to 1; may be given again",
    )
    printed = Parser(add_help=False)
    printed.add_argument("--json", action="store_true", help="print JSON")

    caption = commands.add_parser(
        "caption", parents=[shared, hiding, printed], help="caption photos, or a folder of them"
    )
    caption.add_argument("photos", nargs="+", metavar="PHOTO", help="or one folder, with --output")
    caption.add_argument("--beam-size", **search_option("beam_size"))
    caption.set_defaults(run=run_caption)
    whole = caption.add_argument_group("a folder")
    whole.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="caption all photos below the folder into a .csv, .jsonl or .parquet",
    )
    whole.add_argument("--engine", choices=["threads", "ray"], default="threads", help="default: %(default)s")
    whole.add_argument(
        "--workers", type=partial(whole_number, most=MAX_WORKERS), metavar="N", help="default: one a core"
    )
    whole.add_argument("--address", help="of a Ray cluster; default: a Ray of its own on this machine")

    app = commands.add_parser("app", help="start the page, and open it in a browser")
    app.add_argument("--photos", type=Path, help="folder of photos to show instead of the gallery")
    app.add_argument("--data", type=Path, nargs="+", default=[], help="data sets to browse")
    app.add_argument("--port", type=partial(whole_number, most=MAX_PORT), default=8501, help="default: %(default)s")
    app.set_defaults(run=run_app)

    export = commands.add_parser(
        "export", parents=[shared, hiding], help="write a caption with its attention as a file"
    )
    export.add_argument("photo", metavar="PHOTO")
    export.add_argument("--format", choices=list(FORMATS), required=True)
    export.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    export.add_argument("--beam-size", **search_option("beam_size"))
    export.add_argument(
        "--look", choices=list(LOOKS), default=next(iter(LOOKS)),
        help=f"default: %(default)s; {OCCLUSION}: how much less likely hiding each place makes a word",
    )  # fmt: skip
    export.set_defaults(run=run_export)

    evaluate = commands.add_parser("evaluate", parents=[shared, printed], help="score a split of a data set")
    evaluate.add_argument("--data", type=Path, required=True, help="folder of the data set, or its file of captions")
    evaluate.add_argument("--split", choices=SCORED_SPLITS, default="dev", help="default: %(default)s")
    widths = {**search_option("beam_size"), "default": [1, 3, 5], "help": "default: 1 3 5"}
    evaluate.add_argument("--beam-size", nargs="+", **widths)
    evaluate.add_argument("--results", type=Path, help="write the captions of the last width in COCO results format")
    evaluate.set_defaults(run=run_evaluate)

    optimize = commands.add_parser("optimize", help="make a checkpoint ready to run without PyTorch (needs PyTorch)")
    optimize.add_argument("checkpoint", type=Path, metavar="FILE")
    optimize.add_argument(
        "--data", type=Path, nargs="+", default=[], help="data sets that it learned from: for graphs in int8 too"
    )
    optimize.add_argument("--score-test", action="store_true", help="score the test splits too")
    optimize.set_defaults(run=run_optimize)

    bring = commands.add_parser("import", help="make a checkpoint of one of sgrvinod's tutorial (needs PyTorch)")
    bring.add_argument("source", type=Path, metavar="BEST_checkpoint.pth.tar")
    bring.add_argument("word_map", type=Path, metavar="WORDMAP.json")
    bring.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    bring.set_defaults(run=run_import)

    onnx = commands.add_parser("export-onnx", help="write a checkpoint's graphs as ONNX files")
    onnx.add_argument("checkpoint", type=Path, metavar="FILE")
    onnx.add_argument("--precision", choices=GRAPH_PRECISIONS, help="default: the checkpoint's first")
    onnx.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    onnx.set_defaults(run=run_export_onnx)

    push = commands.add_parser("push", help="upload a checkpoint and its card to the Hugging Face Hub")
    push.add_argument("checkpoint", type=Path, metavar="FILE")
    target = push.add_mutually_exclusive_group(required=True)
    target.add_argument("repository", nargs="?", metavar="OWNER/NAME", help="is made public where there is none")
    target.add_argument("--folder", type=Path, metavar="DIR", help="write the files of the repository there instead")
    push.set_defaults(run=run_push)
    return parser


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
    captioner = Captioner.from_checkpoint(arguments.checkpoint, arguments.device, arguments.precision)
    options = SearchOptions(beam_size=arguments.beam_size, length_penalty=arguments.length_penalty)
    credit = f"{arguments.checkpoint.stem}, beam width {arguments.beam_size}. Made with Show, Attend and Tell."
    caption = captioner(photo, options, hidden=hidden)
    occlusion = probe(captioner, hide(photo, hidden), caption) if arguments.look == OCCLUSION else None
    pane = CaptionPane(caption, hidden=hidden, occlusion=occlusion)
    scene = Scene(arguments.photo, photo, (pane,), arguments.look, credit)
    write_whole(arguments.output, FORMATS[arguments.format].make(scene))
    return 0


def run_app(arguments: argparse.Namespace) -> int:
    """Start the page as `streamlit run` does, which reads the settings beside it; it runs until it is stopped."""
    photos = ["--photos", arguments.photos] if arguments.photos else []
    data = ["--data", *arguments.data] if arguments.data else []
    sys.argv = ["streamlit", "run", str(APP), f"--server.port={arguments.port}", "--", *map(str, photos + data)]
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


def run_import(arguments: argparse.Namespace) -> int:
    """Write a checkpoint with graphs from one of the tutorial."""
    if find_spec("torch") is None:
        raise CaptioningError("import needs PyTorch, which is not installed: pip install -r requirements-train.txt.")
    if arguments.output.suffix != ".safetensors" or is_no_file(arguments.output):
        raise CaptioningError(f"{arguments.output} is not the name of a checkpoint: name a .safetensors with --output.")
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
    from captioning.checkpoint import read_info
    from captioning.inference.onnx_files import write_onnx
    from captioning.inference.runtime import ONNX_RUNTIME, choose_runtime

    info = read_info(arguments.checkpoint)
    runtime = choose_runtime(info, "cpu", arguments.precision)
    if runtime.library != ONNX_RUNTIME:
        raise CaptioningError(f"{arguments.checkpoint} has no graphs: make them with python -m captioning optimize.")
    write_onnx(info, runtime.precision, arguments.output)
    print(f"The graphs in {runtime.precision} are in {arguments.output}.")
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


def main() -> int:
    gc.set_threshold(OBJECTS_A_COLLECTION)
    arguments = build_parser().parse_args()
    try:
        status = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except CaptioningError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        # Who reads a pipe may close it when it has read enough.
        if not isinstance(error, BrokenPipeError):
            print(f"{error.filename or 'The output'} cannot be read or written ({error.strerror}).", file=sys.stderr)
        # Python would try again to write what is left, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
