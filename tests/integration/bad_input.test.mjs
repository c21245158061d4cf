// SPDX-License-Identifier: Apache-2.0
// Bad input of every kind gets a clear error in the right shape, and nothing falls over.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { build, chat, defaultModel, policyText, post, scratch, startCloud, startGateway } from './lib.mjs';

const folder = scratch();
let cloud, gateway;

before(async () => {
  cloud = await startCloud(folder);
  gateway = await startGateway(folder, { cloud, policy: policyText(cloud, { threshold: 0 }), args: ['--body-bytes-max', '65536'] });
});
after(async () => {
  await gateway.stop();
  await cloud.stop();
});

async function refused(body, status, pattern, code) {
  const answer = await post(gateway, body);
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.json.error.message, pattern);
  assert.ok(answer.json.error.type.length > 0);
  if (code) assert.equal(answer.json.error.code, code);
  assert.ok(answer.headers.get('x-request-id').length > 0);
  return answer;
}

test('malformed JSON says where', () => refused('{"model": "auto", "messages": [', 400, /byte|line|column/i));
test('a body over the cap is 413', () => refused(JSON.stringify(chat('x'.repeat(100000))), 413, /65536|64|large/i));
test('no messages', () => refused({ model: 'auto' }, 400, /messages/));
test('messages of the wrong type', () => refused({ model: 'auto', messages: 'hello' }, 400, /messages.*array/));
test('a message of the wrong type', () => refused({ model: 'auto', messages: [{ role: 'user', content: 5 }] }, 400, /messages\[0\]\.content/));
test('a temperature of the wrong type', () => refused(chat('x', { temperature: 'hot' }), 400, /temperature/));
test('a temperature out of range', () => refused(chat('x', { temperature: 9 }), 400, /temperature/));
test('an unknown role', () => refused({ messages: [{ role: 'wizard', content: 'x' }] }, 400, /messages\[0\]\.role/));
test('an unknown model', () => refused(chat('x', { model: 'gpt-99' }), 404, /model/, 'model_not_found'));
test('half a surrogate pair', () => refused('{"messages":[{"role":"user","content":"\\ud800"}]}', 400, /byte|line|column|surrogate/i));
test('invalid UTF-8', () => refused(Buffer.concat([Buffer.from('{"messages":[{"role":"user","content":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}]}')]), 400, /byte|UTF-8/i));

test('an unknown field is no error', async () => {
  assert.equal((await post(gateway, chat('x', { some_new_field: { a: 1 } }))).status, 200);
});
test('another method is 405, another path 404, both in JSON', async () => {
  const method = await fetch(`${gateway.url}/v1/chat/completions`);
  assert.equal(method.status, 405);
  assert.ok((await method.json()).error.message);
  const path = await fetch(`${gateway.url}/v1/nothing/here`);
  assert.equal(path.status, 404);
  assert.ok((await path.json()).error.message);
});
test('the wrong media type is 415', async () => {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } });
  assert.equal(response.status, 415);
});

function serveWith(model) {
  return spawnSync(join(build, 'sluice'), ['serve', '--listen', '127.0.0.1:0', '--data-dir', scratch(), '--model', model],
    { encoding: 'utf8', timeout: 20000 });
}
test('a truncated model is refused with the field and offset', () => {
  const path = join(folder, 'truncated.gguf');
  writeFileSync(path, readFileSync(defaultModel).subarray(0, 20000));
  const result = serveWith(path);
  assert.equal(result.status, 1, result.stderr);
  assert.match(result.stderr, /tokenizer\.ggml\.tokens at offset \d+: .*bytes left/);
});
test('a lying model is refused', () => {
  const path = join(folder, 'lying.gguf');
  const data = Buffer.from(readFileSync(defaultModel));
  data.writeBigUInt64LE(0x7fffffffffffffffn, 8); // the tensor count
  writeFileSync(path, data);
  const result = serveWith(path);
  assert.equal(result.status, 1, result.stderr);
  assert.match(result.stderr, /tensor/);
});

test('a count that is none is refused before anything is read', () => {
  for (const value of ['nan', 'inf', '-1', '1.5', 'many', '']) {
    const result = spawnSync(join(build, 'sluice'), ['eval', '--model', defaultModel, '--data', join(folder, 'none.jsonl'), '--rows', value],
      { encoding: 'utf8', timeout: 20000 });
    assert.equal(result.status, 2, `${value}: ${result.stderr}`);
    assert.match(result.stderr, /rows.*expected/);
  }
});

test('a corrupt cache is turned off and the gateway serves', async () => {
  const other = scratch();
  writeFileSync(join(other, 'cache.db'), Buffer.alloc(65536, 'not a database'));
  const second = await startGateway(other, { cloud, policy: policyText(cloud, { threshold: 0 }) });
  const answer = await post(second, chat('hello there'));
  assert.equal(answer.status, 200);
  assert.match(second.log(), /cache/);
  assert.equal((await second.stop()).code, 0);
});

test('the gateway is still well', async () => {
  assert.equal((await fetch(`${gateway.url}/health`)).status, 200);
  assert.equal((await post(gateway, chat('still there?'))).status, 200);
});
