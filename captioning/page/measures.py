"""What the numbers of a training record are called on the page, and what they say."""

from typing import NamedTuple

from captioning.page.text import BLEU


class Measure(NamedTuple):
    """A number's name on screen, and what it says."""

    name: str
    help: str = ""


MEASURES = {
    "epoch": Measure("Epoch"),
    "seconds": Measure("Seconds"),
    "train_loss": Measure(
        "Train loss", "How unlikely the words of the train captions were, given the words before; lower is better."
    ),
    "valid_loss": Measure(
        "Dev loss",
        "The same of the dev captions. It rises in stage 3, which learns to say good captions of its own and not those "
        "that people wrote: the dev scores say whether it does.",
    ),
    "reward": Measure(
        "Reward", "How near its captions came to those that people wrote; stage 3 learns to make this larger."
    ),
    "top5": Measure("Top-5 accuracy", "Percent of the words of the dev captions that were among the five likeliest."),
    "bleu4": Measure("BLEU-4", BLEU),
    "cider": Measure("CIDEr", "The same as a mean over the photos; words that are rare in captions count more."),
    "rouge_l": Measure("ROUGE-L", "The longest sequence of words, with gaps, that a caption shares with a reference."),
    "meteor": Measure("METEOR", "Words that a caption shares with a reference, also as synonyms and other forms."),
    "score": Measure("Score", "The geometric mean of BLEU-4 and CIDEr on dev; the epoch with the highest is kept."),
    "words": Measure("Mean words", "Words of a caption, on average."),
    "doubled": Measure("Words doubled", "Captions that say a word twice in a row."),
    "dangling": Measure("Breaking off", "Captions that end on a word that wants another after it."),
    "movement": Measure(
        "Attention moves", "Distance between the attention of a word and of the next: 0 where it stays, 1 at most."
    ),
    "distinct": Measure("Different captions", "Of all photos of the split."),
    "distinct_words": Measure("Different words", "In the captions of all photos of the split."),
    "shared": Measure("Captions shared", "Percent of captions that another photo has too."),
    "recall_rare": Measure(
        "Rare words named",
        "Percent of the words that two or more references of a photo have, that its caption has too: of words of "
        "1 % of the photos at most.",
    ),
    "recall_medium": Measure("Less rare words named", "The same of words of 1 to 5 % of the photos."),
    "recall_frequent": Measure("Frequent words named", "The same of words of more photos."),
    "women": Measure("Women", "Photos of which two or more references mention women, and none mentions men."),
    "women_called_men": Measure("Women called men", "Captions of these photos that mention men alone."),
    "men": Measure("Men", "Photos of which two or more references mention men, and none mentions women."),
    "men_called_women": Measure("Men called women", "Captions of these photos that mention women alone."),
    "calibration": Measure(
        "Calibration",
        "Rank correlation of how sure the model is with a caption's CIDEr: 1 is perfect, 0 is chance.",
    ),
}
# Numbers that epochs have for each data set too: `bleu4_flickr8k` beside `bleu4`.
OF_DATASETS = ("bleu4", "cider")


def measure_of(key: str) -> str:
    """The number without the name of its data set."""
    return next((measure for measure in OF_DATASETS if key.startswith(f"{measure}_")), key)


def named(key: str) -> str:
    """What a number is called."""
    measure, dataset = measure_of(key), dataset_of(key)
    name = MEASURES[measure].name if measure in MEASURES else measure.replace("_", " ").capitalize()
    return f"{name}, {dataset}" if dataset else name


def dataset_of(key: str) -> str:
    """The data set in the name of a number; empty if it is of all."""
    return key.removeprefix(measure_of(key)).replace("_", " ").strip()


def explained(key: str) -> str:
    """What a number says; empty if the page does not know it."""
    measure = MEASURES.get(measure_of(key))
    return measure.help if measure else ""
