"""The app: pick a photo, a beam width and a checkpoint, and step through the caption word by word.

streamlit run app.py
streamlit run app.py -- --photos DIR
streamlit run app.py -- --data DIR DIR …
"""

if __name__ == "__main__":
    # Streamlit runs this file as a script for each page, again after everything that somebody does on it …
    from captioning.page.main import show_page

    show_page()
else:
    # … and imports it once, as what it serves.
    import streamlit as st

    from captioning.page.server import serving

    app = st.App(__file__, lifespan=serving)
