import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BuildEvent } from '../src/index.ts';
import { type BuildMachine, buildMachine, requestOf } from './build-machine.ts';

let machine: BuildMachine;
beforeAll(async () => {
  machine = await buildMachine();
});
afterAll(async () => await machine[Symbol.asyncDispose]());

const outputOf = (events: readonly BuildEvent[]): string =>
  events.map((event) => (event.type === 'output' ? event.content.toString() : '')).join('');

describe('RUN', () => {
  it('takes scripts from here-documents', async () => {
    const { events, error } = await machine.build(
      'FROM busybox\nRUN <<EOT\necho one\necho two\nEOT\nRUN cat <<A && cat <<B\nfirst\nA\nsecond\nB\nRUN <<S\n#!/bin/busybox cat\nbody\nS\n',
    );
    expect(error).toBeUndefined();
    expect(outputOf(events)).toBe('one\ntwo\nfirst\nsecond\n#!/bin/busybox cat\nbody\n');
  });

  it('runs behind the filter of system calls that containers have, without a link to the machine’s memory', async () => {
    const { events, error } = await machine.build(
      'FROM busybox\nRUN grep Seccomp: /proc/self/status; mount -t tmpfs t /nowhere; ls /dev/core; true\n',
    );
    expect(error).toBeUndefined();
    // Without the filter the kernel looks for the folder first.
    expect(outputOf(events)).toMatch(
      /^Seccomp:\t2\nmount: permission denied[^\n]*\nls: \/dev\/core: No such file or directory\n$/,
    );
  });

  it('finds the files of its network', async () => {
    const files = 'FROM busybox\nRUN cat /etc/resolv.conf; cat /etc/hosts; cat /etc/hostname; hostname\n';
    const extraHosts = ['a:1.2.3.4', 'gate:host-gateway'];
    const { events, error } = await machine.build(files, { networkMode: 'none', extraHosts });
    expect(error).toBeUndefined();
    const [dns, ...lines] = outputOf(events).trim().split('\n');
    expect(dns).toBe('nameserver 10.9.9.1');
    expect(lines.slice(-4)).toEqual([
      '1.2.3.4\ta',
      '10.9.9.8\tgate',
      lines.at(-1),
      expect.stringMatching(/^[0-9a-f]{12}$/),
    ]);
  });

  it('leaves nothing in the layer of what was mounted', async () => {
    const { imageId, error } = await machine.build(
      'FROM scratch\nCOPY --from=busybox /bin /bin\nRUN --mount=type=cache,target=/var/c --mount=type=tmpfs,target=/x/y --mount=type=secret,id=s echo hi > /made\n',
      { secrets: { s: Buffer.from('secret') } },
    );
    expect(error).toBeUndefined();
    const { folders } = await machine.images.details(imageId);
    expect(await entriesOf(folders[0]!)).toEqual(['made']);
  });

  it('keeps caches from build to build, and nowhere else', async () => {
    const mount = '--mount=type=cache,target=/c,id=mine';
    const one = await machine.build(`FROM busybox\nRUN ${mount} echo kept > /c/f\n`);
    expect(one.error).toBeUndefined();
    const two = await machine.build(`FROM busybox\nRUN ${mount} cat /c/f && ls /c\nRUN ls /c; true\n`);
    expect(outputOf(two.events)).toContain('kept\nf\n');
    expect(outputOf(two.events)).toContain('No such file or directory');
    const [record] = (await machine.builder.usage()).filter(({ description }) => description === 'cached mount mine');
    expect(record).toMatchObject({ type: 'exec.cachemount', inUse: false, usageCount: 2 });
    const pruned = await machine.builder.prune({ all: false });
    expect(pruned.deleted).toContain(record!.id);
    expect(await machine.builder.usage()).toEqual([]);
  });

  it('sees secrets, binds and tmpfs only while it runs', async () => {
    const { events, error } = await machine.build(
      [
        'FROM busybox AS other',
        'RUN echo from-other > /o',
        'FROM busybox',
        'RUN --mount=type=secret,id=s --mount=type=secret,id=s,env=S cat /run/secrets/s && echo $S && stat -c %a /run/secrets/s',
        'RUN --mount=type=bind,from=other,source=/o,target=/in/o --mount=type=bind,source=sub,target=/sub cat /in/o /sub/f; echo x > /sub/g || echo read-only',
        'RUN --mount=type=bind,source=sub,target=/sub,rw echo x > /sub/g && ls /sub',
        'RUN --mount=type=tmpfs,target=/m,size=1m df -k /m | tail -1',
        'RUN ls /sub /run/secrets /in 2>&1 | sort; true',
      ].join('\n'),
      { files: { 'sub/f': 'file\n' }, secrets: { s: Buffer.from('hush') } },
    );
    expect(error).toBeUndefined();
    const output = outputOf(events);
    expect(output).toContain('hushhush\n400\n');
    expect(output).toContain('from-other\nfile\n');
    expect(output).toContain('read-only\n');
    expect(output).toContain('f\ng\n');
    expect(output).toMatch(/1024 .*\/m\n/);
    expect(output.match(/No such file/g)).toHaveLength(3);
  });

  it('writes to a file that is mounted for writing, and nobody else sees it', async () => {
    const write = (mount: string): string =>
      `RUN --mount=type=bind,${mount},target=/m,rw echo new > /m && cat /m\nRUN --mount=type=bind,${mount},target=/m cat /m\n`;
    const { imageId, events, error } = await machine.build(
      `FROM busybox AS other\nRUN echo other > /o\nFROM busybox\n${write('source=sub/f')}${write('from=other,source=/o')}${write('from=busybox,source=/etc/passwd')}COPY sub /sub\n`,
      { files: { 'sub/f': 'file\n' } },
    );
    expect(error).toBeUndefined();
    const passwd = await machine.read(imageId, 'etc/passwd');
    expect(passwd).not.toBe('new\n');
    expect(outputOf(events)).toBe(`new\nfile\nnew\nother\nnew\n${passwd}`);
    expect(await machine.read(imageId, 'sub/f')).toBe('file\n');
  });

  it('keeps what it writes to a volume to itself', async () => {
    const { imageId, events, error } = await machine.build(
      'FROM busybox\nRUN mkdir /full && echo old > /full/f && chmod 711 /full && chown 5:6 /full\nVOLUME /new /full\n' +
        'RUN cat /full/f && stat -c "%a %u:%g" /full && echo x > /new/x && rm /full/f\nRUN ls /new /full\n',
    );
    expect(error).toBeUndefined();
    expect(outputOf(events)).toBe('old\n711 5:6\n/full:\nf\n\n/new:\n');
    const { folders } = await machine.images.details(imageId);
    const made = folders.map((folder) => join(folder, 'new')).find((path) => existsSync(path));
    expect((statSync(made!).mode & 0o7777).toString(8)).toBe('755');
    expect(await machine.read(imageId, 'new/x')).toBeUndefined();
    expect(await machine.read(imageId, 'full/f')).toBe('old\n');
  });

  it('gets no more of the machine than the Dockerfile’s user is asked for', async () => {
    for (const [flag, message] of [
      ['--security=insecure', 'security.insecure is not allowed'],
      ['--network=host', 'network.host is not allowed'],
    ]) {
      expect((await machine.build(`FROM busybox\nRUN ${flag} true\n`)).error).toMatchObject({
        code: 'invalid',
        message,
      });
    }
    const asked = await machine.build('FROM busybox\nRUN --network=host cat /etc/hosts /etc/resolv.conf; hostname\n', {
      networkMode: 'host',
    });
    expect(asked.error).toBeUndefined();
    expect(outputOf(asked.events)).toBe(`10.9.9.2\thost\nnameserver 10.9.9.1\n${hostname()}\n`);
  });

  it('that cannot be started is told of in dockerd’s words', async () => {
    const { error } = await machine.build('FROM busybox\nRUN ["nosuchcommand"]\n');
    expect(error?.message).toBe(
      'failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "nosuchcommand": executable file not found in $PATH: unknown',
    );
  });

  it('has the network that is asked for, and its hosts', async () => {
    const { events, error } = await machine.build('FROM busybox\nRUN cat /etc/hosts && ls /sys/class/net\n', {
      networkMode: 'default',
      extraHosts: ['other:10.1.1.1'],
    });
    expect(error).toBeUndefined();
    expect(outputOf(events)).toMatch(
      /127\.0\.0\.1\tlocalhost\n[\s\S]*10\.1\.1\.1\tother\n10\.9\.9\.9\t[0-9a-f]{12}\nlo\n/,
    );
  });

  it('gets build arguments that an ENV does not hide', async () => {
    const dockerfile = 'FROM busybox\nARG A\nRUN echo $A-$http_proxy\nENV A=env\nRUN echo $A-$B\n';
    const { events } = await machine.build(dockerfile, { buildArguments: { A: 'arg', B: 'b', http_proxy: 'p' } });
    expect(outputOf(events)).toBe('arg-p\nenv-\n');
    expect(events.at(-2)).toEqual({ type: 'warning', message: 'One or more build-args [B] were not consumed' });
    expect(events.at(-1)).toMatchObject({ type: 'built' });
  });

  it('ends when it is cancelled and leaves nothing', async () => {
    const abort = new AbortController();
    const built = machine.builder.build(
      requestOf(machine.folder, 'FROM busybox\nRUN echo on && sleep 1000\n', {
        signal: abort.signal,
        onProgress: (event) => {
          if (event.type === 'output') abort.abort();
        },
      }),
    );
    await expect(built).rejects.toMatchObject({ code: 'cancelled' });
    expect(await machine.engine.listPodSandboxes()).toEqual([]);
  });
});

