# SPDX-License-Identifier: Apache-2.0
"""Trains the default model: data -> tokenizer -> decoder -> GGUF in F32.

    python3 train.py --data FOLDER --out model-f32.gguf [--minutes 60] [--seed 1]

Deterministic for a seed and a number of epochs. The loss of a row is
  0.3 x its text (so that the prompt's own log-probability tells known from foreign requests)
  + its answer, where the label counts twice: once against all tokens, and once against the labels
    of its own set only, since apps restrict the labels to theirs.
Rows out of scope teach only that no label of CLINC150 fits, and prompts that must be escalated that
no label at all does: an even distribution over them. Tokens of the text are dropped now and then.
The weights that are shipped are the mean of two states of an exponential moving average, one from
the middle of the training and the last: the last is right a little more often, the one from the
middle doubts foreign requests better, and their mean does both (Izmailov et al. 2018, Averaging
Weights Leads to Wider Optima).
"""
# OpenBLAS takes its slow kernels on processors newer than itself; this names its best family.
import os
if "avx512_bf16" in open("/proc/cpuinfo", encoding="ascii").read():
    os.environ.setdefault("OPENBLAS_CORETYPE", "Cooperlake")
import argparse
import copy
import math
import time

import numpy
import torch
from torch.nn import functional as F

import bpe
import data
import gguf_export
import model as decoder

FILES = ["intent_clinc150.jsonl", "intent_hwu64.jsonl", "intent_snips.jsonl",
         "sentiment_uci.jsonl", "chat_chatterbot.jsonl", "entities_wnut17.jsonl",
         "escalate_prompts.jsonl"]
# How often an epoch sees a row of a set (below 1: another share each time). Sets with long rows or
# few kinds would otherwise take most of the time, small ones be seen too seldom.
SHARES = {"intent_snips": 0.4, "entities_wnut17": 0.2, "escalate_prompts": 0.3, "sentiment_uci": 2.0}
FOREIGN_SHARE = 2.0
IGNORE = -100
MIDDLE = 0.52        # of the training, when the state to average with is taken
TEXT_WEIGHT = 0.3    # of a token of the prompt's text in the loss
TEXT_SHARE = 0.4     # of those tokens, drawn anew for each batch: a third of the output layer's work
WORD_DROPOUT = 0.08  # of the text's tokens, where nothing has to be copied out of it


def is_foreign(row):
    return bool(row.get("oos")) or row["task"] == "escalate"


def make_row(tokenizer, row, rng, length_max):
    prompt, begin = data.prompt_ids(tokenizer, row, rng)
    foreign = is_foreign(row)
    if foreign:
        answer, label_at = [tokenizer.special('{"intent":')], 1
    else:
        answer, label_at = data.answer_ids(tokenizer, row)
    ids = prompt + answer + ([] if foreign else [tokenizer.special("<|end|>")])
    if len(ids) > length_max:
        return None
    dropped = []
    if row["split"] == "train" and not row.get("slots") and row["task"] != "chat":
        dropped = [i for i in range(begin, len(prompt) - 2) if rng.random() < WORD_DROPOUT]
    return {"ids": ids, "begin": begin, "answer": len(prompt), "row": row, "dropped": dropped,
            "label": len(prompt) + label_at if label_at >= 0 else -1, "foreign": foreign}


def times_seen(row, rng):
    share = SHARES.get(row["set"], 1.0)
    if row.get("oos"):
        share = FOREIGN_SHARE
    return int(share) + (rng.random() < share % 1)


def make_epoch(tokenizer, rows, seed, epoch, length_max, batch_tokens):
    """Batches of rows of like length; the order of batches is shuffled."""
    rng = data.make_rng(seed, epoch)
    rows = [row for row in rows for _ in range(times_seen(row, rng))]
    items = [make_row(tokenizer, row, rng, length_max) for row in rows]
    items = [item for item in items if item is not None]
    items.sort(key=lambda item: (len(item["ids"]), rng.random()))
    batches, start = [], 0
    while start < len(items):
        count = 1
        while (start + count < len(items)
               and (count + 1) * len(items[start + count]["ids"]) <= batch_tokens):
            count += 1
        batches.append(items[start:start + count])
        start += count
    rng.shuffle(batches)
    return batches


