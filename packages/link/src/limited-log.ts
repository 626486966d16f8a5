import { type Clock, type Logger, parseAddress } from '@ztna/runtime';

/** Within this time, ms, */
const WINDOW_MS = 60_000;
/** so many lines tell of one event of one peer by one cause, at once; */
const LINES = 20;
/** so many of one event tell of agents by the word of one intermediate, which may invent them; */
const LINES_BY_WORD = 200;
/** and so many of one event, whoever it is about: who may invent names can invent many. */
const LINES_OF_EVENT = 1_000;
/** Peers and causes that are counted apart, and peers that are named. */
const MAX_KEYS = 1_000;
const MAX_NAMED = 5;
const OTHERS = 'others';

/** Which field says who had it happen: the first of these that an event has. Peers choose none of their values freely, but `name`. */
const WHOSE = ['intermediate', 'agent', 'id', 'got', 'connector', 'service', 'name', 'session'] as const;
/** Which field says why, where that is not `code`. */
const WHY: Readonly<Record<string, string>> = { 'flow.ended': 'reason', 'session.closed': 'reason' };

type Level = 'info' | 'warn' | 'error';
type Fields = Parameters<Logger['info']>[0];

/** A log that peers cannot fill. What is left out is counted, and told once a minute and at the end. */
export interface LimitedLog extends Logger, Disposable {
  /** For what has to have a line each, however many there are. */
  readonly unlimited: Logger;
}

interface Window {
  readonly endsAt: number;
  readonly event: string;
  readonly level: Level;
  lines: number;
  readonly linesOf: Map<string, number>;
  readonly linesByWord: Map<string | undefined, number>;
  leftOut: number;
  readonly causes: Map<string, number>;
  readonly whose: Map<string, number>;
  cancel: (() => void) | undefined;
}

/**
 * Bounds lines at info and above, each event by who had it happen and why: the first ones are written at once. Debug is for
 * those who ask for everything. `onLeftOut` is called for each line that is left out.
 */
export function limitLog(log: Logger, clock: Clock, onLeftOut: (event: string) => void): LimitedLog {
  const windows = new Map<string, Window>();

  const tell = (key: string) => {
    const window = windows.get(key);
    windows.delete(key);
    window?.cancel?.();
    if (!window || window.leftOut === 0) return;
    const { event: of, level, leftOut, causes, whose } = window;
    const from = [...whose].sort(([, a], [, b]) => b - a).slice(0, MAX_NAMED);
    const fields = { of, leftOut, causes: Object.fromEntries(causes), from: from.map(([who]) => who) };
    log[level](
      { event: 'log.left-out', ...fields },
      'the same too often within a minute: lines were left out',
    );
  };

  const write = (level: Level) => (fields: Fields, sentence: string) => {
    const { event } = fields;
    const now = clock.now();
    const key = `${level} ${event}`;
    if (now >= (windows.get(key)?.endsAt ?? 0)) tell(key);
    const window = windows.get(key) ?? begin(event, level, now);
    windows.set(key, window);
    const { who, by, isShown } = whoseIs(fields);
    const cause = `${fields[WHY[event] ?? 'code'] ?? ''}`;
    const matter = `${cause} ${who}`;
    const [lines, byWord] = [window.linesOf.get(matter) ?? 0, window.linesByWord.get(by) ?? 0];
    if (lines < LINES && byWord < LINES_BY_WORD && window.lines < LINES_OF_EVENT) {
      window.lines += 1;
      window.linesOf.set(matter, lines + 1);
      if (by !== undefined) window.linesByWord.set(by, byWord + 1);
      return log[level](fields, sentence);
    }
    window.leftOut += 1;
    add(window.causes, cause || 'unspecified');
    if (isShown) add(window.whose, who);
    window.cancel ??= clock.setTimer(window.endsAt, () => tell(key));
    onLeftOut(event);
  };

  return {
    trace: (fields, sentence) => log.trace(fields, sentence),
    debug: (fields, sentence) => log.debug(fields, sentence),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    fatal: (fields, sentence) => log.fatal(fields, sentence),
    unlimited: log,
    [Symbol.dispose]: () => {
      for (const key of [...windows.keys()]) tell(key);
    },
  };
}

function begin(event: string, level: Level, now: number): Window {
  return {
    ...{ endsAt: now + WINDOW_MS, event, level, lines: 0, linesOf: new Map(), leftOut: 0 },
    ...{ linesByWord: new Map(), causes: new Map(), whose: new Map(), cancel: undefined },
  };
}

interface Whose {
  readonly who: string;
  /** The intermediate whose word it is that it is about this agent. */
  readonly by?: string;
  readonly isShown: boolean;
}

/** Who it is that is not let in tells the address alone, which is not shown. */
function whoseIs(fields: Fields): Whose {
  const { intermediate, agent, remoteAddress } = fields;
  if (intermediate !== undefined && agent !== undefined)
    return { who: `${intermediate} ${agent}`, by: `${intermediate}`, isShown: true };
  for (const field of WHOSE) {
    if (fields[field] !== undefined) return { who: `${fields[field]}`, isShown: true };
  }
  return { who: networkOf(parseAddress(`${remoteAddress ?? ''}`)?.host ?? ''), isShown: false };
}

/** Who has one address of an IPv6 network has them all: its first four groups, less if zeros are left out before. */
function networkOf(host: string): string {
  return host.includes(':') ? (host.split('::')[0] ?? '').split(':').slice(0, 4).join(':') : host;
}

function add(counts: Map<string, number>, key: string): void {
  const counted = counts.has(key) || counts.size < MAX_KEYS ? key : OTHERS;
  counts.set(counted, (counts.get(counted) ?? 0) + 1);
}
