import { randomBytes } from 'node:crypto';
import type { Needle } from './scanner.ts';

/** Random bytes that nothing on this machine holds by chance, and the forms in which they could show. */
export interface Canary {
  readonly bytes: Buffer;
  /** The bytes in lower-case hexadecimal: the form that is sent through HTTP. */
  readonly hex: string;
  readonly needles: readonly Needle[];
}

/** Makes a canary of 32 bytes. */
export function makeCanary(bytes = randomBytes(32)): Canary {
  return { bytes, hex: bytes.toString('hex'), needles: needlesOf(bytes) };
}

/** Raw bytes, hexadecimal and base64 in their spellings and alignments, each text also as UTF-16. */
export function needlesOf(bytes: Buffer): Needle[] {
  const hex = bytes.toString('hex');
  const texts = [
    { form: 'hex', text: hex },
    { form: 'HEX', text: hex.toUpperCase() },
    ...[0, 1, 2].flatMap((shift) => base64Forms(bytes, shift)),
  ];
  return [
    { form: 'raw', bytes },
    ...texts.map(({ form, text }) => ({ form, bytes: Buffer.from(text, 'latin1') })),
    ...texts.flatMap(({ form, text }) => {
      const little = Buffer.from(text, 'utf16le');
      return [
        { form: `${form} in UTF-16LE`, bytes: little },
        { form: `${form} in UTF-16BE`, bytes: Buffer.from(little).swap16() },
      ];
    }),
  ];
}

/**
 * What stands in base64 text when the bytes begin `shift` bytes after a multiple of three: the characters that
 * depend on these bytes alone. Both alphabets, where they differ.
 */
function base64Forms(bytes: Buffer, shift: number) {
  const encoded = Buffer.concat([Buffer.alloc(shift), bytes])
    .toString('base64')
    .replaceAll('=', '');
  const whole = Math.floor(((shift + bytes.length) * 8) / 6);
  const text = encoded.slice(Math.ceil((shift * 8) / 6), whole);
  const url = text.replaceAll('+', '-').replaceAll('/', '_');
  const form = `base64 at ${shift}`;
  return url === text
    ? [{ form, text }]
    : [
        { form, text },
        { form: `${form}, URL alphabet`, text: url },
      ];
}
