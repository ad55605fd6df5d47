import { describe, expect, it } from 'vitest';
import { buildMachine } from './build-machine.ts';

const dockerfile = `# comment
ARG BASE=busybox
FROM \${BASE} AS stage1
ARG VER=1.0
ENV VERSION=$VER PATHX="a b" NAME=\${UNSET:-dflt}
RUN echo building $VERSION > /built && cat /built
RUN ["echo", "exec form"]
FROM busybox
MAINTAINER me
LABEL a=b "c d"="e f"
ARG VER
WORKDIR /app
WORKDIR rel
COPY --from=stage1 /built /app/built
COPY --chown=33:33 a.txt sub/ ./
COPY . /all/
ENV E1=1 E2=$VER
EXPOSE 80 53/udp
VOLUME /vol ["/vol2"]
VOLUME ["/v3"]
USER 33:33
HEALTHCHECK --interval=5s --timeout=2s --retries=2 --start-period=1s CMD test -f /app/built
STOPSIGNAL SIGUSR1
SHELL ["/bin/sh","-ec"]
RUN echo shell && id
ONBUILD RUN echo onbuild-ran
ENTRYPOINT ["/bin/sh","-c"]
CMD ["cat /app/built; ls -R /all /app /arc /url; echo $E1 $E2"]
`;
const files = { 'a.txt': 'A\n', 'sub/s.txt': 'S\n', 'keep.log': 'k\n' };

const made = [' ---> Running in ID', ' ---> Removed intermediate container ID', ' ---> ID'];

const expectedConfig = {
  User: '33:33',
  ExposedPorts: { '53/udp': {}, '80/tcp': {} },
  Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'E1=1', 'E2='],
  Entrypoint: ['/bin/sh', '-c'],
  Cmd: ['cat /app/built; ls -R /all /app /arc /url; echo $E1 $E2'],
  Volumes: { '/v3': {}, '/vol': {}, '[/vol2]': {} },
  WorkingDir: '/app/rel',
  Labels: { a: 'b', 'c d': 'e f' },
  StopSignal: 'SIGUSR1',
  Healthcheck: {
    Test: ['CMD-SHELL', 'test -f /app/built'],
    Interval: 5000000000,
    Timeout: 2000000000,
    StartPeriod: 1000000000,
    Retries: 2,
  },
  OnBuild: ['RUN echo onbuild-ran'],
  Shell: ['/bin/sh', '-ec'],
};

describe('a whole build', () => {
  it('prints what docker prints, gives the image that docker gives, and comes from the cache again', async () => {
    await using machine = await buildMachine();
    const first = await machine.build(dockerfile, { files, tags: ['b1:latest'] });
    expect(first.error).toBeUndefined();
    expect(first.lines.slice(0, 19)).toEqual([
      'Step 1/27 : ARG BASE=busybox',
      `Step 2/27 : FROM \${BASE} AS stage1`,
      ' ---> ID',
      'Step 3/27 : ARG VER=1.0',
      ...made,
      `Step 4/27 : ENV VERSION=$VER PATHX="a b" NAME=\${UNSET:-dflt}`,
      ...made,
      'Step 5/27 : RUN echo building $VERSION > /built && cat /built',
      ' ---> Running in ID',
      'building 1.0',
      ' ---> Removed intermediate container ID',
      ' ---> ID',
      'Step 6/27 : RUN ["echo", "exec form"]',
      ' ---> Running in ID',
      'exec form',
    ]);
    expect(first.lines).toContain('uid=33(www-data) gid=33(www-data) groups=33(www-data)');
    expect(await machine.read(first.imageId, 'app/built')).toBe('building 1.0\n');
    const second = await machine.build(dockerfile, { files });
    expect(second.imageId).toBe(first.imageId);
    expect(second.lines.filter((line) => line.includes('Running'))).toEqual([]);
    const { config, parent } = await machine.images.details(first.imageId);
    expect(config.config).toEqual({ ...expectedConfig, Image: parent });
    expect(config.history?.map((entry) => entry.created_by)).toContain(
      `/bin/sh -c #(nop)  HEALTHCHECK &{["CMD-SHELL" "test -f /app/built"] "5s" "2s" "1s" "0s" '\\x02'}`,
    );
  }, 60_000);

  it('runs what the base image wants done with it', async () => {
    await using machine = await buildMachine();
    await machine.build('FROM busybox\nONBUILD RUN echo one\nONBUILD ENV A=b\n', { tags: ['base'] });
    const { lines, imageId } = await machine.build('FROM base\nRUN true\n');
    expect(lines).toEqual([
      'Step 1/2 : FROM base',
      '# Executing 2 build triggers',
      ' ---> Running in ID',
      'one',
      ' ---> Removed intermediate container ID',
      ' ---> Running in ID',
      ' ---> Removed intermediate container ID',
      ' ---> ID',
      'Step 2/2 : RUN true',
      ...made,
    ]);
    const { config } = await machine.images.details(imageId);
    expect(config.config?.Env).toContain('A=b');
    expect(config.config?.OnBuild ?? []).toEqual([]);
  });

  it('ends with the code of a command that fails and keeps what was built before', async () => {
    await using machine = await buildMachine();
    const failed = await machine.build('FROM busybox\nRUN echo kept > /k\nRUN exit 3\n');
    expect(failed.error).toMatchObject({
      code: 'invalid',
      message: "The command '/bin/sh -c exit 3' returned a non-zero code: 3",
      details: { exitCode: 3 },
    });
    const last = failed.events.filter((event) => event.type === 'done').at(-1);
    expect(await machine.read(last?.type === 'done' ? last.imageId : '', 'k')).toBe('kept\n');
  });
});
