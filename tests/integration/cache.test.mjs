// SPDX-License-Identifier: Apache-2.0
// What makes two requests the same, and what keeps a stored answer from being served.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { build, chat, defaultModel, policyText, post, scratch, startCloud, startGateway, until } from './lib.mjs';

const folder = scratch();
let cloud, gateway;
const status = async (body, headers) => (await post(gateway, body, headers)).headers.get('x-sluice-cache');

before(async () => {
  cloud = await startCloud(folder);
  gateway = await startGateway(folder, {
    cloud, policy: policyText(cloud, { threshold: 1 }, {
      routes: [{ name: 'sure', match: { header: { 'x-test': 'local' } }, threshold: 0 },
        { name: 'meaning', match: { header: { 'x-test': 'meaning' } }, mode: 'prefer-cloud', cache: { similar: 'semantic', similar_threshold: 0.5 } },
        { name: 'words', match: { header: { 'x-test': 'words' } }, mode: 'prefer-cloud', cache: { similar: 'lexical' } },
        { name: 'unsure' }],
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

// The model's calibration decides which wordings are sure enough, so some of them must hit, not each;
// and the threshold is low, since this is about the walk, not about the model.
const namings = ['what is your name', 'tell me your name', 'do you have a name', 'what should i call you',
  'can you tell me your name', 'may i know your name'];

test('a route that looks by meaning serves other wordings of what was paid for', async () => {
  const headers = { 'x-test': 'meaning', 'x-sluice-debug': 'true' };
  const asked = (content, round) => ({ ...chat(content, { temperature: 0 }),
    messages: [{ role: 'system', content: `Round ${round}.` }, { role: 'user', content }] });
  const cached = (answer) => answer.headers.get('x-sluice-cache');
  let answers, similar = [], round = 0;
  // A box too busy to say what is meant within 250 ms pays: another round has another scope.
  for (; round < 10 && similar.length === 0; round++) {
    answers = [];
    for (const text of namings) answers.push(await post(gateway, asked(text, round), headers));
    similar = answers.filter((answer) => cached(answer) === 'similar');
  }
  const content = (answer) => answer.json.choices[0].message.content;
  const paid = answers.filter((answer) => cached(answer) === 'miss').map(content);
  assert.equal(cached(answers[0]), 'miss');
  assert.ok(similar.length >= 1, answers.map(cached).join());
  for (const answer of similar) {
    assert.equal(answer.headers.get('x-sluice-route'), 'cache');
    assert.equal(answer.json.sluice.cache.match, 'meaning');
    assert.ok(paid.includes(content(answer)), content(answer));
  }
  for (const text of ['how old are you', 'what is not your name', 'what is your name in 1 word'])
    assert.equal(await status(asked(text, round - 1), headers), 'miss', text);
});

test('a route that looks by words does not', async () => {
  for (const content of namings) {
    const body = { ...chat(content, { temperature: 0 }), messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content }] };
    assert.equal(await status(body, { 'x-test': 'words' }), 'miss', content);
  }
});

const encoder = join(process.env.SLUICE_REFERENCE ?? join(import.meta.dirname, '..', '..', '..', 'shared', 'reference'),
  'engine', 'models', 'bert-mean', 'bert-mean-Q8_0.gguf');

test('a box with an embedding model finds close texts', { skip: !existsSync(encoder) && 'no reference data' }, async () => {
  const place = scratch();
  const terms = { mode: 'prefer-cloud', cache: { similar: 'semantic' } };
  const start = () => startGateway(place, { cloud, model: encoder, policy: policyText(cloud, terms) });
  const ask = async (box, text) => {
    const answer = await post(box, chat(text, { temperature: 0 }), { 'x-sluice-debug': 'true' });
    return `${answer.headers.get('x-sluice-cache')} ${answer.json.sluice?.cache?.match ?? ''}`.trim();
  };
  let box = await start();
  assert.equal(await ask(box, 'what is the name of the largest lake in the north'), 'miss');
  await new Promise((resolve) => setTimeout(resolve, 300)); // an embedding is found once it is committed
  assert.equal(await ask(box, 'what is the name of largest lake in the north'), 'similar content');
  assert.equal(await ask(box, 'what is the name of smallest lake in the north'), 'miss');
  await box.stop();
  box = await start();
  assert.equal(await ask(box, 'where is the mouth of the longest river'), 'miss'); // the index is filled behind it
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(await ask(box, 'what is name of the largest lake in the north'), 'similar content');
  await box.stop();
});

test('a new policy takes what the old one made; the same one keeps it over a restart', async () => {
  const place = scratch();
  const start = (hold) => startGateway(place, { cloud, policy: policyText(cloud, { threshold: 1, stream: { hold_ms: hold } }) });
  const asked = chat('the tides of kelp row', { temperature: 0 });
  const ask = async (box) => (await post(box, asked)).headers.get('x-sluice-cache');
  let box = await start(700);
  assert.equal(await ask(box), 'miss');
  await box.stop();
  box = await start(700);
  assert.equal(await ask(box), 'hit');
  writeFileSync(box.policyFile, policyText(cloud, { threshold: 1, stream: { hold_ms: 701 } }));
  assert.ok(await until(() => /removed/.test(box.log()), 15000), box.log());
  assert.equal(await ask(box), 'miss');
  assert.equal(await ask(box), 'hit');
  await box.stop();
  box = await start(702);
  assert.ok(await until(() => /removed/.test(box.log()), 15000), box.log());
  assert.equal(await ask(box), 'miss');
  await box.stop();
});

// Runs a command on the data folder and gives its JSON.
function run(place, args) {
  const { status, stdout, stderr } = spawnSync(join(build, 'sluice'), [...args, '--data-dir', place, '--json'], {
    encoding: 'utf8', env: { ...process.env, SLUICE_CLOUD_KEY: 'unused', SLUICE_CLOUD_CA_FILE: cloud.ca } });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

// A gateway with one stored answer, and the request that it answers.
async function boxWithOneAnswer(place, content) {
  const box = await startGateway(place, { cloud, policy: policyText(cloud, { threshold: 1 }) });
  const asked = chat(content, { temperature: 0 });
  assert.equal((await post(box, asked)).headers.get('x-sluice-cache'), 'miss');
  assert.ok(await until(() => run(place, ['cache', 'stats']).entries === 1));
  return { box, asked };
}

test('explaining under another policy leaves a running gateway’s answers alone', async () => {
  const place = scratch(), elsewhere = scratch();
  const { box, asked } = await boxWithOneAnswer(place, 'the mill on the third hill');
  const edited = join(elsewhere, 'edited.json'), request = join(elsewhere, 'request.json');
  writeFileSync(edited, policyText(cloud, { threshold: 0.5 }));
  writeFileSync(request, JSON.stringify(asked));
  run(place, ['policy', 'explain', request, '--policy', edited, '--model', defaultModel]);
  assert.equal(run(place, ['cache', 'stats']).entries, 1, 'it is an edit that may never come into force');
  assert.equal((await post(box, asked)).headers.get('x-sluice-cache'), 'hit');
  await box.stop();
});

test('a command that knows another bound than the gateway evicts nothing', async () => {
  const place = scratch(), request = join(scratch(), 'request.json');
  const { box, asked } = await boxWithOneAnswer(place, 'the ferry to the small island');
  writeFileSync(request, JSON.stringify(asked));
  const small = ['--cache-bytes-max', '1'];
  assert.equal(run(place, ['cache', 'stats', ...small]).entries, 1);
  run(place, ['policy', 'explain', request, '--policy', box.policyFile, '--model', defaultModel, ...small]);
  assert.equal(run(place, ['cache', 'rotate-key', ...small]).entries, 1);
  assert.equal(run(place, ['cache', 'stats', ...small]).entries, 1);
  assert.equal((await post(box, asked)).headers.get('x-sluice-cache'), 'hit');
  await box.stop();
});

test('a rotated key leaves every answer readable, and the old one goes', async () => {
  const place = scratch();
  const keyFile = join(place, 'cache.key');
  let box = await startGateway(place, { cloud, policy: policyText(cloud, { threshold: 1 }) });
  const asked = chat('the keeper of the old key', { temperature: 0 });
  assert.equal((await post(box, asked)).headers.get('x-sluice-cache'), 'miss');
  assert.ok(await until(() => existsSync(keyFile)));
  await new Promise((resolve) => setTimeout(resolve, 300));
  const before = readFileSync(keyFile, 'utf8');
  const rotated = spawnSync(join(build, 'sluice'), ['cache', 'rotate-key', '--data-dir', place, '--json'], { encoding: 'utf8' });
  assert.equal(rotated.status, 0, rotated.stderr);
  assert.equal(JSON.parse(rotated.stdout).entries, 1);
  const after = readFileSync(keyFile, 'utf8');
  assert.notEqual(after, before);
  assert.equal(after.match(/^body /gm).length, 1);
  assert.equal((await post(box, asked)).headers.get('x-sluice-cache'), 'hit', 'while the gateway runs');
  await box.stop();
  box = await startGateway(place, { cloud, policy: policyText(cloud, { threshold: 1 }) });
  assert.equal((await post(box, asked)).headers.get('x-sluice-cache'), 'hit', 'after a restart');
  await box.stop();
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
