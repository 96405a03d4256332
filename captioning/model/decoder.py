"""Additive attention and the LSTM decoder (Xu et al., 2015, *Show, Attend and Tell*, sections 3.1.2 and 4.2).

Rows of the decoder are captions, K for each of N photos: the five reference captions in training, the beams in a
search. The tensors of a photo are kept once and broadcast over its K rows.
"""

from typing import NamedTuple

import torch
from torch import nn

from captioning.vocabulary import END, NEVER_GENERATED, START


class Memory(NamedTuple):
    """What is computed once per photo: features (N, L, D), and what the attention needs of them (N, L, A)."""

    features: torch.Tensor
    projected: torch.Tensor


class State(NamedTuple):
    """The LSTM's hidden state and cell, both (N, K, H)."""

    hidden: torch.Tensor
    cell: torch.Tensor


class AttendedState(NamedTuple):
    """A state and what it attends to: attention weights (N, K, L), gated context vectors (N, K, D)."""

    attention: torch.Tensor
    context: torch.Tensor
    state: State


# Activations of attention's inner layer as c f(c x). tanh(x) is 2 sigmoid(2x) - 1: on a CPU torch's sigmoid takes a
# tenth of the time of its tanh. The - 1 adds the same to every cell, so softmax cancels it. They compute in place, for
# their gradients need their results alone.
ATTENTION_ACTIVATIONS = {"tanh": (2, torch.sigmoid_), "relu": (1, torch.relu_)}
INITIAL_ACTIVATIONS = {"tanh": nn.Tanh, "linear": nn.Identity}


