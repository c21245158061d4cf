# SPDX-License-Identifier: Apache-2.0
"""Trains a model on an operator's own rows: what `sluice train` runs (gateway/command_train.c).

    python3 own.py --data mine.jsonl --folder WORK --name mine [--minutes 8] [--seed 1]

Writes WORK/f32.gguf, for `sluice quantize`; WORK/rows.jsonl, the rows with their parts, for `sluice
calibrate`; and WORK/report.jsonl, the rows to measure with: those of part test where there are any,
else the ones held out. own_rows.py has what a row is.

A few hundred rows are too few to learn a language from, so training starts from the shipped model's
weights (gguf_import.py): its tokenizer and layers are kept, its labels are replaced. A new label's
vector begins as the mean hidden state of the label's rows ("imprinting", Qi et al. 2018), so the
first step already knows more than nothing. The loss of a row is that of train.py: 0.3 x its text,
its answer, the label once more against the operator's labels only; and for general requests that
are none of the operator's, an even distribution over these labels.

Deterministic for a seed unless --minutes ends it before --epochs do.
"""
import argparse
import copy
import math
import os
import sys
import time

import processor  # before torch: it chooses kernels
import torch
from torch.nn import functional as F

import bpe
import data
import gguf_export
import gguf_import
import model as decoder
import own_rows

HERE = os.path.dirname(os.path.abspath(__file__))
START = "sluice-default.gguf"  # here in the source tree, one folder up where it is installed
IGNORE = -100
SIZES = {"small": (128, 3, 352), "medium": (192, 4, 512), "large": (256, 6, 704)}
MERGES_MAX = 2400
FOREIGN_WEIGHT = 0.5
TEXT_WEIGHT = 0.3
WORD_DROPOUT = 0.15  # of the words, in every second row


class Refused(Exception):
    """Ends the run with a message and status 1."""


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- the start ----

def default_start():
    return next((path for path in (os.path.join(HERE, START), os.path.join(HERE, "..", START))
                 if os.path.exists(path)), START)


def new_corpus(rows, folder):
    """data.Corpus over these rows: labels, slot names and the special tokens that they need."""
    path = os.path.join(folder, "rows.jsonl")
    own_rows.write(rows, path)
    measured = [row for row in rows if row["split"] == "test"]
    own_rows.write(measured + [row for row in rows if row["oos"] and row["split"] == "val"]
                   if measured else [row for row in rows if row["split"] == "val"],
                   os.path.join(folder, "report.jsonl"))
    corpus = data.Corpus(folder, [path])
    for row, given in zip(corpus.rows, rows):
        row["split"], row["at"] = given["split"], given.get("at")
    return corpus


