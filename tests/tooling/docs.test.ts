// Documents age. What they say in numbers, names and links is held against the code here.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseConfiguration } from '../../packages/policy/src/document/index.ts';
import {
  agentSchema,
  connectorSchema,
  intermediateSchema,
  parseConfig,
} from '../../packages/runtime/src/config/index.ts';
import { FRAME_REGISTRY, LIMITS, WIRE_ERRORS } from '../../packages/wire/src/index.ts';

const root = join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');
const skipped = (path: string) => /(^|\/)(node_modules|target|dist|\.git|\.ztna)$/.test(path);
const documents = globSync('**/*.md', { cwd: root, exclude: skipped }).sort();

describe('links', () => {
  test('there are documents to look at', () => {
    expect(documents).toContain('README.md');
  });

  test.each(documents)('every relative link in %s leads somewhere', (document) => {
    const broken = linksOf(read(document)).filter((link) => !resolves(document, link));
    expect(broken).toEqual([]);
  });

  test.each(documents)('no heading is twice in %s', (document) => {
    const headings = headingsOf(read(document));
    expect(headings).toEqual([...new Set(headings)]);
  });

  test('a link to a missing file or heading is broken', () => {
    expect(resolves('README.md', 'docs/nothing.md')).toBe(false);
    expect(resolves('README.md', '#no-such-heading')).toBe(false);
    expect(resolves('docs/protocol.md', '../README.md#status')).toBe(true);
  });
});

describe('docs/protocol.md', () => {
  const rows = rowsOf(read('docs/protocol.md'));

  test('has every frame type with its layout', () => {
    for (const [number, { name, protocol, layout }] of Object.entries(FRAME_REGISTRY)) {
      const byte = `0x${Number(number).toString(16).toUpperCase().padStart(2, '0')}`;
      expect(rows).toContainEqual([byte, name, protocol, layout]);
    }
  });

  test('has every limit with its value', () => {
    for (const [name, value] of Object.entries(LIMITS)) {
      expect(rows).toContainEqual([name, String(value), expect.any(String)]);
    }
  });

  test('has every error with its number', () => {
    for (const [code, { number, fault, retryable }] of Object.entries(WIRE_ERRORS)) {
      expect(rows).toContainEqual([String(number), code, fault, retryable ? 'yes' : 'no']);
    }
  });

  test('has every control message with its field number', () => {
    const oneof = /oneof message \{([^}]*)\}/.exec(read('proto/ztna/v2/control.proto'))?.[1] ?? '';
    const members = [...oneof.matchAll(/(\w+) \w+ = (\d+);/g)];
    expect(members.length).toBeGreaterThan(0);
    for (const [, message = '', number = ''] of members) {
      expect(rows).toContainEqual([number, message, expect.any(String), expect.any(String)]);
    }
  });
});

test('docs/operations.md has every field of every configuration with its default', () => {
  const rows = rowsOf(read('docs/operations.md'));
  for (const component of ['intermediate', 'connector', 'agent']) {
    for (const [field, { default: value }] of fieldsOf(schemaOf(component))) {
      const row = rows.find(([name]) => name === field);
      expect(row, `${component}: ${field}`).toBeDefined();
      const shown = typeof value === 'object' ? JSON.stringify(value) : String(value ?? '');
      expect(row?.[2], `default of ${component}: ${field}`).toContain(shown);
    }
  }
});

