import { type Address, parseAddress, UsageError } from '@ztna/runtime';

const like = 'write tcp:HOST:PORT, for example tcp:127.0.0.1:5432 or tcp:[::1]:22';

/** Reads `tcp:HOST:PORT`, the value of `--backend`. Throws UsageError. */
export function parseOwnBackend(text: string): Address {
  const scheme = /^([a-z][a-z0-9+.-]*):(?=.*:)/i.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined || parseAddress(text)) {
    throw new UsageError(`--backend is '${text}', which is not tcp:HOST:PORT`, like);
  }
  if (scheme !== 'tcp') throw new UsageError(`--backend cannot carry ${scheme}: only tcp`, like);
  const address = parseAddress(text.slice('tcp:'.length));
  if (!address || address.port === 0) {
    throw new UsageError(`--backend is '${text}', which is not tcp: with a host and a port`, like);
  }
  return address;
}
