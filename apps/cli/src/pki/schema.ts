import { configurationSchemaText } from '@ztna/identity/pki';
import { defineCommand } from '@ztna/runtime';

export const command = defineCommand({
  name: 'schema',
  summary: 'print the JSON Schema of the configuration document',
  options: {},
  examples: [
    { command: 'ztna pki schema > configuration.schema.json', description: 'For editors and programs' },
  ],
  async run({ print }) {
    print(configurationSchemaText().trimEnd());
    return undefined;
  },
});
