"""Where photos that people upload are kept while they arrive."""

from starlette.formparsers import MultiPartParser

from captioning.images import MAX_BYTES


def keep_uploads_in_memory() -> None:
    """Keep an upload in memory from its first byte; Streamlit's web server would write larger ones to a disk first."""
    MultiPartParser.spool_max_size = 2 * MAX_BYTES
