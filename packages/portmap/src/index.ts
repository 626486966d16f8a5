export { type Protocol as PortMappingProtocol, protocols as portMappingProtocols } from './core/client.ts';
export { type FoundGateway, type GatewayLookup, systemGateway } from './shell/gateway.ts';
export {
  type Mapping,
  PortMapper,
  type PortMapperOptions,
  type PortMapperStatus,
} from './shell/port-mapper.ts';
