# SPDX-License-Identifier: Apache-2.0
"""Writes a GGUF v3 file (ggml docs/gguf.md): metadata, tokenizer, chat template, tensors in F32.
`sluice quantize` makes the shipped file of it."""
import struct

import numpy

U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
TYPE_NORMAL, TYPE_CONTROL, TYPE_USER_DEFINED = 1, 3, 4
ALIGNMENT = 32

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message.role not in ['system', 'user', 'assistant', 'developer'] -%}"
    "{{ raise_exception('this model knows no role ' + message.role) }}{%- endif -%}"
    "{{ '<|' + ('system' if message.role == 'developer' else message.role) + '|>'"
    " + message.content | trim + '<|end|>' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)


def text(value):
    data = value.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def scalar(kind, value):
    if kind == STRING:
        return text(value)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)


def entry(key, kind, value, element=None):
    head = text(key) + struct.pack("<I", kind)
    if kind != ARRAY:
        return head + scalar(kind, value)
    body = b"".join(scalar(element, item) for item in value)
    return head + struct.pack("<IQ", element, len(value)) + body


def metadata(config, tokenizer, name, control_count):
    types = [TYPE_CONTROL] * control_count
    types += [TYPE_USER_DEFINED] * (tokenizer.special_count - control_count)
    types += [TYPE_NORMAL] * (len(tokenizer.tokens) - tokenizer.special_count)
    end = tokenizer.special("<|end|>")
    return [
        entry("general.architecture", STRING, "llama"),
        entry("general.name", STRING, name),
        entry("general.license", STRING, "apache-2.0"),
        entry("general.file_type", U32, 0),
        entry("llama.block_count", U32, config.layers),
        entry("llama.context_length", U32, config.context),
        entry("llama.embedding_length", U32, config.width),
        entry("llama.feed_forward_length", U32, config.hidden),
        entry("llama.attention.head_count", U32, config.heads),
        entry("llama.attention.head_count_kv", U32, config.kv_heads),
        entry("llama.attention.layer_norm_rms_epsilon", F32, config.epsilon),
        entry("llama.rope.dimension_count", U32, config.head_width),
        entry("llama.rope.freq_base", F32, config.rope_base),
        entry("llama.vocab_size", U32, config.vocab),
        entry("tokenizer.ggml.model", STRING, "gpt2"),
        entry("tokenizer.ggml.pre", STRING, "gpt-2"),
        entry("tokenizer.ggml.tokens", ARRAY, tokenizer.tokens, STRING),
        entry("tokenizer.ggml.token_type", ARRAY, types, I32),
        entry("tokenizer.ggml.merges", ARRAY, [" ".join(pair) for pair in tokenizer.merges], STRING),
        entry("tokenizer.ggml.bos_token_id", U32, 0),
        entry("tokenizer.ggml.eos_token_id", U32, end),
        entry("tokenizer.ggml.padding_token_id", U32, 0),
        entry("tokenizer.ggml.add_bos_token", BOOL, False),
        entry("tokenizer.chat_template", STRING, CHAT_TEMPLATE),
    ]


def write(path, config, tokenizer, state, name, control_count):
    entries = metadata(config, tokenizer, name, control_count)
    tensors = [(key, value.detach().float().numpy()) for key, value in state.items()]
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(entries)) + b"".join(entries)
    offset = 0
    for key, value in tensors:
        dims = value.shape[::-1]
        head += text(key) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        head += struct.pack("<IQ", 0, offset)
        offset += -(-value.nbytes // ALIGNMENT) * ALIGNMENT
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % ALIGNMENT))
        for _, value in tensors:
            data = numpy.ascontiguousarray(value, dtype="<f4").tobytes()
            file.write(data + bytes(-len(data) % ALIGNMENT))


class Reader:
    """Reads back what `write` wrote: enough to go on training from it."""

    SIZES = {U32: 4, I32: 4, F32: 4, BOOL: 1}

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values[0] if len(values) == 1 else values

    def text(self):
        length = self.take("<Q")
        self.at += length
        return self.data[self.at - length:self.at].decode("utf-8")

    def skip_value(self, kind):
        if kind == STRING:
            self.text()
        elif kind == ARRAY:
            element, count = self.take("<IQ")
            for _ in range(count):
                self.skip_value(element)
        else:
            self.at += self.SIZES[kind]


def read_tensors(path):
    """{name: F32 array} of a file that `write` wrote."""
    with open(path, "rb") as file:
        reader = Reader(file.read())
    _, _, tensor_count, entry_count = reader.take("<4sIQQ")
    for _ in range(entry_count):
        reader.text()
        reader.skip_value(reader.take("<I"))
    infos = []
    for _ in range(tensor_count):
        name = reader.text()
        dims = [reader.take("<Q") for _ in range(reader.take("<I"))]
        infos.append((name, dims[::-1], reader.take("<IQ")[1]))
    begin = -(-reader.at // ALIGNMENT) * ALIGNMENT
    return {name: numpy.frombuffer(reader.data, "<f4", int(numpy.prod(dims)), begin + offset)
            .reshape(dims) for name, dims, offset in infos}
