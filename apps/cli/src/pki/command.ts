import type { CommandGroup } from '@ztna/runtime';

export const command: CommandGroup = {
  name: 'pki',
  summary: 'make the CA, issue identities, sign snapshots',
  description:
    'A certificate authority in a directory, for use without an admin: a root that can be taken offline, an ' +
    'authority below it that issues identities, and a key that signs snapshots.',
  members: [
    {
      name: 'init',
      summary: 'make the authority of a trust domain',
      load: async () => (await import('./init.ts')).command,
    },
    {
      name: 'issue',
      summary: 'issue the identity of a component',
      load: async () => (await import('./issue.ts')).command,
    },
    {
      name: 'sign-snapshot',
      summary: 'turn a configuration document into signed snapshots',
      load: async () => (await import('./sign-snapshot.ts')).command,
    },
    {
      name: 'show',
      summary: 'describe a certificate or a snapshot',
      load: async () => (await import('./show.ts')).command,
    },
    {
      name: 'schema',
      summary: 'print the JSON Schema of the configuration document',
      load: async () => (await import('./schema.ts')).command,
    },
  ],
  examples: [
    { command: 'ztna pki init --dir pki --trust-domain corp.example', description: 'Make the authority' },
    {
      command: 'ztna pki issue --dir pki --role connector --site berlin --name c1 --out c1',
      description: 'Give a connector its identity',
    },
    {
      command: 'ztna pki sign-snapshot --dir pki --document configuration.yaml --out snapshots',
      description: 'Say who may reach what',
    },
  ],
};
