/** The descriptor by which a child notices that its parent is gone; the first one after the standard three. */
export const parentPipe = 3;
