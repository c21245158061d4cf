# SPDX-License-Identifier: Apache-2.0
"""Would it pay to stop the forward pass at an earlier layer where that one is sure already?

    python3 early_exit.py --model sluice-default.gguf --data intent_clinc150.jsonl [--rows 600]

Takes the hidden state behind each layer through the final norm and the output matrix, at the place
where the answer names the label, and prints for each layer: how often its label is right, and for
some bars how many rows would stop there, how often they name the full model's label, and which
share of all layers that saves. README.md has the result, and why the engine has no early exit.
"""
import argparse

import processor  # before torch: it chooses kernels
import torch

import data
import gguf_import
import model as decoder

BARS = (0.5, 0.8, 0.95, 0.99)


def load(path):
    metadata, tensors = gguf_import.read(path)
    tokenizer = gguf_import.tokenizer_of(metadata)
    config = decoder.Config(len(tokenizer.tokens), **gguf_import.shape_of(metadata))
    net = decoder.Decoder(config, 0.0)
    net.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in tensors.items()})
    return tokenizer, net.eval()


def item_of(tokenizer, row):
    prompt, _ = data.prompt_ids(tokenizer, row, data.make_rng(0, 0))
    answer, at = data.answer_ids(tokenizer, row)
    return prompt + answer[:at], answer[at]


@torch.no_grad()
def states_by_layer(net, ids):
    """The normed state behind each layer at the last position: (layer, width)."""
    captured = []
    hooks = [block.register_forward_hook(lambda _m, _i, out: captured.append(out))
             for block in net.blk]
    net(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    return torch.stack([net.output_norm(state)[0, -1] for state in captured])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="a file of the reference data, with labels")
    parser.add_argument("--rows", type=int, default=600)
    args = parser.parse_args()
    tokenizer, net = load(args.model)
    rows = [row for row in data.read_rows(args.data)
            if row["split"] == "val" and row["task"] == "intent" and not row.get("oos")]
    rows = rows[::max(1, len(rows) // args.rows)]
    tokens = torch.tensor([tokenizer.special(f'"{label}"')
                           for label in sorted({row["label"] for row in rows})])
    output = net.token_embd.weight[tokens]
    chosen, sure, wanted = [], [], []
    for row in rows:
        ids, label = item_of(tokenizer, row)
        chances = (states_by_layer(net, ids) @ output.T).softmax(-1)
        chosen.append(chances.argmax(-1))
        sure.append(chances.max(-1).values)
        wanted.append((tokens == label).nonzero()[0, 0])
    chosen, sure, wanted = torch.stack(chosen), torch.stack(sure), torch.stack(wanted)
    layers = chosen.shape[1]
    print(f"{len(rows)} rows, {len(tokens)} labels, {layers} layers")
    for layer in range(layers):
        right = (chosen[:, layer] == wanted).float().mean()
        print(f"behind layer {layer + 1}: {100 * right:.1f} % right")
        for bar in BARS if layer + 1 < layers else ():
            stops = sure[:, layer] >= bar
            same = (chosen[stops, layer] == chosen[stops, -1]).float().mean()
            share = stops.float().mean()
            print(f"    bar {bar:.2f}: {100 * share:5.1f} % stop, {100 * same:5.1f} % of them as the "
                  f"full model, {100 * share * (layers - layer - 1) / layers:4.1f} % of layers saved")


if __name__ == "__main__":
    main()
