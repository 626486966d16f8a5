// The library decorates its classes and needs the polyfill before it is loaded.
import 'reflect-metadata';

export * from '@peculiar/x509';
