// SPDX-License-Identifier: Apache-2.0
// The shipped model behind the gateway, asked as apps ask: without a format that would hold it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chat, policyText, post, scratch, startGateway } from './lib.mjs';

const commands = [
  'set an alarm for me at seven tomorrow morning', 'put a reminder for us at noon next friday',
  'wake me up at six on monday', 'play some jazz by miles davis', 'book a table for two at noon',
  "what's the weather in paris tomorrow", 'add milk to my shopping list', 'turn off the lights in the kitchen',
  'remind me to call mum at five', 'what is on my calendar on friday', 'start a timer for ten minutes',
  'what time is it in tokyo',
];

test('free answers to commands are whole JSON with an intent, and slots keep names that labels have too', async () => {
  const folder = scratch();
  const gateway = await startGateway(folder, { policy: policyText(null, { mode: 'local-only', cache: { enabled: false } }) });
  try {
    const answers = [];
    for (const text of commands) {
      const answer = await post(gateway, chat(text));
      assert.equal(answer.status, 200, answer.text);
      const { content } = answer.json.choices[0].message;
      let object;
      assert.doesNotThrow(() => (object = JSON.parse(content)), `${text}: ${content}`);
      assert.match(object.intent, /^\w+$/, content);
      assert.equal(typeof object.slots, 'object', content);
      answers.push(object);
    }
    // `time` and `date` are labels of one set and slots of another.
    assert.equal(answers[0].intent, 'alarm_set');
    assert.equal(answers[0].slots.time, 'seven', JSON.stringify(answers[0]));
    assert.equal(answers[0].slots.date, 'tomorrow', JSON.stringify(answers[0]));
  } finally {
    await gateway.stop();
  }
});