def from_scratch(corpus, size):
    width, layers, hidden = SIZES[size]
    tokenizer = bpe.Tokenizer(bpe.train(corpus.texts(), MERGES_MAX), corpus.specials())
    config = decoder.Config(len(tokenizer.tokens), width=width, layers=layers, heads=width // 32,
                            kv_heads=width // 64, hidden=hidden)
    return tokenizer, config, None


def from_start(corpus, path):
    """The start's tokenizer with the operator's labels in place of its own, and its weights with a
    row of the embedding for each token that is still there (NaN: a new one)."""
    try:
        metadata, tensors = gguf_import.read(path)
        old = gguf_import.tokenizer_of(metadata)
        shape = gguf_import.shape_of(metadata)
    except gguf_import.NoStart as error:
        raise Refused(f"{path}: {error}")
    tokenizer = bpe.Tokenizer(old.merges, corpus.specials())
    weights = {name: torch.from_numpy(value.copy()) for name, value in tensors.items()}
    embedding = weights["token_embd.weight"]
    rows = torch.full((len(tokenizer.tokens), embedding.shape[1]), float("nan"))
    for i, token in enumerate(tokenizer.tokens):
        if token in old.ids:
            rows[i] = embedding[old.ids[token]]
    weights["token_embd.weight"] = rows
    return tokenizer, decoder.Config(len(tokenizer.tokens), **shape), weights


def spell(tokenizer, token):
    """What a new token stands for, in words: the letters of "open_door"."""
    return tokenizer.encode(" " + " ".join(part for part in "".join(
        char if char.isalnum() else " " for char in token).split()).lower())


def load(net, tokenizer, weights):
    """New tokens begin as the mean of the words that they are made of."""
    rows = weights["token_embd.weight"]
    known = ~rows.isnan().any(1)
    scale = rows[known].norm(dim=1).mean()
    for i in (~known).nonzero().flatten().tolist():
        words = [id for id in spell(tokenizer, tokenizer.tokens[i]) if known[id]]
        mean = rows[words].mean(0) if words else rows[known].mean(0)
        rows[i] = mean / mean.norm().clamp(min=1e-6) * scale
    missing, unexpected = net.load_state_dict(weights, strict=False)
    if missing or unexpected:
        raise Refused("the start has other tensors than this recipe: "
                      + ", ".join((missing + unexpected)[:4]))
    return scale


@torch.no_grad()
def imprint(net, tokenizer, items, scale):
    """A label's vector: the mean hidden state where its rows' answers name it."""
    net.eval()
    sums = {}
    for batch in in_batches(items, 4096):
        ids, _, _ = tensors_of(batch)
        hidden = net(ids)
        for i, item in enumerate(batch):
            if item["label"] >= 0 and item["kind"] == "intent":
                state = F.normalize(hidden[i, item["label"] - 1], dim=0)
                sums.setdefault(item["ids"][item["label"]], []).append(state)
    if not sums:
        return
    centre = torch.stack([torch.stack(states).mean(0) for states in sums.values()]).mean(0)
    for token, states in sums.items():
        net.token_embd.weight[token] = F.normalize(torch.stack(states).mean(0) - centre, dim=0) * scale
    net.train()


# ---- batches ----

def thinned(row, rng):
    """Some words left out, never those of a slot's value: with few rows a model would otherwise hold
    on to one word of each sentence, and fail where an operator's user does not say it."""
    kept = " ".join(slot["value"] for slot in row.get("slots") or []).split()
    words = row["text"].split()
    words = [word for word in words if word in kept or rng.random() >= WORD_DROPOUT]
    text = " ".join(words)
    is_whole = all(slot["value"] in text for slot in row.get("slots") or [])
    return {**row, "text": text} if len(words) >= 2 and is_whole else row


def item_of(tokenizer, row, rng, context):
    prompt, begin = data.prompt_ids(tokenizer, row, rng)
    if row["oos"]:
        answer, label, kind = [tokenizer.special('{"intent":')], 1, "foreign"
    else:
        answer, label = data.answer_ids(tokenizer, row)
        answer, kind = answer + [tokenizer.special("<|end|>")], row["task"]
    if len(prompt) + len(answer) > context:
        raise Refused(f'{row["at"]}: expected a shorter text; with its answer it has '
                      f"{len(prompt) + len(answer)} tokens of {context}")
    return {"ids": prompt + answer, "begin": begin, "answer": len(prompt), "kind": kind,
            "label": len(prompt) + label if label >= 0 else -1}


def in_batches(items, tokens):
    items = sorted(items, key=lambda item: len(item["ids"]))
    start = 0
    while start < len(items):
        end = start + 1
        while end < len(items) and (end + 1 - start) * len(items[end]["ids"]) <= tokens:
            end += 1
        yield items[start:end]
        start = end


def tensors_of(batch):
    """ids, what follows each, and how much that counts: (row, position)."""
    length = max(len(item["ids"]) for item in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    target = torch.full((len(batch), length), IGNORE)
    weight = torch.zeros(len(batch), length)
    for i, item in enumerate(batch):
        row = torch.tensor(item["ids"])
        ids[i, :len(row)] = row
        if item["kind"] == "foreign":
            continue
        target[i, :len(row) - 1] = row[1:]
        weight[i, item["begin"] - 1:item["answer"] - 2] = TEXT_WEIGHT
        weight[i, item["answer"] - 1:len(row) - 1] = 1.0
    return ids, target, weight


def label_loss(net, hidden, batch, labels, smoothing):
    """Against the operator's labels only; foreign requests: an even distribution over them, against
    all tokens. (Against the labels only, such a request ended the answer behind `{"intent":`, very
    surely: nothing had said what else must not follow.)"""
    places = [(i, item) for i, item in enumerate(batch) if item["kind"] != "sentiment"]
    if not places or len(labels) == 0:
        return hidden.new_zeros(())
    states = hidden[[i for i, _ in places], [item["label"] - 1 for _, item in places]]
    logits = net.logits(states).float()
    of_labels = logits[:, labels]
    among = of_labels.log_softmax(-1)
    overall = of_labels - logits.logsumexp(-1, keepdim=True)
    foreign = torch.tensor([item["kind"] == "foreign" for _, item in places])
    scores = torch.where(foreign[:, None], overall, among)
    position = {int(token): i for i, token in enumerate(labels)}
    wanted = torch.full((len(places), len(labels)), 1.0 / len(labels))
    worth = torch.full((len(places),), FOREIGN_WEIGHT)
    for i, (_, item) in enumerate(places):
        if item["kind"] == "intent":
            wanted[i] *= smoothing
            wanted[i, position[item["ids"][item["label"]]]] += 1 - smoothing
            worth[i] = 1.0
    return -(wanted * scores).sum(-1).mul(worth).sum() / len(places)


def batch_loss(net, batch, labels, smoothing):
    ids, target, weight = tensors_of(batch)
    hidden = net(ids)
    chosen = weight.view(-1) > 0
    loss = label_loss(net, hidden, batch, labels, smoothing)
    if chosen.any():
        logits = net.logits(hidden.reshape(-1, hidden.shape[-1])[chosen])
        losses = F.cross_entropy(logits.float(), target.view(-1)[chosen], reduction="none")
        loss = loss + (losses * weight.view(-1)[chosen]).sum() / len(batch) / 4.0
    return loss


@torch.no_grad()
def accuracy(net, items, labels):
    """Share of held-out rows whose label is the best of its kind."""
    net.eval()
    right = 0
    for batch in in_batches(items, 4096):
        hidden = net(tensors_of(batch)[0])
        for i, item in enumerate(batch):
            wanted = item["ids"][item["label"]]
            among = labels[item["kind"]]
            scores = hidden[i, item["label"] - 1] @ net.token_embd.weight[among].T
            right += int(among[int(scores.argmax())]) == wanted
    net.train()
    return right / len(items) if items else float("nan")


# ---- training ----

class Progress:
    """One line that is rewritten on a terminal, a line every ten seconds elsewhere."""

    def __init__(self):
        self.began = self.shown = time.time()
        self.is_terminal = sys.stderr.isatty()

    def show(self, share, text, last=False):
        now = time.time()
        if not last and now - self.shown < (0.5 if self.is_terminal else 10):
            return
        self.shown = now
        passed = now - self.began
        left = passed / share - passed if share > 0 else 0
        line = f"training: {100 * share:3.0f} %, {text}, {passed:.0f} s, about {left:.0f} s left"
        if self.is_terminal:
            print(f"\r\033[K{line}", end="\n" if last else "", file=sys.stderr, flush=True)
        else:
            say(line)


def optimizer_of(net, rate):
    decay = [p for p in net.parameters() if p.dim() > 1]
    plain = [p for p in net.parameters() if p.dim() <= 1]
    return torch.optim.AdamW([{"params": decay, "weight_decay": 0.05},
                              {"params": plain, "weight_decay": 0.0}], lr=rate, betas=(0.9, 0.98))


def train(net, tokenizer, rows, held, labels, args):
    """Returns the moving average of the weights."""
    average = copy.deepcopy(net)
    optimizer = optimizer_of(net, args.rate)
    progress, share, step, epoch, measured = Progress(), 0.0, 0, 0, accuracy(net, held, labels)
    end = args.minutes * 60
    while share < 1.0:
        rng = data.make_rng(args.seed, epoch)
        own = [row for row in rows if not row["oos"]]
        foreign = [row for row in rows if row["oos"]]
        count = min(len(foreign), int(args.foreign * len(own)))
        own = [thinned(row, rng) if rng.random() < 0.5 else row for row in own]
        items = [item_of(tokenizer, row, rng, net.config.context)
                 for row in own + rng.sample(foreign, count)]
        batches = list(in_batches(sorted(items, key=lambda _: rng.random()), args.batch_tokens))
        rng.shuffle(batches)
        for i, batch in enumerate(batches):
            share = max((epoch + i / len(batches)) / args.epochs,
                        (time.time() - progress.began) / end)
            if share >= 1.0:
                break
            rate = args.rate * min(1.0, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * share))
            for group in optimizer.param_groups:
                group["lr"] = max(rate, args.rate * 0.01)
            with torch.cpu.amp.autocast(enabled=processor.HAS_BFLOAT16, dtype=torch.bfloat16):
                loss = batch_loss(net, batch, labels["intent"], args.smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            step += 1
            with torch.no_grad():
                for kept, new in zip(average.parameters(), net.parameters()):
                    kept.lerp_(new, 1 - min(0.99, step / (step + 10)))
            progress.show(share, f"epoch {epoch + 1}, held-out rows right {100 * measured:.1f} %")
        epoch += 1
        share = max(share, epoch / args.epochs)
        if epoch % args.measure_epochs == 0 or share >= 1.0:
            measured = accuracy(average, held, labels)
    progress.show(1.0, f"{epoch} epochs, {step} steps, held-out rows right {100 * measured:.1f} %",
                  last=True)
    return average


def prepare(args):
    rows = own_rows.unique(own_rows.read(args.data), lambda text: say(f"warning: {text}"))
    own_rows.split(rows)
    own_rows.require_enough(rows, lambda text: say(f"warning: {text}"))
    general = own_rows.general_rows(HERE)
    far = own_rows.far_from(general, [row for row in rows if not row["oos"]])
    labels = {row["label"] for row in rows if not row["oos"]}
    count = sum(row["split"] == "train" for row in rows)
    say(f"{len(rows)} rows, {len(labels)} labels; {count} to learn from, {len(rows) - count} held "
        f"out; {len(far)} general requests as what is foreign"
        + (f" ({len(general) - len(far)} left out: like yours)" if len(far) < len(general) else ""))
    return rows + far


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, nargs="+", help="JSONL files")
    parser.add_argument("--folder", required=True, help="where the two files are written")
    parser.add_argument("--name", required=True, help="name of the model")
    parser.add_argument("--start", default=default_start(), help="GGUF to start from")
    parser.add_argument("--from-scratch", action="store_true", help="random weights, own tokenizer")
    parser.add_argument("--size", choices=sorted(SIZES), default="medium", help="from scratch only")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--smoothing", type=float, default=0.1)
    parser.add_argument("--foreign", type=float, default=0.5,
                        help="foreign requests an epoch, for each row of yours")
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--measure-epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def run(args):
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    corpus = new_corpus(prepare(args), args.folder)
    tokenizer, config, weights = (from_scratch(corpus, args.size) if args.from_scratch
                                  else from_start(corpus, args.start))
    net = decoder.Decoder(config, args.dropout)
    rows = [row for row in corpus.rows if row["split"] == "train"]
    rng = data.make_rng(args.seed, 0)
    known = [row for row in corpus.rows if not row["oos"]]
    held = [item_of(tokenizer, row, rng, config.context) for row in known if row["split"] != "train"]
    labels = {"intent": torch.tensor([tokenizer.special(f'"{label}"') for label in corpus.labels]),
              "sentiment": torch.tensor([tokenizer.special(f'{{"sentiment":"{label}"}}')
                                         for label in own_rows.SENTIMENTS])}
    if weights is not None:
        scale = load(net, tokenizer, weights)
        plain = [item_of(tokenizer, {**row, "split": "val"}, rng, config.context)
                 for row in known if row["split"] == "train"]
        imprint(net, tokenizer, plain, scale)
    say(f"{sum(p.numel() for p in net.parameters()) / 1e6:.2f} million weights, started from "
        + ("nothing" if weights is None else os.path.basename(args.start))
        + f", held-out rows right {100 * accuracy(net, held, labels):.1f} %")
    average = train(net, tokenizer, rows, held, labels, args)
    gguf_export.write(os.path.join(args.folder, "f32.gguf"), config, tokenizer, average.state_dict(),
                      args.name, len(data.SYSTEM_TOKENS))


def main():
    args = parse_arguments()
    try:
        run(args)
    except (own_rows.BadRows, Refused) as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"{error.filename}: {error.strerror}")
        return 1
    except KeyboardInterrupt:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
