import { expect, test } from 'vitest';
import { parseKubeconfig } from './kubeconfig.ts';

const text = `
apiVersion: v1
kind: Config
current-context: main
contexts:
- {name: main, context: {cluster: c, user: u, namespace: dev}}
- {name: other, context: {cluster: c, user: plug}}
- {name: broken, context: {cluster: nope, user: u}}
clusters:
- {name: c, cluster: {server: "https://10.0.0.1:6443", certificate-authority-data: ${Buffer.from('CA').toString('base64')}}}
users:
- {name: u, user: {client-certificate: cert.pem, client-key-data: ${Buffer.from('KEY').toString('base64')}, tokenFile: token}}
- {name: plug, user: {exec: {command: x}}}
`;
const files: Record<string, string> = { 'cert.pem': 'CERT', token: 'abc\n' };
const read = async (path: string): Promise<string> => files[path]!;

test('the current context, with inline data and files', async () => {
  const config = await parseKubeconfig(text, read);
  expect(config).toMatchObject({
    server: 'https://10.0.0.1:6443',
    ca: 'CA',
    cert: 'CERT',
    key: 'KEY',
    namespace: 'dev',
  });
  expect(await (config.token as () => Promise<string>)()).toBe('abc');
});

test.each([
  ['other', 'unsupported'],
  ['broken', 'notFound'],
  ['none', 'notFound'],
])('context %s gives the error %s', async (context, code) => {
  await expect(parseKubeconfig(text, read, context)).rejects.toMatchObject({ code });
});

test('what is no YAML is invalid', async () => {
  await expect(parseKubeconfig('a: [', read)).rejects.toMatchObject({ code: 'invalid' });
});
