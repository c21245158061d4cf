// SPDX-License-Identifier: Apache-2.0
// What route:explain says is what happens: 1,000 generated requests are explained and then sent, and
// side, reason and error are compared. Seeded, so that a failure can be looked at again.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chat, metric, policyText, post, scratch, startCloud, startGateway, until } from './lib.mjs';

const seed = 20260411;
const token = 'an-admin-token-of-the-test';
let cloud;
const gateways = {};

function generator(state) { // mulberry32
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const routes = {
  plain: {}, sure: { threshold: 0 }, unsure: { threshold: 1 }, risky: { risk: 0.05 },
  foreign: { local: { prompt_score_min: 0.9 } }, tight: { context_tokens_max: 24 }, narrow: { context_tokens_max: 40, context_counts_output: false },
  tools: { local: { tools: true } }, prose: { local: { structured: false } },
  kept: { pii: { types: { EMAIL: 'keep_local' } } }, blocked: { pii: { types: { EMAIL: 'block' } } },
  'local-only': { mode: 'local-only' }, 'cloud-only': { mode: 'cloud-only' }, 'prefer-local': { mode: 'prefer-local' },
  'prefer-cloud': { mode: 'prefer-cloud' }, 'no-cloud': { cloud: { enabled: false } }, 'no-local': { local: { enabled: false } },
  strict: { threshold: 1, cloud: { unavailable: 'error' } }, uncached: { cache: { enabled: false } },
  short: { local: { output_tokens_max: 4 } }, held: { stream: { hold_tokens: 3, hold_ms: 600000 } },
};
const policy = (provider, more) => policyText(provider, { stream: { hold_tokens: 24, hold_ms: 600000 }, local: { timeout_ms: 60000 } }, {
  models: { 'gpt-alias': 'auto' },
  routes: [...Object.entries(routes).map(([name, terms]) => ({ name, match: { header: { 'x-route': name } }, ...terms })), { name: 'rest' }],
  ...more,
});

async function start(name, provider, more) {
  const folder = scratch();
  const file = join(folder, 'admin.token');
  writeFileSync(file, token, { mode: 0o600 });
  gateways[name] = await startGateway(folder, { cloud, policy: policy(provider, more), args: ['--admin-token-file', file] });
}

before(async () => {
  cloud = await startCloud(scratch());
  await start('online', cloud);
  const priced = JSON.parse(policy(cloud)).providers;
  priced.cloud.models = { 'mock-echo': { prompt_usd_per_million: 1000, completion_usd_per_million: 1000 } };
  await start('spent', cloud, { providers: priced, budget: { daily_usd: 0.000001 } });
  await start('offline', { url: 'https://127.0.0.1:1/v1' });
  await post(gateways.spent, chat('spend it'), { 'x-sluice-mode': 'cloud-only' });
  // Nobody listens there; a few tries make it the network's fault.
  assert.ok(await until(async () => (await post(gateways.offline, chat('try'), { 'x-sluice-mode': 'prefer-cloud' })).headers.get('x-sluice-reason') === 'offline', 60000));
});
after(async () => {
  for (const gateway of Object.values(gateways)) await gateway.stop();
  await cloud?.stop();
});

const sentences = ['wake me at seven', 'play some jazz', 'what is the meaning of life', 'turn on the kitchen light', 'tell me about the sea',
  'set a timer for ten minutes', 'how do you say cat in french', 'translate this legal opinion', 'xqz vbn wrt', 'Was kostet ein Zimmer?', 'ok'];
const schema = { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object', properties: { intent: { type: 'string' } }, required: ['intent'], additionalProperties: false } } };
const tool = { type: 'function', function: { name: 'find', description: 'finds', parameters: { type: 'object', properties: { query: { type: 'string' } } } } };

function generate(random, idx) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  const chance = (share) => random() < share;
  let text = pick(sentences);
  if (chance(0.75)) text += ` ${idx}`; // the others are repeats, and hits where answers are stored
  if (chance(0.2)) text += ` and write to anna${idx}.berg@example.org`;
  if (chance(0.1)) text += ' or call +1 415 555 0132';
  if (chance(0.08)) text += ' tide'.repeat(Math.floor(random() * 600));
  const body = { model: 'auto', messages: [{ role: 'user', content: text }] };
  if (chance(0.1)) body.messages.unshift({ role: 'system', content: 'Be brief.' });
  if (chance(0.1)) body.model = pick(['local', 'cloud', 'cloud/mock-echo', 'gpt-alias', 'gpt-unknown']);
  if (chance(0.35)) body.stream = true;
  if (chance(0.3)) body.max_tokens = pick([1, 3, 16, 600, 5000]);
  if (chance(0.1)) body.temperature = pick([0, 0.2]);
  if (chance(0.05)) body.n = 2;
  if (chance(0.07)) body.tools = [tool];
  if (chance(0.06)) body.response_format = pick([{ type: 'json_object' }, schema]);
  if (chance(0.04)) body.logprobs = true;
  if (chance(0.04)) body.reasoning_effort = 'low';
  if (chance(0.05)) body.messages.at(-1).content = [{ type: 'text', text }, { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } }];
  if (chance(0.03)) {
    body.messages.push({ role: 'assistant', content: null, tool_calls: [{ id: `call_${idx}`, type: 'function', function: { name: 'find', arguments: '{}' } }] },
      { role: 'tool', tool_call_id: `call_${idx}`, content: 'nothing found' });
  }
  const headers = {};
  if (chance(0.85)) headers['x-route'] = pick(Object.keys(routes));
  if (chance(0.3)) headers['x-sluice-mode'] = pick(['auto', 'prefer-local', 'prefer-cloud', 'local-only', 'cloud-only']);
  if (chance(0.15)) headers['x-session-id'] = `session-${Math.floor(random() * 8)}`;
  if (chance(0.05)) headers['cache-control'] = pick(['no-cache', 'no-store', 'only-if-cached']);
  return { body, headers };
}

