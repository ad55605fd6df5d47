import { expect, it } from 'vitest';
import { sleeper, useCluster } from './shared-cluster.ts';

const cluster = useCluster();

const apply = (input: string, ...args: string[]) => cluster.it.kubectl(['apply', ...args, '-f', '-'], { input });

// Each with what the error must name: the object and the field.
const refused: readonly (readonly [string, string, RegExp])[] = [
  ['YAML that is none', 'apiVersion: v1\nkind: [', /error (parsing|converting) .*yaml/i],
  ['a wrong type', sleeper('typed').replace('containers:', 'hostNetwork: "maybe"\n  containers:'), /hostNetwork/],
  ['an unknown field', sleeper('odd').replace('containers:', 'contaners:'), /unknown field "spec\.contaners"/],
  ['an unknown kind', sleeper('kind').replace('kind: Pod', 'kind: Pot'), /no matches for kind "Pot" in version "v1"/],
  ['a bad name', sleeper('Bad_Name'), /The Pod "Bad_Name" is invalid: metadata\.name: Invalid value: "Bad_Name"/],
  [
    'no containers',
    sleeper('none').replace(/containers: .*/, 'containers: []'),
    /"none" is invalid: spec\.containers: Required value/,
  ],
  [
    'a bad quantity',
    sleeper('much').replace('command:', 'resources: {limits: {memory: lots}}, command:'),
    /quantities must match|memory/,
  ],
  [
    'a volume that is not there',
    sleeper('vol').replace('command:', 'volumeMounts: [{name: v, mountPath: /v}], command:'),
    /spec\.containers\[0\]\.volumeMounts\[0\]\.name: Not found: "v"/,
  ],
  [
    'a port out of range',
    'apiVersion: v1\nkind: Service\nmetadata: {name: far}\nspec: {ports: [{port: 70000}]}\n',
    /"far" is invalid: \n\* spec\.ports\[0\]\.port: Invalid value: 70000/,
  ],
  [
    'a namespace that is not there',
    sleeper('lost').replace('labels:', 'namespace: nowhere, labels:'),
    /namespaces "nowhere" not found/,
  ],
];

it.each(refused)('refuses %s, and says where', async (_, manifest, message) => {
  const ran = await apply(manifest);
  expect(ran.code).toBe(1);
  expect(ran.stderr).toMatch(message);
  expect((await apply(manifest, '--validate=false')).code).toBe(manifest.includes('contaners') ? 1 : ran.code);
});

it('refuses changes of what cannot change, deep documents, and patches that do not fit', async () => {
  const k = cluster.it;
  await k.apply(sleeper('fixed'));
  const renamed = await apply(sleeper('fixed').replace('"3600"', '"3601"'));
  expect(renamed.stderr).toMatch(
    /The Pod "fixed" is invalid: spec: Forbidden: pod updates may not change fields other than/,
  );
  const deep = `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`;
  const posted = await k.machine.run(
    'curl',
    [
      '-sk',
      '--max-time',
      '10',
      '--cert-type',
      'PEM',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      '-X',
      'POST',
      '-H',
      'Content-Type: application/json',
      '-d',
      '@-',
      'https://127.0.0.1:6443/api/v1/namespaces/default/configmaps',
    ],
    { input: deep },
  );
  expect(posted.stdout).toMatch(/^4\d\d$/);
  const patch = await k.kubectl([
    'patch',
    'pod',
    'fixed',
    '--type=json',
    '-p',
    '[{"op":"remove","path":"/metadata/nope"}]',
  ]);
  expect(patch.code).toBe(1);
  const stale = await k.kubectl(['replace', '-f', '-'], {
    input: sleeper('fixed').replace('name: fixed,', 'name: fixed, resourceVersion: "1",'),
  });
  expect(stale.stderr).toContain('the object has been modified');
  expect((await k.wherry(['status'])).code).toBe(0);
});
