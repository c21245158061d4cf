// SPDX-License-Identifier: Apache-2.0
// Nothing personal leaves on any path, and nothing of it is left lying about: planted values are sent
// by every way that a request can take, and then everything that the provider recorded and everything
// that the gateway wrote is searched for them.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { longestLocal, metric, policyText, post, readStream, scratch, startCloud, startGateway, until } from './lib.mjs';

const planted = {
  EMAIL: 'anna.berg@example.org', PHONE: '+1 415 555 0132', CARD: '4111 1111 1111 1111', IBAN: 'DE89 3704 0044 0532 0130 00',
  IP: '203.0.113.77', 'IP of six': '2001:db8:85a3::8a2e:370:7334', SSN: '536-22-8741', MAC: '00:1B:44:11:3A:B7',
  CRYPTO: '1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2', PERSON: 'Katarzyna Wisniewska', UK_NHS: '943 476 5919', US_NPI: '1245319599',
  'AWS key': 'AKIAIOSFODNN7EXAMPLQ', 'GitHub token': 'ghp_16C7e42F292c6912E7710c838347Ae178B4a',
  'web token': 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U',
  'URL password': 'hunter2secret', password: 'correct-Horse7battery!staple',
};
const secret = `Write to ${planted.EMAIL} or call ${planted.PHONE}. Card ${planted.CARD}, account ${planted.IBAN}, from ${planted.IP} ` +
  `and ${planted['IP of six']}, SSN ${planted.SSN}, device ${planted.MAC}. Bitcoin to ${planted.CRYPTO}. My name is ${planted.PERSON}. ` +
  `NHS number ${planted.UK_NHS}, NPI ${planted.US_NPI}. The key is ${planted['AWS key']} and ${planted['GitHub token']}, token ` +
  `${planted['web token']}. Clone https://deploy:${planted['URL password']}@git.example.com/repo.git, password = ${planted.password}`;
// What a value looks like after the encodings that it could leave in.
const forms = (value) => [...new Set([value, value.replaceAll(/[ -]/g, ''), encodeURIComponent(value), JSON.stringify(value).slice(1, -1),
  Buffer.from(value).toString('base64').slice(1, -4), Buffer.from(value).toString('hex')])];

const folder = scratch();
let cloud, gateway;

const one = (model) => [{ provider: 'cloud', model }];
const two = (model, next = 'mock-words-60') => [...one(model), { provider: 'cloud', model: next }];
const paths = {
  plain: { targets: one('mock-echo') },
  'tool call': { targets: one('mock-tool') },
  'a provider of Anthropic’s': { targets: [{ provider: 'claude', model: 'mock-echo' }] },
  retry: { targets: one('mock-500-once+split-3'), asks: 2 },
  'retry after a reset': { targets: one('mock-reset+once'), asks: 2 },
  'rate limit and fallback': { targets: two('mock-429'), asks: 2 },
  fallback: { targets: two('mock-503'), asks: 2 },
  silence: { targets: two('mock-silent'), asks: 2 },
  'a broken stream, then the fallback': { targets: two('mock-cut-0'), asks: 2 },
  'a stream that breaks after its commit': { targets: one('mock-cut-20+token-5ms'), breaks: true, only: 'streamed' },
  'resumed by prefill': { targets: [...one('mock-cut-20+token-5ms'), { provider: 'prefill', model: 'mock-words-60' }], cloud: { resume: true }, asks: 2, only: 'streamed' },
  'resumed by a fresh answer': { targets: [...one('mock-cut-21+token-5ms'), { provider: 'other', model: 'mock-words-60' }], cloud: { resume: true }, asks: 2, only: 'streamed' },
  'resumed with values in it': { targets: [...one('mock-canned+cut-30+token-2ms'), { provider: 'other', model: 'mock-canned' }], cloud: { resume: true }, asks: 2, only: 'streamed' },
  'a refusal that quotes': { targets: one('mock-content-policy+quote'), status: 400, quotes: true },
  'an error that quotes': { targets: one('mock-400+quote'), status: 400, quotes: true },
  'context too long': { targets: one('mock-context-length'), status: 400 },
  'a wrong key': { targets: one('mock-bad-key'), status: 502 },
  garbage: { targets: one('mock-garbage'), status: 502 },
  'no such model': { targets: one('mock-unknown-part'), status: 400 },
  hedged: { targets: [{ provider: 'hedged', model: 'mock-echo' }, { provider: 'other', model: 'mock-echo' }], asks: 2, hedged: true, only: 'streamed' },
};

// Long local answers: time to ask the cloud while they are made.
const candidates = [
  `Angela Merkel met Barack Obama and Emmanuel Macron in Berlin , Paris and London before they flew to New York . Copy to ${planted.EMAIL}`,
  `Leicestershire beat Somerset by 39 runs at Grace Road , England , said Phil Simmons . Account ${planted.IBAN} , copy to ${planted.EMAIL}`,
  `Japan , China , Syria and Uzbekistan play in Abu Dhabi and Dubai , reported Reuters . ${secret}`,
].map((text) => ({ model: 'auto', stream: true, messages: [{ role: 'system', content: 'Extract the named entities.' }, { role: 'user', content: text }] }));
let entities;

