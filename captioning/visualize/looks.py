"""The looks: how a word is drawn over the photo. The command line, the page and the player offer these."""

# Drawn of what hiding each place does to the word; the others are drawn of its attention.
OCCLUSION = "occlusion"
LOOKS = {"heat": "Heat map", "spotlight": "Spotlight", "contour": "Contour", OCCLUSION: "What mattered"}
