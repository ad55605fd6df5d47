import { WherryError } from '@wherry/base';

/** How to reach and talk to a server: PEM texts, not paths. */
export interface ClientConfig {
  readonly server: string;
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** A bearer token, or where to get the current one. */
  readonly token?: string | (() => Promise<string>) | undefined;
  /** Name that the server's certificate must carry when it is not the address. */
  readonly serverName?: string | undefined;
  readonly insecure?: boolean | undefined;
  /** Default namespace of the context. */
  readonly namespace?: string | undefined;
}

interface Kubeconfig {
  readonly 'current-context'?: string;
  readonly contexts?: readonly { name: string; context?: { cluster?: string; user?: string; namespace?: string } }[];
  readonly clusters?: readonly { name: string; cluster?: Readonly<Record<string, unknown>> }[];
  readonly users?: readonly { name: string; user?: Readonly<Record<string, unknown>> }[];
}

const largest = 1024 * 1024;

/**
 * Reads a kubeconfig (v1 Config). `readFile` gives the text of a file that it names, resolved against
 * the kubeconfig's folder by the caller. Errors: `invalid`, `notFound` for a missing context,
 * `unsupported` for credential plug-ins.
 */
export async function parseKubeconfig(
  text: string,
  readFile: (path: string) => Promise<string>,
  contextName?: string,
): Promise<ClientConfig> {
  if (text.length > largest) throw new WherryError('invalid', 'the kubeconfig is larger than 1 MiB');
  const { parse } = await import('yaml'); // large, and most processes read no kubeconfig
  let config: Kubeconfig | null;
  try {
    config = parse(text, { maxAliasCount: 0 }) as Kubeconfig | null;
  } catch (error) {
    throw new WherryError('invalid', `the kubeconfig is not YAML: ${(error as Error).message}`, { cause: error });
  }
  const name = contextName ?? config?.['current-context'];
  const context = config?.contexts?.find((one) => one.name === name)?.context;
  if (!context) throw new WherryError('notFound', `context "${name ?? ''}" does not exist`);
  const cluster = config?.clusters?.find((one) => one.name === context.cluster)?.cluster;
  if (!cluster) throw new WherryError('notFound', `cluster "${context.cluster ?? ''}" does not exist`);
  const user = config?.users?.find((one) => one.name === context.user)?.user ?? {};
  if (typeof cluster.server !== 'string')
    throw new WherryError('invalid', `cluster "${context.cluster}" has no server`);
  if (user.exec || user['auth-provider'])
    throw new WherryError('unsupported', `user "${context.user}" gets its credentials from a plug-in`);
  const pem = async (from: Readonly<Record<string, unknown>>, field: string): Promise<string | undefined> => {
    const inline = from[`${field}-data`];
    if (typeof inline === 'string') return Buffer.from(inline, 'base64').toString();
    const path = from[field];
    return typeof path === 'string' ? readFile(path) : undefined;
  };
  const tokenFile = user.tokenFile;
  return {
    server: cluster.server,
    ca: await pem(cluster, 'certificate-authority'),
    cert: await pem(user, 'client-certificate'),
    key: await pem(user, 'client-key'),
    // The file is read for each request: tokens rotate.
    token:
      typeof tokenFile === 'string'
        ? async () => (await readFile(tokenFile)).trim()
        : typeof user.token === 'string'
          ? user.token
          : undefined,
    serverName: typeof cluster['tls-server-name'] === 'string' ? cluster['tls-server-name'] : undefined,
    insecure: cluster['insecure-skip-tls-verify'] === true,
    namespace: context.namespace,
  };
}
