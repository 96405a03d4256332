"""Captioning as the best-known implementations of the paper do it, to be run beside ours with the same weights.

One photo at a time; its features are copied to every beam and projected for the attention again at each step; sequences
and attention are grown by concatenation, and finished hypotheses are kept in Python lists.
"""

import torch

from captioning.model.decoder import AttentionDecoder
from captioning.vocabulary import END, START


def reference_attention(decoder: AttentionDecoder, features: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Weights (B, L) for features (B, L, D) and hidden states (B, H), one for each."""
    attention = decoder.attention
    energy = attention.project_features(features) + attention.project_hidden(hidden).unsqueeze(1)
    return attention.score(energy.tanh()).squeeze(2).softmax(dim=1)


@torch.inference_mode()
def reference_search(
    decoder: AttentionDecoder, features: torch.Tensor, beam_size: int, max_steps: int = 30
) -> list[int]:
    """The likeliest caption found, as tokens, for the features (1, L, encoder_channels) of one photo."""
    beams = beam_size
    features = decoder.neck(features).expand(beams, -1, -1)
    mean = features.mean(dim=1)
    hidden, cell = decoder.initial_hidden(mean).tanh(), decoder.initial_cell(mean).tanh()
    sequences = torch.full((beams, 1), START)
    looked = torch.ones(beams, 1, features.shape[1])
    scores = torch.zeros(beams, 1)
    finished: list[list[int]] = []
    finished_looked: list[list] = []
    finished_scores: list[float] = []
    for step in range(max_steps):
        weights = reference_attention(decoder, features, hidden)
        context = (features * weights.unsqueeze(2)).sum(dim=1) * decoder.gate(hidden).sigmoid()
        hidden, cell = decoder.lstm(torch.cat([decoder.embedding(sequences[:, -1]), context], dim=1), (hidden, cell))
        totals = scores.expand(-1, decoder.output.out_features) + decoder.output(hidden).log_softmax(dim=1)
        # All rows are the same at first, so that only one of them counts.
        best, chosen = (totals[0] if step == 0 else totals.flatten()).topk(beams)
        parents, tokens = chosen // totals.shape[1], chosen % totals.shape[1]
        sequences = torch.cat([sequences[parents], tokens.unsqueeze(1)], dim=1)
        looked = torch.cat([looked[parents], weights[parents].unsqueeze(1)], dim=1)
        going_on = [row for row, token in enumerate(tokens) if token != END]
        complete = sorted(set(range(len(tokens))) - set(going_on))
        if complete:
            finished.extend(sequences[complete].tolist())
            finished_looked.extend(looked[complete].tolist())
            finished_scores.extend(best[complete].tolist())
        beams -= len(complete)
        if not beams:
            break
        sequences, looked = sequences[going_on], looked[going_on]
        kept = parents[going_on]
        hidden, cell, features, scores = hidden[kept], cell[kept], features[kept], best[going_on].unsqueeze(1)
    if not finished:
        return sequences[0].tolist()
    return finished[finished_scores.index(max(finished_scores))]