class Labels:
    """The label tokens of each set, and where in its list a token stands. `None` is every label:
    the set of prompts that are foreign to all."""

    def __init__(self, tokenizer, label_sets):
        every = sorted(set().union(*label_sets.values())) if label_sets else []
        sets = dict(label_sets)
        sets[None] = every
        self.tokens = {name: torch.tensor([tokenizer.special(f'"{label}"') for label in sorted(labels)])
                       for name, labels in sets.items()}
        self.place = {name: {int(token): i for i, token in enumerate(tokens)}
                      for name, tokens in self.tokens.items()}

    def name(self, row):
        return row["set"] if row["set"] in self.tokens else None


def batch_tensors(batch, known_labels):
    length = max(len(item["ids"]) for item in batch)
    ids = numpy.zeros((len(batch), length), dtype=numpy.int64)
    target = numpy.full((len(batch), length), IGNORE, dtype=numpy.int64)
    weight = numpy.zeros((len(batch), length), dtype=numpy.float32)
    kept = numpy.ones((len(batch), length, 1), dtype=numpy.float32)
    labels = []
    for i, item in enumerate(batch):
        row = item["ids"]
        ids[i, :len(row)] = row
        kept[i, item["dropped"]] = 0.0
        name = known_labels.name(item["row"])
        if item["foreign"]:
            labels.append((i, item["label"] - 1, -1, name))
            continue
        target[i, :len(row) - 1] = row[1:]
        weight[i, item["begin"] - 1:item["answer"] - 2] = TEXT_WEIGHT
        weight[i, item["answer"] - 1:len(row) - 1] = 1.0
        if item["label"] >= 0 and item["row"]["task"] == "intent":
            labels.append((i, item["label"] - 1, known_labels.place[name][row[item["label"]]], name))
    return (torch.from_numpy(ids), torch.from_numpy(target), torch.from_numpy(weight),
            torch.from_numpy(kept), labels)


def set_loss(net, hidden, labels, known_labels, smoothing):
    """Cross entropy of the label against the labels of its own set; foreign: an even distribution."""
    total = hidden.new_zeros(())
    for name in {label[3]: None for label in labels}:
        group = [label for label in labels if label[3] == name]
        states = hidden[[g[0] for g in group], [g[1] for g in group]]
        scores = (states @ net.token_embd.weight[known_labels.tokens[name]].T).float()
        known = [i for i, g in enumerate(group) if g[2] >= 0]
        if known:
            wanted = torch.tensor([group[i][2] for i in known])
            total = total + F.cross_entropy(scores[known], wanted, label_smoothing=smoothing,
                                            reduction="sum")
        foreign = [i for i, g in enumerate(group) if g[2] < 0]
        if foreign:
            total = total - 0.5 * scores[foreign].log_softmax(-1).mean(-1).sum()
    return total / max(len(labels), 1)


def batch_loss(net, batch, known_labels, smoothing):
    ids, target, weight, kept, labels = batch_tensors(batch, known_labels)
    hidden = net(ids, kept)
    is_text = weight == TEXT_WEIGHT
    weight = torch.where(is_text, weight * (torch.rand(weight.shape) < TEXT_SHARE) / TEXT_SHARE, weight)
    chosen = (weight > 0).view(-1).nonzero().squeeze(1)
    logits = net.logits(hidden.flatten(0, 1).index_select(0, chosen))
    losses = F.cross_entropy(logits.float(), target.view(-1)[chosen], reduction="none")
    loss = (losses * weight.view(-1)[chosen]).sum() / len(batch) / 4.0
    if labels:
        loss = loss + set_loss(net, hidden, labels, known_labels, smoothing)
    return loss


@torch.no_grad()
def accuracy(net, tokenizer, rows, known_labels):
    """Share of right labels among those of the row's own set, by set."""
    net.eval()
    rng = data.make_rng(0, 0)
    right, count = {}, {}
    rows = [row for row in rows if row["task"] == "intent" and not is_foreign(row)]
    items = [make_row(tokenizer, row, rng, net.config.context) for row in rows]
    items = sorted((item for item in items if item), key=lambda item: len(item["ids"]))
    for start in range(0, len(items), 64):
        batch = items[start:start + 64]
        ids, _, _, _, labels = batch_tensors(batch, known_labels)
        hidden = net(ids)
        for name in {label[3]: None for label in labels}:
            group = [label for label in labels if label[3] == name]
            states = hidden[[g[0] for g in group], [g[1] for g in group]]
            best = (states @ net.token_embd.weight[known_labels.tokens[name]].T).argmax(-1)
            right[name] = right.get(name, 0) + sum(int(b) == g[2] for b, g in zip(best, group))
            count[name] = count.get(name, 0) + len(group)
    net.train()
    return {name: right[name] / count[name] for name in sorted(count)}


