// SPDX-License-Identifier: Apache-2.0
// `sluice train`: an operator's own rows become a model that the gateway serves. The training is
// short here; what it reaches with ten minutes is in engine/default/README.md.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { build, chat, policyText, post, scratch, startGateway } from './lib.mjs';
import { workshopRows } from '../support/workshop.mjs';

// A number of epochs, not minutes, and one thread: the result is then the same on every machine.
const epochs = process.env.SLUICE_TEST_TRAIN_EPOCHS ?? '8';
const sluice = join(build, 'sluice');
const folder = scratch();
const jsonl = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

function train(args, env = {}) {
  return spawnSync(sluice, ['train', ...args], { encoding: 'utf8', env: { ...process.env, ...env } });
}

function file(name, text) {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

const workFolders = () => readdirSync(folder).filter((name) => name.includes('.train-'));
const python = ['python3', '/usr/bin/python3'].find((name) => spawnSync(name, ['-c', 'import numpy, torch']).status === 0);
const skip = python ? false : 'python3-torch is not installed';

test('train without PyTorch names the packages to install', () => {
  const python = file('python', '#!/bin/sh\nexit 1\n');
  chmodSync(python, 0o755);
  const { status, stderr } = train(['--data', 'rows.jsonl', '--out', join(folder, 'm.gguf')], { SLUICE_PYTHON: python });
  assert.equal(status, 1);
  assert.match(stderr, /apt-get install python3-torch libopenblas0-pthread/);
});

test('an empty variable is none: the usual Python and recipe are looked for', () => {
  const { status, stderr } = train(['--data', join(folder, 'absent.jsonl'), '--out', join(folder, 'm.gguf')],
    { SLUICE_PYTHON: '', SLUICE_TRAIN_DIR: '' });
  assert.equal(status, 1);
  if (skip) assert.match(stderr, /PyTorch, which python3 cannot load/);
  else assert.match(stderr, /absent\.jsonl/);
});

test('words that make no sense together are refused before anything runs', () => {
  const misuses = [
    [[], /--data ROWS\.jsonl --out MODEL\.gguf/],
    [['--data', 'a', '--out', 'm.bin'], /--out: expected a name that ends in \.gguf/],
    [['--data', 'a', '--out', 'm.gguf', '--minutes', 'x'], /--minutes: expected a number/],
    [['--data', 'a', '--out', 'm.gguf', '--type', 'Q9_9'], /--type: expected one of .*Q8_0/],
    [['--data', 'a', '--out', 'm.gguf', '--size', 'small'], /--size goes with --from-scratch/],
  ];
  for (const [args, message] of misuses) {
    const { status, stderr } = train(args);
    assert.equal(status, 2, args.join(' '));
    assert.match(stderr, message);
  }
});

test('a bad row is named by file, line and what was expected, never by its text', { skip }, () => {
  const rows = file('bad.jsonl', [
    '{"text":"open the hatch","label":"open"}', '{"text":"secret words"', '{"label":"open"}',
    '{"text":"secret words","label":7}', '{"text":"secret words","label":"open","split":"some"}',
    '{"text":"secret words","label":"glad","task":"sentiment"}',
    '{"text":"secret words","label":"open","slots":{"door":"seven"}}', '',
  ].join('\n'));
  const { status, stderr, stdout } = train(['--data', rows, '--out', join(folder, 'bad.gguf')]);
  assert.equal(status, 1);
  assert.match(stderr, /bad\.jsonl:2: column \d+: expected one JSON object a line/);
  assert.match(stderr, /bad\.jsonl:3: "text": expected/);
  assert.match(stderr, /bad\.jsonl:4: "label": expected a name/);
  assert.match(stderr, /bad\.jsonl:5: "split": expected "train", "val" or "test"/);
  assert.match(stderr, /bad\.jsonl:6: "label": expected "positive" or "negative"/);
  assert.match(stderr, /bad\.jsonl:7: slot "door": expected a value that is a part of the text/);
  assert.doesNotMatch(stderr + stdout, /secret words/);
  assert.ok(!existsSync(join(folder, 'bad.gguf')));
  assert.deepEqual(workFolders(), []);
});

test('a stopped training leaves nothing behind', { skip }, async () => {
  const rows = file('stopped.jsonl', jsonl(workshopRows()));
  const child = spawn(sluice, ['train', '--data', rows, '--out', join(folder, 'stopped.gguf')]);
  const ended = new Promise((resolve) => child.on('exit', (code) => resolve(code)));
  let log = '';
  await new Promise((resolve) => {
    child.on('exit', resolve);
    child.stderr.on('data', (data) => {
      log += data;
      if (/600 rows/.test(log)) resolve();
    });
  });
  child.kill('SIGTERM');
  assert.equal(await ended, 1, log);
  assert.match(log, /stopped; nothing was written/);
  assert.ok(!existsSync(join(folder, 'stopped.gguf')));
  assert.deepEqual(workFolders(), []);
});

test('twenty intents of an operator are learned, calibrated, reported and served', { skip }, async () => {
  const rows = file('workshop.jsonl', jsonl(workshopRows()));
  const model = join(folder, 'workshop.gguf');
  const { status, stdout, stderr } = train(['--data', rows, '--out', model, '--epochs', epochs, '--threads', '1', '--json']);
  assert.equal(status, 0, stderr);
  assert.match(stderr, /600 rows, 20 labels; 480 to learn from, 120 held out/);
  for (const name of ['workshop.calibration.json', 'workshop.gate', 'workshop.gguf'])
    assert.ok(existsSync(join(folder, name)), name);
  assert.deepEqual(workFolders(), []);
  const { report } = JSON.parse(stdout);
  const right = report.figures.accuracy.value;
  const shares = [...stderr.matchAll(/held-out rows right (\d+\.\d) %/g)].map((match) => Number(match[1]) / 100);
  const [before, after] = [shares[0], shares.at(-1)];
  console.log(`# held-out sentences right: ${before} before training, ${after} after; as served: ${right.toFixed(3)}, ` +
    `slot F1 ${report.slot_f1.toFixed(3)}, AUROC of general requests ${report.figures.auroc_oos.value.toFixed(3)}`);
  // One in twenty by chance; the start's features alone are right in half of the sentences.
  assert.ok(after >= 0.6 && after >= before + 0.05, `${before} before training, ${after} after`);
  assert.ok(right >= after - 0.05, `${right} as served, ${after} as trained`);
  assert.ok(report.figures.auroc_oos.value >= 0.85, JSON.stringify(report.figures.auroc_oos));
  const calibration = JSON.parse(readFileSync(join(folder, 'workshop.calibration.json'), 'utf8'));
  assert.ok(JSON.stringify(calibration).includes('"workshop.gate"'), Object.keys(calibration).join(' '));

  const gateway = await startGateway(folder, { model, policy: policyText(null, { mode: 'local-only' }) });
  try {
    const answer = await post(gateway, chat('please open the gate of bay seven'));
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers.get('x-sluice-route'), 'local');
    assert.equal(JSON.parse(answer.json.choices[0].message.content).intent, 'open_door');
    const known = Number(answer.headers.get('x-sluice-confidence'));
    const strange = await post(gateway, chat('why did the roman empire fall apart in the west'));
    assert.ok(known > Number(strange.headers.get('x-sluice-confidence') ?? 0), `${known}`);
  } finally {
    await gateway.stop();
  }
});
