export { bindEndpoint } from './bind.ts';
export { coreClock } from './clock.ts';
export {
  closeCode,
  closeReason,
  closeRefused,
  closeWith,
  numberOf,
  peerCode,
  refusedCode,
  refusedError,
} from './close.ts';
export {
  Component,
  type ComponentFiles,
  type ComponentRole,
  type Reloaded,
  type RoleSnapshot,
} from './component.ts';
export { type ConnectAnyOptions, connectAny } from './connect-any.ts';
export { type ControlOptions, openControl } from './control.ts';
export { ControlStream, type ControlStreamEvents } from './control-stream.ts';
export { whyNotConnected } from './diagnosis.ts';
export { DirectPaths, type DirectSettings, directRanges } from './direct/direct-paths.ts';
export { attempt } from './direct/interfaces.ts';
export type { PortMappingStatus } from './direct/port-mapping.ts';
export { SecondObserver, type SecondObserverOptions } from './direct/second-observer.ts';
export { endOrderly } from './end.ts';
export { warnOfExposedKeys } from './exposed-keys.ts';
export { handshakeFailed } from './handshake.ts';
export { type LimitedLog, limitLog } from './limited-log.ts';
export { localInfo, SOFTWARE_VERSION } from './local-info.ts';
export { gaugePaths, observeCore, shared } from './metrics.ts';
export { type Diagnose, Outages } from './outages.ts';
export { OuterLinks, type OuterLinksOptions } from './outer-links.ts';
export {
  type Answering,
  hasRoute,
  type Loss,
  lookUp,
  noRoute,
  silent,
  type Unreachable,
  type UnreachableCode,
  unresolved,
  whySilent,
} from './reachability.ts';
export { type ReadFailure, readFrame } from './read-frame.ts';
export { refusalRemedy } from './refusal.ts';
export { Reloader, type ReloaderOptions, warnOfRefusedSnapshot } from './reloader.ts';
export { type Resolver, resolveAll, resolveHost, systemResolver } from './resolve.ts';
export { sentenceOf } from './sentences.ts';
export { ticketName } from './server-name.ts';
export * from './status.ts';
export {
  innerClientTransport,
  innerServerTransport,
  outerClientTransport,
  outerServerTransport,
  type TransportSettings,
} from './transport.ts';
export { watchFiles } from './watch-files.ts';
