export { Connection } from './connection.ts';
export { Endpoint } from './endpoint.ts';
export { QuicError, type QuicErrorCode } from './errors.ts';
export { QuicStream, type RecvStream, type SendStream } from './stream.ts';
export { type TcpListener, TcpSocket } from './tcp.ts';
export type * from './types.ts';
export type * from './udp.ts';
export { VirtualPath } from './virtual.ts';
