// npm run test:netlab [-- [--keep] [NAME]…]: every scenario, the long ones as well, or those whose file has a name
// in its own. --keep holds each lab open at the end of its scenario, whatever came of it, and says how to enter.
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  options: { keep: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const env = { ...process.env, ZTNA_NETLAB: values.keep ? 'keep' : 'all' };
const vitest = spawn('vitest', ['run', '--project', 'netlab', ...positionals], { stdio: 'inherit', env });
vitest.on('error', (error) => {
  console.error(`vitest could not be started (use npm run test:netlab): ${error.message}`);
  process.exitCode = 1;
});
vitest.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
// Ctrl-C is for vitest, which ends its labs; we only wait.
process.on('SIGINT', () => {});
