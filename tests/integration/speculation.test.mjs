// SPDX-License-Identifier: Apache-2.0
// The speculative cloud start: while the score of a held stream is close to the threshold the cloud
// is asked already. It is given up at the provider where the local answer recovers, and used where it
// does not; the client never sees parts of both.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chat, longestLocal, metric, policyText, post, readStream, scratch, startCloud, startGateway, until } from './lib.mjs';

const email = 'anna.berg@example.org';
const folder = scratch();
let cloud, gateway;

// Long local answers, so that there is time to ask while they are made.
const candidates = [
  'Angela Merkel met Barack Obama and Emmanuel Macron in Berlin , Paris and London before they flew to New York with Siemens , Google and the United Nations .',
  'Leicestershire beat Somerset by an innings and 39 runs in two days at Grace Road , England , said Phil Simmons .',
  'Japan , China , Syria and Uzbekistan play in Abu Dhabi , Dubai and Al Ain , reported Reuters .',
].map((text) => ({
  model: 'auto', stream: true,
  messages: [{ role: 'system', content: 'Extract the named entities.' }, { role: 'user', content: `${text} Copy to ${email}` }],
}));
let entities, text;
const held = {
  context_tokens_max: 0, cache: { enabled: false }, local: { prompt_score_min: 0 },
  stream: { hold_tokens: 100000, hold_ms: 600000 },
};
const route = (name, threshold, more) => ({
  name, match: { header: { 'x-test': name } }, threshold,
  cloud: { speculative: true, speculative_margin: 1, speculative_share_max: 1, ...more },
});
const count = (result) => metric(gateway, 'sluice_speculations_total', { result });
const ledger = () => readFileSync(join(folder, 'egress.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));

before(async () => {
  cloud = await startCloud(folder);
  const longest = await longestLocal(candidates);
  assert.ok(longest.tokens >= 8, `${longest.tokens} tokens are too few to ask meanwhile`);
  entities = longest.body;
  text = entities.messages[1].content;
  const above = Math.min(0.999, longest.score + 0.02); // what the answer nearly reaches
  const policy = JSON.parse(policyText(cloud, held, {
    routes: [
      route('recovers', 0, { targets: [{ provider: 'cloud', model: 'mock-words-60+token-100ms' }] }),
      route('fails', above, { targets: [{ provider: 'cloud', model: 'mock-echo' }] }),
      route('slow', above, { targets: [{ provider: 'cloud', model: 'mock-words-60+token-20ms' }] }),
      route('broken', above, { targets: [{ provider: 'cloud', model: 'mock-cut-3' }, { provider: 'cloud', model: 'mock-words-60' }] }),
      route('down', above, { targets: [{ provider: 'cloud', model: 'mock-400' }] }),
      route('none', 0, { speculative_share_max: 0, targets: [{ provider: 'cloud', model: 'mock-none' }] }),
      { name: 'default', mode: 'local-only' },
    ],
  }));
  policy.providers.cloud.models = { 'mock-words-60+token-100ms': { prompt_usd_per_million: 1000, completion_usd_per_million: 1000 } };
  policy.providers.cloud.retries = { max: 1, backoff_ms: 20 };
  gateway = await startGateway(folder, { cloud, policy: JSON.stringify(policy) });
});
after(async () => {
  await gateway?.stop();
  await cloud?.stop();
});

test('a local answer that recovers is given whole, and the cloud is given up at the provider', async () => {
  let answer;
  for (let i = 0; i < 10 && (await count('cancelled')) === 0; i++) {
    answer = await post(gateway, entities, { 'x-test': 'recovers' });
    assert.equal(answer.headers.get('x-sluice-route'), 'local', answer.text);
    assert.equal(answer.headers.get('x-sluice-reason'), 'confident');
    const stream = readStream(answer.text);
    assert.ok(stream.done && stream.finish === 'stop');
    assert.doesNotMatch(stream.content, /word\d/);
    await until(async () => (await count('cancelled')) + (await count('unsent')) === i + 1);
  }
  assert.equal(await count('cancelled'), 1, 'one was on its way when the local answer was done');
  assert.equal(await count('used'), 0);
  assert.ok(await until(async () => (await cloud.requests()).left_early >= 1), 'its stream was closed');
  assert.match(answer.headers.get('x-sluice-pii'), /EMAIL=1/, 'the client is told what left');
});

test('what was sent for nothing is scrubbed, in the ledger, and paid for', async () => {
  assert.match(cloud.received(), /<EMAIL_1>/);
  assert.ok(!cloud.received().includes(email));
  const lines = ledger();
  assert.equal(lines.length, 1);
  assert.equal(lines[0].provider, 'cloud');
  assert.equal(lines[0].pii.EMAIL, 1);
  assert.equal(lines[0].bytes, await metric(gateway, 'sluice_egress_bytes_total', { provider: 'cloud' }));
  assert.equal(await metric(gateway, 'sluice_escalations_total'), 0, 'it is no escalation');
});

test('a local answer that does not recover is thrown away, and the cloud’s is used', async () => {
  await cloud.reset();
  const used = await count('used');
  const answer = await post(gateway, entities, { 'x-test': 'fails' });
  assert.equal(answer.headers.get('x-sluice-route'), 'cloud', answer.text);
  assert.equal(answer.headers.get('x-sluice-reason'), 'low_confidence');
  assert.equal(answer.headers.get('x-sluice-attempts'), '1');
  assert.match(answer.headers.get('x-sluice-pii'), /EMAIL=1/);
  const stream = readStream(answer.text);
  assert.equal(stream.content, text, 'the cloud’s answer, restored, and nothing else');
  assert.ok(stream.done && stream.finish === 'stop');
  assert.equal(await count('used'), used + 1);
  assert.ok(!cloud.received().includes(email));
  assert.equal((await cloud.requests()).count, 1, 'asked once');
  assert.equal(ledger().filter((line) => line.model === 'mock-echo').length, 1, 'written down once');
  assert.equal(await metric(gateway, 'sluice_escalations_total', { reason: 'low_confidence' }), 1);
});

test('a long cloud stream flows on after it was taken over', async () => {
  const answer = await post(gateway, entities, { 'x-test': 'slow' });
  const stream = readStream(answer.text);
  assert.ok(stream.done);
  assert.equal(stream.content, Array.from({ length: 60 }, (_, i) => `word${i + 1}`).join(' '));
});

test('a provider that breaks meanwhile is replaced, since nobody saw its words', async () => {
  const answer = await post(gateway, entities, { 'x-test': 'broken' });
  const stream = readStream(answer.text);
  assert.ok(stream.done, answer.text);
  assert.equal(stream.content, Array.from({ length: 60 }, (_, i) => `word${i + 1}`).join(' '));
});

test('a provider that refuses meanwhile is said so', async () => {
  const answer = await post(gateway, entities, { 'x-test': 'down' });
  assert.equal(answer.status, 400, answer.text);
});

test('a client that leaves takes both with it', async () => {
  await cloud.reset();
  const stop = new AbortController();
  const gone = fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST', headers: { 'content-type': 'application/json', 'x-test': 'slow' }, signal: stop.signal,
    body: JSON.stringify(entities),
  }).then((response) => response.text()).catch(() => undefined);
  assert.ok(await until(async () => (await cloud.requests()).count === 1));
  stop.abort();
  await gone;
  assert.ok(await until(async () => (await cloud.requests()).left_early === 1));
  assert.ok(await until(async () => (await metric(gateway, 'sluice_inflight')) === 0));
});

test('no start beyond the share', async () => {
  const refused = await count('refused');
  // The share is earned by every stream; what the tests before have saved up is used first.
  for (let i = 0; i < 6; i++) await post(gateway, chat('play some jazz', { stream: true }), { 'x-test': 'none' });
  assert.ok((await count('refused')) > refused);
});

test('the log has no text of it', () => {
  for (const word of [email, 'Merkel', 'Siemens']) assert.ok(!gateway.log().includes(word), word);
});
