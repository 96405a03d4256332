"""Train a captioning model, offline.

    python train.py --data ../shared/flickr8k --config configs/flickr8k-efficientnet-lite2.toml

trains the default checkpoint's model on two CPU cores; without --config the settings are those of the reference
implementation, a ResNet-101 on a GPU. Flags override the file. A run that was interrupted goes on with --resume.
"""

import argparse
import shlex
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

from captioning.arguments import Parser
from captioning.data.datasets import read_dataset
from captioning.errors import CaptioningError
from captioning.model.model import ModelConfig
from captioning.training.settings import StageSettings
from captioning.training.stages import Run, train

# The reference's second stage.
STAGE_2 = StageSettings(epochs=10, batch_size=5, learning_rate=1e-4, schedule="one-cycle", trained_blocks=3)
# Settings that both stages share, and those that each has of its own.
SHARED = ("label_smoothing", "attention_weight", "gradient_clip", "mirror")
OWN = ("epochs", "batch_size", "learning_rate", "schedule")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of a data set")
    parser.add_argument("--config", type=Path, help="TOML file of settings, named as the flags")
    parser.add_argument("--output", type=Path, default=Path("checkpoints/model.safetensors"))
    parser.add_argument("--state", type=Path, default=Path("runs/state"), help="folder to resume from")
    parser.add_argument("--cache", type=Path, default=Path(".cache/features"), help="folder of the feature cache")
    parser.add_argument("--resume", action="store_true", help="go on from the last finished epoch")
    parser.add_argument("--seed", type=int, default=0)

    model = parser.add_argument_group("model")
    defaults = ModelConfig()
    model.add_argument("--encoder", default=defaults.encoder, help="timm's name of a backbone")
    model.add_argument("--image-size", type=int, default=defaults.image_size)
    model.add_argument("--neck-size", type=int, help="shorten feature vectors to this length (default: as they are)")
    model.add_argument("--embedding-size", type=int, default=defaults.embedding_size)
    model.add_argument("--attention-size", type=int, default=defaults.attention_size)
    model.add_argument("--decoder-size", type=int, default=defaults.decoder_size)
    model.add_argument("--dropout", type=float, default=defaults.dropout)
    model.add_argument("--feature-dropout", type=float, default=defaults.feature_dropout)
    model.add_argument("--min-frequency", type=int, default=5, help="rarer words of the train captions become <unk>")

    shared = parser.add_argument_group("both stages")
    first, second = StageSettings(), STAGE_2
    shared.add_argument("--stages", type=int, choices=[1, 2], default=2, help="how many to run")
    shared.add_argument("--label-smoothing", type=float, default=first.label_smoothing)
    shared.add_argument("--attention-weight", type=float, default=first.attention_weight, help="doubly stochastic term")
    shared.add_argument("--gradient-clip", type=float, default=first.gradient_clip)
    shared.add_argument("--mirror", action="store_true", help="train on mirror images too")

    stage = parser.add_argument_group("stage 1: encoder frozen, its features cached")
    stage.add_argument("--epochs", type=int, default=first.epochs)
    stage.add_argument("--batch-size", type=int, default=first.batch_size, help="photos, each with all its captions")
    stage.add_argument("--learning-rate", type=float, default=first.learning_rate)
    stage.add_argument("--schedule", choices=["constant", "one-cycle"], default=first.schedule)

    stage = parser.add_argument_group("stage 2: the encoder's last blocks trained too")
    stage.add_argument("--stage2-epochs", type=int, default=second.epochs)
    stage.add_argument("--stage2-batch-size", type=int, default=second.batch_size)
    stage.add_argument("--stage2-learning-rate", type=float, default=second.learning_rate)
    stage.add_argument("--stage2-schedule", choices=["constant", "one-cycle"], default=second.schedule)
    stage.add_argument("--trained-blocks", type=int, default=second.trained_blocks, help="counted from the last")
    stage.add_argument("--smallest-crop", type=float, default=second.smallest_crop, help="share of a photo's area")
    return parser


def read_stages(arguments: argparse.Namespace) -> list[StageSettings]:
    """The settings of the stages to run."""
    shared = {name: getattr(arguments, name) for name in SHARED}
    first = StageSettings(**shared, **{name: getattr(arguments, name) for name in OWN})
    second = StageSettings(
        **shared,
        **{name: getattr(arguments, f"stage2_{name}") for name in OWN},
        trained_blocks=arguments.trained_blocks,
        smallest_crop=arguments.smallest_crop,
    )
    return [first, second][: arguments.stages]


def read_config(parser: argparse.ArgumentParser, path: Path) -> None:
    """Make a file's settings the parser's defaults."""
    try:
        settings = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        parser.error(f"{path} cannot be read as settings ({error})")
    known = {action.dest for action in parser._actions}
    for name in settings.keys() - known:
        parser.error(f"{path} sets {name!r}, which is no setting")
    parser.set_defaults(**settings)


def main() -> int:
    parser = build_parser()
    config_only = argparse.ArgumentParser(add_help=False)
    config_only.add_argument("--config", type=Path)
    config = config_only.parse_known_args()[0].config
    if config:
        read_config(parser, config)
    arguments = parser.parse_args()
    run = Run(
        output=arguments.output,
        state=arguments.state,
        cache=arguments.cache,
        seed=arguments.seed,
        command=shlex.join(["python", "train.py", *sys.argv[1:]]),
        resume=arguments.resume,
    )
    try:
        model = ModelConfig(**{field.name: getattr(arguments, field.name) for field in fields(ModelConfig)})
        stages = read_stages(arguments)
    except ValueError as error:
        parser.error(str(error))
    try:
        dataset = read_dataset(arguments.data)
        print(dataset.describe())
        train(dataset, model, stages, arguments.min_frequency, run)
    except CaptioningError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nStopped. To go on, add --resume: {run.command} --resume", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
