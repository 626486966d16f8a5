import { create } from '@bufbuild/protobuf';
import { WIRE_ERRORS, type WireError, wireErrorCode } from './errors.ts';
import { clip, Fields } from './fields.ts';
import { ErrorCode, ErrorSchema, type Error as ProtoError } from './gen/ztna/v2/control_pb.ts';
import type { Result } from './result.ts';

/** Codes of a later version become `unrecognised`: an error that nobody understands is still an error. */
export function readWireError(proto: ProtoError): Result<WireError> {
  const fields = new Fields('error');
  return fields.finish({
    code: wireErrorCode(proto.code) ?? ('unrecognised' as const),
    message: fields.text('message', proto.message),
    retryable: proto.retryable,
    requestId: proto.requestId,
  });
}

export function writeWireError(error: WireError): ProtoError {
  return create(ErrorSchema, {
    code: error.code === 'unrecognised' ? ErrorCode.UNSPECIFIED : WIRE_ERRORS[error.code].number,
    message: clip(error.message),
    retryable: error.retryable,
    requestId: error.requestId,
  });
}
