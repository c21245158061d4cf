// SPDX-License-Identifier: Apache-2.0
// A provider's bad day seen from the client, streamed and not. The whole table of faults is played
// against the cloud leg itself in tests/unit/router; here the gateway around it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chat, policyText, post, readStream, scratch, startCloud, startGateway } from './lib.mjs';

const folder = scratch();
let cloud, gateway;

before(async () => {
  cloud = await startCloud(folder);
  const provider = {
    kind: 'openai', base_url: cloud.url, key_env: 'SLUICE_CLOUD_KEY', model: 'mock-echo',
    timeouts: { first_token_ms: 1500, idle_ms: 1500, whole_ms: 1500 }, retries: { max: 1, backoff_ms: 50 },
  };
  const route = (model, cloudMore = {}) => ({
    name: model, match: { header: { 'x-model': model } }, mode: 'cloud-only', cache: { enabled: false },
    cloud: { targets: [{ provider: 'cloud', model }, { provider: 'cloud', model: 'mock-words-60' }], unavailable: 'error', ...cloudMore },
  });
  const text = policyText(cloud, {}, {
    providers: { cloud: provider },
    routes: [
      ...['mock-500-once', 'mock-503', 'mock-429', 'mock-reset', 'mock-silent', 'mock-malformed', 'mock-no-done',
        'mock-cut-40+token-10ms', 'mock-stall-20', 'mock-content-policy', 'mock-slow-first-20s'].map((model) => route(model)),
      { ...route('mock-cut-41'), cloud: { targets: [{ provider: 'cloud', model: 'mock-cut-41' }, { provider: 'cloud', model: 'mock-words-60' }], stream_hold_tokens: 'all' } },
      { name: 'local', mode: 'local-only' },
    ],
  });
  gateway = await startGateway(folder, { cloud, policy: text });
});
after(async () => {
  await gateway.stop();
  await cloud.stop();
});

const ask = (model, stream) => post(gateway, chat(`fault ${model}`, { stream }), { 'x-model': model });

for (const model of ['mock-500-once', 'mock-503', 'mock-429', 'mock-reset', 'mock-silent', 'mock-malformed', 'mock-no-done', 'mock-slow-first-20s']) {
  for (const stream of [false, true]) {
    test(`${model}, ${stream ? 'streamed' : 'whole'}: a complete answer`, async () => {
      const began = Date.now();
      const answer = await ask(model, stream);
      assert.equal(answer.status, 200, answer.text);
      assert.ok(Date.now() - began < 15000);
      if (stream) {
        const read = readStream(answer.text);
        assert.ok(read.done && read.finish === 'stop', answer.text.slice(-400));
        assert.ok(read.content.length > 0);
      } else {
        assert.equal(answer.json.choices[0].finish_reason, 'stop');
      }
    });
  }
}

for (const model of ['mock-cut-40+token-10ms', 'mock-stall-20']) {
  test(`${model}: a stream that broke after its commit never ends as a success`, async () => {
    const read = readStream((await ask(model, true)).text);
    assert.ok(!read.done, 'no [DONE]');
    assert.ok(read.chunks.some((chunk) => chunk.error !== undefined), 'an error event');
  });
  test(`${model}, whole: the fallback's whole answer`, async () => {
    const answer = await ask(model, false);
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.json.choices[0].message.content, /word60/);
  });
}

test('a stream held back whole is recovered whole', async () => {
  const read = readStream((await ask('mock-cut-41', true)).text);
  assert.ok(read.done);
  assert.match(read.content, /word60/);
});

test('a content policy is the provider’s to explain and is not asked elsewhere', async () => {
  const answer = await ask('mock-content-policy', false);
  assert.equal(answer.status, 400);
  assert.match(answer.json.error.message, /./);
});

test('the answer names the model that answered', async () => {
  const answer = await ask('mock-503', false);
  assert.equal(answer.headers.get('x-sluice-model'), 'mock-words-60');
  assert.ok(Number(answer.headers.get('x-sluice-attempts')) >= 2);
});
