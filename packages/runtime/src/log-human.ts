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
  const text = ` (${oneLine(String(message))}${code === undefined ? '' : `, ${String(code)}`})`;
  const wantsStack = (level === 'fatal' || level === 'error') && typeof stack === 'string';
  return wantsStack
    ? `${text}\n    ${stack
        .split('\n')
        .slice(1)
        .map((s) => s.trim())
        .join('\n    ')}`
    : text;
}

function show(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return /^[\w.:/@[\]%+-]+$/.test(text) || typeof value !== 'string' ? text : JSON.stringify(text);
}

/** Control characters escaped, so that a peer's words cannot forge a line. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
