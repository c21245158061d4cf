// SPDX-License-Identifier: Apache-2.0
// A request walks: local, escalated and scrubbed, restored, cached. What the cloud received is
// searched for what must not leave.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chat, policyText, post, readStream, scratch, startCloud, startGateway } from './lib.mjs';

const planted = {
  EMAIL: 'anna.berg@example.org',
  PHONE: '+1 415 555 0132',
  CARD: '4111 1111 1111 1111',
  IBAN: 'DE89 3704 0044 0532 0130 00',
  IP: '203.0.113.77',
  SSN: '536-22-8741',
};
const sentence = `Write to ${planted.EMAIL} or call ${planted.PHONE}; card ${planted.CARD}, account ` +
  `${planted.IBAN}, from ${planted.IP}, SSN ${planted.SSN}. `;
const routes = {
  routes: [
    { name: 'sure', match: { header: { 'x-test': 'local' } }, threshold: 0 },
    { name: 'unsure', threshold: 1 },
  ],
};
const folder = scratch();
let cloud, gateway;

const start = async () => startGateway(folder, { cloud, policy: policyText(cloud, {}, routes) });
before(async () => {
  cloud = await startCloud(folder);
  gateway = await start();
});
after(async () => {
  await gateway.stop();
  await cloud.stop();
});

function nothingLeft() {
  const received = cloud.received();
  for (const value of Object.values(planted)) {
    assert.ok(!received.includes(value), `the cloud received ${value}`);
    assert.ok(!received.includes(value.replaceAll(' ', '')), `the cloud received ${value}, joined`);
  }
}

test('a low score escalates, scrubbed on its way out and restored on its way back', async () => {
  const answer = await post(gateway, chat(sentence + 'One.'));
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers.get('x-sluice-route'), 'cloud');
  assert.equal(answer.headers.get('x-sluice-reason'), 'low_confidence');
  for (const type of Object.keys(planted)) {
    assert.match(answer.headers.get('x-sluice-pii'), new RegExp(`\\b${type}=1\\b`));
    assert.ok(answer.json.choices[0].message.content.includes(planted[type]), `${type} came back`);
  }
  assert.match(cloud.received(), /<EMAIL_1>/);
  nothingLeft();
});

test('a stream is restored too', async () => {
  const answer = await post(gateway, chat(sentence + 'Two.', { stream: true }));
  assert.equal(answer.headers.get('content-type').split(';')[0], 'text/event-stream');
  const stream = readStream(answer.text);
  assert.ok(stream.done && stream.finish === 'stop');
  for (const value of Object.values(planted)) assert.ok(stream.content.includes(value));
  nothingLeft();
});

for (const model of ['mock-split-1', 'mock-split-1+wire-1', 'mock-split-3+crlf']) {
  test(`a stream of ${model} is restored`, async () => {
    const answer = await post(gateway, chat(sentence + 'Three.', { stream: true, model: `cloud/${model}` }));
    const stream = readStream(answer.text);
    assert.ok(stream.done, answer.text.slice(-500));
    for (const value of Object.values(planted)) assert.ok(stream.content.includes(value));
    nothingLeft();
  });
}

test('a stream cut in two at every byte of its placeholders is restored', async () => {
  const prompt = `Mail ${planted.EMAIL}, call ${planted.PHONE}.`;
  const scrubbed = 'Mail <EMAIL_1>, call <PHONE_1>.';
  for (let at = 1; at < scrubbed.length; at++) {
    const answer = await post(gateway, chat(prompt, { stream: true, model: `cloud/mock-cutat-${at}` }));
    const stream = readStream(answer.text);
    assert.ok(stream.done, `cut at ${at}: ${answer.text}`);
    assert.ok(stream.content.includes(prompt), `cut at ${at}: ${stream.content}`);
  }
  nothingLeft();
});

test('a prompt over the limit escalates with reason context_length', async () => {
  const answer = await post(gateway, chat('tide '.repeat(600)), { 'x-test': 'local' });
  assert.equal(answer.headers.get('x-sluice-reason'), 'context_length');
  assert.equal(answer.headers.get('x-sluice-route'), 'cloud');
});

