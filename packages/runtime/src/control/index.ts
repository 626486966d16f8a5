// Entry `@ztna/runtime/control`: the local socket over which a running component is asked.
export { askControl, isAnswered } from './ask.ts';
export {
  type ControlSurroundings,
  controlDirectories,
  findSockets,
  socketName,
  whyUnsafe,
} from './place.ts';
export { CONTROL_LIMITS, CONTROL_VERSION, type ControlResponse } from './protocol.ts';
export {
  type ControlHandler,
  type ControlServer,
  type ControlServerOptions,
  serveControl,
  sweepSockets,
} from './serve.ts';
