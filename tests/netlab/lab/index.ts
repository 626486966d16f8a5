// What a scenario needs.
export type { Agent } from './agent.ts';
export { behaviourOf, openReflectors } from './behaviour.ts';
export { type Lab, startLab } from './lab.ts';
export { directAloneComesBack, outlivesPartition, outlivesSuspension } from './outages.ts';
export type { Echo, Probe, ProbeSocket } from './probe.ts';
export { scenario } from './scenario.ts';
export { type AccessKind, access, accessKinds, type Network, type Topology } from './topology.ts';
export { startDirect, startUsual, usual } from './usual.ts';
export { relayPort, startZtna, type Ztna } from './ztna.ts';
