"""Train a captioning model, offline.

    python train.py --data ../shared/flickr8k --config configs/flickr8k-efficientnet-lite2.toml

trains the default checkpoint's model on two CPU cores; configs/resnet101-flickr8k.toml holds the sizes and the
schedule of the reference implementation, for a GPU. Flags override the file. Further:

    python train.py … --resume                        continue where a run was interrupted
    python train.py … --find-lr 1                     search a learning rate for stage 1
    python train.py … --start CHECKPOINT --stages 3   the third stage alone, from a checkpoint
    python train.py … --devices 4 --num-nodes 2       on several devices (on each node, with its NODE_RANK)
"""

import logging
import sys

from captioning.errors import CaptioningError
from captioning.training.flags import TrainingSettings, read_settings


def train(settings: TrainingSettings) -> int:
    """Train, or search a learning rate; returns the exit code.

    Raises:
        CaptioningError: the settings do not suit the data or the machine, or results cannot be written.
    """
    from captioning.training.unused_settings import check_used

    check_used(settings)
    # Not before the flags are checked: loading PyTorch takes seconds.
    from captioning.data.datasets import read_dataset
    from captioning.training.callbacks import Stopped
    from captioning.training.preflight import is_begun
    from captioning.training.run import TrainingRun

    # Lightning's messages other than warnings are of no use here.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    run = settings.run
    try:
        datasets = [read_dataset(folder) for folder in run.data]
        for dataset in datasets:
            print(dataset.describe())
        training = TrainingRun(datasets, settings.model, settings.stages, run)
        if run.find_lr:
            suggestion, picture = training.find_learning_rate(run.find_lr)
            print(f"Suggested learning rate: {suggestion} (see {picture})")
        else:
            training.train()
    except (Stopped, KeyboardInterrupt):
        resume = " --resume" if is_begun(run) and not run.resume else ""
        print(f"\nStopped; the progress is saved. To continue: {run.command}{resume}", file=sys.stderr)
        return 130
    return 0


def main() -> int:
    try:
        return train(read_settings(sys.argv[1:], __doc__))
    except CaptioningError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