class AdditiveAttention(nn.Module):
    """Attention weights from a two-layer perceptron (Bahdanau et al., 2015; Xu et al., equations 4 to 6)."""

    def __init__(self, feature_size: int, decoder_size: int, attention_size: int, activation: str):
        super().__init__()
        self._scale, self._activate = ATTENTION_ACTIVATIONS[activation]
        self.project_features = nn.Linear(feature_size, attention_size)
        self.project_hidden = nn.Linear(decoder_size, attention_size)
        self.score = nn.Linear(attention_size, 1)

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """What `forward` needs of features (N, L, D), once a photo: (N, L, A)."""
        return self._scale * self.project_features(features)

    def forward(self, projected: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Weights (N, K, L) for features that `project` gave and hidden states (N, K, H); each row sums to 1."""
        energy = projected.unsqueeze(1) + (self._scale * self.project_hidden(hidden)).unsqueeze(2)
        return (self._scale * self.score(self._activate(energy))).squeeze(-1).softmax(dim=-1)


class AttentionDecoder(nn.Module):
    """An LSTM that attends to the feature grid before each word.

    Args:
        vocabulary_size: V.
        encoder_channels: length of the encoder's feature vectors.
        neck_size: length to which a linear layer with ReLU shortens them first; None leaves them as they are.
        embedding_size, attention_size, decoder_size: lengths of word vectors, of the attention's inner layer and
            of the hidden state.
        attention_activation, initial_activation: of the attention's inner layer (a name of ATTENTION_ACTIVATIONS), and
            of the layers that give the initial state (a name of INITIAL_ACTIVATIONS).
        dropout: rate before the output layer.
        feature_dropout: rate on the encoder's features.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        encoder_channels: int,
        neck_size: int | None,
        embedding_size: int,
        attention_size: int,
        attention_activation: str,
        initial_activation: str,
        decoder_size: int,
        dropout: float,
        feature_dropout: float,
    ):
        super().__init__()
        feature_size = neck_size or encoder_channels
        neck = nn.Sequential(nn.Linear(encoder_channels, neck_size), nn.ReLU()) if neck_size else nn.Identity()
        self.feature_dropout = nn.Dropout(feature_dropout)
        self.neck = neck
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.attention = AdditiveAttention(feature_size, decoder_size, attention_size, attention_activation)
        self.gate = nn.Linear(decoder_size, feature_size)
        self.initial_hidden = nn.Linear(feature_size, decoder_size)
        self.initial_cell = nn.Linear(feature_size, decoder_size)
        self._initial_activation = INITIAL_ACTIVATIONS[initial_activation]()
        self.lstm = nn.LSTMCell(embedding_size + feature_size, decoder_size)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(decoder_size, vocabulary_size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.output.weight, -0.1, 0.1)
        nn.init.zeros_(self.output.bias)

    def start(self, features: torch.Tensor, rows: int) -> tuple[Memory, State]:
        """Memory and initial state of `rows` captions a photo, for encoder features (N, L, encoder_channels).

        Hidden state and cell are predicted from the mean feature vector (Xu et al., section 3.1.2).
        """
        features = self.neck(self.feature_dropout(features))
        mean = features.mean(dim=1)
        hidden, cell = (
            self._initial_activation(layer(mean)).unsqueeze(1).expand(-1, rows, -1)
            for layer in (self.initial_hidden, self.initial_cell)
        )
        return Memory(features, self.attention.project(features)), State(hidden, cell)

    def attend(self, memory: Memory, state: State) -> AttendedState:
        """Look at the photo before the next word is read.

        The context vector is the attention's mean of the features, gated by the hidden state (Xu et al., equation 13
        and section 4.2.1).
        """
        attention = self.attention(memory.projected, state.hidden)
        context = (attention @ memory.features) * self.gate(state.hidden).sigmoid()
        return AttendedState(attention, context, state)

    def advance(self, attended: AttendedState, tokens: torch.Tensor) -> State:
        """The state after a token (N, K) was read by each attended state."""
        inputs = torch.cat([self.embedding(tokens), attended.context], dim=-1).flatten(0, 1)
        hidden, cell = self.lstm(inputs, tuple(tensor.flatten(0, 1) for tensor in attended.state))
        return State(hidden.unflatten(0, tokens.shape), cell.unflatten(0, tokens.shape))

    def predict(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits (…, V) of the next token after hidden states (…, H)."""
        return self.output(self.dropout(hidden))

    def forward(
        self, features: torch.Tensor, captions: torch.Tensor, teacher_forcing: float = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Read the captions (N, K, T) from <start> on, up to the token before the last.

        A photo drops out of the batch once its longest caption is over, so photos must stand in order of falling
        caption length.

        Args:
            features: of the encoder, (N, L, encoder_channels).
            captions: ids, padded with <pad>.
            teacher_forcing: how likely each token is read from the caption; else it is the model's own likeliest
                one (scheduled sampling, Bengio et al., 2015). <start> is always read.

        Returns:
            Hidden states (N, K, T - 1, H), from which `predict` gives each next token, and attention weights
            (N, K, T - 1, L); both are zero where a photo had dropped out.
        """
        memory, state = self.start(features, captions.shape[1])
        hidden, attention = [], []
        # A photo needs step t while any of its captions has a token to predict there; <pad> is 0.
        alive = (captions[:, :, 1:] != 0).any(dim=1).sum(dim=0).tolist()
        for step, count in enumerate(alive):
            memory = Memory(*(tensor[:count] for tensor in memory))
            state = State(*(tensor[:count] for tensor in state))
            tokens = captions[:count, :, step]
            if step and teacher_forcing < 1:
                tokens = self._sometimes_own(tokens, state.hidden, teacher_forcing)
            attended = self.attend(memory, state)
            state = self.advance(attended, tokens)
            hidden.append(_pad_photos(state.hidden, len(captions)))
            attention.append(_pad_photos(attended.attention, len(captions)))
        return torch.stack(hidden, dim=2), torch.stack(attention, dim=2)

    @torch.no_grad()
    def _sometimes_own(self, tokens: torch.Tensor, hidden: torch.Tensor, teacher_forcing: float) -> torch.Tensor:
        own = self.predict(hidden).argmax(dim=-1)
        return torch.where(torch.rand(tokens.shape, device=tokens.device) < teacher_forcing, tokens, own)


def speakable_log_probabilities(logits: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Log-probabilities (…, V) in float32 over what a caption may say after the tokens `before` (…); the rest is -inf.

    A caption never says `<pad>`, `<start>` or `<unk>`, says no word twice in a row, and does not end before its first
    word.

    Args:
        logits: (…, V).
        before: the last token of each caption, `<start>` if it has no word yet.
    """
    tokens, before = torch.arange(logits.shape[-1], device=logits.device), before.unsqueeze(-1)
    # What depends on no caption comes first, for a graph has it as one constant.
    banned = torch.zeros_like(tokens, dtype=torch.bool)
    for token in NEVER_GENERATED:
        banned = banned | (tokens == token)
    banned = banned | (tokens == before) | ((tokens == END) & (before == START))
    return logits.float().masked_fill(banned, -torch.inf).log_softmax(dim=-1)


def _pad_photos(tensor: torch.Tensor, count: int) -> torch.Tensor:
    missing = count - len(tensor)
    return nn.functional.pad(tensor, (0, 0, 0, 0, 0, missing)) if missing else tensor
