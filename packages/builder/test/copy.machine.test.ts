import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuildMachine, buildMachine } from './build-machine.ts';

let machine: BuildMachine;
beforeAll(async () => {
  machine = await buildMachine();
});
afterAll(async () => await machine[Symbol.asyncDispose]());

/** What a shell says in the last step of a build. */
async function said(dockerfile: string, command: string, options: Parameters<BuildMachine['build']>[1] = {}) {
  const built = await machine.build(`${dockerfile}\nRUN ${command}\n`, options);
  if (built.error) return built.error.message;
  const output = built.events.filter((event) => event.type === 'output');
  return output
    .map((event) => (event.type === 'output' ? event.content.toString() : ''))
    .join('')
    .trim();
}

const files = { 'a.txt': 'A\n', 'b.txt': 'B\n', 'sub/s.txt': 'S\n', 'sub/deep/d.txt': 'D\n', 'keep.md': 'm\n' };
const tree = '(cd /t && find . | sort | tr "\\n" " ")';

describe('COPY', () => {
  it.each([
    ['COPY a.txt /t/x', '. ./x'],
    ['COPY a.txt /t/', '. ./a.txt'],
    ['RUN mkdir -p /t/d\nCOPY a.txt /t/d', '. ./d ./d/a.txt'],
    ['COPY sub /t', '. ./deep ./deep/d.txt ./s.txt'],
    ['COPY sub /t/n', '. ./n ./n/deep ./n/deep/d.txt ./n/s.txt'],
    ['COPY *.txt /t/', '. ./a.txt ./b.txt'],
    ['COPY s*b /t/', '. ./deep ./deep/d.txt ./s.txt'],
    ['COPY sub/*/d.txt /t/', '. ./d.txt'],
    ['COPY **/*.txt /t/', '. ./a.txt ./b.txt ./d.txt ./s.txt'],
    ['COPY /a.txt ./sub/s.txt /t/', '. ./a.txt ./s.txt'],
    ['WORKDIR /t\nCOPY a.txt .', '. ./a.txt'],
    ['WORKDIR /t\nCOPY a.txt b.txt ./', '. ./a.txt ./b.txt'],
    ['COPY . /t', '. ./a.txt ./b.txt ./keep.md ./sub ./sub/deep ./sub/deep/d.txt ./sub/s.txt'],
    ['COPY --exclude=*.txt --exclude=sub/deep . /t/', '. ./keep.md ./sub ./sub/s.txt'],
    ['COPY --exclude=*.txt * /t/', '. ./deep ./deep/d.txt ./keep.md'],
    ['COPY --exclude=b.* *.txt keep.md /t/', '. ./a.txt ./keep.md'],
    [
      'COPY --exclude=sub --exclude=!sub/deep/d.txt . /t/',
      '. ./a.txt ./b.txt ./keep.md ./sub ./sub/deep ./sub/deep/d.txt',
    ],
    ['ADD --exclude=deep sub /t/', '. ./s.txt'],
    ['COPY --parents sub/deep/d.txt a.txt /t/', '. ./a.txt ./sub ./sub/deep ./sub/deep/d.txt'],
    ['COPY --parents sub/./deep/d.txt /t/', '. ./deep ./deep/d.txt'],
    ['COPY --link sub /t/', '. ./deep ./deep/d.txt ./s.txt'],
    ['COPY <<one.txt <<"two.txt" /t/\n$HOME\none.txt\n$HOME\ntwo.txt', '. ./one.txt ./two.txt'],
    ['COPY ["a.txt", "/t/with space"]', '. ./with space'],
    ['RUN mkdir /real && ln -s /real /t\nCOPY a.txt /t/', '. ./a.txt'],
    ['ARG N=a\nENV E=txt\nCOPY $' + '{N}.$E /t/', '. ./a.txt'],
  ])('%s', async (instruction, expected) => {
    expect(await said(`FROM busybox\n${instruction}`, tree, { files })).toBe(expected);
  });

  it.each([
    [
      'COPY nosuch /x',
      'COPY failed: file not found in build context or excluded by .dockerignore: stat nosuch: file does not exist',
    ],
    ['COPY ../x /x', 'COPY failed: forbidden path outside the build context: ../x ()'],
    ['COPY sub/../../x /x', 'COPY failed: forbidden path outside the build context: sub/../../x ()'],
    ['COPY no*.q /x/', 'COPY failed: no source files were specified'],
    [
      'COPY a.txt sub /x',
      'When using COPY with more than one source file, the destination must be a directory and end with a /',
    ],
    ['COPY http://127.0.0.1:1/x /x', "COPY failed: source can't be a URL for COPY"],
    ['COPY --from=5 /a /b', 'invalid from flag value 5: index out of bounds'],
    ['COPY --from=0 /a /b', 'invalid from flag value 0: refers to current build stage'],
    ['COPY --from=busybox /nosuch /b', 'COPY failed: stat nosuch: file does not exist'],
    [
      'COPY --chown=nobodyhere a.txt /b',
      "unable to convert uid/gid chown string to host mapping: can't find uid for user nobodyhere: no such user: nobodyhere",
    ],
    ['COPY --chmod=9 a.txt /b', "invalid chmod parameter: '9'. it should be octal string and between 0 and 07777"],
    ['COPY sub /etc/passwd', 'failed to copy files: cannot copy to non-directory: /etc/passwd'],
    ['EXPOSE bad', 'Invalid containerPort: bad'],
    ['STOPSIGNAL SIGNONE', 'invalid signal: SIGNONE'],
    [
      'ADD git@nowhere:x.git /b',
      'ADD failed: git@nowhere:x.git: repositories are fetched by https, http and git, not by ssh',
    ],
    [
      `ADD --checksum=sha256:${'0'.repeat(64)} a.txt /b`,
      "ADD failed: checksum can't be specified for non-HTTP(S) sources",
    ],
    [
      `ADD --checksum=sha256:${'0'.repeat(64)} http://x/a http://x/b /b/`,
      "ADD failed: checksum can't be specified for multiple sources",
    ],
    ['RUN --mount=type=ssh true', 'mounts of SSH agents are not supported; use a secret'],
    ['RUN --mount=type=secret,id=x,required true', 'secret x: not found'],
    ['WORKDIR $NONE', 'cannot normalize nothing'],
  ])('%s fails', async (instruction, message) => {
    const { error } = await machine.build(`FROM busybox\n${instruction}\n`, { files });
    expect(error?.message).toBe(message);
  });

  it('gives owners and modes', async () => {
    const dockerfile =
      'FROM busybox\nCOPY --chown=www-data:7 --chmod=640 sub /t/n\nCOPY --chmod=u=rwX,go=rX sub /u\nCOPY a.txt /v/w/x';
    const facts = "stat -c '%n %u:%g %a' /t /t/n /t/n/s.txt /t/n/deep /u/s.txt /u/deep /v/w /v/w/x";
    expect(await said(dockerfile, facts, { files })).toBe(
      [
        '/t 33:7 755',
        '/t/n 33:7 755',
        '/t/n/s.txt 33:7 640',
        '/t/n/deep 33:7 640',
        '/u/s.txt 0:0 644',
        '/u/deep 0:0 755',
        '/v/w 0:0 755',
        '/v/w/x 0:0 644',
      ].join('\n'),
    );
  });

  it('keeps owners, times and links of what comes from another image', async () => {
    const dockerfile =
      'FROM busybox AS one\nRUN mkdir /d && echo x > /d/f && chown 5:6 /d/f && touch -d @1000000000 /d/f && ln -s f /d/l && chmod 4711 /d/f\nFROM busybox\nCOPY --from=ONE /d /e';
    expect(await said(dockerfile, "stat -c '%n %u:%g %a %Y' /e/f && readlink /e/l")).toBe(
      '/e/f 5:6 4711 1000000000\nf',
    );
  });

  it('keeps the names of one file names of one file', async () => {
    const { imageId, error } = await machine.build(
      'FROM busybox AS made\nRUN mkdir /m && head -c 3000000 /dev/urandom > /m/a && ln /m/a /m/b && ln /m/a /m/z\n' +
        'FROM busybox\nCOPY --from=made /m /got/\n',
    );
    expect(error).toBeUndefined();
    const details = await machine.images.details(imageId);
    const inodes = ['a', 'b', 'z'].map((name) => statSync(join(details.folders[0]!, 'got', name)).ino);
    expect(new Set(inodes).size).toBe(1);
  });

  it('stays in the context, whatever links say', async () => {
    const context = mkdtempSync(join(machine.folder, 'hostile-'));
    symlinkSync('/etc/hostname', join(context, 'absolute'));
    symlinkSync('../../../../../../etc', join(context, 'up'));
    mkdirSync(join(context, 'etc'));
    writeFileSync(join(context, 'etc/hostname'), 'mine\n');
    execFileSync('mknod', [join(context, 'null'), 'c', '1', '3']);
    execFileSync('mkfifo', [join(context, 'pipe')]);
    expect(await said('FROM busybox\nCOPY absolute up/hostname /t/', 'cat /t/absolute /t/hostname', { context })).toBe(
      'mine\nmine',
    );
    expect(await said('FROM busybox\nCOPY . /t/', 'readlink /t/up; stat -c %F /t/null /t/pipe', { context })).toBe(
      '../../../../../../etc\ncharacter special file\nfifo',
    );
  });

  it('does not follow links of the image out of it', async () => {
    const dockerfile = 'FROM busybox\nRUN ln -s /../../../../../../../tmp/escape /out && ln -s nowhere /dangling';
    expect(
      await said(`${dockerfile}\nCOPY a.txt /out/\nCOPY sub /dangling/`, 'ls /tmp/escape /nowhere', { files }),
    ).toBe('/nowhere:\ndeep\ns.txt\n\n/tmp/escape:\na.txt');
  });

  it('is found again by its content, not by times', async () => {
    const dockerfile = 'FROM busybox\nCOPY . /t/\n';
    const first = await machine.build(dockerfile, { files });
    const again = await machine.build(dockerfile, { files });
    expect(again.imageId).toBe(first.imageId);
    const changed = await machine.build(dockerfile, { files: { ...files, 'sub/s.txt': 'T\n', 'new.txt': '' } });
    expect(changed.imageId).not.toBe(first.imageId);
    expect(changed.events).toContainEqual({
      type: 'miss',
      number: 2,
      reason: 'COPY: new.txt added, sub/s.txt changed',
    });
  });
});

