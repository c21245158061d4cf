// SPDX-License-Identifier: Apache-2.0
// Two gateways with one Redis: what one paid for is a hit at the other; a Redis that dies and comes
// back loses no request.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chat, policyText, post, scratch, startCloud, startGateway, until } from './lib.mjs';

const skip = spawnSync('redis-server', ['--version']).status !== 0 ? 'redis-server is not installed' : false;
const folders = [scratch(), scratch()];
let cloud, redis, port;
const gateways = [];

const freePort = () => new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port: free } = server.address();
    server.close(() => resolve(free));
  });
});
const startRedis = async () => {
  redis = spawn('redis-server', ['--port', port, '--bind', '127.0.0.1', '--dir', folders[0], '--save', ''], { stdio: 'ignore' });
  await until(() => spawnSync('redis-cli', ['-p', port, 'ping']).stdout?.toString().includes('PONG'));
};

before(async () => {
  if (skip) return;
  port = await freePort();
  await startRedis();
  cloud = await startCloud(folders[0]);
  const start = (folder) => startGateway(folder, { cloud, policy: policyText(cloud, { threshold: 1 }), args: ['--redis-url', `redis://127.0.0.1:${port}`] });
  gateways.push(await start(folders[0]));
  copyFileSync(join(folders[0], 'cache.key'), join(folders[1], 'cache.key')); // boxes that share a key share answers
  gateways.push(await start(folders[1]));
});
after(async () => {
  for (const gateway of gateways) await gateway.stop();
  await cloud?.stop();
  redis?.kill('SIGKILL');
});

test('an answer paid for by one is a hit at the other, with its own person in it', { skip }, async () => {
  await post(gateways[0], chat('a letter to ida@example.org about the lighthouse keeper'));
  const hit = await until(async () => {
    const answer = await post(gateways[1], chat('a letter to jon@example.com about the lighthouse keeper'),
      { 'cache-control': 'max-age=100000' });
    return answer.headers.get('x-sluice-cache') === 'hit' && answer;
  });
  assert.ok(hit, 'a hit');
  assert.match(hit.json.choices[0].message.content, /jon@example\.com/);
});

test('Redis killed and restarted under load loses no request', { skip }, async () => {
  const statuses = [];
  let running = true;
  const load = Promise.all([0, 1].map(async (box) => {
    for (let i = 0; running; i++) statuses.push((await post(gateways[box], chat(`load ${box} number ${i}`))).status);
  }));
  redis.kill('SIGKILL');
  await new Promise((resolve) => setTimeout(resolve, 600));
  await startRedis();
  await new Promise((resolve) => setTimeout(resolve, 400));
  running = false;
  await load;
  assert.ok(statuses.length > 4 && statuses.every((status) => status === 200), `${statuses}`);
});
