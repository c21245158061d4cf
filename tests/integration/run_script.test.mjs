// SPDX-License-Identifier: Apache-2.0
// ./scripts/run as a person uses it: it reaches "ready", and the lines that it prints work.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { scratch, until } from './lib.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const buildMs = 900000; // the first run builds the release

test('the printed lines work, and everything ends with the script', { timeout: buildMs }, async () => {
  const folder = scratch();
  const child = spawn(join(root, 'scripts', 'run'), [], {
    env: { ...process.env, SLUICE_LISTEN: '127.0.0.1:0', SLUICE_DATA_DIR: folder, SLUICE_CLOUD_KEY: '' },
  });
  let log = '';
  child.stdout.on('data', (data) => (log += data));
  child.stderr.on('data', (data) => (log += data));
  const ended = new Promise((resolve) => child.on('exit', (code) => resolve(code)));
  assert.ok(await until(() => /policy edit/.test(log) && /sed -i .*policy\.json/.test(log), buildMs), log);
  assert.match(log, /CLOUD SIMULATOR/);

  const lines = /In another terminal:\n([\s\S]*?sed -i .*policy\.json)/.exec(log)[1];
  const [, local, escalated, hit, edit] = lines.split(/^# \d\. .*$/m);
  const run = (command) => spawnSync('bash', ['-c', command], { encoding: 'utf8' }).stdout;
  const first = run(local);
  assert.match(first, /x-sluice-route: local/i);
  assert.match(first, /alarm/);
  const second = run(escalated);
  assert.match(second, /x-sluice-route: cloud/i);
  assert.match(second, /x-sluice-pii: EMAIL=1,PERSON=1/i);
  assert.match(second, /Anna Berg \(anna\.berg@example\.org\)/);
  const third = run(hit);
  assert.match(third, /x-sluice-cache: hit/i);
  assert.match(third, /Peter Olsen \(peter@example\.com\)/);
  run(edit);
  assert.ok(await until(() => /x-sluice-route: local/i.test(run(escalated.replace('tides', 'dunes'))), 3000));

  const url = /ready at (http:\S+)\./.exec(log)[1];
  child.kill('SIGTERM');
  assert.equal(await ended, 0);
  await assert.rejects(fetch(`${url}/health`));
});
