import { Endpoint, type EndpointOptions, QuicError } from '@ztna/quic';
import { RuntimeFault } from '@ztna/runtime';

/**
 * `Endpoint.bind`, with errors that tell the operator what to do. `setting` is what chose the address, e.g. `listen`.
 * Throws a RuntimeFault (`listen-failed`, `tls-config`).
 */
export function bindEndpoint(options: EndpointOptions, setting: string): Endpoint {
  try {
    return Endpoint.bind(options);
  } catch (cause) {
    if (!(cause instanceof QuicError)) throw cause;
    if (cause.code === 'ERR_TLS_CONFIG') {
      throw new RuntimeFault({
        code: 'tls-config',
        fault: 'config',
        message: `the certificate or trust bundle cannot be used: ${cause.message}`,
        remedy: 'issue the identity anew with `ztna pki issue`',
        cause,
      });
    }
    throw new RuntimeFault({
      code: 'listen-failed',
      fault: 'config',
      message: cause.message,
      remedy: `stop the program that has this UDP address, or choose another one with ${setting}`,
      cause,
    });
  }
}
