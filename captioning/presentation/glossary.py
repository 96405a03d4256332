"""What the field's words mean, in a sentence or two beside them."""

LOG_PROBABILITY = (
    "Log-probability is the logarithm of a caption's probability, which is that of its words multiplied; "
    "nearer to 0 is likelier."
)
BEAM_WIDTH = "How many unfinished captions the search keeps at each step. 1 is greedy: always the likeliest next word."
BEAM_SEARCH = (
    "At each step every kept prefix is continued by every word, and the best of them all, as many as the beam is wide, "
    "are kept. The number in a box is the log-probability of the whole prefix."
)
SCORE = (
    "What the final hypotheses are ranked by: log-probability / length ^ {}, the length-normalised log-probability. "
    "Without it short captions would win, for every word more makes a caption less likely."
)
CHECKPOINT = "A trained model: its weights, its vocabulary and the record of its training, in one file."
BLEU = "BLEU-n: how many sequences of up to n words the captions share with those that people wrote; 0 to 100."