describe('stages', () => {
  it('that nobody needs are left out, others run side by side, lines come in order', async () => {
    const dockerfile = [
      'FROM busybox AS one',
      // Each waits for the other: one after the other they would never end.
      'RUN --mount=type=cache,target=/c,id=meet touch /c/one; until [ -e /c/two ]; do sleep 0.05; done; echo one',
      'FROM busybox AS unused',
      'RUN false',
      'FROM busybox AS two',
      'RUN --mount=type=cache,target=/c,id=meet touch /c/two; until [ -e /c/one ]; do sleep 0.05; done; echo two > /two; echo two',
      'FROM one',
      'COPY --from=two /two /',
    ].join('\n');
    const { lines, error } = await machine.build(dockerfile);
    expect(error).toBeUndefined();
    expect(lines.filter((line) => /^(?:Step|one|two)/.test(line)).map((line) => line.slice(0, 12))).toEqual([
      'Step 1/8 : F',
      'Step 2/8 : R',
      'one',
      'Step 5/8 : F',
      'Step 6/8 : R',
      'two',
      'Step 7/8 : F',
      'Step 8/8 : C',
    ]);
  });

  it('fail as if they were done in order', async () => {
    const dockerfile =
      'FROM busybox AS one\nRUN sleep 0.2; exit 4\nFROM busybox AS two\nRUN exit 5\nFROM one\nCOPY --from=two / /\n';
    const { error, lines } = await machine.build(dockerfile);
    expect(error?.message).toBe("The command '/bin/sh -c sleep 0.2; exit 4' returned a non-zero code: 4");
    expect(lines[0]).toBe('Step 1/6 : FROM busybox AS one');
  });

  it.each([
    [{ target: 'nosuch' }, 'target stage "nosuch" could not be found'],
    [{ target: '7' }, 'target stage "7" could not be found'],
  ])('%j is no target', async (options, message) => {
    const { error, events } = await machine.build('FROM busybox\n', options);
    expect([error?.message, events]).toEqual([message, []]);
  });

  it('end at the target, labels and all', async () => {
    const { lines, imageId } = await machine.build('FROM busybox AS A\nENV x=y\nFROM a\nRUN false\n', {
      target: 'a',
      labels: { z: '$x', b: '1' },
      tags: ['labelled:1', 'labelled:2'],
    });
    expect(lines.filter((line) => line.startsWith('Step'))).toEqual([
      'Step 1/4 : FROM busybox AS A',
      'Step 2/4 : ENV x=y',
      'Step 3/4 : LABEL b=1',
      'Step 4/4 : LABEL z=$x',
    ]);
    const { labels, names } = await machine.images.details(imageId);
    expect([labels, names]).toEqual([
      { b: '1', z: '$x' },
      ['docker.io/library/labelled:1', 'docker.io/library/labelled:2'],
    ]);
  });
});

