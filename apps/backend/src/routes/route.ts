import type { IncomingMessage, ServerResponse } from 'node:http';

/** One request, taken apart. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  /** Aborted when the answer is complete or the connection is gone. */
  readonly signal: AbortSignal;
}

export interface Route {
  readonly methods: readonly string[];
  /** Matched against the whole path. */
  readonly path: RegExp;
  handle(exchange: Exchange): void | Promise<void>;
}

/** The request is wrong: answered with 400 and this message. */
export class BadRequest extends Error {}

/** Answers with text. */
export function sendText(response: ServerResponse, status: number, text: string): void {
  send(response, status, 'text/plain; charset=utf-8', text);
}

/** Answers with a JSON document. */
export function sendJson(response: ServerResponse, status: number, document: unknown): void {
  send(response, status, 'application/json', `${JSON.stringify(document)}\n`);
}

/** Answers with a whole body. */
export function send(response: ServerResponse, status: number, type: string, body: string | Buffer): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

/** A whole number in the query, or `fallback` when it is not there. Throws BadRequest outside of the range. */
export function integerParameter(
  url: URL,
  name: string,
  o: { fallback: number; min: number; max: number },
): number {
  const text = url.searchParams.get(name);
  return text === null ? o.fallback : integer(name, text, o.min, o.max);
}

/** Reads a whole number from `min` to `max`. Throws BadRequest. */
export function integer(name: string, text: string, min: number, max: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new BadRequest(`${name} must be a whole number from ${min} to ${max}`);
}
