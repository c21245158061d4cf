// SPDX-License-Identifier: Apache-2.0
// The official openai client, with nothing changed but its base URL and key.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { policyText, scratch, startCloud, startGateway } from './lib.mjs';

const OpenAI = await import('openai').then((module) => module.default, () => undefined);
const skip = OpenAI === undefined ? 'the openai package could not be installed' : false;
const routes = {
  routes: [
    { name: 'sure', match: { header: { 'x-test': 'local' } }, threshold: 0 },
    { name: 'unsure', threshold: 1 },
  ],
};
let cloud, gateway, client;

before(async () => {
  if (skip) return;
  const folder = scratch();
  cloud = await startCloud(folder);
  gateway = await startGateway(folder, { cloud, policy: policyText(cloud, {}, routes) });
  client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'any', maxRetries: 0 });
});
after(async () => {
  await gateway?.stop();
  await cloud?.stop();
});

const ask = (text, more = {}) => ({ model: 'auto', messages: [{ role: 'user', content: text }], ...more });
const local = { headers: { 'x-test': 'local' } };

test('gets a local answer', { skip }, async () => {
  const { data, response } = await client.chat.completions.create(ask('set an alarm for seven'), local).withResponse();
  assert.equal(response.headers.get('x-sluice-route'), 'local');
  assert.equal(response.headers.get('x-sluice-reason'), 'confident');
  assert.equal(data.object, 'chat.completion');
  assert.ok(data.choices[0].message.content.length > 0);
  assert.ok(data.usage.total_tokens > 0);
});

test('gets a local stream', { skip }, async () => {
  const stream = await client.chat.completions.create(
    ask('what is on my calendar', { stream: true, stream_options: { include_usage: true } }), local);
  let text = '', finish, usage;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? '';
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  assert.ok(text.length > 0);
  assert.ok(['stop', 'length'].includes(finish));
  assert.ok(usage.completion_tokens > 0);
});

test('gets an escalated answer', { skip }, async () => {
  const { data, response } = await client.chat.completions.create(ask('tell me of the tides, sdk one')).withResponse();
  assert.equal(response.headers.get('x-sluice-route'), 'cloud');
  assert.equal(response.headers.get('x-sluice-reason'), 'low_confidence');
  assert.match(data.choices[0].message.content, /tides, sdk one/);
});

test('gets an escalated stream', { skip }, async () => {
  const stream = await client.chat.completions.create(ask('tell me of the tides, sdk two', { stream: true }));
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? '';
  assert.match(text, /tides, sdk two/);
});

test('lists the models and sees errors in its own classes', { skip }, async () => {
  const models = await client.models.list();
  assert.ok(models.data.some((model) => model.id === 'auto'));
  await assert.rejects(client.chat.completions.create(ask('x', { model: 'no-such-model' })),
    (error) => error instanceof OpenAI.NotFoundError && error.code === 'model_not_found');
});