def state_of(net):
    """GGUF's tensor names."""
    return {name: tensor for name, tensor in net.state_dict().items()}


def mean_state(first, second):
    return {name: (tensor + second[name]) / 2 for name, tensor in first.items()}


def has_bfloat16():
    try:
        with open("/proc/cpuinfo", encoding="ascii") as file:
            return "avx512_bf16" in file.read()
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder of the JSONL files, or one file")
    parser.add_argument("--files", nargs="*", default=FILES)
    parser.add_argument("--out", required=True)
    parser.add_argument("--init", help="go on from a GGUF that this script wrote, with the same data")
    parser.add_argument("--name", default="sluice-default")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--epochs", type=int, default=0, help="fixed number instead of --minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--merges", type=int, default=2400)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=704)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--dropout", type=float, default=0.12)
    parser.add_argument("--smoothing", type=float, default=0.05)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["auto", "f32", "bf16"], default="auto",
                        help="of matrix products; auto: bf16 where the processor has it")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    corpus = data.Corpus(args.data, args.files)
    tokenizer = bpe.Tokenizer(bpe.train(corpus.texts(), args.merges), corpus.specials())
    known_labels = Labels(tokenizer, corpus.label_sets)
    vocab = len(tokenizer.tokens)
    net = decoder.Decoder(decoder.Config(vocab, args.width, args.layers, heads=args.width // 32,
                                         kv_heads=args.width // 64, hidden=args.hidden),
                          args.dropout)
    if args.init:
        weights = gguf_export.read_tensors(args.init)
        net.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()},
                            strict=False)
    average = copy.deepcopy(net)
    train_rows = [row for row in corpus.rows if row["split"] == "train"]
    val_rows = [row for row in corpus.rows if row["split"] == "val"]
    parameters = sum(p.numel() for p in net.parameters())
    if args.init:
        print("from", args.init, accuracy(net, tokenizer, val_rows, known_labels), flush=True)
    print(f"{len(train_rows)} rows, {vocab} tokens, {parameters / 1e6:.2f} M parameters", flush=True)

    decay = [p for p in net.parameters() if p.dim() > 1]
    plain = [p for p in net.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.05},
                                   {"params": plain, "weight_decay": 0.0}],
                                  lr=args.rate, betas=(0.9, 0.98))
    half = args.precision == "bf16" or (args.precision == "auto" and has_bfloat16())
    print(f"matrix products in {'bfloat16' if half else 'float32'}", flush=True)
    began = time.time()
    step, epoch, progress, middle = 0, 0, 0.0, None
    while progress < 1.0:
        batches = make_epoch(tokenizer, train_rows, args.seed, epoch, 128, 2048)
        losses = []
        for i, batch in enumerate(batches):
            if args.epochs:
                progress = (epoch + i / len(batches)) / args.epochs
            else:
                progress = (time.time() - began) / (args.minutes * 60)
            if progress >= 1.0:
                break
            rate = args.rate * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * progress))
            for group in optimizer.param_groups:
                group["lr"] = max(rate, args.rate * 0.01)
            with torch.cpu.amp.autocast(enabled=half, dtype=torch.bfloat16):
                loss = batch_loss(net, batch, known_labels, args.smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            keep = min(0.998, step / (step + 10))
            with torch.no_grad():
                for kept, new in zip(average.parameters(), net.parameters()):
                    kept.lerp_(new, 1 - keep)
            losses.append(float(loss.detach()))
            step += 1
        epoch += 1
        if args.epochs and epoch >= args.epochs:
            progress = 1.0
        if middle is None and progress >= MIDDLE and not args.init:
            middle = copy.deepcopy(state_of(average))
        shown = accuracy(average, tokenizer, val_rows, known_labels)
        print(f"epoch {epoch} step {step} {time.time() - began:.0f} s "
              f"loss {sum(losses) / max(len(losses), 1):.3f} "
              + " ".join(f"{name} {value:.4f}" for name, value in shown.items()), flush=True)
        state = state_of(average)
        gguf_export.write(args.out, net.config, tokenizer,
                          state if middle is None else mean_state(state, middle), args.name,
                          len(data.SYSTEM_TOKENS))


if __name__ == "__main__":
    main()