describe('an ignore file', () => {
  const ignoring = { ...files, '.dockerignore': '# c\n*.txt\n**/deep\nsub\n!a.txt\n!sub/s.txt\n' };

  it('leaves files out, with exceptions', async () => {
    expect(await said('FROM busybox\nCOPY . /t/', tree, { files: ignoring })).toBe(
      '. ./.dockerignore ./a.txt ./keep.md ./sub ./sub/s.txt',
    );
    const { error } = await machine.build('FROM busybox\nCOPY b.txt /x\n', { files: ignoring });
    expect(error?.message).toContain('excluded by .dockerignore: stat b.txt: file does not exist');
  });

  it('is the Dockerfile’s own where there is one', async () => {
    const own = { ...ignoring, 'x/Other.dockerignore': '*.md\nsub\nx\n' };
    expect(await said('FROM busybox\nCOPY . /t/', tree, { files: own, dockerfileName: 'x/Other' })).toBe(
      '. ./.dockerignore ./a.txt ./b.txt',
    );
  });

  it('that the client has applied counts for itself and the Dockerfile alone', async () => {
    const sent = { 'b.txt': 'B', Dockerfile: '', '.dockerignore': '*.txt\nDockerfile\n.dockerignore\n' };
    expect(await said('FROM busybox\nCOPY . /t/', tree, { files: sent, ignoredBy: 'client' })).toBe('. ./b.txt');
    const own = { ...sent, 'a.md': '', 'Other.dockerignore': '*\n!*.md\n' };
    expect(
      await said('FROM busybox\nCOPY . /t/', tree, { files: own, ignoredBy: 'client', dockerfileName: 'Other' }),
    ).toBe('. ./a.md');
  });
});

