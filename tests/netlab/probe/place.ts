/** `192.0.2.1 4433` */
export function placeOf(text: string): { host: string; port: number } {
  const [host = '', port] = text.split(' ');
  return { host, port: Number(port) };
}
