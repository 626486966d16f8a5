import { create, toBinary } from '@bufbuild/protobuf';
import { decodeFramed, encodeFragment, encodeWhole, type Framed } from './datagram.ts';
import type { WireError } from './errors.ts';
import { Fields } from './fields.ts';
import {
  FlowOpenSchema,
  FlowProtocol,
  FlowResultSchema,
  type FlowOpen as ProtoFlowOpen,
} from './gen/ztna/v2/flow_pb.ts';
import {
  type FlowId,
  idToBytes,
  parseFlowId,
  parseServiceName,
  parseSubjectName,
  type ServiceName,
  type SubjectName,
  type TraceId,
  traceIdFromBytes,
} from './ids.ts';
import { flowPrefix } from './prefix.ts';
import { decodeMessage } from './protobuf.ts';
import { FRAME, LIMITS } from './registry.ts';
import { ok, type Result } from './result.ts';
import { readWireError, writeWireError } from './wire-error.ts';

/** A datagram of an inner connection: a payload of a UDP flow (may be empty), or a piece of one. */
export type FlowDatagram = Framed<FlowId>;

const LAYOUT = {
  whole: FRAME.FLOW,
  fragment: FRAME.FLOW_FRAGMENT,
  maxId: LIMITS.flowId,
  idName: 'flow id',
} as const;

/** Decodes `[0x30, …]` and `[0x31, …]`. Errors: truncated, frame-type, non-minimal, out-of-range. */
export function decodeFlowDatagram(datagram: Uint8Array): Result<FlowDatagram> {
  return decodeFramed<FlowId>(datagram, LAYOUT);
}

export function encodeFlowDatagram(datagram: FlowDatagram): Uint8Array {
  const prefix = flowPrefix(datagram.id);
  return datagram.type === 'whole'
    ? encodeWhole(prefix, datagram.payload)
    : encodeFragment(prefix, datagram.fragment);
}

interface FlowTarget {
  readonly service: ServiceName;
  /** Port of the service; 0 means its only port for this protocol. */
  readonly port: number;
  readonly subject: SubjectName;
  readonly traceId: TraceId;
}

/** Agent → connector, first message of a flow's stream. */
export type FlowOpen =
  | (FlowTarget & { readonly protocol: 'tcp' })
  | (FlowTarget & { readonly protocol: 'udp'; readonly flowId: FlowId });

/** Connector → agent, first message back: open when there is no error. */
export interface FlowResult {
  readonly error?: WireError;
}

export function encodeFlowOpen(open: FlowOpen): Uint8Array {
  const message = create(FlowOpenSchema, {
    service: open.service,
    protocol: open.protocol === 'tcp' ? FlowProtocol.TCP : FlowProtocol.UDP,
    port: open.port,
    subject: open.subject,
    traceId: idToBytes(open.traceId),
    flowId: open.protocol === 'udp' ? BigInt(open.flowId) : 0n,
  });
  return toBinary(FlowOpenSchema, message);
}

export function decodeFlowOpen(bytes: Uint8Array): Result<FlowOpen> {
  const message = decodeMessage(FlowOpenSchema, bytes, LIMITS.flowHeader, 'ignore');
  return message.ok ? readFlowOpen(message.value) : message;
}

function readFlowOpen(proto: ProtoFlowOpen): Result<FlowOpen> {
  const fields = new Fields('FlowOpen');
  const target: FlowTarget = {
    service: fields.id('service', proto.service, parseServiceName),
    port: fields.range('port', proto.port, 0, 0xffff),
    subject: fields.id('subject', proto.subject, parseSubjectName),
    traceId: fields.use('trace_id', traceIdFromBytes(proto.traceId)),
  };
  switch (proto.protocol) {
    case FlowProtocol.TCP:
      if (proto.flowId !== 0n) fields.refuse('invalid', 'flow_id', 'a TCP flow has none');
      return fields.finish({ ...target, protocol: 'tcp' });
    case FlowProtocol.UDP: {
      const flowId = fields.use('flow_id', parseFlowId(fields.uint('flow_id', proto.flowId)));
      return fields.finish({ ...target, protocol: 'udp', flowId });
    }
    default:
      fields.refuse(proto.protocol === 0 ? 'missing' : 'invalid', 'protocol', 'neither TCP nor UDP');
      return fields.finish({ ...target, protocol: 'tcp' });
  }
}

export function encodeFlowResult(result: FlowResult): Uint8Array {
  const error = result.error && { error: writeWireError(result.error) };
  return toBinary(FlowResultSchema, create(FlowResultSchema, { ...error }));
}

export function decodeFlowResult(bytes: Uint8Array): Result<FlowResult> {
  const message = decodeMessage(FlowResultSchema, bytes, LIMITS.flowHeader, 'ignore');
  if (!message.ok) return message;
  if (message.value.error === undefined) return ok({});
  const error = readWireError(message.value.error);
  return error.ok ? ok({ error: error.value }) : error;
}
