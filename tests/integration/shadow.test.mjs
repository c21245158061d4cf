// SPDX-License-Identifier: Apache-2.0
// Shadow mode: accepted local answers are asked in the cloud too, after the client has its answer,
// scrubbed like any escalation; agreement is counted and kept for the next calibration.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { build, chat, defaultModel, metric, policyText, post, scratch, startCloud, startGateway, until } from './lib.mjs';

const email = 'anna.berg@example.org';
const folder = scratch();
let cloud, gateway;

const shadowed = { mode: 'auto', threshold: 0, local: { prompt_score_min: 0 }, cloud: { shadow_share: 1 } };
const count = (result, of = gateway) => metric(of, 'sluice_shadow_total', { result });
const hex = (text) => Buffer.from(text).toString('hex');

before(async () => {
  cloud = await startCloud(folder);
  gateway = await startGateway(folder, { cloud, policy: policyText(cloud, shadowed, {
    routes: [
      { name: 'kept', match: { header: { 'x-test': 'kept' } }, pii: { types: { EMAIL: 'keep_local' } } },
      { name: 'local', match: { header: { 'x-test': 'local' } }, mode: 'local-only' },
      { name: 'unstored', match: { header: { 'x-test': 'unstored' } }, cache: { enabled: false } },
      { name: 'off', match: { header: { 'x-test': 'off' } }, cloud: { shadow_share: 0 }, cache: { enabled: false } },
      { name: 'default' },
    ],
  }) });
});
after(async () => {
  await gateway?.stop();
  await cloud?.stop();
});

// Asks and waits until the cloud's opinion was counted as `result`.
async function askAndWait(body, result, headers = {}) {
  const seen = await count(result);
  const answer = await post(gateway, body, headers);
  assert.equal(answer.headers.get('x-sluice-route'), 'local', answer.text);
  assert.ok(await until(async () => (await count(result)) === seen + 1), `one more ${result}`);
  return answer;
}

test('an accepted answer is the box’s, and is asked in the cloud too, scrubbed', async () => {
  const answer = await askAndWait(chat(`send a mail to ${email} about the invoice`), 'differed');
  assert.equal(answer.headers.get('x-sluice-reason'), 'confident');
  assert.equal(answer.headers.get('x-sluice-attempts'), null);
  assert.match(cloud.received(), /<EMAIL_1> about the invoice/);
  assert.ok(!cloud.received().includes(email));
});

test('it is in the ledger, as what it was', async () => {
  const lines = readFileSync(join(folder, 'egress.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  assert.equal(lines.length, 1);
  assert.match(lines[0].request_id, /\/shadow$/);
  assert.deepEqual(lines[0].pii, { EMAIL: 1 });
  assert.ok(lines[0].bytes > 0);
});

test('where something was masked no row is kept: the model was asked something else', () => {
  assert.ok(!existsSync(join(folder, 'shadow.jsonl')));
});

const question = 'what is the meaning of life';
test('the same JSON in another order agrees', async () => {
  const local = (await post(gateway, chat(question), { 'x-test': 'off' })).json.choices[0].message.content;
  const reordered = JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(local)).reverse()), null, 1);
  await cloud.fault('mock-echo', `mock-say-${hex(reordered)}`, 1);
  await askAndWait(chat(question), 'agreed');
});

test('another answer differs', async () => {
  await cloud.fault('mock-echo', `mock-say-${hex('{"intent":"somewhere_else"}')}`, 1);
  await askAndWait(chat('play some jazz'), 'differed');
});

test('rows lie sealed on the disk and are what calibrate and eval read', async () => {
  const file = join(folder, 'shadow.jsonl');
  assert.ok(await until(() => existsSync(file) && readFileSync(file, 'utf8').trim().split('\n').length === 2));
  const text = readFileSync(file, 'utf8');
  for (const line of text.trim().split('\n')) assert.deepEqual(Object.keys(JSON.parse(line)), ['sealed']);
  for (const word of ['meaning', 'jazz', 'intent', 'somewhere']) {
    assert.ok(!text.includes(word));
    assert.ok(!text.includes(hex(word)));
  }
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(statSync(join(folder, 'shadow.key')).mode & 0o777, 0o600);
  const run = spawnSync(join(build, 'sluice'), ['eval', '--model', defaultModel, '--data', file, '--json'], { encoding: 'utf8' });
  assert.equal(run.status, 0, run.stderr);
  const figures = JSON.parse(run.stdout);
  assert.equal(figures.rows, 2, run.stdout);
  assert.equal(figures.figures.accuracy.value, 0.5, `the cloud agreed with one of the two: ${run.stdout}`);
});

