const hijacked = /^(?:\/v[0-9.]+)?(?:\/containers\/[^?]*\/attach|\/exec\/[^/?]+\/start|\/session|\/grpc)(?:\?|$)/;
const webSocket = /^(?:\/v[0-9.]+)?\/containers\/[^?]*\/attach\/ws(?:\?|$)/;

/** Whether a request's connection leaves HTTP: attach, exec, BuildKit's sessions, attach by WebSocket. */
export function hijackedRequest(method: string, url: string): boolean {
  if (method === 'POST') return hijacked.test(url);
  return method === 'GET' && webSocket.test(url);
}

const long = /^(?:\/v[0-9.]+)?\/images\/(?:load(?:\?|$)|create\?(?:[^#]*&)?fromSrc=-(?:&|$))/;

/** Whether a request's body may be read from its connection without Node's parser: those of archives. */
export function hasLongBody(method: string, url: string): boolean {
  return method === 'POST' && long.test(url);
}
