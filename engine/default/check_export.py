# SPDX-License-Identifier: Apache-2.0
"""Is the exported and quantized model still the one that was trained?

    python3 check_export.py logits --model sluice-default.gguf --build ../../build/release \\
        [--peer LLAMA_CPP] [--data FOLDER]
    python3 check_export.py accuracy --f32 model-f32.gguf --quantized sluice-default.gguf \\
        --data FOLDER --build ../../build/release [--rows 500]

`logits`: behind some prompts, the engine's logits beside those of the recipe's own decoder with the
same weights in F32, and of llama.cpp where a built source tree of it is given (`--peer`, with
build/bin/libllama.so). Fails where ids of tokens differ, or where the engine is further off than the
budget: twice llama.cpp's own distance (1.5 times for the largest), as the engine's conformance tests
have it; without a peer, what 8-bit activations cost at most.
`accuracy`: what each set loses by quantization in the engine. Fails above half a point.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import processor  # before torch: it chooses kernels
import numpy
import torch

import data
import early_exit

HERE = os.path.dirname(os.path.abspath(__file__))
SETS = ["intent_clinc150", "intent_hwu64", "intent_snips", "sentiment_uci"]
LOSS_MAX = 0.005
BUDGET_RMS, BUDGET_MAX = 0.02, 0.15  # of the logits' deviation, without a peer
TEXTS = ["set an alarm for seven tomorrow", "what's the weather like in Reykjavík, is it cold?",
         "play some jazz", "Book a table for 4 at half past nine (outside)", "transfer $250 to savings",
         "ok", "WHY IS MY CARD NOT WORKING???", "how do you say “thank you” in 日本語",
         "remind me to   call mum   on 12/24", "the battery is terrible, I want my money back"]


def prompts(folder):
    """As the chat template makes them, the first two tokens of an answer too."""
    texts = list(TEXTS)
    if folder:
        rows = data.read_rows(os.path.join(folder, "intent_clinc150.jsonl"))
        texts += [row["text"] for row in rows if row["split"] == "val"][::100]
    chats = [f"<|user|>{text.strip()}<|end|><|assistant|>" for text in texts]
    return chats + [chat + '{"intent":' for chat in chats]


def run_tool(command, texts, vocab):
    with tempfile.NamedTemporaryFile() as out:
        done = subprocess.run([*command, out.name], input="".join(text + "\n" for text in texts),
                              stdout=subprocess.PIPE, encoding="utf-8", check=True)
        logits = numpy.fromfile(out.name, "<f4").reshape(len(texts), vocab)
    return [[int(id) for id in line.split()] for line in done.stdout.splitlines()], logits


def build_peer(tree, folder):
    program = os.path.join(folder, "peer_logits")
    libraries = os.path.join(tree, "build", "bin")
    subprocess.run(["cc", "-std=c11", "-O1", "-I", os.path.join(tree, "include"), "-I",
                    os.path.join(tree, "ggml", "include"), "-o", program,
                    os.path.join(HERE, "../../tests/bench/engine/peer_logits.c"), "-L", libraries,
                    "-lllama", "-lggml", "-lggml-base", f"-Wl,-rpath,{libraries}"], check=True)
    return program


@torch.no_grad()
def exact_logits(tokenizer, net, ids_list):
    return numpy.stack([net.logits(net(torch.tensor([ids]))[0, -1]).numpy() for ids in ids_list])


def distance(a, b):
    """(RMS, largest) in units of the logits' deviation, over all prompts."""
    scale = b.std(axis=1, keepdims=True)
    return float(numpy.sqrt((((a - b) / scale) ** 2).mean())), float((abs(a - b) / scale).max())


def show(title, found):
    print(f"{title:44s} RMS {found[0]:.5f}   largest {found[1]:.4f}")


def check_logits(args):
    tokenizer, net = early_exit.load(args.model)
    texts, vocab = prompts(args.data), len(tokenizer.tokens)
    ids, ours = run_tool([tool_of(args.build), args.model], texts, vocab)
    exact = exact_logits(tokenizer, net, ids)
    budget_rms, budget_max = BUDGET_RMS, BUDGET_MAX
    ours_off = distance(ours, exact)
    print(f"{len(texts)} prompts, {vocab} tokens; in units of the logits' deviation:")
    show("the engine from the recipe's decoder in F32", ours_off)
    faults = 0
    if args.peer:
        with tempfile.TemporaryDirectory() as folder:
            peer_ids, theirs = run_tool([build_peer(args.peer, folder), args.model], texts, vocab)
        peer_off = distance(theirs, exact)
        show("llama.cpp from the recipe's decoder in F32", peer_off)
        show("the engine from llama.cpp", distance(ours, theirs))
        budget_rms, budget_max = 2 * peer_off[0], 1.5 * peer_off[1]
        faults = sum(a != b for a, b in zip(ids, peer_ids))
        print(f"prompts whose tokens differ: {faults}")
        print(f"the same best token: {int((ours.argmax(1) == theirs.argmax(1)).sum())} of {len(texts)}")
    print(f"budget: RMS {budget_rms:.5f}, largest {budget_max:.4f}")
    return faults == 0 and ours_off[0] <= max(budget_rms, 1e-4) and ours_off[1] <= max(budget_max, 1e-3)


def tool_of(build):
    for folder, _, files in os.walk(os.path.join(build, "tests")):
        if "bench_logits" in files:
            return os.path.join(folder, "bench_logits")
    sys.exit(f"{build}: no bench_logits; build that target")


def figures(args, model, file):
    """The decoder alone: a calibration beside the model would add the gate to one of the two."""
    with tempfile.TemporaryDirectory() as folder:
        alone = os.path.join(folder, "model.gguf")
        os.symlink(os.path.abspath(model), alone)
        command = [os.path.join(args.build, "sluice"), "eval", "--json", "--model", alone, "--data",
                   file, "--split", "held"] + (["--rows", str(args.rows)] if args.rows else [])
        out = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return out["figures"]["accuracy"]["value"], out.get("slot_f1")


def check_accuracy(args):
    is_fine = True
    print(f"{'':22s} {'F32':>9s} {'quantized':>10s} {'loss':>8s}")
    for name in SETS:
        file = os.path.join(args.data, name + ".jsonl")
        before, after = figures(args, args.f32, file), figures(args, args.quantized, file)
        for title, a, b in zip((name, name + ", slot F1"), before, after):
            if not a or b is None:  # the set has no slots
                continue
            is_fine = is_fine and a - b <= LOSS_MAX
            print(f"{title:22s} {100 * a:7.2f} % {100 * b:8.2f} % {100 * (a - b):+6.2f} points")
    return is_fine


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in "logits", "accuracy":
        command = commands.add_parser(name)
        command.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
        command.add_argument("--data", required=name == "accuracy", help="the reference data's folder")
    commands.choices["logits"].add_argument("--model", required=True)
    commands.choices["logits"].add_argument("--peer", help="source tree of a built llama.cpp")
    commands.choices["accuracy"].add_argument("--f32", required=True)
    commands.choices["accuracy"].add_argument("--quantized", required=True)
    commands.choices["accuracy"].add_argument("--rows", type=int, default=0)
    args = parser.parse_args()
    return 0 if (check_logits if args.command == "logits" else check_accuracy)(args) else 1


if __name__ == "__main__":
    sys.exit(main())
