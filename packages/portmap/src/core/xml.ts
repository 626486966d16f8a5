// As much XML as descriptions and SOAP answers of gateways have: elements, text, the predefined entities.
// No document types, so nothing expands; attributes and namespaces are passed over.
import { fail, ok, type Result } from '@ztna/wire';

/** Largest document. */
export const maxXmlBytes = 64 * 1024;
const maxDepth = 32;
const maxElements = 2048;

export interface XmlElement {
  /** Without its namespace prefix. */
  readonly name: string;
  /** Text directly inside, trimmed. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

interface Open {
  readonly tag: string;
  readonly children: XmlElement[];
  text: string;
}

const nameText = /^[A-Za-z_][\w.:-]{0,127}$/;

export function parseXml(bytes: Uint8Array): Result<XmlElement> {
  if (bytes.length > maxXmlBytes) return fail('too-large', 'xml', `${bytes.length} bytes`);
  const text = new TextDecoder().decode(bytes);
  const root: Open = { tag: '', children: [], text: '' };
  const stack: Open[] = [root];
  let elements = 0;
  for (let at = 0; at < text.length; ) {
    const top = stack.at(-1) ?? root;
    if (text[at] !== '<') {
      const end = indexOr(text, '<', at, text.length);
      top.text += unescapeXml(text.slice(at, end));
      at = end;
      continue;
    }
    const passedOver = [
      ['<?', '?>'],
      ['<!--', '-->'],
    ].find(([start = '']) => text.startsWith(start, at));
    const end = passedOver ? text.indexOf(passedOver[1] ?? '', at) : tagEnd(text, at);
    if (end < 0) return fail('truncated', 'xml', 'the document ends inside a tag');
    const tag = text.slice(at + 1, end);
    at = end + (passedOver?.[1]?.length ?? 1);
    if (passedOver) continue;
    if (tag.startsWith('!')) return fail('unknown-feature', 'xml', 'a document type or CDATA');
    if (tag.startsWith('/')) {
      if (stack.length === 1 || top.tag !== tag.slice(1).trim())
        return fail('malformed', 'xml', 'a stray end tag');
      stack.pop();
      (stack.at(-1) ?? root).children.push(closed(top));
      continue;
    }
    const empty = tag.endsWith('/');
    const [name = ''] = (empty ? tag.slice(0, -1) : tag).split(/\s/, 1);
    if (!nameText.test(name)) return fail('malformed', 'xml', 'a tag without a name');
    if (++elements > maxElements) return fail('too-large', 'xml', `more than ${maxElements} elements`);
    const opened: Open = { tag: name, children: [], text: '' };
    if (empty) top.children.push(closed(opened));
    else if (stack.length > maxDepth) return fail('too-large', 'xml', `deeper than ${maxDepth}`);
    else stack.push(opened);
  }
  if (stack.length > 1) return fail('truncated', 'xml', 'elements are left open');
  const [document, second] = root.children;
  if (!document || second || root.text.trim() !== '') return fail('malformed', 'xml', 'not one element');
  return ok(document);
}

/** The first child of that name. */
export function child(element: XmlElement | undefined, name: string): XmlElement | undefined {
  return element?.children.find((candidate) => candidate.name === name);
}

function closed({ tag, text, children }: Open): XmlElement {
  return { name: tag.slice(tag.indexOf(':') + 1), text: text.trim(), children };
}

/** Where a tag's `>` is, quoted attribute values aside; -1 when there is none. */
function tagEnd(text: string, start: number): number {
  let quote = '';
  for (let at = start + 1; at < text.length; at++) {
    const char = text[at] ?? '';
    if (quote !== '') quote = char === quote ? '' : quote;
    else if (char === '"' || char === "'") quote = char;
    else if (char === '>') return at;
  }
  return -1;
}

const named: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function unescapeXml(text: string): string {
  return text.replace(/&(#x[0-9a-f]{1,6}|#\d{1,7}|[a-z]{2,4});/gi, (whole, entity: string) => {
    if (!entity.startsWith('#')) return named[entity] ?? whole;
    const hex = entity[1] === 'x' || entity[1] === 'X';
    const code = Number.parseInt(entity.slice(hex ? 2 : 1), hex ? 16 : 10);
    return code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff)
      ? String.fromCodePoint(code)
      : whole;
  });
}

function indexOr(text: string, part: string, from: number, otherwise: number): number {
  const at = text.indexOf(part, from);
  return at < 0 ? otherwise : at;
}

/** Text for between tags. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>]/g, (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[char] ?? char);
}
