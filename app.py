"""The app: pick a photo, a beam width and a checkpoint, and step through the caption word by word.

streamlit run app.py
streamlit run app.py -- --photos DIR
streamlit run app.py -- --data DIR
"""

from pathlib import Path

import streamlit as st

from captioning.page.main import show_page

STYLE = Path(__file__).parent / ".streamlit"


def main() -> None:
    st.set_page_config("Show, Attend and Tell", page_icon=STYLE / "icon.png", layout="wide")
    st.html(STYLE / "page.css")
    show_page()


if __name__ == "__main__":
    main()
