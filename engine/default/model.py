# SPDX-License-Identifier: Apache-2.0
"""The decoder in PyTorch: llama's block (RMS norm, rotary positions on neighbouring pairs, grouped
query attention, SwiGLU), tied embeddings. Names follow GGUF, so the export is a walk over them."""
import math

import torch
from torch import nn
from torch.nn import functional as F


class Config:
    def __init__(self, vocab, width=256, layers=4, heads=8, kv_heads=4, hidden=704, context=512):
        self.vocab, self.width, self.layers = vocab, width, layers
        self.heads, self.kv_heads, self.hidden, self.context = heads, kv_heads, hidden, context
        self.head_width = width // heads
        self.rope_base, self.epsilon = 10000.0, 1e-5


class RmsNorm(nn.Module):
    def __init__(self, width, epsilon):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon) * self.weight


def rotate(x, cos, sin):
    """(batch, head, position, width): turns the pairs (2i, 2i+1) by position * base^(-2i/width)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Dropout(nn.Module):
    """Drops features of a whole sequence (Gal and Ghahramani 2016): as good a regulariser as one
    mask per position here, and a hundredth of the random numbers."""

    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, x):
        if not self.training or self.share == 0:
            return x
        mask = torch.rand(x.shape[0], 1, x.shape[2]) >= self.share
        return x * (mask / (1 - self.share)).to(x.dtype)


class Block(nn.Module):
    def __init__(self, config, dropout):
        super().__init__()
        self.config = config
        kv_width = config.kv_heads * config.head_width
        self.attn_norm = RmsNorm(config.width, config.epsilon)
        self.attn_q = nn.Linear(config.width, config.width, bias=False)
        self.attn_k = nn.Linear(config.width, kv_width, bias=False)
        self.attn_v = nn.Linear(config.width, kv_width, bias=False)
        self.attn_output = nn.Linear(config.width, config.width, bias=False)
        self.ffn_norm = RmsNorm(config.width, config.epsilon)
        self.ffn_gate = nn.Linear(config.width, config.hidden, bias=False)
        self.ffn_up = nn.Linear(config.width, config.hidden, bias=False)
        self.ffn_down = nn.Linear(config.hidden, config.width, bias=False)
        self.dropout = Dropout(dropout)

    def heads(self, x, count):
        batch, length, _ = x.shape
        return x.view(batch, length, count, self.config.head_width).transpose(1, 2)

    def forward(self, x, cos, sin, mask):
        config = self.config
        normed = self.attn_norm(x)
        q = rotate(self.heads(self.attn_q(normed), config.heads), cos, sin)
        k = rotate(self.heads(self.attn_k(normed), config.kv_heads), cos, sin)
        v = self.heads(self.attn_v(normed), config.kv_heads)
        share = config.heads // config.kv_heads
        k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
        scores = q @ k.transpose(-1, -2) / math.sqrt(config.head_width) + mask
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(-2)
        x = x + self.dropout(self.attn_output(mixed))
        normed = self.ffn_norm(x)
        return x + self.dropout(self.ffn_down(F.silu(self.ffn_gate(normed).float()) * self.ffn_up(normed)))


class Decoder(nn.Module):
    def __init__(self, config, dropout=0.1):
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.vocab, config.width)
        self.dropout = Dropout(dropout)
        self.blk = nn.ModuleList(Block(config, dropout) for _ in range(config.layers))
        self.output_norm = RmsNorm(config.width, config.epsilon)
        angles = torch.outer(
            torch.arange(config.context).float(),
            config.rope_base ** (-torch.arange(0, config.head_width, 2).float() / config.head_width))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        causal = torch.full((config.context, config.context), float("-inf")).triu(1)
        self.register_buffer("causal", causal, persistent=False)
        self.apply(self.init)

    def init(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02 if isinstance(module, nn.Embedding)
                            else 1 / math.sqrt(module.weight.shape[1]) * 0.7)

    def forward(self, ids, kept=None):
        """(batch, position) -> hidden states (batch, position, width), normed. `kept` (batch,
        position, 1) is 0 where a token is to be dropped, 1 elsewhere."""
        length = ids.shape[1]
        x = self.token_embd(ids)
        x = self.dropout(x if kept is None else x * kept)
        mask = self.causal[:length, :length]
        for block in self.blk:
            x = block(x, self.cos[:length], self.sin[:length], mask)
        return self.output_norm(x)

    def logits(self, hidden):
        return hidden @ self.token_embd.weight.T
