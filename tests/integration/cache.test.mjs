// SPDX-License-Identifier: Apache-2.0
// What makes two requests the same, and what keeps a stored answer from being served.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chat, policyText, post, scratch, startCloud, startGateway } from './lib.mjs';

const folder = scratch();
let cloud, gateway;
const status = async (body, headers) => (await post(gateway, body, headers)).headers.get('x-sluice-cache');

before(async () => {
  cloud = await startCloud(folder);
  gateway = await startGateway(folder, {
    cloud, policy: policyText(cloud, { threshold: 1 }, {
      routes: [{ name: 'sure', match: { header: { 'x-test': 'local' } }, threshold: 0 }, { name: 'unsure' }],
    }),
  });
});
after(async () => {
  await gateway.stop();
  await cloud.stop();
});

for (const [side, headers] of [['cloud', {}], ['local', { 'x-test': 'local' }]]) {
  const text = `what is the ebb of lantern street ${side}`;
  const base = () => chat(text, { temperature: 0, max_tokens: 40 });

  test(`${side}: what does not matter is a hit`, async () => {
    assert.equal(await status(base(), headers), 'miss');
    const shuffled = '{ "max_tokens" : 40,\n "messages":[ {"content":"' + text + '","role":"user"} ],' +
      ' "temperature":0.0, "model":"auto" }';
    assert.equal(await status(shuffled, headers), 'hit', 'key order and white space');
    assert.equal(await status({ ...base(), stream: true }, headers), 'hit', 'stream');
    assert.equal(await status({ ...base(), user: 'u-17' }, headers), 'hit', 'user');
    assert.equal(await status({ ...base(), metadata: { a: 'b' } }, headers), 'hit', 'metadata');
  });

  test(`${side}: what can change the answer is a miss`, async () => {
    await status(base(), headers);
    const tool = { type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } };
    const changes = {
      text: chat(`${text} north`, { temperature: 0, max_tokens: 40 }),
      temperature: { ...base(), temperature: 0.2 },
      max_tokens: { ...base(), max_tokens: 41 },
      top_p: { ...base(), top_p: 0.5 },
      seed: { ...base(), seed: 7 },
      stop: { ...base(), stop: ['\n'] },
      presence_penalty: { ...base(), presence_penalty: 0.5 },
      system: { ...base(), messages: [{ role: 'system', content: 'Be brief.' }, ...base().messages] },
      history: { ...base(), messages: [{ role: 'user', content: 'hi' }, { role: 'assistant', content: 'hello' }, ...base().messages] },
      response_format: { ...base(), response_format: { type: 'json_object' } },
      unknown_field: { ...base(), some_new_field: 1 },
      ...(side === 'cloud' ? { tools: { ...base(), tools: [tool] }, n: { ...base(), n: 2 }, model: { ...base(), model: 'cloud/mock-canned' } } : {}),
    };
    for (const [name, body] of Object.entries(changes)) assert.equal(await status(body, headers), 'miss', name);
  });
}

test('a request that asks for variety is not cached', async () => {
  const body = chat('surprise me', { temperature: 1.2 });
  assert.equal(await status(body), 'bypass');
  assert.equal(await status(body), 'bypass');
});

test('a failed answer is never stored', async () => {
  const body = chat('of the ninth wave', { model: 'cloud/mock-503' });
  assert.ok((await post(gateway, body)).status >= 500);
  assert.ok((await post(gateway, body)).status >= 500);
});

test('equal requests at the same time are computed once', async () => {
  const count = () => cloud.received().split('single flight of gulls').length - 1;
  const answers = await Promise.all(Array.from({ length: 6 }, () =>
    post(gateway, chat('single flight of gulls', { model: 'cloud/mock-slow-head-400ms' }))));
  assert.deepEqual(new Set(answers.map((answer) => answer.status)), new Set([200]));
  assert.equal(count(), 1);
});

test('the files of the cache hold no text and no value', async () => {
  await post(gateway, chat('planted sentence for otto@example.org at lantern street'));
  await new Promise((resolve) => setTimeout(resolve, 400));
  for (const name of readdirSync(folder).filter((file) => file.startsWith('cache'))) {
    const data = readFileSync(join(folder, name), 'latin1');
    for (const planted of ['lantern', 'otto@example.org', 'planted sentence', 'EMAIL_1'])
      assert.ok(!data.includes(planted), `${name} holds ${planted}`);
  }
});
