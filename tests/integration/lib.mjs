// SPDX-License-Identifier: Apache-2.0
// Starts the real gateway and the mock cloud on free ports in a scratch folder, and stops them.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const build = process.env.SLUICE_BUILD ?? join(root, 'build', 'dev');
const startMs = 20000; // sanitizers and a busy machine; far above what a start takes

export const defaultModel = process.env.SLUICE_TEST_MODEL ?? join(root, 'engine', 'default', 'sluice-default.gguf');

// Resolves with the first match of `pattern` in what the child prints, or fails with all of it.
function waitFor(child, pattern) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${pattern} in:\n${child.log}`)), startMs);
    const look = () => {
      const match = pattern.exec(child.log);
      if (!match) return;
      clearTimeout(timer);
      resolve(match);
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    child.on('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`exit ${code} before ${pattern}:\n${child.log}`));
    });
    look();
  });
}

function launch(program, args, env) {
  const child = spawn(join(build, program), args, { env: { ...process.env, ...env } });
  child.log = '';
  child.stdout.on('data', (data) => (child.log += data));
  child.stderr.on('data', (data) => (child.log += data));
  child.on('error', (error) => {
    child.log += `${error}\n`;
    child.emit('exit', -1, null);
  });
  child.ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })));
  return child;
}

export function scratch() {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-it-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function askMock(port, ca, method, path, body) {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path, method, ca: readFileSync(ca), agent: false }, (response) => {
      let text = '';
      response.on('data', (data) => (text += data));
      response.on('end', () => (response.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(`${path}: ${text}`))));
    });
    call.on('error', reject);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

export async function startCloud(folder, args = []) {
  const ca = join(folder, 'cloud-ca.pem');
  const record = join(folder, 'cloud-record.txt');
  const child = launch('sluice-mock-cloud', ['--listen', '127.0.0.1:0', '--ca-out', ca, '--record', record, ...args]);
  const [, port] = await waitFor(child, /^listening (?:\S+:)?(\d+)$/m);
  return {
    url: `https://127.0.0.1:${port}/v1`,
    ca,
    received: () => (existsSync(record) ? readFileSync(record, 'latin1') : ''),
    // Its admin calls: what came so far and how many left early; a model's name treated as another.
    requests: () => askMock(port, ca, 'GET', '/mock/requests'),
    fault: (model, as, times) => askMock(port, ca, 'POST', '/mock/fault', { model, as, ...(times && { times }) }),
    reset: () => askMock(port, ca, 'POST', '/mock/reset'),
    stop: async () => {
      child.kill('SIGTERM');
      await child.ended;
    },
  };
}

// A policy: the parts given here over one provider `cloud` at the mock.
export function policyText(cloud, defaults = {}, rest = {}) {
  return JSON.stringify({
    providers: {
      cloud: { kind: 'openai', base_url: cloud?.url ?? 'https://127.0.0.1:1/v1', key_env: 'SLUICE_CLOUD_KEY', model: 'mock-echo' },
    },
    defaults,
    routes: [{ name: 'default' }],
    ...rest,
  }, null, 2);
}

export async function startGateway(folder, { cloud, policy, model = defaultModel, env = {}, args = [] } = {}) {
  const policyFile = join(folder, 'policy.json');
  if (policy !== undefined) writeFileSync(policyFile, policy);
  const child = launch('sluice', ['serve', '--listen', '127.0.0.1:0', '--data-dir', folder,
    ...(policy !== undefined ? ['--policy', policyFile] : []),
    ...(model ? ['--model', model] : []), ...args], {
    SLUICE_CLOUD_KEY: 'test-key-of-the-mock',
    ...(cloud ? { SLUICE_CLOUD_CA_FILE: cloud.ca } : {}),
    ...env,
  });
  const [, url] = await waitFor(child, /ready (https?:\/\/\S+)/);
  return {
    url,
    policyFile,
    child,
    log: () => child.log,
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal);
      return child.ended;
    },
  };
}

export async function post(gateway, body, headers = {}, path = '/v1/chat/completions') {
  const response = await fetch(gateway.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
  });
  const text = await response.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, json };
}

// Of these bodies the one with the longest local answer, and the score of that answer: what tests of
// streams are made from, so that they do not depend on which model is shipped.
export async function longestLocal(bodies) {
  const terms = { mode: 'local-only', context_tokens_max: 0, cache: { enabled: false } };
  const gateway = await startGateway(scratch(), { policy: policyText(undefined, terms) });
  let longest = { tokens: 0 };
  for (const body of bodies) {
    const answer = await post(gateway, { ...body, stream: false });
    const tokens = answer.json.usage.completion_tokens;
    if (tokens > longest.tokens) longest = { body, tokens, score: Number(answer.headers.get('x-sluice-confidence')) };
  }
  await gateway.stop();
  return longest;
}

export function chat(content, more = {}) {
  return { model: 'auto', messages: [{ role: 'user', content }], ...more };
}

// The value of one series of /metrics, 0 where it is not there yet: metric(gateway, 'x_total', { result: 'ok' }).
export async function metric(gateway, name, labels = {}) {
  const text = await (await fetch(`${gateway.url}/metrics`)).text();
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  const line = text.split('\n').find((row) => new RegExp(`^${name}[{ ]`).test(row) && wanted.every((part) => row.includes(part)));
  return line === undefined ? 0 : Number(line.split(' ').at(-1));
}

// The text of an SSE answer, and whether it ended cleanly.
export function readStream(text) {
  const events = text.split('\n\n').map((event) => event.split('\n').filter((line) => line.startsWith('data: '))
    .map((line) => line.slice(6)).join('\n')).filter((data) => data !== '');
  const chunks = events.filter((data) => data !== '[DONE]').map((data) => JSON.parse(data));
  return {
    chunks,
    content: chunks.map((chunk) => chunk.choices?.[0]?.delta?.content ?? '').join(''),
    finish: chunks.map((chunk) => chunk.choices?.[0]?.finish_reason).filter(Boolean)[0],
    done: events.at(-1) === '[DONE]',
  };
}

export async function until(check, ms = 5000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await check();
    if (value || Date.now() > end) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
