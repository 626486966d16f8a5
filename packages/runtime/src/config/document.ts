import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  visit,
} from 'yaml';

/** Where something stands in a file; both from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}
export interface Problem extends Position {
  readonly message: string;
}
/** Names of fields and indices of list entries, from the top. */
export type FieldPath = readonly (string | number)[];

/** A JSON or YAML file, read, with the place of every field. */
export interface SourceDocument {
  readonly value: unknown;
  /** The place of a field's value, or of its name; of the nearest enclosing one when it is not there. */
  locate(path: FieldPath, part?: 'name' | 'value'): Position;
}

/** Reads YAML 1.2, of which JSON is a part. Problems are the first syntax error, or all double fields. */
export function parseDocument(
  text: string,
): { ok: true; document: SourceDocument } | { ok: false; problems: Problem[] } {
  if (text.includes('\0')) {
    return { ok: false, problems: [{ line: 1, column: 1, message: 'the file is not text' }] };
  }
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, version: '1.2' });
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  if (!Array.isArray(documents) || documents.length === 0) {
    return { ok: false, problems: [{ line: 1, column: 1, message: 'the file is empty' }] };
  }
  const found = documents.flatMap((d) => [...d.errors, ...d.warnings]);
  const broken = found.find(({ code }) => code !== 'DUPLICATE_KEY');
  if (broken) {
    // Those after it are about a text that was never meant.
    const message = `this is neither JSON nor YAML: ${broken.message}`;
    return { ok: false, problems: [{ ...position(broken.pos[0]), message }] };
  }
  const problems = found.map((e) => ({ ...position(e.pos[0]), message: e.message }));
  const second = documents[1];
  if (second)
    problems.push({ ...position(second.range[0]), message: 'a second document; there must be one' });
  const [first] = documents;
  if (problems.length > 0 || !first) return { ok: false, problems };
  try {
    const key = firstOddKey(first);
    if (key !== undefined) {
      return { ok: false, problems: [{ ...position(key), message: 'a field must have a plain name' }] };
    }
    const value: unknown = first.toJS({ maxAliasCount: 100 });
    const locate: SourceDocument['locate'] = (path, part = 'value') => position(offsetOf(first, path, part));
    return { ok: true, document: { value, locate } };
  } catch (error) {
    return { ok: false, problems: [{ line: 1, column: 1, message: (error as Error).message }] };
  }
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
      found = startOf(key) ?? 0;
      return visit.BREAK;
    },
  });
  return found;
}

function offsetOf(document: Document.Parsed, path: FieldPath, part: 'name' | 'value'): number {
  let node = resolved(document.contents, document);
  let offset = node?.range?.[0] ?? 0;
  for (const [depth, step] of path.entries()) {
    const isLast = depth === path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find((p) => isScalar(p.key) && String(p.key.value) === String(step));
      if (!pair) return offset;
      const name = (pair.key as Node).range?.[0] ?? offset;
      node = resolved(pair.value, document);
      offset = isLast && part === 'name' ? name : (startOf(pair.value) ?? name);
    } else if (isSeq(node)) {
      const item: unknown = node.items[Number(step)];
      node = resolved(item, document);
      offset = startOf(item) ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}

function resolved(node: unknown, document: Document.Parsed): Node | undefined {
  if (isAlias(node)) return node.resolve(document);
  return isNode(node) ? node : undefined;
}
