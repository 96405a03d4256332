"""The model: the checkpoint's card."""

import math

import streamlit as st

from captioning.errors import printable
from captioning.files import FileFingerprint
from captioning.page import card
from captioning.page.cache import load_captioner
from captioning.page.library import Photo
from captioning.page.text import BLEU, as_markdown

CURVES_IN_A_ROW = 3


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
    choose_stage(card.describe_stages(captioner.info))
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


def choose_stage(stages: list[card.Stage]) -> None:
    """The stage of training that is chosen, the first to begin with."""
    if not stages:
        return
    st.markdown("#### Epoch by epoch")
    by_name = {stage.name: stage for stage in stages}
    if st.session_state.get("stage") not in by_name:
        st.session_state.stage = next(iter(by_name))
    st.selectbox("Stage of training", list(by_name), key="stage", persist_state="page", width=300)
    show_stage(by_name[st.session_state.stage])


def show_stage(stage: card.Stage) -> None:
    # A stage may have recorded nothing that makes a curve.
    for start in range(0, len(stage.curves), CURVES_IN_A_ROW):
        row = stage.curves[start : start + CURVES_IN_A_ROW]
        for column, curve in zip(st.columns(CURVES_IN_A_ROW, gap="large"), row, strict=False):
            with column:
                st.markdown(f"**{as_markdown(curve.name)}**", help=as_markdown(curve.help) or None)
                show_curve(curve)
    with st.expander("The table"):
        st.table(stage.table, hide_index=True)
    if stage.command:
        with st.expander("The command"):
            st.code(printable(stage.command), language="shell", wrap_lines=True)


def show_curve(curve: card.Curve) -> None:
    """The columns over the epochs; as a specification, for `st.line_chart` takes a tenth of a second to write one."""
    values = [
        {"Epoch": row["Epoch"], "Value": row[name], "Of": label}
        for row in curve.rows
        for name, label in curve.columns.items()
        if math.isfinite(row.get(name, math.nan))
    ]
    # A line by itself needs no legend.
    legend = {"orient": "top", "title": None, "offset": 0} if len(curve.columns) > 1 else None
    specification = {
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": {"field": "Epoch", "type": "quantitative", "title": None, "axis": {"tickMinStep": 1, "grid": False}},
            "y": {"field": "Value", "type": "quantitative", "title": None, "scale": {"zero": False}},
            "color": {"field": "Of", "type": "nominal", "sort": list(curve.columns.values()), "legend": legend},
            "tooltip": [{"field": "Epoch"}, {"field": "Of"}, {"field": "Value", "format": ".4~g"}],
        },
        "data": {"values": values},
    }
    st.vega_lite_chart(specification, height=220, alt=f"{curve.name} by epoch; the table has the numbers")
