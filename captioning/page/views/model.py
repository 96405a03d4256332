"""The model: the checkpoint's card."""

import streamlit as st

from captioning.files import FileFingerprint
from captioning.page import card
from captioning.page.cache import load_captioner
from captioning.page.library import Photo
from captioning.page.text import BLEU, as_markdown


def show_model(checkpoint: FileFingerprint, photo: Photo | None) -> None:
    """The checkpoint's card; it needs no photo."""
    captioner = load_captioner(checkpoint)
    left, right = st.columns(2, gap="large")
    with left:
        show_facts("The model", card.describe_model(captioner))
    with right:
        show_facts("Its training", card.describe_training(captioner.info))
    st.markdown("#### Scores", help=f"{BLEU} Settings were chosen on dev; test was read at the end.")
    # Cells of a table are Markdown.
    scores = [{**row, "Data set": as_markdown(row["Data set"])} for row in card.score_table(captioner.info)]
    if scores:
        st.table(scores, hide_index=True)
        show_measures(card.measure_table(captioner.info))
    else:
        st.info("It has not been scored yet: see python -m captioning evaluate.")
    for stage in card.describe_stages(captioner.info):
        show_stage(stage)
    limits = card.describe_limits(checkpoint.path)
    if limits:
        st.markdown("#### What it is bad at")
        st.markdown(limits)


def show_measures(measures: list[dict]) -> None:
    if measures:
        with st.expander("More measures"):
            st.table([{as_markdown(name): as_markdown(cell) for name, cell in row.items()} for row in measures],
                     hide_index=True)  # fmt: skip


def show_facts(title: str, facts: dict[str, str]) -> None:
    st.markdown(f"#### {title}")
    st.markdown("\n".join(f"- **{name}**: {as_markdown(fact)}" for name, fact in facts.items()))


def show_stage(stage: card.Stage) -> None:
    st.markdown(f"#### {as_markdown(stage.name)}, epoch by epoch")
    # A stage may have recorded nothing that makes a curve.
    columns = st.columns(len(stage.curves)) if stage.curves else []
    for column, curve in zip(columns, stage.curves, strict=True):
        with column:
            st.markdown(f"**{as_markdown(curve.name)}**")
            st.line_chart(curve.rows, x="Epoch", y=curve.columns, y_label="", height=220)
    with st.expander("The table"):
        st.table(stage.table, hide_index=True)
