"""Measures of captions beyond n-grams: how varied they are, and what they name.

Content words are all but the function words of English: nouns and verbs, and adjectives with them.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

from captioning.evaluation.metrics import Captions, References

FUNCTION_WORDS = frozenset(
    "a about above across after against along also an and another are around as at away back be been before "
    "behind being below beside between both but by can down during each for from front has have having he her his "
    "in inside into is it its itself just like near next not of off on one onto or other out outside over past "
    "she side so some that the their them there these they this three through to together towards toward two "
    "under up upon very was were what when where which while who with without s t".split()
)
WOMEN = frozenset("woman women girl girls lady ladies female females she her".split())
MEN = frozenset("man men boy boys guy guys male males he his him".split())
# The bands' upper ends: in the references of up to which share of the photos a word stands.
BANDS = {"rare": 0.01, "medium": 0.05, "frequent": 1.0}


def diversity(captions: Captions) -> dict[str, float]:
    """How varied captions are.

    Returns:
        `distinct` captions and `distinct_words` (numbers), and `shared`, the percentage of captions that other photos
        have too.
    """
    counts = Counter(map(tuple, captions))
    shared = sum(count for count in counts.values() if count > 1)
    return {
        "distinct": len(counts),
        "distinct_words": len({word for caption in captions for word in caption}),
        "shared": 100 * shared / len(captions),
    }


def content_recall(captions: Captions, references: References) -> dict[str, float]:
    """The percentage of a photo's content words that its caption names, over all photos, by how frequent the words are.

    A photo's content words are those that two or more of its references have.

    Args:
        captions, references: as for `bleu`.

    Returns:
        `recall_rare`, `recall_medium` and `recall_frequent`; a band without words is left out.
    """
    photos = Counter(word for group in references for word in {word for reference in group for word in reference})
    wanted: Counter[str] = Counter()
    named: Counter[str] = Counter()
    for caption, group in zip(captions, references, strict=True):
        for word in _content_words(group):
            band = next(name for name, end in BANDS.items() if photos[word] <= end * len(references))
            wanted[band] += 1
            named[band] += word in caption
    return {f"recall_{band}": 100 * named[band] / wanted[band] for band in BANDS if wanted[band]}


def gender_confusions(captions: Captions, references: References) -> dict[str, float]:
    """How many photos show only women or only men, and how many captions of them mention only the other.

    A photo shows only women if two or more of its references mention women and none mentions men, and vice versa.

    Args:
        captions, references: as for `bleu`.

    Returns:
        `women`, `women_called_men`, `men` and `men_called_women`, numbers of photos.
    """
    counts: dict[str, float] = dict.fromkeys(("women", "women_called_men", "men", "men_called_women"), 0)
    for caption, group in zip(captions, references, strict=True):
        for (name, shown), (other_name, other) in permutations((("women", WOMEN), ("men", MEN))):
            if sum(not shown.isdisjoint(reference) for reference in group) > 1 and all(map(other.isdisjoint, group)):
                counts[name] += 1
                counts[f"{name}_called_{other_name}"] += not other.isdisjoint(caption) and shown.isdisjoint(caption)
    return counts


def _content_words(references: Sequence[Sequence[str]]) -> set[str]:
    counts = Counter(word for reference in references for word in set(reference))
    return {word for word, count in counts.items() if count > 1} - FUNCTION_WORDS
