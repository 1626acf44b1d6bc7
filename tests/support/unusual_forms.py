"""Networks in unusual forms, each with its parameters and MACs by a closed form.

Unless a row says otherwise, the layer is nn.Linear(8, 4) and the input has 5 tokens of 8 features: 160 MACs and 36
parameters.
"""

from __future__ import annotations

import torch
import torch.utils.mkldnn
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, weight_norm

from tests.support.unusual import (
    OUT,
    TOKENS,
    WIDTH,
    Apply,
    Buffers,
    Form,
    Tied,
    attention,
    encoder_layer,
    images,
    linear,
    lora,
    masked,
    quantized,
    small_cnn,
    sparse,
    static_int8,
    tokens,
    torchao,
    weight,
    wide_tokens,
)

MACS, PARAMETERS = TOKENS * WIDTH * OUT, WIDTH * OUT + OUT
IMAGE_MACS, IMAGE_PARAMETERS = 36 * 27 * 4 + 144 * 5, 27 * 4 + 4 + 8 + 145 * 5  # of `small_cnn`
SQUARE = WIDTH * WIDTH
ATTENTION = 4 * SQUARE + 4 * WIDTH  # parameters of `attention`
PRODUCTS = 2 * TOKENS * TOKENS * WIDTH
ENCODER_MACS, ENCODER = TOKENS * (4 * SQUARE + 2 * 16 * WIDTH) + PRODUCTS, ATTENTION + 2 * 16 * WIDTH + 24 + 32
LSTM = 16 * WIDTH + 16 * OUT  # weights of one layer and direction of an LSTM with 4 cells


