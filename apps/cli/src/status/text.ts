/** Columns of a terminal that nobody has widened. */
export const WIDTH = 80;
const LABEL = 16;

/** Without control characters: what another process says must not move the cursor. At most 200 characters. */
export function plain(text: unknown): string {
  return String(text).replace(/\p{C}/gu, '?').slice(0, 200);
}

/** `berlin/c1` of `spiffe://corp.example/default/connector/berlin/c1`. */
export function shortId(id: string): string {
  const [, , , , , ...name] = plain(id).split('/');
  return name.join('/') || plain(id);
}

/** `3 min`: how long ago an instant was. */
export function ago(instant: string, now: number): string {
  return duration(now - Date.parse(instant));
}

/** `until 2026-11-26T20:47:00.000Z (in 23 h)`. */
export function until(instant: string, now: number): string {
  const at = Date.parse(instant);
  if (Number.isNaN(at)) return `until ${plain(instant)}`;
  const date = new Date(at).toISOString();
  return at <= now
    ? `EXPIRED ${date} (${duration(now - at)} ago)`
    : `until ${date} (in ${duration(at - now)})`;
}

/** One unit: `59 s`, `3 min`, `23 h`, `6 d`. */
export function duration(ms: number): string {
  if (Number.isNaN(ms)) return '?';
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** `0.55 ms`: to the hundredth. */
export function milliseconds(ms: number): string {
  return `${Math.round(ms * 100) / 100} ms`;
}

/** A name and its values, one below the other, broken at spaces. */
export function labelled(name: string, values: readonly string[]): string[] {
  return values.flatMap((value, index) =>
    wrapped(value, (index === 0 ? `  ${name}` : '').padEnd(LABEL), ' '.repeat(LABEL)),
  );
}

/** Words in lines of at most 80 characters; a word that is longer has a line of its own. */
export function wrapped(text: string, first: string, next: string): string[] {
  const indented = /^ */.exec(text)?.[0] ?? '';
  const lines: string[] = [];
  let line = first + indented;
  let isEmpty = true;
  for (const word of text.trim().split(' ')) {
    if (!isEmpty && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = next + indented;
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line];
}

/** Rows in columns of equal width, two spaces in. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  return rows.map((row) => `  ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd());
}
