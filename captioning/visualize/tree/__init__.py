"""The drawing of a beam search: `tree.js` draws the description that is made here."""

from captioning.inference.beam_tree import BeamTree
from captioning.visualize.screen import number, spoken


def describe_tree(tree: BeamTree) -> dict:
    """The steps of a search with the text in each box and of it, and a summary for screen readers."""
    return {
        "summary": f"The beam search as a tree of {len(tree.steps)} steps; the table below lists what it ended with.",
        "hint": "Point at a box to see its words; choose it to see how the caption goes on from there.",
        "steps": [
            [
                {
                    "word": candidate.word,
                    "label": spoken(candidate.word),
                    "parent": candidate.parent,
                    "log_probability": round(candidate.log_probability, 4),
                    "fate": candidate.fate.value,
                    "final": candidate.final,
                    "title": f"“{' '.join(map(spoken, tree.prefix(step, index)))}”: the last word has "
                    f"{candidate.probability:.1%}, all together log-probability {number(candidate.log_probability)}",
                }
                for index, candidate in enumerate(candidates)
            ]
            for step, candidates in enumerate(tree.steps)
        ],
    }
