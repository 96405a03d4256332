"""The decoder as a search reads it: nothing is computed twice that hypotheses have in common.

Rows are the open hypotheses, as many as each photo has; S states from which they go on have one row each, R hypotheses
refer to them, for those that differ in their last word alone share the state before it.
"""

from typing import NamedTuple

import torch
from torch import nn

from captioning.model.decoder import AttentionDecoder, Memory, State

# Energies of the attention that are computed at a time: 1 MB of float32, which a CPU's cache holds.
CACHED_ENERGIES = 2**18


class Glimpse(NamedTuple):
    """What S states see before any word is read: attention (S, L), the LSTM's gates so far (S, 4H), cells (S, H)."""

    attention: torch.Tensor
    gates: torch.Tensor
    cell: torch.Tensor


class SearchDecoder(nn.Module):
    """The weights of a decoder in evaluation mode, laid out for search; it computes what `AttentionDecoder.step` does.

    Products that read the same vector are one, and what a word adds to the LSTM's gates is looked up. Every tanh(x) is
    2 sigmoid(2x) - 1 (see `AdditiveAttention`), the first 2 being multiplied into the weights where there are any.

    Args:
        decoder: what it is made from; layers that stay as they are are shared.
    """

    @torch.no_grad()
    def __init__(self, decoder: AttentionDecoder):
        super().__init__()
        attention, lstm, embedding = decoder.attention, decoder.lstm, decoder.embedding.weight
        self.neck = nn.Sequential(*decoder.neck.children())
        self.initial = _side_by_side(decoder.initial_hidden, decoder.initial_cell)
        self.project = _doubled(attention.project_features)
        # Its bias is the same for all cells, and softmax is blind to it.
        self.register_buffer("score", 2 * attention.score.weight[0])
        self._sizes = (attention.project_hidden.out_features, decoder.gate.out_features, 4 * lstm.hidden_size)
        from_word, from_context = _ready(lstm.weight_ih).split((embedding.shape[1], decoder.gate.out_features), dim=1)
        self.register_buffer("words", embedding @ from_word.T + _ready(lstm.bias_ih + lstm.bias_hh))
        self.from_context = _linear(from_context)
        self.from_hidden = _side_by_side(
            _doubled(attention.project_hidden), decoder.gate, _linear(_ready(lstm.weight_hh))
        )
        self.output = decoder.output

    def start(self, features: torch.Tensor) -> tuple[Memory, State]:
        """Memory, and an initial state (N, H) a photo, for encoder features (N, L, encoder_channels)."""
        features = self.neck(features)
        hidden, cell = self.initial(features.mean(dim=1)).tanh().chunk(2, dim=1)
        return Memory(features, self.project(features)), State(hidden, cell)

    def look(self, memory: Memory, state: State, photos: torch.Tensor) -> Glimpse:
        """What states (S, H) see of their photos (S,), which must stand in rising order."""
        query, gate, gates = self.from_hidden(state.hidden).split(self._sizes, dim=1)
        attention = self._attend(memory.projected, query, photos)
        context = _mix(attention, memory.features, photos) * gate.sigmoid()
        return Glimpse(attention, gates + self.from_context(context), state.cell)

    def read(self, glimpse: Glimpse, parents: torch.Tensor, tokens: torch.Tensor) -> State:
        """States (R, H) after a token each (R,), read by the states `parents` (R,) that had looked."""
        gates = (glimpse.gates.index_select(0, parents) + self.words.index_select(0, tokens)).sigmoid()
        taken, kept, new, shown = gates.chunk(4, dim=1)
        cell = kept * glimpse.cell.index_select(0, parents) + taken * (2 * new - 1)
        return State(shown * (2 * (2 * cell).sigmoid() - 1), cell)

    def predict(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits (R, V) of the next token after hidden states (R, H)."""
        return self.output(hidden)

    def _attend(self, projected: torch.Tensor, query: torch.Tensor, photos: torch.Tensor) -> torch.Tensor:
        """Attention weights (S, L); the energies, the largest tensor of all, are computed some rows at a time."""
        rows = max(1, CACHED_ENERGIES // projected[0].numel())
        parts = []
        for some, of in zip(query.split(rows), photos.split(rows), strict=True):
            energy = projected.index_select(0, of).add_(some.unsqueeze(1)).sigmoid_()
            parts.append((energy @ self.score).softmax(dim=1))
        return torch.cat(parts)


def places(photos: torch.Tensor) -> torch.Tensor:
    """The place of each row among its photo's, for photos (R,) in rising order."""
    return torch.arange(len(photos), device=photos.device) - torch.searchsorted(photos, photos)


def _mix(attention: torch.Tensor, features: torch.Tensor, photos: torch.Tensor) -> torch.Tensor:
    """Context vectors (S, D): each row's photo's features, weighted."""
    if len(features) == 1:
        return attention @ features[0]
    place = places(photos)
    weights = attention.new_zeros(len(features), int(place.max()) + 1, attention.shape[1])
    weights[photos, place] = attention
    return (weights @ features)[photos, place]


def _linear(weight: torch.Tensor, bias: torch.Tensor | None = None) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer


def _ready(gates: torch.Tensor) -> torch.Tensor:
    """Weights or biases (4H, …) of an LSTM's gates, those of the third, the new content, doubled for its tanh."""
    gates = gates.clone()
    gates.unflatten(0, (4, -1))[2].mul_(2)
    return gates


def _doubled(layer: nn.Linear) -> nn.Linear:
    return _linear(2 * layer.weight, 2 * layer.bias)


def _side_by_side(*layers: nn.Linear) -> nn.Linear:
    """One layer for several that read the same; one without a bias has a bias of zeros."""
    biases = [layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias for layer in layers]
    return _linear(torch.cat([layer.weight for layer in layers]), torch.cat(biases))
