// SPDX-License-Identifier: Apache-2.0
// Runs one test file with Node's own test runner and prints what failed, and the closing line that
// every test program of Sluice prints.
import { spawn } from 'node:child_process';

const child = spawn(process.execPath, ['--test-reporter=tap', process.argv[2]], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
let output = '';
child.stdout.on('data', (data) => (output += data));
child.on('close', (code) => {
  const count = (word) => Number(new RegExp(`^# ${word} (\\d+)`, 'm').exec(output)?.[1] ?? 0);
  for (const line of output.split('\n')) {
    if (/^\s*not ok/.test(line)) console.log(line.trim());
    const skip = /^\s*ok .* - (.*) # SKIP (.*)$/.exec(line);
    if (skip) console.log(`skipped: ${skip[1]}: ${skip[2]}`);
  }
  if (code !== 0) console.log(output.split('\n').slice(-150).join('\n'));
  console.log(`${count('pass')} passed, ${count('fail')} failed, ${count('skipped')} skipped`);
  process.exitCode = code;
});
