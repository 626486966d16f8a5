import { QuicError } from '@ztna/quic';
import { type Address, formatAddress, isLoopback, type Logger, RuntimeFault } from '@ztna/runtime';
import { ZtnaError } from '@ztna/wire';

/** Binds a local listener. `setting` is named when the address cannot be had. Throws RuntimeFault `listen-failed`. */
export function listenLocal<L>(
  address: Address,
  setting: string,
  log: Logger,
  bind: (listen: string) => L,
): L {
  // `localhost` is one address here, the same one for every listener.
  const host = address.host === 'localhost' ? '127.0.0.1' : address.host;
  const listen = formatAddress({ host, port: address.port });
  try {
    const listener = bind(listen);
    if (!isLoopback(host)) {
      log.warn(
        { event: 'listener.exposed', listen },
        'other machines can use this port, and with it the access of this agent',
      );
    }
    return listener;
  } catch (cause) {
    if (!(cause instanceof QuicError)) throw cause;
    const inUse = /in use/i.test(cause.message);
    throw new RuntimeFault({
      code: 'listen-failed',
      fault: 'config',
      message: inUse ? `cannot listen on ${listen}: the port is in use` : cause.message,
      remedy: `${inUse ? 'stop the program that has it, or ' : ''}choose another address with ${setting} (port 0 takes a free one)`,
      // The system's own words would say it again.
      ...(!inUse && { cause }),
    });
  }
}

/** An error of a flow as what it is to people and programs: anything else is a bug and is thrown on. */
export function asFlowError(error: unknown): ZtnaError {
  if (error instanceof ZtnaError) return error;
  if (error instanceof QuicError) {
    return new ZtnaError({ code: 'local', fault: 'peer', happened: error.message, cause: error });
  }
  throw error;
}