before(async () => {
  const longest = await longestLocal(candidates);
  assert.ok(longest.tokens >= 8, `${longest.tokens} tokens are too few to ask meanwhile`);
  entities = longest.body;
  const above = Math.min(0.999, longest.score + 0.02); // what the answer nearly reaches
  cloud = await startCloud(folder);
  const provider = {
    kind: 'openai', base_url: cloud.url, key_env: 'SLUICE_CLOUD_KEY', model: 'mock-echo', timeouts: { first_token_ms: 4000, idle_ms: 4000, whole_ms: 4000 },
    retries: { max: 1, backoff_ms: 20, budget_burst: 1000 }, breaker: { failures: 64 },
  };
  const policy = {
    providers: {
      cloud: provider, other: provider, claude: { ...provider, kind: 'anthropic' }, prefill: { ...provider, takes_prefill: true },
      hedged: { ...provider, hedge: { quantile: 0.5, min_ms: 100 } },
    },
    defaults: { context_tokens_max: 0, local: { prompt_score_min: 0 }, cloud: { unavailable: 'error' } },
    routes: [
      ...Object.entries(paths).map(([name, { targets, cloud: more }], idx) => ({
        name, match: { header: { 'x-path': String(idx) } }, mode: 'cloud-only', cache: { enabled: false }, cloud: { targets, ...more },
      })),
      { name: 'cached', match: { header: { 'x-path': 'cached' } }, threshold: 1, cloud: { targets: one('mock-echo') } },
      { name: 'shadow', match: { header: { 'x-path': 'shadow' } }, threshold: 0, cloud: { shadow_share: 1, targets: one('mock-echo') } },
      { name: 'speculative', match: { header: { 'x-path': 'speculative' } }, threshold: above, cache: { enabled: false }, stream: { hold_tokens: 100000, hold_ms: 600000 },
        cloud: { speculative: true, speculative_margin: 1, speculative_share_max: 1, targets: one('mock-echo') } },
      { name: 'kept', match: { header: { 'x-path': 'kept' } }, mode: 'prefer-cloud', pii: { default: 'keep_local' } },
      { name: 'blocked', match: { header: { 'x-path': 'blocked' } }, mode: 'prefer-cloud', pii: { default: 'block' } },
      { name: 'default', mode: 'cloud-only', cache: { enabled: false }, cloud: { targets: one('mock-echo') } },
    ],
  };
  gateway = await startGateway(folder, { cloud, policy: JSON.stringify(policy), args: ['--log-level', 'debug'] });
});
after(async () => {
  await gateway?.stop();
  await cloud?.stop();
});

function search(where, text) {
  for (const [name, value] of Object.entries(planted))
    for (const form of forms(value)) assert.ok(!text.includes(form), `${where} holds ${name}`);
}
const tool = { type: 'function', function: { name: 'find', parameters: { type: 'object', properties: { query: { type: 'string' } } } } };
const body = (text, more) => ({ model: 'auto', messages: [{ role: 'user', content: text }], ...more });

for (const [idx, [name, path]] of Object.entries(paths).entries()) {
  for (const stream of path.only === 'streamed' ? [true] : [false, true]) {
    test(`${name}${stream ? ', streamed' : ''}`, async () => {
      await cloud.reset();
      const headers = { 'x-path': String(idx) };
      if (path.hedged) {
        for (let i = 0; i < 18; i++) await post(gateway, body(`warming up ${i}`), headers); // latencies to hedge by
        await cloud.reset();
        await cloud.fault('mock-echo', 'mock-slow-head-3s', 1);
      }
      const answer = await post(gateway, body(`${secret} ${name}`, { stream, ...(name === 'tool call' && { tools: [tool] }) }), headers);
      const recorded = await cloud.requests();
      assert.equal(answer.status, path.status ?? 200, answer.text);
      assert.ok(recorded.count >= (path.asks ?? 1), `${recorded.count} attempts: the path was not taken`);
      search('the provider', cloud.received());
      if (path.quotes) { // the client reads its own words, the provider's words had placeholders
        assert.match(answer.json.error.message, /because you wrote: Write to anna\.berg@example\.org/);
      } else if (!path.status && !path.breaks && /echo|canned/.test(JSON.stringify(path.targets))) {
        const text = stream ? readStream(answer.text).content : answer.json.choices[0].message.content;
        for (const value of [planted.EMAIL, planted.IBAN, planted.PERSON]) assert.ok(text.includes(value), 'restored');
      }
      if (name.startsWith('resumed')) assert.ok(readStream(answer.text).done, answer.text.slice(-300));
    });
  }
}

test('shadow', async () => {
  await post(gateway, body(`${secret} in the shadow`), { 'x-path': 'shadow' });
  await post(gateway, body('a question without any names', {}), { 'x-path': 'shadow' });
  assert.ok(await until(async () => (await metric(gateway, 'sluice_shadow_total', { result: 'differed' })) === 2, 20000));
  search('the provider', cloud.received());
});

