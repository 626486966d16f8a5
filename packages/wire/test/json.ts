import { fromHex, toHex } from '../src/ids.ts';

/** A decoded value as it stands in the vectors: bytes as {"hex"}, 64-bit numbers as {"u64"}, maps as {"map"}. */
export function toJson(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, v) => {
      if (v instanceof Uint8Array) return { hex: toHex(v) };
      if (typeof v === 'bigint') return { u64: v.toString() };
      if (v instanceof Map) return { map: Object.fromEntries(v) };
      return v;
    }),
  );
}

/** The value that `toJson` wrote. */
export function fromJson<T>(json: unknown): T {
  return JSON.parse(JSON.stringify(json), (_key, v) => {
    if (typeof v?.hex === 'string') return fromHex(v.hex);
    if (typeof v?.u64 === 'string') return BigInt(v.u64);
    if (typeof v?.map === 'object') return new Map(Object.entries(v.map));
    return v;
  });
}