const verdictOf = (response) => (response.status === 200
  ? `${response.headers.get('x-sluice-route')} ${response.headers.get('x-sluice-reason')}`
  : `error ${response.json?.error?.code}`);

async function explain(gateway, { body, headers }) {
  const response = await post(gateway, body, { ...headers, authorization: `Bearer ${token}` }, '/admin/v1/route:explain');
  if (response.status !== 200) return { verdict: `error ${response.json?.error?.code}` };
  const { side, reason, error } = response.json;
  return { verdict: side === 'none' ? `error ${error}` : `${side} ${reason}`, explained: response.json };
}

const seen = new Map();
for (const [name, count] of [['online', 800], ['spent', 100], ['offline', 100]]) {
  test(`${count} requests ${name}: explained as they go`, { timeout: 600000 }, async () => {
    const random = generator(seed + count + name.length);
    const gateway = gateways[name];
    const wrong = [];
    for (let idx = 0; idx < count; idx++) {
      const request = generate(random, idx);
      const { verdict, explained } = await explain(gateway, request);
      const real = verdictOf(await post(gateway, request.body, request.headers));
      seen.set(real, (seen.get(real) ?? 0) + 1);
      if (verdict !== real) wrong.push(`${idx}: explained ${verdict}, was ${real}: ${JSON.stringify(request).slice(0, 400)} ${JSON.stringify(explained?.confidence)}`);
    }
    assert.equal(wrong.length, 0, `${wrong.length} of ${count}:\n${wrong.slice(0, 10).join('\n')}`);
  });
}

test('they were of many kinds', async () => {
  const verdicts = [...seen.keys()];
  let seconds = 0;
  for (const gateway of Object.values(gateways)) seconds += await metric(gateway, 'process_cpu_seconds_total');
  console.log(`${seconds.toFixed(1)} s of processor time in the gateways`);
  console.log([...seen].sort((a, b) => b[1] - a[1]).map(([verdict, count]) => `${count} ${verdict}`).join('\n'));
  for (const wanted of ['local confident', 'local forced', 'local policy', 'local pii_keep_local', 'local offline', 'cloud low_confidence',
    'cloud context_length', 'cloud unsupported_feature', 'cloud forced', 'cloud policy', 'cache cached', 'error pii_blocked', 'error model_not_found'])
    assert.ok(verdicts.includes(wanted), `no ${wanted} among ${verdicts.join(', ')}`);
});
