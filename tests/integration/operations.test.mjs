// SPDX-License-Identifier: Apache-2.0
// What operators rely on: probes, metrics, keys, a clean end.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chat, policyText, post, readStream, scratch, startCloud, startGateway, until } from './lib.mjs';

const folder = scratch();
let cloud, gateway;

before(async () => {
  cloud = await startCloud(folder);
  gateway = await startGateway(folder, { cloud, policy: policyText(cloud, { threshold: 0 }) });
});
after(async () => {
  await gateway.stop();
  await cloud.stop();
});

test('health, ready and models answer', async () => {
  for (const path of ['/health', '/ready', '/v1/models'])
    assert.equal((await fetch(gateway.url + path)).status, 200, path);
});

test('metrics count what happened and name no text', async () => {
  await post(gateway, chat('a sentence for the metrics'));
  const text = await (await fetch(`${gateway.url}/metrics`)).text();
  assert.match(text, /sluice_requests_total\{[^}]*route="local"[^}]*\} [1-9]/);
  for (const name of ['sluice_confidence_score', 'sluice_stage_seconds', 'sluice_cache_requests_total',
    'sluice_inflight', 'sluice_build_info', 'process_resident_memory_bytes'])
    assert.match(text, new RegExp(`^# TYPE ${name} `, 'm'));
  assert.ok(!text.includes('a sentence for the metrics'));
});

test('an address that is not loopback demands a key, made and shown once', async () => {
  const other = scratch();
  const open = await startGateway(other, { cloud, policy: policyText(cloud, { threshold: 0 }), args: ['--listen', '0.0.0.0:0'] });
  const port = new URL(open.url).port;
  const url = { url: `http://127.0.0.1:${port}` };
  assert.equal((await post(url, chat('hi'), { authorization: 'Bearer wrong' })).status, 401);
  const key = /(sl-[A-Za-z0-9_-]{20,}|sk-[A-Za-z0-9_-]{20,})/.exec(open.log())?.[1];
  assert.ok(key, open.log());
  assert.equal((await post(url, chat('hi'), { authorization: `Bearer ${key}` })).status, 200);
  await open.stop();
  const again = await startGateway(other, { cloud, args: ['--listen', '0.0.0.0:0', '--policy', `${other}/policy.json`] });
  assert.ok(!again.log().includes(key));
  await again.stop();
});

test('SIGTERM lets a running stream finish and ends with status 0', async () => {
  const own = await startGateway(scratch(), { cloud, policy: policyText(cloud, { threshold: 1 }) });
  const running = post(own, chat('a slow stream to be drained', { stream: true, model: 'cloud/mock-words-40+token-25ms' }));
  await until(() => cloud.received().includes('to be drained'));
  const ended = own.stop('SIGTERM');
  const stream = readStream((await running).text);
  assert.ok(stream.done, 'the stream came to its clean end');
  assert.equal((await ended).code, 0);
});

test('SLUICE_NO_CLOUD makes a connection impossible', async () => {
  const own = await startGateway(scratch(), { cloud, policy: policyText(cloud, { threshold: 1, cloud: { unavailable: 'error' } }), env: { SLUICE_NO_CLOUD: '1' } });
  const before = cloud.received().length;
  const answer = await post(own, chat('anything'), { 'x-sluice-mode': 'cloud-only' });
  assert.equal(answer.status, 503, answer.text);
  assert.equal(cloud.received().length, before);
  await own.stop();
});

test('a client that leaves does not leave its request behind', async () => {
  const stop = new AbortController();
  const gone = fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, signal: stop.signal,
    body: JSON.stringify(chat('never answered', { model: 'cloud/mock-silent' })),
  }).catch(() => undefined);
  await until(() => cloud.received().includes('never answered'));
  stop.abort();
  await gone;
  const idle = await until(async () => /^sluice_inflight 0$/m.test(await (await fetch(`${gateway.url}/metrics`)).text()), 5000);
  assert.ok(idle, 'no request is in flight any more');
});
