# SPDX-License-Identifier: Apache-2.0
"""An operator's rows: read, checked, split, and joined with requests that are none of theirs.

A row is one JSON object a line: {"text": "open bay four", "label": "open_door"}, with
  task     "intent" (default) or "sentiment" (labels positive and negative)
  slots    [{"slot": "bay", "value": "four"}] or {"bay": "four"}; a value is a part of the text
  split    "train", "val" or "test"; without any, a fifth of each label is held out
  oos      true: a request that must not be answered here (no label needed)
Other members are ignored, so the reference data's files are read as they are.

Every fault is named with file, line and what was expected, never with the row's text.
"""
import collections
import hashlib
import json
import math
import os
import re

TASKS = ("intent", "sentiment")
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
          "test": "test"}
SENTIMENTS = ("positive", "negative")
NAME_CHARACTERS_MAX = 64
TEXT_CHARACTERS_MAX = 4000  # far above what the context of 512 tokens holds
LABELS_MAX = 1000
FAULTS_SHOWN = 20
HELD_SHARE = 0.2
HELD_ROWS_MIN = 4  # a label with fewer rows keeps them all for training
ROWS_MIN = 20
# A general request this close to one of the operator's (cosine over words) may well be theirs. With
# 20 intents of CLINC150 as theirs, 0.4 leaves out 69 % of other rows of these intents and 13 % of the
# rows of the rest; 0.5 leaves out 50 and 4 %.
NEAR = 0.4


class BadRows(Exception):
    """What is wrong with the rows, a line each."""


def is_name(value):
    """Labels and slot names become tokens inside JSON: printable, no quotes, no backslash."""
    return (isinstance(value, str) and 0 < len(value) <= NAME_CHARACTERS_MAX and value.isprintable()
            and '"' not in value and "\\" not in value and value == value.strip())


def text_of(row):
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ValueError('"text": expected the request, a text that is not empty')
    if len(text) > TEXT_CHARACTERS_MAX:
        raise ValueError(f'"text": expected at most {TEXT_CHARACTERS_MAX} characters, '
                         f'found {len(text)}')
    return text.strip()


def label_of(row, task):
    label = row.get("label")
    if task == "sentiment" and label not in SENTIMENTS:
        raise ValueError('"label": expected "positive" or "negative" for task sentiment; other '
                         'labels go with task intent')
    if not is_name(label):
        raise ValueError('"label": expected a name of 1 to 64 printable characters without quotes, '
                         'or "oos": true')
    return label


def slots_of(row, text):
    given = row.get("slots") or []
    if isinstance(given, dict):
        given = [{"slot": name, "value": value} for name, value in given.items()]
    if not isinstance(given, list):
        raise ValueError('"slots": expected [{"slot": NAME, "value": TEXT}] or {NAME: TEXT}')
    slots = []
    for slot in given:
        name = slot.get("slot") if isinstance(slot, dict) else None
        value = slot.get("value") if isinstance(slot, dict) else None
        if not is_name(name):
            raise ValueError('"slots": expected a name of 1 to 64 printable characters')
        if not isinstance(value, str) or not value or value.lower() not in text.lower():
            raise ValueError(f'slot "{name}": expected a value that is a part of the text')
        slots.append({"slot": name, "value": value})
    return slots


def check(row):
    """The row as training wants it. Raises ValueError with what was expected."""
    if not isinstance(row, dict):
        raise ValueError("expected one JSON object a line")
    text, task = text_of(row), row.get("task", "intent")
    split = row.get("split")
    if split is not None and split not in SPLITS:
        raise ValueError('"split": expected "train", "val" or "test"')
    out = {"text": text, "split": SPLITS.get(split)}
    if row.get("oos") is True or row.get("escalate") is True or task == "escalate":
        return {**out, "task": "intent", "label": "oos", "oos": True, "slots": []}
    if task not in TASKS:
        raise ValueError('"task": expected "intent" or "sentiment"')
    return {**out, "task": task, "label": label_of(row, task), "oos": False,
            "slots": slots_of(row, text) if task == "intent" else []}


def parse(line):
    try:
        return check(json.loads(line))
    except json.JSONDecodeError as error:
        raise ValueError(f"column {error.colno}: expected one JSON object a line ({error.msg})")
    except UnicodeDecodeError:
        raise ValueError("expected UTF-8")


