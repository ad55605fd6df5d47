import { type Answer, sha256, type TestClient } from './test-client.ts';

/** How a visitor shows who it is. */
export type Login = 'nobody' | 'password' | 'token';

/**
 * A client that knows no more of a registry than the specification says: it goes where `Location` leads, answers
 * challenges, asks for a token each time anew, and sends bodies whose length it does not say.
 */
export class Visitor {
  readonly #client: TestClient;
  readonly #user: { readonly name: string; readonly password: string } | undefined;

  constructor(client: TestClient, user?: { readonly name: string; readonly password: string }) {
    this.#client = client;
    this.#user = user;
  }

  async send(method: string, path: string, body?: string, headers: Record<string, string> = {}): Promise<Answer> {
    const streamed = body === undefined ? headers : { 'Transfer-Encoding': 'chunked', ...headers };
    const first = await this.#client.send(method, path, { body, headers: streamed });
    if (first.status !== 401) return first;
    const Authorization = await this.#answerTo(first.headers['www-authenticate']!);
    return await this.#client.send(method, path, { body, headers: { ...streamed, Authorization } });
  }

  /** Where the answer leads: a path, whatever it names before it. */
  static next(answer: Answer): string {
    const { pathname, search } = new URL(answer.headers.location!, 'http://registry.invalid');
    return pathname + search;
  }

  /** As `next`, with the digest that ends an upload. */
  static end(answer: Answer, digest: string): string {
    const next = Visitor.next(answer);
    return `${next}${next.includes('?') ? '&' : '?'}digest=${digest}`;
  }

  /** A blob by POST and PUT; gives the last answer. */
  async pushBlob(name: string, content: string): Promise<Answer> {
    const begun = await this.send('POST', `/v2/${name}/blobs/uploads/`);
    return await this.send('PUT', Visitor.end(begun, sha256(content)), content, {
      'Content-Type': 'application/octet-stream',
    });
  }

  async #answerTo(challenge: string): Promise<string> {
    const basic = `Basic ${Buffer.from(`${this.#user?.name}:${this.#user?.password}`).toString('base64')}`;
    if (/^basic /i.test(challenge)) return basic;
    const said = Object.fromEntries([...challenge.matchAll(/([a-z]+)="(.+?)"/g)].map(([, key, value]) => [key, value]));
    const query = new URLSearchParams({ service: said.service!, ...(said.scope && { scope: said.scope }) });
    const { pathname } = new URL(said.realm!);
    const answer = await this.#client.get(`${pathname}?${query}`, { Authorization: basic });
    return `Bearer ${answer.json().token}`;
  }
}
