"""The decoder as a search reads it: nothing is computed twice that hypotheses have in common.

Rows are the open hypotheses, as many as each photo has; S states from which they go on have one row each, R hypotheses
refer to them, for those that differ in their last word alone share the state before it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from captioning.model.decoder import AttentionDecoder, Memory, State


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

    def start(self, features: torch.Tensor) -> tuple[list[Memory], State]:
        """A memory, (L, D) and (L, A), and an initial state (N, H) a photo, for features (N, L, encoder_channels)."""
        features = self.neck(features)
        hidden, cell = self.initial(features.mean(dim=1)).tanh().chunk(2, dim=1)
        memories = [Memory(*photo) for photo in zip(features, self.project(features), strict=True)]
        return memories, State(hidden, cell)

    def look(self, memories: Sequence[Memory], state: State, counts: Sequence[int]) -> Glimpse:
        """What states (S, H) see of their photos, of which the first `counts[0]` states have the first, and so on."""
        query, gate, gates = self.from_hidden(state.hidden).split(self._sizes, dim=1)
        # Photo by photo: its energies (states, L, A), the largest tensor of all, stay in a CPU's cache.
        scores = [
            (photo.projected + some.unsqueeze(1)).sigmoid_() @ self.score
            for photo, some in zip(memories, query.split(counts), strict=True)
        ]
        attention = torch.cat(scores).softmax(dim=1)
        contexts = [weights @ photo.features for photo, weights in zip(memories, attention.split(counts), strict=True)]
        context = torch.cat(contexts) * gate.sigmoid()
        return Glimpse(attention, gates + self.from_context(context), state.cell)

    def read(self, glimpse: Glimpse, parents: torch.Tensor, tokens: torch.Tensor) -> State:
        """States (R, H) after a token each (R,), read by the states `parents` (R,) that had looked."""
        gates = (glimpse.gates.index_select(0, parents) + self.words.index_select(0, tokens)).sigmoid()
        taken, kept, new, shown = gates.chunk(4, dim=1)
        cell = torch.addcmul(kept * glimpse.cell.index_select(0, parents) - taken, taken, new, value=2)
        return State(torch.addcmul(-shown, shown, (2 * cell).sigmoid(), value=2), cell)

    def predict(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits (R, V) of the next token after hidden states (R, H)."""
        return self.output(hidden)


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