it('the same image comes out twice with SOURCE_DATE_EPOCH', async () => {
  const dockerfile = 'FROM busybox\nRUN date > /dev/null; touch /f\nCOPY x /x\nWORKDIR /w\n';
  const options = { files: { x: 'x' }, buildArguments: { SOURCE_DATE_EPOCH: '1000000000' }, noCache: true };
  const [one, two] = [await machine.build(dockerfile, options), await machine.build(dockerfile, options)];
  expect(one.error).toBeUndefined();
  expect(two.imageId).toBe(one.imageId);
});

it('the same image comes out of other folders, made at another time, with SOURCE_DATE_EPOCH', async () => {
  const dockerfile = [
    'FROM busybox AS made',
    'RUN mkdir /m && for n in z a q m; do echo $n > /m/$n; done && ln /m/a /m/b && ln -s a /m/link && mkfifo /m/p',
    'FROM busybox',
    'ARG SOURCE_DATE_EPOCH',
    'LABEL a=b',
    'COPY --from=made /m /m',
    'COPY --chown=1:2 . /context/',
    'VOLUME /v',
    'RUN touch /v/x && rm /bin/wget && mkdir -p /deep/er && echo "$SOURCE_DATE_EPOCH" > /deep/er/f',
    'WORKDIR /w/x',
  ].join('\n');
  const build = async (on: BuildMachine, names: readonly string[]): Promise<string> => {
    const files = Object.fromEntries(names.map((name) => [name, name]));
    const built = await on.build(dockerfile, { files, buildArguments: { SOURCE_DATE_EPOCH: '1000000000' } });
    expect(built.error).toBeUndefined();
    return built.imageId;
  };
  await using other = await buildMachine();
  const id = await build(machine, ['a.txt', 'sub/b.txt', 'sub/c.txt']);
  expect(await build(other, ['sub/c.txt', 'a.txt', 'sub/b.txt'])).toBe(id);
  const { created, history } = (await other.images.details(id)).config;
  expect([created, history!.at(-1)!.created]).toEqual(Array(2).fill('2001-09-09T01:46:40Z'));
});

