"""The Streamlit page that `app.py` shows, one file a region; `main.py` is its outline."""
