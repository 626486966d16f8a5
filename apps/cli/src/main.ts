import { runCli } from '@ztna/runtime';
import { root } from './commands.ts';

// A reader that went away (`ztna --help | head -1`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

const code = await runCli(root, process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  nameProcess: (name) => {
    process.title = name;
  },
});
// Handles that a command left behind do not keep the process; what it wrote is flushed first.
process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
