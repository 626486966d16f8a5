export { type Connector, type ConnectorOptions, startConnector } from './connector.ts';
