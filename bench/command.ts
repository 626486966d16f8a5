import { defineCommand } from '@ztna/runtime';

export const command = defineCommand({
  name: 'bench',
  summary: 'measure this machine, next to plain UDP and TCP',
  description:
    'Measures in one run, each figure next to the same with plain UDP or TCP between the same kind of ' +
    'processes on loopback. relay.*: opaque frames through the forwarding alone; session.*: the whole way from ' +
    "an application's socket to the backend. --netlab: direct paths alone, on hosts of their own. What each name means: docs/benchmarks.md.\n" +
    'Every role is a process of its own, scheduled round-robin in real time where that is permitted (root).',
  options: {
    only: {
      type: 'string',
      multiple: true,
      placeholder: 'NAME,…',
      description: 'only these; a name that ends with a dot or star stands for all that begin so',
    },
    seconds: { type: 'integer', min: 1, max: 60, description: 'length of one trial (default 1)' },
    repeat: { type: 'integer', min: 1, max: 20, description: 'repetitions of each figure (default 3)' },
    netlab: {
      type: 'boolean',
      description: 'direct paths, between hosts in network namespaces (Linux; root, or user namespaces)',
    },
    minutes: { type: 'integer', min: 1, max: 1_440, description: 'length of a soak (default 30)' },
    quick: { type: 'boolean', description: 'shorter trials, one repetition: a look, not a figure' },
  },
  examples: [
    { command: 'ztna bench', description: 'All figures as a table, in about six minutes' },
    {
      command: 'ztna bench --only soak --minutes 60',
      description:
        'Whether memory stays flat while connections, sessions and flows come and go; never part of the rest',
    },
    {
      command: 'ztna bench --netlab',
      description: 'Direct paths, next to plain UDP and TCP between the same hosts',
    },
    { command: 'ztna bench --json --only relay.', description: 'The relay alone, as JSON' },
  ],
  exitCodes: { 1: 'something could not be measured; a goal that is missed is no failure' },
  async run({ options, json, io, signal, print }) {
    const { readOnly } = await import('./select.ts');
    const only = readOnly(options.only ?? [], options.netlab);
    const { runBench } = await import('./bench.ts');
    const { table } = await import('./results.ts');
    const report = await runBench({
      only,
      netlab: options.netlab ?? false,
      seconds: options.seconds ?? (options.quick ? 0.3 : 0.7),
      repeat: options.repeat ?? (options.quick ? 1 : 3),
      minutes: options.minutes ?? 30,
      signal,
      say: (line) => void io.stderr.write(`${line}\n`),
    });
    if (json) print(JSON.stringify(report));
    else {
      const { machine } = report;
      print(`${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}`);
      print(`addon: ${machine.addon}; scheduling: ${machine.scheduling}; load at start: ${machine.load}`);
      print(table(report.results));
    }
    return report.failed.length > 0 ? 1 : 0;
  },
});
