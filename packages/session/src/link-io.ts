import type { ControlMessage, IntermediateEntry, WireError, WireErrorCode } from '@ztna/wire';
import type { ConnectionKey, PeerIdentity } from './types.ts';

/** What an agent or a connector hears of its outer connections. `connection` is the key that the core chose in `connect`. */
export type LinkInput =
  | { readonly type: 'outer-connected'; readonly connection: ConnectionKey; readonly identity: PeerIdentity }
  /** The connection failed to open or ended, by whatever cause. Also after `disconnect`. */
  | {
      readonly type: 'outer-lost';
      readonly connection: ConnectionKey;
      readonly reason: string;
      /** The error with which the intermediate closed, when it did. */
      readonly code?: WireErrorCode;
    }
  /** Nothing heard for several PTO while sending. */
  | { readonly type: 'outer-stalled'; readonly connection: ConnectionKey }
  | { readonly type: 'outer-recovered'; readonly connection: ConnectionKey }
  | { readonly type: 'message'; readonly connection: ConnectionKey; readonly message: ControlMessage }
  | {
      readonly type: 'malformed';
      readonly connection: ConnectionKey;
      readonly reason: string;
      readonly fatal: boolean;
    };

export type LinkOutput =
  /** Connect to one of the addresses; answer with `outer-connected` or `outer-lost` for this key. */
  | { readonly type: 'connect'; readonly connection: ConnectionKey; readonly to: IntermediateEntry }
  | { readonly type: 'send'; readonly connection: ConnectionKey; readonly message: ControlMessage }
  /** Send the error (as Goodbye when it is `going-away`), then close; abandon the attempt if still connecting. */
  | { readonly type: 'disconnect'; readonly connection: ConnectionKey; readonly error: WireError };
