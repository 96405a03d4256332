"""The page on Streamlit Community Cloud, which installs the requirements that stand beside this file."""

import sys
from pathlib import Path

if (root := str(Path(__file__).resolve().parents[2])) not in sys.path:
    sys.path.insert(0, root)
from captioning.page.main import show_page

show_page()