it('what a build of a dead process left is taken away', async () => {
  const { details } = machine.images;
  void details;
  const layers = (await machine.images.details('busybox')).layers;
  for (const folder of ['builder/work/dead/holds', 'builder/work/dead/1/upper', 'run-builder/dead/2']) {
    mkdirSync(join(machine.folder, folder), { recursive: true });
  }
  writeFileSync(join(machine.folder, 'builder/work/dead/holds/build-dead-x'), '');
  await machine.images.holdLayers('build-dead-x', layers);
  await machine.engine.definePodSandbox({
    id: 'd'.repeat(64),
    metadata: { name: 'dead', uid: 'd', namespace: 'build', attempt: 0 },
    hostname: 'dead',
    logDirectory: machine.folder,
    labels: { 'wherry.build-step': 'true', 'wherry.build-step.network': 'none' },
    annotations: {},
    namespaces: { network: 'unmanaged', pid: 'container', ipc: 'pod' },
    cgroupParent: 'build/dead',
  });
  await machine.reopen();
  expect(await machine.engine.listPodSandboxes()).toEqual([]);
  const { error } = await machine.build('FROM busybox\nRUN true\n');
  expect(error).toBeUndefined();
});

async function entriesOf(folder: string): Promise<readonly string[]> {
  const { readdirSync } = await import('node:fs');
  return readdirSync(folder, { recursive: true }).map(String).sort();
}
