import { styleText } from 'node:util';

const styles = {
  trace: 'dim',
  debug: 'dim',
  info: 'green',
  warn: 'yellow',
  error: 'red',
  fatal: 'red',
} as const;

/** One JSON line of the logger as `12:00:01.123 INFO  relay  session opened  service=web`. */
export function humanLine(line: string, colour: boolean): string {
  const { time, level, component, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const paint = (style: 'dim' | 'green' | 'yellow' | 'red', text: string) =>
    colour ? styleText(style, text, { validateStream: false }) : text;
  const name = String(level);
  const style = styles[name as keyof typeof styles] ?? 'dim';
  const clock = new Date(String(time));
  const parts = [
    paint('dim', clock.toISOString().slice(11, 23)),
    paint(style, name.toUpperCase().padEnd(5)),
    `${paint('dim', String(component))}: ${msg === undefined ? '' : oneLine(String(msg))}`.trimEnd(),
    ...Object.entries(fields)
      .flatMap(([key, value]) => flatten(key, value))
      .map(([key, text]) => `${paint('dim', `${key}=`)}${text}`),
  ];
  return `${parts.join(' ')}${errorText(err, name)}\n`;
}

/** The message of an error; its stack when somebody must act. */
function errorText(err: unknown, level: string): string {
  if (typeof err !== 'object' || err === null) return '';
  const { message, code, stack } = err as Record<string, unknown>;
  const text = ` (${oneLine(String(message))}${code === undefined ? '' : `, ${oneLine(String(code))}`})`;
  if ((level !== 'fatal' && level !== 'error') || typeof stack !== 'string') return text;
  return [text, ...frames(stack, String(message))].join('\n    ');
}

/** A stack begins with the message, which is shown already and may have lines of its own. */
function frames(stack: string, message: string): string[] {
  const at = stack.indexOf(message);
  const behind = at < 0 ? stack : stack.slice(at + message.length);
  const [, ...lines] = behind.split('\n');
  return lines.map((line) => oneLine(line.trim()));
}

/** A field as `key=value`; what is within it has a key of its own, `nat.own=none`. */
function flatten(key: string, value: unknown): [key: string, text: string][] {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  if (entries.length === 0) return [[key, show(value)]];
  if (!Array.isArray(value))
    return entries.flatMap(([name, inner]) => flatten(`${key}.${show(name)}`, inner));
  return [[key, value.every(isWord) ? value.join(',') : show(value)]];
}

function isWord(value: unknown): value is string {
  return typeof value === 'string' && /^[\w.:/@[\]%+-]+$/.test(value);
}

function show(value: unknown): string {
  return isWord(value) ? value : oneLine(JSON.stringify(value));
}

/** What moves the cursor or turns the direction of writing is escaped: a peer's words cannot forge a line. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => {
    const code = char.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}
