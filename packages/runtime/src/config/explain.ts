import type { ErrorObject } from 'ajv';
import { nearest } from '../nearest.ts';
import type { FieldPath, SourceDocument } from './document.ts';
import type { ConfigIssue } from './error.ts';
import { formats, type Schema } from './schema.ts';

/** One validation error of Ajv (run with `verbose`) as an issue for a person. */
export function explain(error: ErrorObject, document: SourceDocument, file: string): ConfigIssue {
  const parent = pathOf(error.instancePath);
  if (error.keyword === 'additionalProperties') {
    const name = String(error.params.additionalProperty);
    const path = [...parent, name];
    return { file, ...document.locate(path, 'name'), path: dotted(path), message: unknownField(name, error) };
  }
  if (error.keyword === 'required') {
    const path = [...parent, String(error.params.missingProperty)];
    const { description } =
      (error.parentSchema as Schema).properties?.[String(error.params.missingProperty)] ?? {};
    const message = description === undefined ? 'is missing' : `is missing (${description})`;
    return { file, ...document.locate(parent), path: dotted(path), message };
  }
  return { file, ...document.locate(parent), path: dotted(parent), message: wrongValue(error) };
}

/** `a.b[0].c`; the whole document is `(top)`. */
export function dotted(path: FieldPath): string {
  const text = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('');
  return text === '' ? '(top)' : text.replace(/^\./, '');
}

function unknownField(name: string, error: ErrorObject): string {
  const known = Object.keys((error.parentSchema as Schema).properties ?? {});
  const meant = nearest(name, known);
  return meant ? `unknown field; did you mean '${meant}'?` : `unknown field; known here: ${known.join(', ')}`;
}

function wrongValue({ keyword, params, data, message, parentSchema }: ErrorObject): string {
  const schema = parentSchema as Schema;
  switch (keyword) {
    case 'type':
      return `must be ${withArticle(String(params.type))}, but is ${kindOf(data)}`;
    case 'enum': {
      const allowed = (schema.enum ?? []).map(String);
      const meant = typeof data === 'string' ? nearest(data, allowed) : undefined;
      return `${show(data)} is not one of ${allowed.join(', ')}${meant ? `; did you mean '${meant}'?` : ''}`;
    }
    case 'format':
      return `${show(data)} is not ${formats[String(params.format)]?.like ?? String(params.format)}`;
    case 'minimum':
    case 'maximum':
      return `${show(data)} is too ${keyword === 'minimum' ? 'small' : 'large'}: must be ${range(schema)}`;
    default:
      return `${show(data)} ${message ?? `breaks the rule '${keyword}'`}`;
  }
}

function range({ minimum, maximum }: Schema): string {
  if (minimum === undefined) return `at most ${maximum}`;
  return maximum === undefined ? `at least ${minimum}` : `from ${minimum} to ${maximum}`;
}

function withArticle(type: string): string {
  const names: Record<string, string> = {
    object: 'a group of fields',
    array: 'a list',
    integer: 'a whole number',
  };
  return names[type] ?? `a ${type}`;
}

function kindOf(data: unknown): string {
  if (data === null) return 'empty';
  if (Array.isArray(data)) return 'a list';
  return typeof data === 'object' ? 'a group of fields' : `${show(data)} (a ${typeof data})`;
}

/** A value, shortened; long ones may be keys that were pasted into the wrong place. */
function show(data: unknown): string {
  const text = typeof data === 'string' ? `'${data}'` : JSON.stringify(data);
  return text.length > 60 || text.includes('\n') ? `the given value (${text.length} characters)` : text;
}

function pathOf(pointer: string): FieldPath {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((step) => (/^\d+$/.test(step) ? Number(step) : step));
}