test('a request that forbids storing is not asked again, nor one that must stay', async () => {
  const before = (await cloud.requests()).count;
  await post(gateway, chat('a unique sentence not to be stored'), { 'cache-control': 'no-store' });
  await post(gateway, chat(`a unique sentence for ${email}`), { 'x-test': 'kept' });
  await post(gateway, chat('a unique sentence of the box'), { 'x-test': 'local' });
  await post(gateway, chat('a unique sentence by mode'), { 'x-sluice-mode': 'local-only' });
  await post(gateway, chat('a unique sentence not picked'), { 'x-test': 'off' });
  await askAndWait(chat('the one after them'), 'differed'); // one thread asks in order: they would be before it
  assert.equal((await cloud.requests()).count, before + 1);
  assert.ok(!cloud.received().includes('a unique sentence'));
});

test('a hit of the cache is no answer of the model and is not asked', async () => {
  const before = (await cloud.requests()).count;
  assert.equal((await post(gateway, chat('the one after them'))).headers.get('x-sluice-route'), 'cache');
  await askAndWait(chat('the one after the hit'), 'differed');
  assert.equal((await cloud.requests()).count, before + 1);
});

test('where answers may not be stored no row is kept', async () => {
  const size = statSync(join(folder, 'shadow.jsonl')).size;
  await askAndWait(chat('an answer that no disk may hold'), 'differed', { 'x-test': 'unstored' });
  assert.equal(statSync(join(folder, 'shadow.jsonl')).size, size);
});

test('a slow cloud makes it drop, and no client waits', async () => {
  const dropped = await count('dropped');
  await cloud.fault('mock-echo', 'mock-slow-head-3s', 40);
  const slowest = Math.max(...await Promise.all(Array.from({ length: 30 }, async (_, i) => {
    const began = Date.now();
    const answer = await post(gateway, chat(`hello number ${i}`), { 'x-test': 'unstored' });
    assert.equal(answer.headers.get('x-sluice-route'), 'local');
    return Date.now() - began;
  })));
  assert.ok(await until(async () => (await count('dropped')) > dropped), 'more than the queue holds');
  assert.ok((await cloud.requests()).requests.length > 0);
  assert.ok(slowest < 30000);
});

for (const [name, more, env] of [
  ['SLUICE_NO_CLOUD', {}, { SLUICE_NO_CLOUD: '1' }],
  ['a policy without a cloud', { cloud: { enabled: false } }, {}],
]) {
  test(`nothing is asked under ${name}`, async () => {
    const other = scratch();
    const before = (await cloud.requests()).count;
    const own = await startGateway(other, { cloud, env, policy: policyText(cloud, shadowed, more) });
    assert.equal((await post(own, chat('not to be sent'))).headers.get('x-sluice-route'), 'local');
    assert.equal((await own.stop()).code, 0);
    assert.equal((await cloud.requests()).requests.filter((request) => request.body.includes('not to be sent')).length, 0);
    assert.ok((await cloud.requests()).count >= before);
    assert.ok(!existsSync(join(other, 'shadow.jsonl')));
  });
}

test('a spent budget ends it', async () => {
  await cloud.reset();
  const policy = JSON.parse(policyText(cloud, { ...shadowed, cache: { enabled: false } }, { budget: { daily_usd: 0.000001 } }));
  policy.providers.cloud.models = { 'mock-echo': { prompt_usd_per_million: 1000, completion_usd_per_million: 1000 } };
  const own = await startGateway(scratch(), { cloud, policy: JSON.stringify(policy) });
  await post(own, chat('the first spends it'));
  assert.ok(await until(async () => (await count('differed', own)) === 1));
  assert.ok(await metric(own, 'sluice_cost_usd_total') > 0);
  await post(own, chat('the second is not sent'));
  await own.stop();
  assert.ok(!(await cloud.requests()).requests.some((request) => request.body.includes('the second is not sent')));
});

test('the log has no text of it', () => {
  for (const word of [email, 'invoice', 'meaning of life', 'unique sentence']) assert.ok(!gateway.log().includes(word), word);
});
