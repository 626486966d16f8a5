/** The only place that loads the addon. */
import native from '@ztna/quic-napi';

export type {
  NativeConnectionStats,
  NativeCount,
  NativeEndpoint as NativeEndpointType,
  NativeEndpointOptions,
  NativeEvent,
  NativeForwardStats,
  NativePath,
  NativePrefix,
  NativeServer,
  NativeTransport,
} from '@ztna/quic-napi';

export const { NativeEndpoint } = native;
