"""Searches written as plainly as can be, for one photo at a time, to hold the fast one against."""

from collections.abc import Container, Sequence

import torch

from captioning.inference.options import SearchOptions
from captioning.model.decoder import AttentionDecoder
from captioning.vocabulary import END, NEVER_GENERATED, START


def _next_log_probabilities(decoder: AttentionDecoder, features: torch.Tensor, tokens: list[int]) -> torch.Tensor:
    """Log-probabilities (V,) of the token after `tokens`, computed from the beginning."""
    memory, state = decoder.start(features.unsqueeze(0), 1)
    for token in [START, *tokens]:
        state = decoder.advance(decoder.attend(memory, state), torch.tensor([[token]]))
    logits = decoder.predict(state.hidden)[0, 0]
    logits[list(NEVER_GENERATED)] = -torch.inf
    logits[tokens[-1] if tokens else END] = -torch.inf
    return logits.log_softmax(dim=-1)


def _rank(found: list[tuple[list[int], float]], options: SearchOptions) -> list[tuple[list[int], float]]:
    return sorted(found, key=lambda hypothesis: -hypothesis[1] / len(hypothesis[0]) ** options.length_penalty)


@torch.inference_mode()
def plain_beam_search(
    decoder: AttentionDecoder,
    features: torch.Tensor,
    options: SearchOptions,
    prefix: Sequence[int] = (),
    once: Container[int] = (),
) -> list[tuple[list[int], float]]:
    """Hypotheses (tokens, log-probability) of one photo that begin with the prefix, best first; features (L, D).

    After the prefix, none says again what it has said and may say once.
    """
    begun, total = [], 0.0
    for token in prefix:
        total += float(_next_log_probabilities(decoder, features, begun)[token])
        begun.append(token)
    if begun and begun[-1] == END:
        return [(begun, total)]
    beam, finished = [(begun, total)], []
    for _ in range(options.max_steps - len(begun)):
        candidates = []
        for tokens, total in beam:
            values = _next_log_probabilities(decoder, features, tokens).tolist()
            candidates += [
                ([*tokens, token], total + value)
                for token, value in enumerate(values)
                if token not in tokens or token not in once
            ]
        candidates = [candidate for candidate in candidates if candidate[1] > -float("inf")]
        candidates.sort(key=lambda candidate: -candidate[1])
        best = candidates[: options.beam_size - len(finished)]
        finished += [candidate for candidate in best if candidate[0][-1] == END]
        beam = [candidate for candidate in best if candidate[0][-1] != END]
        if not beam:
            break
    return _rank(finished + beam, options)


@torch.inference_mode()
def exhaustive_search(
    decoder: AttentionDecoder, features: torch.Tensor, options: SearchOptions
) -> list[tuple[list[int], float]]:
    """Every caption there is up to the step limit, best first."""
    found = []

    def extend(tokens: list[int], total: float) -> None:
        if len(tokens) == options.max_steps or (tokens and tokens[-1] == END):
            found.append((tokens, total))
            return
        for token, value in enumerate(_next_log_probabilities(decoder, features, tokens).tolist()):
            if value > -float("inf"):
                extend([*tokens, token], total + value)

    extend([], 0.0)
    return _rank(found, options)
