/** The components of the demonstration and what they are called. */
export const names = {
  trustDomain: 'demo.ztna.example',
  intermediate: 'relay',
  site: 'home',
  connector: 'c1',
  /** The agent that may reach everything, and who is behind it. */
  agent: 'laptop',
  subject: 'alice@demo.ztna.example',
  /** The agent whose grant was taken away. */
  visitor: 'visitor',
  visitorSubject: 'mallory@demo.ztna.example',
} as const;

/** Names of the services, as the agent knows them. */
export const serviceNames = { web: 'web', echo: 'echo', watched: 'watched', own: 'own' } as const;