test('a confident answer stays on the box', async () => {
  const before = cloud.received().length;
  const answer = await post(gateway, chat('wake me at seven'), { 'x-test': 'local', 'x-sluice-debug': 'true' });
  assert.equal(answer.headers.get('x-sluice-route'), 'local');
  assert.ok(Number(answer.headers.get('x-sluice-confidence')) >= 0);
  assert.equal(answer.json.sluice.route, 'local');
  assert.ok(answer.json.sluice.stages_ms.infer > 0);
  assert.equal(cloud.received().length, before);
});

test('a local answer asked again is a hit', async () => {
  const first = await post(gateway, chat('turn on the kitchen light'), { 'x-test': 'local' });
  const again = await post(gateway, chat('turn on the kitchen light'), { 'x-test': 'local' });
  assert.equal(first.headers.get('x-sluice-cache'), 'miss');
  assert.equal(again.headers.get('x-sluice-route'), 'cache');
  assert.equal(again.headers.get('x-sluice-cache'), 'hit');
  assert.equal(again.json.choices[0].message.content, first.json.choices[0].message.content);
  assert.notEqual(again.json.id, first.json.id);
});

test('a cloud answer asked again with another person in it is a hit with that person in it', async () => {
  await post(gateway, chat('Draft a note for carl@example.com about the harbour.'));
  const before = cloud.received().length;
  const again = await post(gateway, chat('Draft a note for dora@example.net about the harbour.'));
  assert.equal(again.headers.get('x-sluice-cache'), 'hit', again.text);
  assert.match(again.json.choices[0].message.content, /dora@example\.net/);
  assert.ok(!again.text.includes('carl@'));
  assert.equal(cloud.received().length, before);
});

test('both are still hits after kill -9 and a restart', async () => {
  await new Promise((resolve) => setTimeout(resolve, 500)); // the group commit of what was just stored
  await gateway.stop('SIGKILL');
  gateway = await start();
  const local = await post(gateway, chat('turn on the kitchen light'), { 'x-test': 'local' });
  assert.equal(local.headers.get('x-sluice-cache'), 'hit');
  const escalated = await post(gateway, chat('Draft a note for eric@example.se about the harbour.'));
  assert.equal(escalated.headers.get('x-sluice-cache'), 'hit');
  assert.match(escalated.json.choices[0].message.content, /eric@example\.se/);
});

test('a hit is replayed as a stream when a stream is asked for', async () => {
  const answer = await post(gateway, chat('turn on the kitchen light', { stream: true }), { 'x-test': 'local' });
  assert.equal(answer.headers.get('x-sluice-cache'), 'hit');
  const stream = readStream(answer.text);
  assert.ok(stream.done && stream.content.length > 0);
});

test('Cache-Control is obeyed', async () => {
  const refreshed = await post(gateway, chat('turn on the kitchen light'), { 'x-test': 'local', 'cache-control': 'no-cache' });
  assert.equal(refreshed.headers.get('x-sluice-cache'), 'refresh');
  const bypassed = await post(gateway, chat('turn on the kitchen light'), { 'x-test': 'local', 'cache-control': 'no-store' });
  assert.equal(bypassed.headers.get('x-sluice-cache'), 'bypass');
  const missing = await post(gateway, chat('never asked before'), { 'x-test': 'local', 'cache-control': 'only-if-cached' });
  assert.equal(missing.status, 504);
});

test('a request of only one side stays there or fails, never switches', async () => {
  const local = await post(gateway, chat('hum a tune'), { 'x-sluice-mode': 'local-only' });
  assert.equal(local.headers.get('x-sluice-route'), 'local');
  const contradictory = await post(gateway, chat('hum a tune', { model: 'local' }), { 'x-sluice-mode': 'cloud-only' });
  assert.equal(contradictory.status, 400);
});

test('the log holds no text of a request', () => {
  for (const value of [...Object.values(planted), 'harbour', 'kitchen light'])
    assert.ok(!gateway.log().includes(value), `the log holds ${value}`);
});