describe('ADD', () => {
  it('unpacks archives of every kind, by what they hold', async () => {
    const context = mkdtempSync(join(machine.folder, 'archives-'));
    mkdirSync(join(context, 'in/d'), { recursive: true });
    writeFileSync(join(context, 'in/d/f'), 'f\n');
    for (const [flag, name] of [
      ['', 'one.dat'],
      ['z', 'two.tgz'],
      ['j', 'three'],
      ['J', 'four.xz'],
    ] as const) {
      execFileSync('tar', [
        `-c${flag}f`,
        join(context, name),
        '--owner=5',
        '--group=6',
        '-C',
        join(context, 'in'),
        'd',
      ]);
    }
    writeFileSync(join(context, 'plain.gz'), execFileSync('gzip', ['-c'], { input: 'no tar\n' }));
    const adds = ['one.dat', 'two.tgz', 'three', 'four.xz', 'plain.gz'].map((name, at) => `ADD ${name} /t/${at}/`);
    expect(await said(`FROM busybox\n${adds.join('\n')}`, "stat -c '%n %u:%g' /t/*/d/f; ls /t/4", { context })).toBe(
      '/t/0/d/f 5:6\n/t/1/d/f 5:6\n/t/2/d/f 5:6\n/t/3/d/f 5:6\nplain.gz',
    );
  });

  it('unpacks nothing outside of the destination', async () => {
    const context = mkdtempSync(join(machine.folder, 'hostile-'));
    writeFileSync(join(context, 'f'), 'f');
    execFileSync('tar', ['-cf', join(context, 'up.tar'), '--transform=s,^,../../,', '-P', '-C', context, 'f']);
    const { imageId, error } = await machine.build('FROM busybox\nADD up.tar /t/\n', { context });
    expect(error).toBeUndefined();
    expect(await machine.read(imageId, 't/f')).toBe('f');
    expect(await machine.read(imageId, 'f')).toBeUndefined();
  });

  it('fetches URLs and says what is wrong with them', async () => {
    const server = createServer((request, response) => {
      if (request.url === '/404') response.writeHead(404, 'Not Found').end('no such thing\n');
      else response.setHeader('Last-Modified', 'Sun, 09 Sep 2001 01:46:40 GMT').end('fetched\n');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const add = `FROM busybox\nADD ${base}/x/url.txt /t/`;
      expect(await said(add, "cat /t/url.txt; stat -c '%a %Y' /t/url.txt")).toBe('fetched\n600 1000000000');
      const again = await machine.build(`${add}\n`);
      expect(again.lines).toEqual([
        'Step 1/2 : FROM busybox',
        ' ---> ID',
        `Step 2/2 : ADD ${base}/x/url.txt /t/`,
        '',
        ' ---> Using cache',
        ' ---> ID',
      ]);
      const missing = await machine.build(`FROM busybox\nADD ${base}/404 /x\n`);
      expect(missing.error?.message).toBe(
        `ADD failed: failed to GET ${base}/404 with status 404 Not Found: no such thing`,
      );
      const wrong = await machine.build(`FROM busybox\nADD --checksum=sha256:${'0'.repeat(64)} ${base}/x /x\n`);
      expect(wrong.error?.message).toContain('digest mismatch');
      const short = await machine.build(`FROM busybox\nADD --checksum=sha256:00 ${base}/x /x\n`);
      expect(short.error?.message).toBe('ADD failed: invalid checksum digest format: sha256:00');
    } finally {
      server.close();
    }
  });
});

it.each([
  ['COPY', 'COPY a.txt /n/', 'COPY b.txt /n/'],
  ['a pattern', 'COPY *.txt /n/', 'COPY *.txt /n/'],
  ['a folder whose name is kept', 'COPY --parents a.txt /n/', 'COPY --parents sub/a.txt /n/'],
])('content that has another name is another step: %s', async (_, first, second) => {
  const content = `of ${first} and ${second}\n`;
  expect(await said(`FROM busybox\n${first}`, 'ls /n', { files: { 'a.txt': content } })).toBe('a.txt');
  const renamed = { 'b.txt': content, 'sub/a.txt': content };
  const built = await said(`FROM busybox\n${second}`, 'ls /n', { files: renamed });
  expect(built).toBe(second.includes('sub') ? 'sub' : 'b.txt');
});

it('a large file comes over whole', async () => {
  const context = mkdtempSync(join(machine.folder, 'large-'));
  const content = Buffer.alloc(9 * 1024 * 1024 + 5, 'wherry');
  writeFileSync(join(context, 'large'), content);
  const { imageId } = await machine.build('FROM scratch\nCOPY large /\n', { context });
  const { folders } = await machine.images.details(imageId);
  expect(readFileSync(join(folders[0]!, 'large')).equals(content)).toBe(true);
});
