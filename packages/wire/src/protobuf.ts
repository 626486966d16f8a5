import {
  type DescEnum,
  type DescField,
  type DescMessage,
  fromBinary,
  type MessageShape,
  ScalarType,
} from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { type DecodeError, fail, ok, type Result } from './result.ts';

/**
 * What to do with what this version does not know. `refuse` also refuses enum values without a name, singular
 * fields given twice and two members of a oneof: whatever one reader could take differently from another.
 */
export type Unknown = 'ignore' | 'refuse';

const MAX_DEPTH = 16;

/**
 * Decodes one message. The library takes wrong wire types and nested lengths that run over their parent for granted;
 * so the structure is checked first, by the message's description, and both are `malformed` here.
 */
export function decodeMessage<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
  limit: number,
  unknown: Unknown,
): Result<MessageShape<Desc>> {
  const name = schema.name;
  if (bytes.length > limit) {
    return fail('too-large', name, `${bytes.length} bytes, the limit is ${limit}`);
  }
  try {
    checkMessage(schema, bytes, { path: name, unknown, depth: 0 });
    return ok(fromBinary(schema, bytes));
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, error: error.error };
    return fail('malformed', name, error instanceof Error ? error.message : 'not protobuf');
  }
}

/** Numbers of top-level fields that the message's description does not have. */
export function unknownFields(message: MessageShape<DescMessage>): readonly number[] {
  return [...new Set(message.$unknown?.map((field) => field.no) ?? [])];
}

type ListField = DescField & { fieldKind: 'list' };
type ValueField =
  | { readonly enum: DescEnum; readonly scalar: undefined }
  | { readonly enum: undefined; readonly scalar: ScalarType };

interface Place {
  readonly path: string;
  readonly unknown: Unknown;
  readonly depth: number;
}

/** Carries a DecodeError out of the recursion; never leaves this file. */
class Refusal extends Error {
  readonly error: DecodeError;
  constructor(error: DecodeError) {
    super(error.detail);
    this.error = error;
  }
}

function refuse(kind: DecodeError['kind'], field: string, detail: string): never {
  throw new Refusal({ kind, field, detail });
}

function checkMessage(schema: DescMessage, bytes: Uint8Array, place: Place): void {
  if (place.depth > MAX_DEPTH) refuse('malformed', place.path, `nested deeper than ${MAX_DEPTH}`);
  const reader = new BinaryReader(bytes);
  const seen = new Set<string>();
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const field = schema.fields.find((f) => f.number === number);
    if (field === undefined) {
      if (place.unknown === 'refuse') refuse('unknown-field', place.path, `field ${number}`);
      reader.skip(wireType, number);
      if (reader.pos > reader.len) refuse('malformed', place.path, `field ${number} is cut off`);
      continue;
    }
    const inside = { ...place, path: `${place.path}.${field.name}`, depth: place.depth + 1 };
    if (place.unknown === 'refuse') checkOnce(field, seen, inside.path);
    checkField(field, wireType, reader, inside);
    if (reader.pos > reader.len) refuse('malformed', inside.path, 'is cut off');
  }
}

function checkOnce(field: DescField, seen: Set<string>, path: string): void {
  if (field.fieldKind === 'list' || field.fieldKind === 'map') return;
  const key = field.oneof === undefined ? field.name : `oneof ${field.oneof.name}`;
  if (seen.has(key)) refuse('malformed', path, 'given twice');
  seen.add(key);
}

function checkField(field: DescField, wireType: WireType, reader: BinaryReader, place: Place): void {
  switch (field.fieldKind) {
    case 'message':
      checkMessage(field.message, delimited(wireType, reader, place), place);
      break;
    case 'map':
      checkMapEntry(delimited(wireType, reader, place), place);
      break;
    case 'list':
      checkElement(field, wireType, reader, place);
      break;
    default:
      checkValue(field, wireType, reader, place);
  }
}

function checkElement(field: ListField, wireType: WireType, reader: BinaryReader, place: Place): void {
  if (field.listKind === 'message') {
    checkMessage(field.message, delimited(wireType, reader, place), place);
    return;
  }
  const own = field.listKind === 'enum' ? WireType.Varint : wireTypeOf(field.scalar);
  if (own === WireType.LengthDelimited || wireType !== WireType.LengthDelimited) {
    checkValue(field, wireType, reader, place);
    return;
  }
  const packed = new BinaryReader(delimited(wireType, reader, place));
  while (packed.pos < packed.len) checkValue(field, own, packed, place);
}

function checkValue(field: ValueField, wireType: WireType, reader: BinaryReader, place: Place): void {
  if (field.enum !== undefined) checkEnum(field.enum, wireType, reader, place);
  else checkScalar(field.scalar, wireType, reader, place);
}

/** The only map is string to string: key 1, value 2. */
function checkMapEntry(bytes: Uint8Array, place: Place): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === 1 || number === 2) delimited(wireType, reader, place);
    else if (place.unknown === 'refuse') refuse('unknown-field', place.path, `field ${number}`);
    else reader.skip(wireType, number);
  }
}

function checkEnum(desc: DescEnum, wireType: WireType, reader: BinaryReader, place: Place): void {
  const value = varint(wireType, reader, place, 0x7fff_ffffn);
  if (place.unknown === 'refuse' && desc.value[Number(value)] === undefined) {
    refuse('unknown-field', place.path, `value ${value}`);
  }
}

function checkScalar(scalar: ScalarType, wireType: WireType, reader: BinaryReader, place: Place): void {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      delimited(wireType, reader, place);
      return;
    case ScalarType.UINT32:
      varint(wireType, reader, place, 0xffff_ffffn);
      return;
    case ScalarType.BOOL:
      varint(wireType, reader, place, 1n);
      return;
    default:
      if (wireType !== wireTypeOf(scalar)) refuse('malformed', place.path, `wire type ${wireType}`);
      reader.skip(wireType);
  }
}

function wireTypeOf(scalar: ScalarType): WireType {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return WireType.LengthDelimited;
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
    case ScalarType.DOUBLE:
      return WireType.Bit64;
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
    case ScalarType.FLOAT:
      return WireType.Bit32;
    default:
      return WireType.Varint;
  }
}

function delimited(wireType: WireType, reader: BinaryReader, place: Place): Uint8Array {
  if (wireType !== WireType.LengthDelimited) refuse('malformed', place.path, `wire type ${wireType}`);
  return reader.bytes();
}

function varint(wireType: WireType, reader: BinaryReader, place: Place, max: bigint): bigint {
  if (wireType !== WireType.Varint) refuse('malformed', place.path, `wire type ${wireType}`);
  const value = BigInt(reader.uint64());
  if (value > max) refuse('out-of-range', place.path, `${value} is over ${max}`);
  return value;
}
