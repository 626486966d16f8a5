import type { SpiffeId, TenantName, TrustDomain } from './ids.ts';
import { LIMITS } from './registry.ts';
import { type DecodeErrorKind, fail, ok, type Result } from './result.ts';
import { parseSpiffeId, type Role, spiffeParts } from './spiffe.ts';

type Parser<I, T> = (input: I) => Result<T>;

const UTF8 = new TextEncoder();
const FEATURE = /^[a-z0-9-]{1,64}$/;

/**
 * Turns the raw fields of a protobuf message into validated ones and remembers the first that fails. The getters
 * return a placeholder for a failed field, so nothing may be computed from them before `finish` has answered.
 */
export class Fields {
  readonly #path: string;
  #failed: ReturnType<typeof fail> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  refuse(kind: DecodeErrorKind, field: string, detail: string): void {
    this.#failed ??= fail(kind, `${this.#path}.${field}`, detail);
  }

  /** A mandatory field in text form. */
  id<T>(field: string, input: string, parse: Parser<string, T>): T {
    if (input === '') this.refuse('missing', field, 'is empty or absent');
    return this.use(field, parse(input));
  }

  use<T>(field: string, result: Result<T>): T {
    if (result.ok) return result.value;
    const { kind, field: inner, detail } = result.error;
    this.#failed ??= fail(kind, `${this.#path}.${field}`, `${inner}: ${detail}`);
    return undefined as T;
  }

  list<I, T>(field: string, inputs: readonly I[], limit: number, parse: Parser<I, T>): readonly T[] {
    if (inputs.length > limit) {
      this.refuse('too-large', field, `${inputs.length} elements, the limit is ${limit}`);
      return [];
    }
    return inputs.map((input, i) => this.use(`${field}[${i}]`, parse(input)));
  }

  /** As `list`, and no two elements with the same key. */
  unique<I, T>(
    field: string,
    inputs: readonly I[],
    limit: number,
    parse: Parser<I, T>,
    key: (value: T) => string,
  ): readonly T[] {
    const values = this.list(field, inputs, limit, parse);
    if (this.#failed !== undefined) return values;
    const seen = new Set(values.map(key));
    if (seen.size !== values.length) this.refuse('invalid', field, 'names the same thing twice');
    return values;
  }

  /** Text for people. */
  text(field: string, input: string, limit: number = LIMITS.text): string {
    const size = input.length * 3 <= limit ? 0 : UTF8.encode(input).length;
    if (size > limit) this.refuse('too-large', field, `${size} bytes, the limit is ${limit}`);
    return input;
  }

  bytes(field: string, input: Uint8Array, limit: number): Uint8Array {
    if (input.length === 0) this.refuse('missing', field, 'is empty or absent');
    if (input.length > limit) {
      this.refuse('too-large', field, `${input.length} bytes, the limit is ${limit}`);
    }
    return input;
  }

  /** A uint64 that fits a JavaScript number. */
  uint(field: string, input: bigint): number {
    if (input > BigInt(Number.MAX_SAFE_INTEGER)) this.refuse('out-of-range', field, 'over 2^53 - 1');
    return Number(input);
  }

  range(field: string, input: number, min: number, max: number): number {
    if (input < min || input > max) {
      this.refuse(input === 0 ? 'missing' : 'out-of-range', field, `${input} is not from ${min} to ${max}`);
    }
    return input;
  }

  features(field: string, inputs: readonly string[], known?: ReadonlySet<string>): readonly string[] {
    return this.list(field, inputs, LIMITS.features, (name) => {
      if (!FEATURE.test(name)) return fail('invalid', 'feature', 'not 1 to 64 of a-z 0-9 -');
      if (known !== undefined && !known.has(name)) return fail('unknown-feature', 'feature', name);
      return ok(name);
    });
  }

  get failed(): boolean {
    return this.#failed !== undefined;
  }

  finish<T>(value: T): Result<T> {
    return this.#failed ?? ok(value);
  }
}

/** A parser of ids that belong to one trust domain and tenant and have one of the roles. */
export function memberId(
  scope: { readonly trustDomain: TrustDomain; readonly tenant: TenantName },
  ...roles: readonly Role[]
): Parser<string, SpiffeId> {
  return (input) => {
    const id = parseSpiffeId(input);
    if (!id.ok) return id;
    const parts = spiffeParts(id.value);
    if (parts.trustDomain !== scope.trustDomain) return fail('invalid', 'spiffe id', 'foreign trust domain');
    if (parts.tenant !== scope.tenant) return fail('invalid', 'spiffe id', 'foreign tenant');
    if (roles.length > 0 && !roles.includes(parts.role)) {
      return fail('invalid', 'spiffe id', `role ${parts.role} instead of ${roles.join(' or ')}`);
    }
    return id;
  };
}

/** At most `limit` UTF-8 bytes of a text, cut between characters. */
export function clip(text: string, limit: number = LIMITS.text): string {
  if (text.length * 3 <= limit) return text;
  const target = new Uint8Array(limit);
  return text.slice(0, UTF8.encodeInto(text, target).read).toWellFormed();
}
