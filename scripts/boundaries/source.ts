// What one TypeScript file imports and which impure globals it touches, found in its syntax tree.
import { parseSync } from 'oxc-parser';
import { impureGlobals } from './rules.ts';

export interface Import {
  /** Undefined: computed, not a literal. */
  readonly specifier: string | undefined;
  readonly typeOnly: boolean;
  readonly line: number;
}

export interface Finding {
  readonly what: string;
  readonly line: number;
}

export interface Source {
  readonly imports: readonly Import[];
  readonly globals: readonly Finding[];
  /** String literals, where a require() of some kind would show. */
  readonly strings: readonly Finding[];
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly [key: string]: unknown;
}

/** @throws Error when the file does not parse. */
export function readSource(file: string, text: string): Source {
  const { program, errors } = parseSync(file, text);
  if (errors[0]) throw new Error(`${file}: ${errors[0].message}`);
  const lineOf = lineIndex(text);
  const found = { imports: [] as Import[], globals: [] as Finding[], strings: [] as Finding[] };
  visit(program as unknown as Node, undefined, '');
  return found;

  function visit(node: Node, parent: Node | undefined, key: string): void {
    const line = lineOf(node.start);
    const imported = importOf(node);
    if (imported) found.imports.push({ ...imported, line });
    const impure = impureUse(node, parent, key);
    if (impure) found.globals.push({ what: impure, line });
    if (node.type === 'Literal' && typeof node.value === 'string') {
      found.strings.push({ what: node.value, line });
    }
    for (const [childKey, child] of children(node)) visit(child, node, childKey);
  }
}

function importOf(node: Node): Omit<Import, 'line'> | undefined {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportAllDeclaration':
    case 'ExportNamedDeclaration':
    case 'ImportExpression':
    case 'TSImportType': {
      if (!isNode(node.source)) return undefined; // export without from
      const { value } = node.source;
      const typeOnly =
        node.importKind === 'type' || node.exportKind === 'type' || node.type === 'TSImportType';
      return { specifier: typeof value === 'string' ? value : undefined, typeOnly };
    }
    default:
      return undefined;
  }
}

/** Names count wherever they are read, shadowed or not: a local called `process` should have another name. */
function impureUse(node: Node, parent: Node | undefined, key: string): string | undefined {
  if (node.type === 'Identifier' && impureGlobals.has(String(node.name)) && !isMerelyAName(parent, key)) {
    return String(node.name);
  }
  if (node.type === 'MemberExpression' && isNode(node.object) && isNode(node.property)) {
    const member = `${String(node.object.name)}.${String(node.property.name ?? node.property.value)}`;
    return member === 'Date.now' || member === 'Math.random' ? member : undefined;
  }
  const takesNoTime =
    node.type === 'NewExpression' && Array.isArray(node.arguments) && node.arguments.length === 0;
  if ((takesNoTime || node.type === 'CallExpression') && isNode(node.callee) && node.callee.name === 'Date') {
    return takesNoTime ? 'new Date()' : 'Date()';
  }
  return undefined;
}

/** `.process`, `{ process: … }`, `process() {}` in a class: names of members, not uses of the global. */
function isMerelyAName(parent: Node | undefined, key: string): boolean {
  if (!parent) return false;
  if (key === 'property') return parent.computed !== true;
  if (key === 'key') return parent.computed !== true && parent.shorthand !== true;
  if (parent.type === 'TSQualifiedName') return key === 'right';
  return parent.type === 'ImportSpecifier'
    ? key === 'imported'
    : parent.type === 'ExportSpecifier' && key === 'exported';
}

function* children(node: Node): Generator<[string, Node]> {
  for (const [key, value] of Object.entries(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) yield [key, child];
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}

function lineIndex(text: string): (offset: number) => number {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return (offset) => {
    let [low, high] = [0, starts.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}