FORMS: dict[str, Form] = {
    # The ways in which a weight is stored.
    "weight norm": Form(lambda: parametrizations.weight_norm(linear()), tokens, MACS, PARAMETERS + OUT),
    "weight norm by hooks": Form(lambda: weight_norm(linear()), tokens, MACS, PARAMETERS + OUT),
    "spectral norm": Form(lambda: parametrizations.spectral_norm(linear()), tokens, MACS, PARAMETERS),
    "spectral norm by hooks": Form(lambda: nn.utils.spectral_norm(linear()), tokens, MACS, PARAMETERS),
    "orthogonal": Form(lambda: parametrizations.orthogonal(linear()), tokens, MACS, PARAMETERS),
    "orthogonal by matrix_exp": Form(
        lambda: parametrizations.orthogonal(nn.Linear(WIDTH, WIDTH)), tokens, TOKENS * SQUARE, SQUARE + WIDTH
    ),
    "mask not removed": Form(masked, tokens, MACS, PARAMETERS),
    "low-rank addition": Form(lora, tokens, MACS, 32 + 3 * WIDTH),
    "int8 in buffers": Form(Buffers, tokens, MACS, PARAMETERS),
    "plain attribute": Form(
        lambda: Apply(lambda self, x: x @ self.matrix, matrix=torch.ones(WIDTH, OUT)), tokens, MACS, 32
    ),
    "layers in a list": Form(
        lambda: Apply(lambda self, x: self.layers[0](x), layers=[linear()]), tokens, MACS, PARAMETERS
    ),
    "tied embedding": Form(Tied, lambda: (torch.zeros(1, TOKENS, dtype=torch.long),), TOKENS * 80, 80),
    "concatenated weights": Form(
        lambda: Apply(
            lambda self, x: functional.linear(x, torch.cat([self.a.weight, self.b.weight])), a=linear(), b=linear()
        ),
        tokens,
        2 * MACS,
        2 * PARAMETERS,
    ),
    "slice of a weight": Form(
        lambda: Apply(lambda self, x: x @ self.a.weight[:2].T, a=linear()), tokens, MACS // 2, PARAMETERS
    ),
    "sparse COO": Form(
        lambda: Apply(lambda self, x: torch.sparse.mm(self.w, x[0].t()), w=sparse(torch.sparse_coo)),
        tokens,
        16 * TOKENS,
        16,
    ),
    "sparse CSR": Form(
        lambda: Apply(lambda self, x: functional.linear(x[0], self.w), w=sparse(torch.sparse_csr)),
        tokens,
        16 * TOKENS,
        16,
    ),
    # The ways in which it is used.
    "F.linear": Form(lambda: Apply(lambda self, x: functional.linear(x, self.w), w=weight(4, 8)), tokens, MACS, 32),
    "einsum": Form(
        lambda: Apply(lambda self, x: torch.einsum("bti,oi->bto", x, self.w), w=weight(4, 8)), tokens, MACS, 32
    ),
    "matrix by vector": Form(lambda: Apply(lambda self, x: self.w @ x[0, 0], w=weight(4, 8)), tokens, 32, 32),
    "weight.data": Form(
        lambda: Apply(lambda self, x: functional.linear(x, self.w.data), w=weight(4, 8)), tokens, MACS, 32
    ),
    "functional_call": Form(
        lambda: Apply(
            lambda self, x: torch.func.functional_call(self.a, {"weight": 2 * self.a.weight}, x), a=linear()
        ),
        tokens,
        MACS,
        PARAMETERS,
    ),
    "vmap": Form(lambda: Apply(lambda self, x: torch.vmap(self.a)(x), a=linear()), tokens, MACS, PARAMETERS),
    "keyword calls": Form(
        lambda: Apply(lambda self, x: functional.linear(input=x, bias=None, weight=self.a.weight), a=linear()),
        tokens,
        MACS,
        PARAMETERS,
    ),
    "one layer twice": Form(
        lambda: Apply(lambda self, x: self.a(self.a(x)), a=nn.Linear(WIDTH, WIDTH, bias=False)),
        tokens,
        2 * TOKENS * SQUARE,
        SQUARE,
    ),
    "bilinear": Form(
        lambda: Apply(lambda self, x: self.a(x[0], x[0]), a=nn.Bilinear(WIDTH, WIDTH, 3)),
        tokens,
        TOKENS * 3 * (SQUARE + WIDTH),
        3 * SQUARE + 3,
        activation_macs=TOKENS * 3 * WIDTH,
    ),
    "autocast": Form(
        lambda: Apply(lambda self, x: torch.autocast("cpu", torch.bfloat16)(self.a)(x), a=linear()),
        tokens,
        MACS,
        PARAMETERS,
        bits=16 * 16,
    ),
    # Attention and recurrence.
    "attention": Form(
        lambda: Apply(lambda self, x: self.a(x, x, x), a=attention()),
        tokens,
        TOKENS * 4 * SQUARE + PRODUCTS,
        ATTENTION,
        activation_macs=PRODUCTS,
    ),
    "cross-attention by keywords": Form(
        lambda: Apply(lambda self, x: self.a(query=x[:, :2], key=x, value=x), a=attention()),
        tokens,
        (2 * 2 + 2 * TOKENS) * SQUARE + 2 * 2 * TOKENS * WIDTH,
        ATTENTION,
        activation_macs=2 * 2 * TOKENS * WIDTH,
    ),
    "encoder layer": Form(encoder_layer, tokens, ENCODER_MACS, ENCODER, activation_macs=PRODUCTS),
    "encoder with padding": Form(  # the fast path leaves out the padding: 3 tokens are left of 5
        lambda: Apply(
            lambda self, x: self.a(x, src_key_padding_mask=torch.tensor([[False] * 3 + [True] * 2])),
            a=nn.TransformerEncoder(encoder_layer(), 1),
        ),
        tokens,
        3 * (4 * SQUARE + 2 * 16 * WIDTH) + 2 * 9 * WIDTH,
        ENCODER,
        activation_macs=2 * 9 * WIDTH,
    ),
    "grouped queries": Form(
        lambda: Apply(lambda self, q, k: functional.scaled_dot_product_attention(q, k, k, enable_gqa=True)),
        lambda: (torch.ones(1, 4, TOKENS, WIDTH), torch.ones(1, 2, TOKENS, WIDTH)),
        4 * PRODUCTS,
        0,
        activation_macs=4 * PRODUCTS,
    ),
    "LSTM in two directions": Form(
        lambda: nn.LSTM(WIDTH, OUT, bidirectional=True, batch_first=True),
        tokens,
        2 * TOKENS * LSTM,
        2 * (LSTM + 32),
    ),
    "packed sequences": Form(
        lambda: Apply(lambda self, x: self.a(nn.utils.rnn.pack_sequence([x[0], x[0][:3]])), a=nn.LSTM(WIDTH, OUT)),
        tokens,
        (TOKENS + 3) * LSTM,
        LSTM + 32,
    ),
    "GRU cell": Form(
        lambda: Apply(lambda self, x: self.a(x[0]), a=nn.GRUCell(WIDTH, OUT)), tokens, TOKENS * 144, 144 + 24
    ),
    # Quantized layers.
    "int8 dynamic": Form(lambda: quantized(linear()), tokens, MACS, PARAMETERS, bits=8 * 8),
    "fp16 dynamic": Form(lambda: quantized(linear(), torch.float16), tokens, MACS, PARAMETERS, bits=16 * 32),
    "int8 dynamic LSTM": Form(lambda: quantized(nn.LSTM(WIDTH, OUT)), tokens, TOKENS * LSTM, LSTM + 32, bits=8 * 8),
    "int8 dynamic GRU cell": Form(
        lambda: Apply(lambda self, x: self.a[0](x[0]), a=quantized(nn.GRUCell(WIDTH, OUT))),
        tokens,
        TOKENS * 144,
        144 + 24,
        bits=8 * 8,
    ),
    "shared int8 layer": Form(
        lambda: (lambda layer: nn.Sequential(layer, layer))(quantized(nn.Linear(WIDTH, WIDTH))[0]),
        tokens,
        2 * TOKENS * SQUARE,
        SQUARE + WIDTH,
        bits=8 * 8,
    ),
    "int8 weight-only kernel": Form(
        lambda: Apply(
            lambda self, x: torch._weight_int8pack_mm(x[0], self.w, self.scale),
            w=nn.Parameter(torch.ones(OUT, WIDTH, dtype=torch.int8), requires_grad=False),
            scale=weight(OUT),
        ),
        tokens,
        MACS,
        32 + OUT,
        bits=8 * 32,
    ),
    "int8 static": Form(static_int8, images, 36 * (27 * 4 + 16) + 144 * 5, 28 * 4 + 5 * 4 + 145 * 5, bits=8 * 8),
    "torchao int8 weights only": Form(  # it multiplies dequantized weights
        lambda: torchao("Int8WeightOnlyConfig"), wide_tokens, 3 * 5 * 64 * 32, 2 * 64 * 32
    ),
    "torchao int8 dynamic": Form(
        lambda: torchao("Int8DynamicActivationInt8WeightConfig"),
        wide_tokens,
        3 * 5 * 64 * 32,
        2 * 64 * 32,
        bits=(2 * 8 * 8 + 32 * 32) / 3,
    ),
    "scripted int8": Form(lambda: torch.jit.script(quantized(linear())), tokens, MACS, PARAMETERS, bits=8 * 8),
    "frozen int8": Form(
        lambda: torch.jit.freeze(torch.jit.script(quantized(linear()).eval())), tokens, MACS, PARAMETERS, bits=8 * 8
    ),
    # Wrapped, traced and compiled networks.
    "DataParallel": Form(lambda: nn.DataParallel(linear()), tokens, MACS, PARAMETERS),
    "compiled": Form(lambda: torch.compile(linear()), tokens, MACS, PARAMETERS),
    "compiled inside": Form(lambda: nn.Sequential(torch.compile(linear())), tokens, MACS, PARAMETERS),
    "scripted": Form(lambda: torch.jit.script(small_cnn()), images, IMAGE_MACS, IMAGE_PARAMETERS),
    "traced": Form(lambda: torch.jit.trace(small_cnn(), images()), images, IMAGE_MACS, IMAGE_PARAMETERS),
    "frozen": Form(  # the batch norm becomes part of the convolution
        lambda: torch.jit.freeze(torch.jit.script(small_cnn())), images, IMAGE_MACS, IMAGE_PARAMETERS - 8
    ),
    "exported": Form(
        lambda: torch.export.export(small_cnn(), images()).module(), images, IMAGE_MACS, IMAGE_PARAMETERS
    ),
    "torch.fx": Form(lambda: torch.fx.symbolic_trace(small_cnn()), images, IMAGE_MACS, IMAGE_PARAMETERS),
    "oneDNN layout": Form(
        lambda: Apply(
            lambda self, x: self.a(x.to_mkldnn()).to_dense(),
            a=torch.utils.mkldnn.to_mkldnn(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()),
        ),
        images,
        36 * 27 * 4,
        28 * 4,
    ),
}
