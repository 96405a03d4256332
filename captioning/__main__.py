"""The command line: `python -m captioning caption`, `app`, `evaluate`, `export`, `optimize` …"""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from captioning import CHECKPOINT_FOLDER, DEFAULT_CHECKPOINT, __version__
from captioning.commands import (
    run_app,
    run_average,
    run_caption,
    run_evaluate,
    run_export,
    run_export_onnx,
    run_import,
    run_optimize,
    run_push,
    run_site,
)
from captioning.config import GRAPH_PRECISIONS, PRECISIONS
from captioning.data.layouts import SCORED_SPLITS
from captioning.errors import CaptioningError
from captioning.inference.options import SearchOptions
from captioning.settings import declared
from captioning.visualize.formats import FORMATS
from captioning.visualize.looks import LOOKS, OCCLUSION

MAX_WORKERS, MAX_PORT = 1000, 65_535
RUNTIME = "folder dist of the npm package onnxruntime-web, where it cannot be fetched"
# Python looks for garbage after this many new objects. Imports make half a million that are not garbage; looking
# through them after every 700, as is the default, takes a tenth of the time of captioning one photo.
OBJECTS_A_COLLECTION = 100_000

AddParser = Callable[..., argparse.ArgumentParser]


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
    for add_command in (
        add_caption,
        add_app,
        add_export,
        add_evaluate,
        add_optimize,
        add_average,
        add_import,
        add_export_onnx,
        add_site,
        add_push,
    ):
        add_command(commands.add_parser)
    return parser


def of_model() -> Parser:
    """Options of every command that captions."""
    options = Parser(add_help=False)
    options.add_argument("--checkpoint", type=Path, default=DEFAULT_CHECKPOINT, help="default: %(default)s")
    options.add_argument("--length-penalty", **search_option("length_penalty"))
    options.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of the graphs (int8, float32), or on a GPU of the encoder (default: the checkpoint's; float16 on a GPU)",
    )
    options.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, mps, or a provider of ONNX Runtime by its name (default: %(default)s)",
    )
    return options


def of_hiding() -> Parser:
    options = Parser(add_help=False)
    options.add_argument(
        "--hide",
        action="append",
        default=[],
        metavar="L,T,R,B",
        help="a part of the photo that the model does not see: left,top,right,bottom from 0 to 1; may be given again",
    )
    return options


def of_printing() -> Parser:
    options = Parser(add_help=False)
    options.add_argument("--json", action="store_true", help="print JSON")
    return options


def add_caption(add: AddParser) -> None:
    caption = add(
        "caption", parents=[of_model(), of_hiding(), of_printing()], help="caption photos, or a folder of them"
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


def add_app(add: AddParser) -> None:
    app = add("app", help="start the page, and open it in a browser")
    app.add_argument("--photos", type=Path, help="folder of photos to show instead of the gallery")
    app.add_argument("--data", type=Path, nargs="+", default=[], help="data sets to browse")
    app.add_argument("--site", metavar="URL", help="of the page that captioning site wrote, for an audience's phones")
    app.add_argument("--port", type=partial(whole_number, most=MAX_PORT), default=8501, help="default: %(default)s")
    app.set_defaults(run=run_app)


def add_export(add: AddParser) -> None:
    export = add("export", parents=[of_model(), of_hiding()], help="write a caption with its attention as a file")
    export.add_argument("photo", metavar="PHOTO")
    export.add_argument("--format", choices=list(FORMATS), required=True)
    export.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    export.add_argument("--beam-size", **search_option("beam_size"))
    export.add_argument(
        "--look", choices=list(LOOKS), default=next(iter(LOOKS)),
        help=f"default: %(default)s; {OCCLUSION}: how much less likely hiding each place makes a word",
    )  # fmt: skip
    export.add_argument("--live", action="store_true", help="an HTML file with the model in it: it captions as well")
    export.add_argument("--runtime", type=Path, metavar="DIR", help=f"with --live: {RUNTIME}")
    export.set_defaults(run=run_export)


def add_evaluate(add: AddParser) -> None:
    evaluate = add("evaluate", parents=[of_model(), of_printing()], help="score a split of a data set")
    evaluate.add_argument("--data", type=Path, required=True, help="folder of the data set, or its file of captions")
    evaluate.add_argument("--split", choices=SCORED_SPLITS, default="dev", help="default: %(default)s")
    widths = {**search_option("beam_size"), "default": [1, 3, 5], "help": "default: 1 3 5"}
    evaluate.add_argument("--beam-size", nargs="+", **widths)
    evaluate.add_argument("--results", type=Path, help="write the captions of the last width in COCO results format")
    evaluate.set_defaults(run=run_evaluate)


def add_optimize(add: AddParser) -> None:
    optimize = add("optimize", help="make a checkpoint ready to run without PyTorch (needs PyTorch)")
    optimize.add_argument("checkpoint", type=Path, metavar="FILE")
    optimize.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[],
        help="data sets that it learned from: for graphs in int8 too, and for the words that a caption may repeat",
    )
    optimize.add_argument("--score-test", action="store_true", help="score the test splits too")
    optimize.set_defaults(run=run_optimize)


def add_average(add: AddParser) -> None:
    average = add("average", help="make a checkpoint of the mean of others' weights (needs PyTorch)")
    average.add_argument("checkpoints", type=Path, nargs="+", metavar="FILE", help="trained from the same, apart")
    average.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    average.set_defaults(run=run_average)


def add_import(add: AddParser) -> None:
    bring = add("import", help="make a checkpoint of one of sgrvinod's tutorial (needs PyTorch)")
    bring.add_argument("source", type=Path, metavar="BEST_checkpoint.pth.tar")
    bring.add_argument("word_map", type=Path, metavar="WORDMAP.json")
    bring.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    bring.set_defaults(run=run_import)


def add_export_onnx(add: AddParser) -> None:
    onnx = add("export-onnx", help="write a checkpoint's graphs as ONNX files")
    onnx.add_argument("checkpoint", type=Path, metavar="FILE")
    onnx.add_argument("--precision", choices=GRAPH_PRECISIONS, help="default: the checkpoint's first")
    onnx.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    onnx.set_defaults(run=run_export_onnx)


def add_site(add: AddParser) -> None:
    site = add("site", help="write a page that needs no server, as static files")
    site.add_argument("--checkpoint", type=Path, default=DEFAULT_CHECKPOINT, help="default: %(default)s")
    site.add_argument("--precision", choices=GRAPH_PRECISIONS, help="default: the checkpoint's first")
    site.add_argument("--runtime", type=Path, metavar="DIR", help=RUNTIME)
    site.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    site.set_defaults(run=run_site)


def add_push(add: AddParser) -> None:
    push = add("push", help="upload a checkpoint and its card to the Hugging Face Hub")
    push.add_argument("checkpoint", type=Path, metavar="FILE")
    target = push.add_mutually_exclusive_group(required=True)
    target.add_argument("repository", nargs="?", metavar="OWNER/NAME", help="is made public where there is none")
    target.add_argument("--folder", type=Path, metavar="DIR", help="write the files of the repository there instead")
    push.set_defaults(run=run_push)


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
