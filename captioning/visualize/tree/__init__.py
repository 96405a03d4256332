"""The drawing of a beam search."""
