import type { KeyPair } from './key-pair.ts';

export interface KubeconfigContent {
  /** Name of the cluster, the user and the context. */
  readonly name: string;
  /** `https://127.0.0.1:6443` */
  readonly server: string;
  readonly caCertificate: string; // PEM
  readonly user: KeyPair;
  readonly namespace?: string | undefined;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** A kubeconfig object (`v1` `Config`) with one context, everything embedded. */
export function kubeconfigObject({ name, server, caCertificate, user, namespace }: KubeconfigContent) {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server, 'certificate-authority-data': base64(caCertificate) } }],
    users: [
      { name, user: { 'client-certificate-data': base64(user.certificate), 'client-key-data': base64(user.key) } },
    ],
    contexts: [{ name, context: { cluster: name, user: name, ...(namespace ? { namespace } : {}) } }],
    'current-context': name,
    preferences: {},
  };
}

export type Kubeconfig = ReturnType<typeof kubeconfigObject>;

/** The file's text. Names are plain words of ours, so no YAML library is needed to write it. */
export function kubeconfigText(content: KubeconfigContent): string {
  const { clusters, users, contexts } = kubeconfigObject(content);
  const context = contexts[0]!.context as { namespace?: string };
  return [
    'apiVersion: v1',
    'kind: Config',
    'clusters:',
    `- name: ${content.name}`,
    '  cluster:',
    `    server: ${clusters[0]!.cluster.server}`,
    `    certificate-authority-data: ${clusters[0]!.cluster['certificate-authority-data']}`,
    'users:',
    `- name: ${content.name}`,
    '  user:',
    `    client-certificate-data: ${users[0]!.user['client-certificate-data']}`,
    `    client-key-data: ${users[0]!.user['client-key-data']}`,
    'contexts:',
    `- name: ${content.name}`,
    '  context:',
    `    cluster: ${content.name}`,
    `    user: ${content.name}`,
    ...(context.namespace ? [`    namespace: ${context.namespace}`] : []),
    `current-context: ${content.name}`,
    'preferences: {}',
    '',
  ].join('\n');
}
