import { err, ok, type Result } from '@ztna/wire';
import { Value } from 'typebox/value';
import { type Document, isNode, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import { checkReferences } from './check.ts';
import { type Configuration, normalise } from './configuration.ts';
import { type ConfigurationInput, ConfigurationSchema } from './schema.ts';

/** Largest document that is read, in characters. */
export const MAX_DOCUMENT_CHARS = 16 * 1024 * 1024;
const MAX_ISSUES = 50;

export type IssuePath = readonly (string | number)[];

/** One thing that is wrong with a document. */
export interface Issue {
  /** Where: `['services', 0, 'ports']`. */
  readonly path: IssuePath;
  readonly message: string;
}

/** An issue with its place in the text; line and column count from 1. */
export interface LocatedIssue extends Issue {
  readonly line: number;
  readonly column: number;
}

/** Reads a document from JSON or YAML text (YAML 1.2 core schema) and validates all of it. */
export function parseConfiguration(text: string): Result<Configuration, LocatedIssue[]> {
  if (text.length > MAX_DOCUMENT_CHARS) {
    return err([{ path: [], message: `longer than ${MAX_DOCUMENT_CHARS} characters`, line: 1, column: 1 }]);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, {
    ...{ lineCounter: lines, prettyErrors: false, uniqueKeys: true, version: '1.2' },
  });
  const broken = text.includes('\0')
    ? { message: 'the file is not text', pos: [0] as const }
    : document.errors.find(({ code }) => code !== 'DUPLICATE_KEY');
  if (broken) {
    // Those after it are about a text that was never meant.
    const message = `this is neither JSON nor YAML: ${broken.message}`;
    return err([syntaxIssue(message, lines.linePos(broken.pos[0]))]);
  }
  if (document.errors.length > 0) {
    return err(document.errors.map((error) => syntaxIssue(error.message, lines.linePos(error.pos[0]))));
  }
  let plain: unknown;
  try {
    const key = firstOddKey(document);
    if (key !== undefined) return err([syntaxIssue('a field must have a plain name', lines.linePos(key))]);
    plain = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    return err([syntaxIssue(String(error), { line: 1, col: 1 })]);
  }
  const checked = checkConfiguration(plain);
  if (checked.ok) return checked;
  return err(checked.error.map((issue) => ({ ...issue, ...locate(issue.path) })));

  function locate(path: IssuePath): { line: number; column: number } {
    for (let length = path.length; length >= 0; length--) {
      const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
      if (!isNode(node) || !node.range) continue;
      const { line, col } = lines.linePos(node.range[0]);
      return { line, column: col };
    }
    return { line: 1, column: 1 };
  }
}

/** Validates a document that has been read already: its shape, then its references. */
export function checkConfiguration(plain: unknown): Result<Configuration, Issue[]> {
  const shape = shapeIssues(plain);
  if (shape.length > 0) return err(shape);
  const configuration = normalise(plain as ConfigurationInput);
  const references = checkReferences(configuration).slice(0, MAX_ISSUES);
  return references.length > 0 ? err(references) : ok(configuration);
}

/**
 * Where the first key stands that is no scalar. Such keys mean nothing here, and turning nested ones into text takes
 * the YAML library minutes for a kilobyte.
 */
function firstOddKey(document: Document): number | undefined {
  let found: number | undefined;
  visit(document, {
    Pair(_, { key }) {
      if (key === null || isScalar(key)) return undefined;
      found = (isNode(key) ? key.range?.[0] : undefined) ?? 0;
      return visit.BREAK;
    },
  });
  return found;
}

function shapeIssues(plain: unknown): Issue[] {
  if (Value.Check(ConfigurationSchema, plain)) return [];
  const errors = [...Value.Errors(ConfigurationSchema, plain)].filter((error) => error.keyword !== 'boolean');
  return errors.slice(0, MAX_ISSUES).flatMap((error): Issue[] => {
    const path = pathOf(error.instancePath);
    switch (error.keyword) {
      case 'additionalProperties':
        return error.params.additionalProperties.map((field) => ({
          path: [...path, field],
          message: 'unknown field',
        }));
      case 'required':
        return error.params.requiredProperties.map((field) => ({
          path,
          message: `field ${field} is missing`,
        }));
      case 'enum':
        return [{ path, message: `must be one of: ${error.params.allowedValues.join(', ')}` }];
      case 'type':
        return [{ path, message: `must be ${kindOf(error.params.type)}` }];
      default:
        return [{ path, message: error.message }];
    }
  });
}

const KINDS: Readonly<Record<string, string>> = {
  object: 'a group of fields',
  array: 'a list',
  string: 'text',
  integer: 'a whole number',
  boolean: 'true or false',
};

function kindOf(type: string | readonly string[]): string {
  return [type]
    .flat()
    .map((name) => KINDS[name] ?? name)
    .join(' or ');
}

function pathOf(pointer: string): IssuePath {
  const segments = pointer.split('/').slice(1);
  return segments.map((segment) => {
    const text = segment.replaceAll('~1', '/').replaceAll('~0', '~');
    return /^[0-9]+$/.test(text) ? Number(text) : text;
  });
}

function syntaxIssue(message: string, at: { line: number; col: number }): LocatedIssue {
  return { path: [], message: message.split('\n')[0] ?? message, line: at.line, column: at.col };
}
