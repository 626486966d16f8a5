export { type Backend, type BackendSettings, startBackend } from './backend.ts';
