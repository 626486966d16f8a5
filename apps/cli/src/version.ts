import { readFileSync } from 'node:fs';
import { defineCommand } from '@ztna/runtime';

export const command = defineCommand({
  name: 'version',
  summary: 'print the version',
  options: {},
  examples: [{ command: 'ztna version --json', description: 'For programs' }],
  async run({ json, print }) {
    const file = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
    const { version } = JSON.parse(file) as { version: string };
    const facts = { version, node: process.version, platform: `${process.platform}-${process.arch}` };
    print(json ? JSON.stringify(facts) : `ztna ${version} (node ${facts.node}, ${facts.platform})`);
  },
});
