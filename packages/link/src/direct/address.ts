/** Where a socket is bound, as its endpoint tells. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `192.0.2.1:4433` or `[2001:db8::1]:4433`. Throws a TypeError for anything else: the engine says nothing else. */
export function boundAddress(text: string): Address {
  const match = /^\[?(.*?)\]?:(\d+)$/.exec(text);
  if (!match) throw new TypeError(`${text} is no address`);
  const [, host = '', port = ''] = match;
  return { host, port: Number(port) };
}

export function isUnspecified({ host }: Address): boolean {
  return host === '0.0.0.0' || host === '::';
}

export function isLoopback({ host }: Address): boolean {
  return host === '::1' || host.startsWith('127.') || host.startsWith('::ffff:127.');
}
