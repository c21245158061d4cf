# SPDX-License-Identifier: Apache-2.0
"""Rows of the training data made into (prompt, answer) pairs of token ids.

The formats are those of the data folder's README: one JSON object a line with `task`, `text`,
`label`, `slots`, `split`. Any file in that form can be trained on.
"""
import json
import os
import random

SYSTEM_TOKENS = ["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
SHAPE_TOKENS = [
    '{"intent":', ',"slots":{}}', ',"slots":{', '"}}', '",',
    '{"sentiment":"positive"}', '{"sentiment":"negative"}',
    '{"entities":[]}', '{"entities":[', '"},', '"}]}',
]
ASK_SENTIMENT = [
    "What is the sentiment of this text? {}", "Sentiment: {}", "Classify the sentiment: {}",
    "Is this positive or negative? {}", "{}\nSentiment?", "sentiment of: {}",
    "Tell me if this review is positive or negative: {}", "Classify as positive or negative: {}",
]
ASK_ENTITIES = [
    "Find the entities: {}", "Entities: {}", "Extract the named entities from this text: {}",
    "List the entities in: {}", "{}\nEntities?", "Which people, places and organisations occur? {}",
]
SYSTEM_SENTIMENT = ["Classify the sentiment of the user's text.", "Sentiment: positive or negative.",
                    "You are a sentiment classifier."]
SYSTEM_ENTITIES = ["Extract the named entities.", "You are an entity extractor."]
SYSTEM_INTENT = ["You are an intent classifier.", "Answer with the intent and its slots as JSON.",
                 "You are a helpful assistant.", "Classify the intent of the command."]
POLITE_BEFORE = ["please ", "can you ", "could you ", "hey, ", "hi, ", "could you please ", "ok ",
                 "i want you to ", "hello, ", "would you ", "hey there "]
POLITE_AFTER = [" please", " thanks", " for me", " thank you", " now", " please and thank you"]


def read_rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def split_of(row):
    """The official split; where a set has only `train`, a tenth is held out by a hash of the id."""
    if row["split"] != "train" or row["id"].startswith(("clinc", "hwu", "uci", "chatterbot", "wnut")):
        return row["split"]
    value = 0
    for char in row["id"]:
        value = (value * 131 + ord(char)) & 0xFFFFFFFF
    return "val" if (value >> 7) % 10 == 0 else "train"


def typo(text, rng):
    """One slip of a finger: two letters swapped, one doubled, lost, or another in its place."""
    places = [i for i, char in enumerate(text) if char.isalpha()]
    if len(places) < 8:
        return text
    i = rng.choice(places[1:])
    kind = rng.randrange(4)
    if kind == 0:
        return text[:i] + text[i + 1:]
    if kind == 1:
        return text[:i] + text[i] + text[i:]
    if kind == 2 and i + 1 < len(text) and text[i + 1].isalpha():
        return text[:i] + text[i + 1] + text[i] + text[i + 2:]
    return text[:i] + rng.choice("abcdefghijklmnopqrstuvwxyz") + text[i + 1:]


def vary(text, rng, may_edit):
    """Case, punctuation, politeness and typos, as people write. Slot values must stay as they are
    where they are copied into the answer, so only rows without slots are edited inside."""
    if may_edit and rng.random() < 0.12:
        text = rng.choice(POLITE_BEFORE) + text if rng.random() < 0.5 else text + rng.choice(POLITE_AFTER)
    if may_edit and rng.random() < 0.10:
        text = typo(text, rng)
    if may_edit and rng.random() < 0.06:
        words = text.split(" ")
        if len(words) > 4:
            del words[rng.randrange(len(words))]
            text = " ".join(words)
    roll = rng.random()
    if roll < 0.15:
        text = text[:1].upper() + text[1:]
    elif roll < 0.17 and may_edit:
        text = text.upper()
    elif roll < 0.20 and may_edit:
        text = text.title()
    elif roll < 0.25 and may_edit:
        text = text.lower()
    roll = rng.random()
    if roll < 0.12 and text[-1:].isalnum():
        text += rng.choice([".", "?", "!", "."])
    elif roll < 0.20 and text[-1:] in ".?!":
        text = text[:-1]
    return text


class Corpus:
    """All rows by task, the labels and slots that occur, and the texts for the tokenizer."""

    def __init__(self, folder, files):
        self.rows = []
        for name in files:
            path = name if os.path.isabs(name) else os.path.join(folder, name)
            for row in read_rows(path):
                row["set"] = os.path.basename(path).replace(".jsonl", "")
                row["split"] = split_of(row)
                self.rows.append(row)
        intents = [row for row in self.rows if row["task"] == "intent" and not row.get("oos")]
        self.label_sets = {}
        for row in intents:
            self.label_sets.setdefault(row["set"], set()).add(row["label"])
        self.labels = sorted({row["label"] for row in intents})
        self.slots = sorted({slot["slot"] for row in intents for slot in row.get("slots") or []})
        self.entities = sorted({slot["slot"] for row in self.rows if row["task"] == "entities"
                                for slot in row["slots"]})

    def specials(self):
        return (SYSTEM_TOKENS + SHAPE_TOKENS + [f'"{label}"' for label in self.labels]
                + [f'"{slot}":"' for slot in self.slots]
                + [f'{{"type":"{kind}","text":"' for kind in self.entities])

    def texts(self):
        for row in self.rows:
            if row["split"] != "train":
                continue
            if row["task"] == "chat":
                yield from row["turns"]
            elif "text" in row:
                yield row["text"]
                for slot in row.get("slots") or []:
                    yield slot["value"]


def values(tokenizer, slots, opener, closer, last):
    ids = []
    for i, slot in enumerate(slots):
        ids.append(tokenizer.special(opener(slot)))
        ids += tokenizer.encode(json.dumps(slot["value"], ensure_ascii=False)[1:-1])
        ids.append(tokenizer.special(last if i + 1 == len(slots) else closer))
    return ids


def answer_ids(tokenizer, row):
    """The answer's tokens, and where in them the one label token stands (-1: nowhere)."""
    special = tokenizer.special
    if row["task"] == "intent":
        slots = {slot["slot"]: slot for slot in row.get("slots") or []}
        slots = list(slots.values())
        ids = [special('{"intent":'), special(f'"{row["label"]}"')]
        if not slots:
            return ids + [special(',"slots":{}}')], 1
        ids.append(special(',"slots":{'))
        return ids + values(tokenizer, slots, lambda s: f'"{s["slot"]}":"', '",', '"}}'), 1
    if row["task"] == "sentiment":
        return [special(f'{{"sentiment":"{row["label"]}"}}')], 0
    if row["task"] == "entities":
        if not row["slots"]:
            return [special('{"entities":[]}')], -1
        return [special('{"entities":[')] + values(
            tokenizer, row["slots"], lambda s: f'{{"type":"{s["slot"]}","text":"', '"},', '"}]}'), -1
    return tokenizer.encode(row["turns"][1]), -1


def prompt_ids(tokenizer, row, rng):
    """<|system|>…<|end|><|user|>…<|end|><|assistant|>, and where the user's text stands in it."""
    special = tokenizer.special
    text = row["turns"][0] if row["task"] == "chat" else row["text"]
    system = None
    if row["task"] == "sentiment":
        if rng.random() < 0.25:
            system = rng.choice(SYSTEM_SENTIMENT)
        else:
            text = rng.choice(ASK_SENTIMENT).format(text)
    elif row["task"] == "entities":
        if rng.random() < 0.25:
            system = rng.choice(SYSTEM_ENTITIES)
        else:
            text = rng.choice(ASK_ENTITIES).format(text)
    else:
        text = vary(text, rng, not row.get("slots")) if row["split"] == "train" else text
        if rng.random() < 0.08:
            system = rng.choice(SYSTEM_INTENT)
    ids = []
    if system is not None:
        ids = [special("<|system|>")] + tokenizer.encode(system) + [special("<|end|>")]
    ids.append(special("<|user|>"))
    begin = len(ids)
    ids += tokenizer.encode(text.strip())
    return ids + [special("<|end|>"), special("<|assistant|>")], begin


def make_rng(seed, epoch):
    return random.Random(seed * 1000003 + epoch)
