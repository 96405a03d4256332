"""The truth: what people wrote of the photo, beside what the model says."""

import re
from collections.abc import Sequence

import streamlit as st

from captioning.files import FileFingerprint
from captioning.page.cache import describe, load_info
from captioning.page.library import Photo
from captioning.page.text import BLEU, show_training_note, with_marks
from captioning.visualize.screen import to_url
from captioning.vocabulary import tokenize


def show_truth(checkpoint: FileFingerprint, photo: Photo) -> None:
    """What people wrote of the photo, beside what the model says."""
    show_training_note(checkpoint)
    if not photo.references:
        st.info("This photo comes without reference captions: choose one of the data set.")
        return
    # Here, so that the page does not wait for what only this view needs.
    from captioning.evaluation.metrics import bleu

    caption = describe(checkpoint, photo, st.session_state.beam_size)
    left, right = st.columns([2, 3], gap="large")
    # A URL that holds it whole: a file of Streamlit's may be gone by the time the browser asks for it.
    left.image(to_url(photo.image), width="stretch", alt=photo.title)
    with right, st.container(key="marked truth"):
        words, tokenizer = caption.text.split(), load_info(checkpoint).vocabulary.tokenizer
        references = [tokenize(reference, tokenizer) for reference in photo.references]
        st.markdown("#### The model says", help="Marked is each word that somebody wrote too.")
        st.markdown(with_marks(words, [any(word in reference for reference in references) for word in words]))
        st.markdown(
            "#### People wrote", help="The reference captions of this photo; marked is what the model says too."
        )
        st.markdown("\n".join(f"- {with_shared_words(each, words, tokenizer)}" for each in photo.references))
        scores = bleu([words], [references])
        with st.expander(f"BLEU-4 of this one caption: {scores[3]:.1f}"):
            st.caption(BLEU)
            with st.container(horizontal=True):
                for n, score in enumerate(scores, start=1):
                    st.metric(f"BLEU-{n}", f"{score:.1f}", width="content")
            st.caption(
                "BLEU of one sentence says little: it was made for whole test sets. A good caption in other words "
                "scores near 0, and without four words in a row that agree BLEU-4 is 0."
            )


def with_shared_words(reference: str, words: Sequence[str], tokenizer: str) -> str:
    """A reference caption as Markdown, its words marked that a caption has too."""
    written = as_written(reference).split()
    tokens = [tokenize(each, tokenizer) for each in written]
    return with_marks(written, [bool(each) and set(each) <= set(words) for each in tokens])


def as_written(caption: str) -> str:
    """A caption without the blanks that some data sets have before punctuation."""
    return re.sub(r"\s+([.,;:!?])", r"\1", caption).strip()
