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
    ...Object.entries(fields).map(([key, value]) => `${paint('dim', `${key}=`)}${show(value)}`),
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

function show(value: unknown): string {
  const isWord = typeof value === 'string' && /^[\w.:/@[\]%+-]+$/.test(value);
  return isWord ? value : oneLine(JSON.stringify(value));
}

/** What moves the cursor or turns the direction of writing is escaped: a peer's words cannot forge a line. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => {
    const code = char.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}
