import { configOption, defineCommand, exitCode } from '@ztna/runtime';
import type { Check } from '../doctor/check.ts';
import { loadAgentConfig } from './start.ts';

/** Of the JSON that this command prints; fields are only ever added. */
const FORMAT = 1;

export const command = defineCommand({
  name: 'doctor',
  summary: 'check everything that an agent needs, one by one',
  description:
    'Checks runtime, configuration, key, certificate, snapshot, the names of the intermediates, UDP to each of them (a ' +
    'real handshake with the identity of the agent), NAT, clock, local ports and limits of this machine, and says what ' +
    'to do about what is wrong. It changes nothing and works whether the agent runs or not; it takes at most some ten ' +
    'seconds.\nEach check is ok, WARN (it works, and somebody should look), FAIL, or - (not checked, because of an ' +
    'earlier failure). With --json, one line: {"version": 1, "ok", "checks": [{"check", "status", "code", "message", ' +
    '"remedy", "facts"}]}; check and code are stable.',
  options: { config: configOption },
  exitCodes: {
    0: 'no check failed; there may be warnings',
    1: 'a check failed',
    3: 'the configuration file cannot be used: most could not be checked',
  },
  examples: [
    { command: 'ztna doctor --config agent.yaml', description: 'What is wrong?' },
    { command: 'ztna doctor --config agent.yaml --json', description: 'For a program' },
  ],
  async run({ options, json, io, signal, stack, print }) {
    // Nothing else keeps the process: waiting for an answer does not.
    const alive = setInterval(() => {}, 0x7fffffff);
    stack.defer(() => clearInterval(alive));
    const [{ runChecks }, { showCheck }, { findRunning }] = await Promise.all([
      import('../doctor/run.ts'),
      import('../doctor/show.ts'),
      import('../doctor/running.ts'),
    ]);
    const config = loadAgentConfig(options.config, io.cwd);
    config.catch(() => {}); // told by its own check
    const running = await findRunning(options.config, io);
    const checks: Check[] = [];
    for await (const check of runChecks({ config, running, signal })) {
      checks.push(check);
      if (!json) for (const line of showCheck(check)) print(line);
    }
    const failures = checks.filter(({ status }) => status === 'fail').length;
    const warnings = checks.filter(({ status }) => status === 'warn').length;
    if (json) print(JSON.stringify({ version: FORMAT, ok: failures === 0, checks }));
    else print(`\n${failures} failed, ${warnings} to look at, of ${checks.length} checks`);
    const isUsable = checks.every(({ check, status }) => check !== 'configuration' || status !== 'fail');
    if (!isUsable) return exitCode.config;
    return failures === 0 ? exitCode.ok : exitCode.failure;
  },
});
