# SPDX-License-Identifier: Apache-2.0
"""Byte-level BPE, trained and applied the way `tokenizer.ggml.model = "gpt2"` readers do.

The split into words is GPT-2's. Python's `re` has no \\p{L}; [^\\W\\d_] is the same set for the
letters that occur here, and the engine's own tokenizer is compared with this one in the tests.
"""
import collections
import re

SPLIT = re.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"
)


def byte_alphabet():
    """GPT-2's table: every byte has a printable character."""
    printable = (
        list(range(ord("!"), ord("~") + 1))
        + list(range(ord("¡"), ord("¬") + 1))
        + list(range(ord("®"), ord("ÿ") + 1))
    )
    table = {byte: chr(byte) for byte in printable}
    extra = 0
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(256 + extra)
            extra += 1
    return table


ALPHABET = byte_alphabet()


def to_symbols(word):
    return tuple(ALPHABET[byte] for byte in word.encode("utf-8"))


def train(texts, merge_count):
    """Merges in order of frequency; ties go to the pair that sorts first, so runs repeat."""
    words = collections.Counter()
    for text in texts:
        words.update(SPLIT.findall(text))
    symbols = [list(to_symbols(word)) for word in words]
    counts = list(words.values())
    pairs = collections.Counter()
    where = collections.defaultdict(set)
    for idx, word in enumerate(symbols):
        for pair in zip(word, word[1:]):
            pairs[pair] += counts[idx]
            where[pair].add(idx)
    merges = []
    while len(merges) < merge_count and pairs:
        best = max(pairs.items(), key=lambda item: (item[1], item[0]))[0]
        if pairs[best] < 2:
            break
        merges.append(best)
        for idx in list(where[best]):
            word = symbols[idx]
            for pair in zip(word, word[1:]):
                pairs[pair] -= counts[idx]
                where[pair].discard(idx)
                if pairs[pair] <= 0:
                    del pairs[pair]
            symbols[idx] = word = merge_pair(word, best)
            for pair in zip(word, word[1:]):
                pairs[pair] += counts[idx]
                where[pair].add(idx)
    return merges


def merge_pair(word, pair):
    out, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


class Tokenizer:
    """`specials` are matched whole before anything else, longest first: control tokens, and the
    pieces of JSON and the labels that the model answers with."""

    def __init__(self, merges, specials):
        self.merges = merges
        self.rank = {pair: i for i, pair in enumerate(merges)}
        self.tokens = list(specials)
        self.tokens += [ALPHABET[byte] for byte in range(256)]
        self.tokens += ["".join(pair) for pair in merges]
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.special_count = len(specials)
        self.cache = {}

    def special(self, text):
        return self.ids[text]

    def encode_word(self, word):
        known = self.cache.get(word)
        if known is not None:
            return known
        symbols = list(to_symbols(word))
        while len(symbols) > 1:
            best = min(zip(symbols, symbols[1:]), key=lambda p: self.rank.get(p, 1 << 30))
            if best not in self.rank:
                break
            symbols = merge_pair(symbols, best)
        ids = [self.ids[symbol] for symbol in symbols]
        self.cache[word] = ids
        return ids

    def encode(self, text):
        ids = []
        for word in SPLIT.findall(text):
            ids += self.encode_word(word)
        return ids
