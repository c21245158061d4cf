# SPDX-License-Identifier: Apache-2.0
"""Reads a GGUF file back into what training starts from: hyper-parameters, tokenizer, F32 weights.

Reads versions 2 and 3 with tensors in F32, F16 and Q8_0: what `gguf_export` writes and what
`sluice quantize IN OUT Q8_0` (or F16) makes of it. So the shipped file is a start by itself; no
F32 copy has to be kept. Quantization costs nothing here: the weights move on at once.
"""
import struct

import numpy

import bpe

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
SCALARS = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", F32: "<f", BOOL: "<?",
           U64: "<Q", I64: "<q", F64: "<d"}
TYPE_F32, TYPE_F16, TYPE_Q8_0 = 0, 1, 8
Q8_0_WEIGHTS, Q8_0_BYTES = 32, 34  # a block: one F16 scale, 32 signed bytes
TOKEN_NORMAL = 1


class NoStart(Exception):
    """The file is no start for training; the message says why."""


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        value, = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self):
        length = self.take("<Q")
        self.at += length
        return self.data[self.at - length:self.at].decode("utf-8")

    def value(self, kind):
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            element, count = self.take("<I"), self.take("<Q")
            return [self.value(element) for _ in range(count)]
        return self.take(SCALARS[kind])


def tensor_of(data, kind, shape, begin, name):
    count = int(numpy.prod(shape))
    if kind == TYPE_F32:
        values = numpy.frombuffer(data, "<f4", count, begin)
    elif kind == TYPE_F16:
        values = numpy.frombuffer(data, "<f2", count, begin)
    elif kind == TYPE_Q8_0:
        blocks = numpy.frombuffer(data, numpy.uint8, count // Q8_0_WEIGHTS * Q8_0_BYTES, begin)
        blocks = blocks.reshape(-1, Q8_0_BYTES)
        scales = blocks[:, :2].copy().view("<f2").astype(numpy.float32)
        values = scales * blocks[:, 2:].view(numpy.int8)
    else:
        raise NoStart(f"tensor {name} has type {kind}; F32, F16 and Q8_0 can be trained on")
    return values.astype(numpy.float32).reshape(shape)


def read(path):
    """(metadata {key: value}, tensors {name: F32 array in PyTorch's order of dimensions})."""
    with open(path, "rb") as file:
        data = file.read()
    reader = Reader(data)
    try:
        if data[:4] != b"GGUF" or struct.unpack_from("<I", data, 4)[0] not in (2, 3):
            raise NoStart("not a GGUF file of version 2 or 3")
        reader.at = 8
        tensor_count, entry_count = reader.take("<Q"), reader.take("<Q")
        metadata = {}
        for _ in range(entry_count):
            key = reader.text()
            metadata[key] = reader.value(reader.take("<I"))
        infos = []
        for _ in range(tensor_count):
            name = reader.text()
            shape = [reader.take("<Q") for _ in range(reader.take("<I"))][::-1]
            infos.append((name, shape, reader.take("<I"), reader.take("<Q")))
        alignment = metadata.get("general.alignment", 32)
        begin = -(-reader.at // alignment) * alignment
        tensors = {name: tensor_of(data, kind, shape, begin + offset, name)
                   for name, shape, kind, offset in infos}
    except (struct.error, ValueError, KeyError, IndexError) as error:
        raise NoStart(f"damaged at byte {reader.at}: {error}") from error
    return metadata, tensors


def shape_of(metadata):
    """The arguments of model.Config, but for the vocabulary."""
    if metadata.get("general.architecture") != "llama":
        raise NoStart("only architecture llama can be trained on")
    try:
        return {"width": metadata["llama.embedding_length"],
                "layers": metadata["llama.block_count"],
                "heads": metadata["llama.attention.head_count"],
                "kv_heads": metadata["llama.attention.head_count_kv"],
                "hidden": metadata["llama.feed_forward_length"],
                "context": metadata["llama.context_length"]}
    except KeyError as error:
        raise NoStart(f"the key {error} is missing") from error


def tokenizer_of(metadata):
    """The tokenizer as bpe.Tokenizer has it. Raises where the file's order of tokens is not ours:
    special tokens first, then the bytes, then the merges."""
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    special = sum(kind != TOKEN_NORMAL for kind in types)
    merges = [tuple(pair.split(" ")) for pair in metadata["tokenizer.ggml.merges"]]
    tokenizer = bpe.Tokenizer(merges, tokens[:special])
    if tokenizer.tokens != tokens:
        raise NoStart("its tokens are not in the order of this recipe")
    return tokenizer