test('the examples in docs/operations.md are valid', () => {
  const examples = [...read('docs/operations.md').matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(
    ([, text = '']) => text,
  );
  const documents = examples.filter((text) => text.includes('trustDomain:'));
  expect(documents.map(parseConfiguration)).toEqual([expect.objectContaining({ ok: true })]);
  for (const [component, schema] of Object.entries(SCHEMAS)) {
    const own = examples.find((text) => text.startsWith(`# ${component}.yaml`) && text.includes('trust:'));
    expect(own, component).toBeDefined();
    expect(() => parseConfig(own ?? '', `${component}.yaml`, '/', schema)).not.toThrow();
  }
});

describe('docs/operations.md explains', () => {
  const rows = rowsOf(read('docs/operations.md'));
  const named = rows.flatMap(([names = '']) => names.split(', '));

  test('every cause of a drop', () => {
    const own = namesIn('native/quic/src/engine/core.rs', /drops: vec!\[([\s\S]*?)\]/);
    const relay = namesIn('native/quic-napi/src/events.rs', /let dropped = \[([\s\S]*?)\]/);
    expect(own.length).toBeGreaterThan(15);
    expect(relay.length).toBeGreaterThan(4);
    expect(named).toEqual(expect.arrayContaining([...own, ...relay.map((cause) => `relay.${cause}`)]));
  });

  test('every counter', () => {
    const sources = globSync(['packages/{session,link}/src/**/*.ts', 'apps/*/src/**/*.ts'], { cwd: root });
    const counted = sources
      .filter((file) => !file.endsWith('.test.ts'))
      .flatMap((file) =>
        [...read(file).matchAll(COUNTER)].map(([, name = '', other = name]) => [name, other]),
      );
    const addresses = ['own', 'remote', 'path'].map((whose) => `path_${whose}_address_refused`);
    const all = new Set([...counted.flat(), ...addresses]);
    expect(all.size).toBeGreaterThan(30);
    expect([...all].filter((name) => !named.includes(name))).toEqual([]);
  });

  test('every event of the logs', () => {
    const sources = globSync(['packages/*/src/**/*.ts', 'apps/*/src/**/*.ts'], { cwd: root });
    const events = sources
      .filter((file) => !file.endsWith('.test.ts'))
      .flatMap((file) => [...read(file).matchAll(EVENT)].flatMap(([, ...names]) => names));
    const all = new Set(events.filter((name) => name !== undefined));
    expect(all.size).toBeGreaterThan(50);
    expect([...all].filter((name) => !named.includes(name))).toEqual([]);
  });

  test('every reason of a path', () => {
    const union = /export type PathReason =([\s\S]*?);/.exec(read('packages/session/src/paths/io.ts'));
    const reasons = [...(union?.[1] ?? '').matchAll(/\| '([\w-]+)'/g)].map(([, reason]) => reason);
    expect(reasons.length).toBeGreaterThan(10);
    expect(named).toEqual(expect.arrayContaining(reasons));
  });
});

test('docs/dependencies.md has every direct dependency with its version, and no other', () => {
  const listed = rowsOf(read('docs/dependencies.md'))
    .filter(([name, version]) => /^[@\w]/.test(name ?? '') && /^=?\d/.test(version ?? ''))
    .map(([name, version]) => `${name} ${version}`);
  expect(listed.sort()).toEqual([...npmDependencies(), ...crateDependencies()].sort());
});

test('every test that docs/threat-model.md names exists', () => {
  const claims = [
    ...read('docs/threat-model.md').matchAll(/`([\w./-]+\.(?:rs|ts))`: ((?:"[^"]+"(?:, )?)+)/g),
  ];
  expect(claims.length).toBeGreaterThan(10);
  for (const [, file = '', titles = ''] of claims) {
    const source = read(file).replaceAll("\\'", "'");
    for (const [, title = ''] of titles.matchAll(/"([^"]+)"/g)) expect(source, file).toContain(title);
  }
});

test('every file of ours that a document names in passing exists', () => {
  const ours = /`((?:apps|packages|native|proto|scripts|tests|vectors|docs)\/[\w./-]+)`/g;
  const missing = documents
    .flatMap((document) => [...read(document).matchAll(ours)].map(([, path = '']) => `${document}: ${path}`))
    .filter((named) => !named.includes('NNNN') && !existsSync(join(root, named.split(': ')[1] ?? '')));
  expect(missing).toEqual([]);
});

const SCHEMAS = { intermediate: intermediateSchema, connector: connectorSchema, agent: agentSchema };

/** `count('metric', …)`, `observer.add('metric', …)`, `metric: 'metric'`, and one of two by a condition. */
const COUNTER =
  /(?:\.count\(|observer\.add\(|metric:)\s*(?:[^'(){};]*\?\s*)?'([a-z_]+)'(?:\s*:\s*'([a-z_]+)')?/g;

/**
 * `event: 'name'`, also one of two by a condition, and `event('level', 'name', …)` of a core; not what is printed as JSON on
 * stdout. That each log line has one is a matter of types.
 */
const EVENT =
  /(?<!stringify\(\{ )\bevent(?:: | = )(?:\w+ \? )?'([\w.-]+)'(?: : '([\w.-]+)')?|[.#]event\(\s*'\w+',\s*'([\w.-]+)'/g;

/** Names in a list of Rust pairs, `("name", value)`. */
function namesIn(file: string, list: RegExp): string[] {
  return [...(list.exec(read(file))?.[1] ?? '').matchAll(/\("(\w+)"/g)].map(([, name = '']) => name);
}

function linksOf(text: string): string[] {
  const prose = text.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, '');
  const links = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
  return links.filter((link) => !/^[a-z]+:/.test(link));
}

function resolves(document: string, link: string): boolean {
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? document : join(dirname(document), path);
  if (!existsSync(join(root, target))) return false;
  return anchor === undefined || headingsOf(read(target)).includes(anchor);
}

/** Anchors as GitHub makes them. */
function headingsOf(text: string): string[] {
  const prose = text.replaceAll(/^```.*?^```/gms, '');
  const titles = [...prose.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => title.toLowerCase());
  return titles.map((title) => title.replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'));
}

/** Cells of all table rows, without code marks. */
function rowsOf(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith('|'));
  return lines.map((line) => {
    const cells = line.replaceAll('`', '').split(/(?<!\\)\|/);
    return cells.slice(1, -1).map((cell) => cell.trim().replaceAll('\\|', '|'));
  });
}

interface Schema {
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
}

function schemaOf(component: string): Schema {
  return JSON.parse(read(`docs/schemas/${component}.schema.json`)) as Schema;
}

function fieldsOf(schema: Schema, path = ''): [string, Schema][] {
  const properties = Object.entries(schema.properties ?? {}).filter(([name]) => name !== '$schema');
  if (path !== '' && schema.properties === undefined) return [[path, schema]];
  return properties.flatMap(([name, inner]) => fieldsOf(inner, path === '' ? name : `${path}.${name}`));
}

function npmDependencies(): string[] {
  const files = globSync('{.,apps/*,packages/*,native/quic-napi}/package.json', { cwd: root });
  const all = files.flatMap((file) => {
    const manifest = JSON.parse(read(file)) as Record<string, Record<string, string> | undefined>;
    const kinds = ['dependencies', 'devDependencies', 'optionalDependencies'];
    return kinds.flatMap((kind) => Object.entries(manifest[kind] ?? {}));
  });
  const foreign = all.filter(([name]) => !name.startsWith('@ztna/'));
  return [...new Set(foreign.map(([name, version]) => `${name} ${version}`))];
}

function crateDependencies(): string[] {
  const found = ['native/quic/Cargo.toml', 'native/quic-napi/Cargo.toml'].flatMap((file) => {
    const sections = read(file).matchAll(/^\[(?:dev-|build-)?dependencies\]\n((?:(?!\[).*\n?)*)/gm);
    return [...sections].flatMap(([, body = '']) => [
      ...body.matchAll(/^([\w-]+) = (?:\{.*?version = )?"(=?[\d.]+)"/gm),
    ]);
  });
  return [...new Set(found.map(([, name, version]) => `${name} ${version}`))];
}