test('speculative', async () => {
  const answer = await post(gateway, entities, { 'x-path': 'speculative' });
  assert.equal(answer.headers.get('x-sluice-route'), 'cloud', answer.text);
  assert.ok(readStream(answer.text).content.includes(planted.EMAIL));
  assert.equal(await metric(gateway, 'sluice_speculations_total', { result: 'used' }), 1);
  search('the provider', cloud.received());
});

test('stored and served again', async () => {
  for (const expected of ['miss', 'hit']) {
    const answer = await post(gateway, body(`${secret} stored`), { 'x-path': 'cached' });
    assert.equal(answer.headers.get('x-sluice-cache'), expected);
    assert.ok(answer.json.choices[0].message.content.includes(planted.EMAIL));
  }
});

test('kept or blocked, nothing is sent at all', async () => {
  await cloud.reset();
  assert.equal((await post(gateway, body(`${secret} kept`), { 'x-path': 'kept' })).headers.get('x-sluice-reason'), 'pii_keep_local');
  assert.equal((await post(gateway, body(`${secret} blocked`), { 'x-path': 'blocked' })).status, 422);
  assert.equal((await cloud.requests()).count, 0);
});

// Every place of a request that text can sit in, and every API that takes one.
const call = { id: 'call_1', type: 'function', function: { name: 'find', arguments: JSON.stringify({ query: secret, deep: [{ note: JSON.stringify({ inner: secret }) }] }) } };
const carriers = {
  'system prompt': body('hello', { messages: [{ role: 'system', content: secret }, { role: 'user', content: 'hello' }] }),
  'text parts': body('', { messages: [{ role: 'user', content: [{ type: 'text', text: secret }] }] }),
  'tool call arguments and result': body('', { messages: [{ role: 'user', content: 'find it' }, { role: 'assistant', content: null, tool_calls: [call] },
    { role: 'tool', tool_call_id: 'call_1', content: secret }], tools: [tool] }),
  'tool descriptions': body('find it', { tools: [{ type: 'function', function: { name: 'find', description: secret,
    parameters: { type: 'object', properties: { query: { type: 'string', description: secret } } } } }] }),
  'user and metadata': body('hello', { user: planted.EMAIL, metadata: { customer: secret } }),
  'an unknown field': body('hello', { some_new_field: { deep: [secret] } }),
  'a schema': body('hello', { response_format: { type: 'json_schema', json_schema: { name: 'x', description: secret, schema: { type: 'object', properties: {} } } } }),
  'full-width digits': body(`card ${planted.CARD.replaceAll(/\d/g, (digit) => String.fromCharCode(0xff10 + Number(digit)))}`),
};
for (const [name, request] of Object.entries(carriers))
  test(`in ${name}`, async () => {
    await cloud.reset();
    const answer = await post(gateway, request);
    assert.ok(answer.status === 200, answer.text);
    assert.ok((await cloud.requests()).count > 0);
    search('the provider', cloud.received());
    assert.ok(!cloud.received().includes('４１１１'));
  });

test('by the Anthropic and the Ollama API', async () => {
  const anthropic = await post(gateway, { model: 'auto', max_tokens: 50, system: secret, messages: [{ role: 'user', content: [{ type: 'text', text: secret }] }],
    metadata: { user_id: planted.EMAIL } }, {}, '/v1/messages');
  assert.equal(anthropic.status, 200, anthropic.text);
  const ollama = await post(gateway, { model: 'auto', stream: false, messages: [{ role: 'user', content: secret }] }, {}, '/api/chat');
  assert.equal(ollama.status, 200, ollama.text);
  search('the provider', cloud.received());
});

test('headers of the client do not travel', async () => {
  await post(gateway, body('hello'), { 'x-customer': planted.EMAIL, cookie: `session=${planted['GitHub token']}`, 'x-session-id': planted.SSN });
  search('the provider', cloud.received());
});

test('nothing of it lies in ledger, log, metrics, cache or rows', async () => {
  search('the metrics', await (await fetch(`${gateway.url}/metrics`)).text());
  search('the log', gateway.log());
  assert.match(gateway.log(), /debug/, 'the log is as talkative as it can be');
  await gateway.stop(); // what was queued for the disk is on it
  const files = readdirSync(folder).filter((file) => statSync(join(folder, file)).isFile() && !/^(cloud-|policy)/.test(file));
  for (const file of ['egress.jsonl', 'cache.db', 'shadow.jsonl']) assert.ok(files.includes(file), `${file} among ${files}`);
  for (const file of files) search(file, readFileSync(join(folder, file), 'latin1'));
  const lines = readFileSync(join(folder, 'egress.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  assert.ok(lines.length > 30);
  for (const field of ['time', 'request_id', 'provider', 'model', 'policy', 'bytes', 'pii']) assert.ok(field in lines[0], field);
  assert.ok(!existsSync(join(folder, 'core')));
});
