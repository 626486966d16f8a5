export { type Intermediate, type IntermediateOptions, startIntermediate } from './intermediate.ts';
