export { type Agent, type AgentOptions, type AgentStatus, startAgent } from './agent.ts';
export type { Flow } from './flows/flow.ts';
export { type Forward, planForwards } from './forward/spec.ts';
export { type Forwards, type OpenForward, startForwards } from './forward/start.ts';
export { type LocalProxy, startProxy } from './proxy/start.ts';
export type { Target } from './services.ts';
