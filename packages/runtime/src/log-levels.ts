/** Least urgent first. `silent` logs nothing. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** `auto`: one readable line per entry on a terminal, JSON elsewhere. */
export const logFormats = ['auto', 'json', 'human'] as const;
export type LogFormat = (typeof logFormats)[number];