def read(paths):
    """All rows of the files, each with its place. Raises BadRows, OSError."""
    rows, faults = [], []
    for path in paths:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                line = line[3:] if number == 1 and line.startswith(b"\xef\xbb\xbf") else line
                if not line.strip():
                    continue
                try:
                    rows.append({**parse(line), "at": f"{path}:{number}"})
                except ValueError as error:
                    faults.append(f"{path}:{number}: {error}")
    if faults:
        more = len(faults) - FAULTS_SHOWN
        raise BadRows("\n".join(faults[:FAULTS_SHOWN]
                                + ([f"and {more} more lines like that"] if more > 0 else [])))
    return rows


def key_of(row):
    return " ".join(re.findall(r"\w+", row["text"].lower()))


def unique(rows, warn):
    """Without repetitions; the same text under two labels is a fault of the data that no training
    repairs, so it is named."""
    seen, kept = {}, []
    for row in rows:
        key = (row["task"], key_of(row))
        if key not in seen:
            seen[key] = row
            kept.append(row)
        elif seen[key]["label"] != row["label"]:
            warn(f'{row["at"]}: the same words as {seen[key]["at"]}, under another label')
    return kept


def hold_out(rows, share):
    """Marks a share of each label's rows, by a hash of the text: the same ones in every run."""
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row["task"], row["label"]].append(row)
    for group in groups.values():
        group.sort(key=lambda row: hashlib.sha256(row["text"].encode()).digest())
        count = max(1, round(share * len(group))) if len(group) >= HELD_ROWS_MIN else 0
        for i, row in enumerate(group):
            row["split"] = "val" if i < count else "train"


def split(rows):
    """Every row gets a part. Where the rows name `val` or `test`, that is kept."""
    named = {row["split"] for row in rows}
    if not named & {"val", "test"}:
        hold_out(rows, HELD_SHARE)
        return
    for row in rows:
        row["split"] = row["split"] or "train"
    if "val" not in named:
        hold_out([row for row in rows if row["split"] == "train"], HELD_SHARE)


def require_enough(rows, warn):
    """Raises BadRows where there is nothing to learn; warns of what will be learned badly."""
    known = [row for row in rows if not row["oos"]]
    train = collections.Counter(row["label"] for row in known if row["split"] == "train")
    if len(known) < ROWS_MIN:
        raise BadRows(f"{len(known)} rows with a label: expected at least {ROWS_MIN}, better 30 of "
                      "each label")
    if len(train) < 2:
        raise BadRows("expected rows to train on of at least two labels")
    if len(train) > LABELS_MAX:
        raise BadRows(f"{len(train)} labels: expected at most {LABELS_MAX}; is \"label\" a text?")
    absent = sorted({row["label"] for row in known} - set(train))
    if absent:
        raise BadRows("no row to train on of " + ", ".join(absent[:8]))
    thin = sorted(label for label, count in train.items() if count < 5)
    if thin:
        warn(f"{len(thin)} labels have fewer than 5 rows to train on: {', '.join(thin[:8])}")


# ---- requests that are none of the operator's ----

def vectors(rows, weigh):
    out = []
    for row in rows:
        words = collections.Counter(re.findall(r"\w+", row["text"].lower()))
        vector = {word: count * weigh(word) for word, count in words.items()}
        norm = math.sqrt(sum(value * value for value in vector.values())) or 1.0
        out.append({word: value / norm for word, value in vector.items()})
    return out


def far_from(general, own):
    """The general requests that resemble none of the operator's: "play some jazz" must not be taught
    as foreign to a box that plays music."""
    seen = collections.Counter(word for row in general + own
                               for word in set(re.findall(r"\w+", row["text"].lower())))
    total = len(general) + len(own)
    own_vectors = vectors(own, lambda word: math.log(total / seen[word]))
    index = collections.defaultdict(list)
    for i, vector in enumerate(own_vectors):
        for word, value in vector.items():
            index[word].append((i, value))
    kept = []
    for row, vector in zip(general, vectors(general, lambda word: math.log(total / seen[word]))):
        near = collections.Counter()
        for word, value in vector.items():
            for i, other in index.get(word, ()):
                near[i] += value * other
        if not near or max(near.values()) < NEAR:
            kept.append(row)
    return kept


def general_rows(folder):
    """Requests of every kind, to learn and to measure what is foreign (foreign.jsonl)."""
    path = os.path.join(folder, "foreign.jsonl")
    return [{**row, "oos": True} for row in read([path])]


def write(rows, path):
    """The form that `sluice calibrate` and `sluice eval` read."""
    with open(path, "w", encoding="utf-8") as file:
        for i, row in enumerate(rows):
            out = {"id": f"own-{i}", **{key: row[key] for key in ("task", "text", "split", "slots")}}
            out.update({"oos": True} if row["oos"] else {"label": row["label"], "oos": False})
            file.write(json.dumps(out, ensure_ascii=False) + "\n")
