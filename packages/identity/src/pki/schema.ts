import { ConfigurationSchema } from '@ztna/policy/document';

/** The JSON Schema of the configuration document, as published in docs/schemas/configuration.schema.json. */
export function configurationSchemaText(): string {
  return `${JSON.stringify(ConfigurationSchema, null, 2)}\n`;
}
