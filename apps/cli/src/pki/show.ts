import { describeFile, formatShown } from '@ztna/identity/pki';
import { defineCommand } from '@ztna/runtime';
import { pathFrom } from './options.ts';

export const command = defineCommand({
  name: 'show',
  summary: 'describe a certificate or a snapshot',
  description: 'What the file says. Signatures and times are not checked.',
  positionals: [{ name: 'FILE', description: 'certificates (PEM) or a snapshot' }],
  options: {},
  examples: [
    { command: 'ztna pki show laptop/certificate.pem', description: 'Who, until when, which key' },
    { command: 'ztna pki show snapshots/agent/laptop.snapshot --json', description: 'For programs' },
  ],
  async run({ positionals: [file = ''], io, json, print }) {
    const shown = describeFile(pathFrom(io, file));
    if (json) print(JSON.stringify(shown));
    else for (const line of formatShown(shown)) print(line);
    return undefined;
  },
});
