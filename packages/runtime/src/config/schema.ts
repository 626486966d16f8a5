import { isIP } from 'node:net';
import { dirname, resolve } from 'node:path';
import { parseAddress, parseListenAddress } from '../address.ts';

/** The part of JSON Schema (draft 7) that component configurations use. */
export interface Schema {
  readonly $schema?: string;
  /** Name of the published file in docs/schemas. */
  readonly $id?: string;
  readonly title?: string;
  readonly description?: string;
  readonly type: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  readonly default?: unknown;
  readonly format?: string;
  readonly pattern?: string;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: false | Schema;
  readonly items?: Schema;
}

/** Formats of strings, and how each is explained to a person. */
export const formats: Readonly<Record<string, { test(text: string): boolean; like: string }>> = {
  'listen-address': {
    test: (text) => parseListenAddress(text) !== undefined,
    like: 'an address to listen on, like [::]:4433 or 127.0.0.1:8080',
  },
  'listen-address-or-off': {
    test: (text) => text === 'off' || parseListenAddress(text) !== undefined,
    like: "an address to listen on, like 127.0.0.1:9090, or 'off'",
  },
  'host-port': {
    test: (text) => addressWithPort(text) !== undefined,
    like: 'host:port, like example.net:443 or [::1]:443',
  },
  'path-or-off': { test: (text) => text !== '' && !text.includes('\0'), like: "a path, or 'off'" },
  'candidate-address': {
    test: (text) => isIP(text) !== 0 || isIP(addressWithPort(text)?.host ?? '') !== 0,
    like: 'an address, like 203.0.113.7, 203.0.113.7:4433 or [2001:db8::7]:4433',
  },
  path: { test: (text) => text !== '' && !text.includes('\0'), like: 'a path' },
};

function addressWithPort(text: string) {
  const address = parseAddress(text);
  return address && address.port > 0 ? address : undefined;
}

/**
 * The schema as it is published and validated: a field with a default need not be there. In the sources such
 * fields are listed as required, because after loading they always are, and the types come from there.
 */
export function published(schema: Schema): Schema {
  const { properties, required, items, additionalProperties, ...rest } = schema;
  const needed = required?.filter((name) => properties?.[name]?.default === undefined) ?? [];
  return {
    ...rest,
    ...(items && { items: published(items) }),
    ...(properties && { properties: mapValues(properties, published) }),
    ...(needed.length > 0 && { required: needed }),
    ...(additionalProperties !== undefined && {
      additionalProperties: additionalProperties && published(additionalProperties),
    }),
  };
}

/** Makes every relative path (formats `path` and `path-or-off`) absolute, seen from the file's folder. Changes `value`. */
export function resolvePaths(schema: Schema, value: unknown, file: string): void {
  replacePaths(schema, value, (path) => resolve(dirname(file), path));
}

function replacePaths(schema: Schema, value: unknown, replace: (path: string) => string): unknown {
  if (schema.format === 'path' && typeof value === 'string') return replace(value);
  if (schema.format === 'path-or-off' && typeof value === 'string')
    return value === 'off' ? value : replace(value);
  if (typeof value !== 'object' || value === null) return value;
  const container = value as Record<string, unknown>;
  for (const [name, inner] of Object.entries(container)) {
    const own = schema.items ?? schema.properties?.[name] ?? (schema.additionalProperties || undefined);
    if (own) container[name] = replacePaths(own, inner, replace);
  }
  return value;
}

function mapValues<A, B>(record: Readonly<Record<string, A>>, f: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, f(value)]));
}
