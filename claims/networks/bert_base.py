"""BERT-base with a classifier, in plain torch: the shapes of `BertForSequenceClassification(BertConfig())`.

Query, key, value and output are four `nn.Linear` each, as in the `transformers` library. `nn.MultiheadAttention`
keeps three of them in one parameter, which dynamic quantization does not touch. Devlin et al. 2019, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, LAYERS, HEADS, INNER = 768, 12, 12, 3072
VOCABULARY, POSITIONS, TYPES, LABELS = 30522, 512, 2, 2
TOKENS = 128  # of one sentence pair, as on the page


class Layer(nn.Module):
    """One layer of the encoder: self-attention and two linear layers, each with a residual and a LayerNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.output, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)
        self.expand, self.reduce = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        self.last_norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens, (batch, tokens, width), after this layer."""
        batch, tokens, _ = x.shape
        query, key, value = (
            project(x).reshape(batch, tokens, HEADS, WIDTH // HEADS).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        x = self.norm(x + self.output(attended.transpose(1, 2).reshape(batch, tokens, WIDTH)))
        return self.last_norm(x + self.reduce(functional.gelu(self.expand(x))))


class Bert(nn.Module):
    """Embeddings, twelve layers, the pooler and the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(POSITIONS, WIDTH)
        self.types, self.norm = nn.Embedding(TYPES, WIDTH), nn.LayerNorm(WIDTH)
        self.layers = nn.Sequential(*(Layer() for _ in range(LAYERS)))
        self.pooler, self.classifier = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, LABELS)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits, (batch, labels), of token ids, (batch, tokens)."""
        words = self.words(ids)
        places = torch.arange(words.shape[1], device=ids.device)
        x = words + self.positions(places) + self.types(torch.zeros_like(places))
        x = self.layers(self.norm(x))
        logits: Tensor = self.classifier(torch.tanh(self.pooler(x[:, 0])))
        return logits


def bert_base() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the network and the token ids of one input."""
    return Bert(), (torch.zeros(1, TOKENS, dtype=torch.long),)


def word_embedding() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the table of words and the token ids of one input."""
    return nn.Embedding(VOCABULARY, WIDTH), (torch.zeros(1, TOKENS, dtype=torch.long),)


def without_words() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the network without its table of words, and the embedded words of one input."""
    network = Bert()
    network.words = nn.Identity()  # type: ignore[assignment]
    return network, (torch.zeros(1, TOKENS, WIDTH),)
