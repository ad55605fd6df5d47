import { describe, expect, it } from 'vitest';
import { parseDockerfile } from './parse.ts';

const parse = (text: string) => parseDockerfile(text, 'Dockerfile');
const only = (line: string) => parse(`FROM x\n${line}\n`).stages[0]!.instructions[0]!;

describe('a Dockerfile', () => {
  it('joins lines, leaves out comments, keeps the code as one line', () => {
    const { stages, warnings } = parse('  # c\nfrom a AS B\nRUN one && \\\n  # inside\n\n   two\\\n\nrun x\n');
    expect(stages[0]!.from).toMatchObject({ base: 'a', alias: 'b', line: 2, code: 'from a AS B' });
    expect(stages[0]!.instructions.map(({ code }) => code)).toEqual(['RUN one &&    tworun x']);
    expect(warnings).toEqual([
      'Empty continuation line found in: RUN one &&    tworun x',
      'Empty continuation lines will become errors in a future release.',
    ]);
    expect(parse('FROM a\nRUN b \\\n').warnings).toEqual([]);
  });

  it('keeps the white space behind what ONBUILD triggers', () => {
    expect(only('ONBUILD   RUN  x  \t ')).toMatchObject({ trigger: 'RUN  x  \t ', code: 'ONBUILD   RUN  x' });
  });

  it('takes no notice of what looks like flags of ARG and STOPSIGNAL', () => {
    expect(only('ARG --x a=b')).toMatchObject({ pairs: [{ key: 'a', value: 'b' }] });
    expect(only('STOPSIGNAL --x 9')).toMatchObject({ text: '9' });
  });

  it('reads the first JSON array of a command and no further', () => {
    const { stages } = parse('FROM a\nCMD ["x]", "\\"]"] && y\nRUN ["a"\nRUN [a] b\nVOLUME ["/v"] /w\n');
    expect(stages[0]!.instructions).toMatchObject([
      { command: { form: 'exec', words: ['x]', '"]'] } },
      { command: { form: 'shell', words: ['["a"'] } },
      { command: { form: 'shell', words: ['[a] b'] } },
      { paths: ['/v'] },
    ]);
  });

  it('takes CRLF, a byte order mark and no newline at the end', () => {
    const { stages } = parse('\ufeffFROM a\r\nRUN b \\\r\n c\r\nCMD d');
    expect(stages[0]!.instructions.map(({ code }) => code)).toEqual(['RUN b  c', 'CMD d']);
  });

  it('reads directives at the top only', () => {
    const { escapeToken, directives, stages } = parse(
      '# syntax=docker/dockerfile:1\n# Escape = `\nFROM a\nRUN b `\n c\\\n',
    );
    expect(escapeToken).toBe('`');
    expect(directives.get('syntax')).toBe('docker/dockerfile:1');
    expect(stages[0]!.instructions[0]!.code).toBe('RUN b  c\\');
    expect(parse('# a comment\n# escape=`\nFROM a\n').escapeToken).toBe('\\');
  });

  it('keeps global arguments apart', () => {
    const { globals, stages } = parse('ARG A=1 B\nFROM x\nARG A\n');
    expect(globals.map(({ pairs }) => pairs)).toEqual([
      [
        { key: 'A', value: '1' },
        { key: 'B', value: undefined },
      ],
    ]);
    expect(stages[0]!.instructions).toHaveLength(1);
  });

  it.each([
    [
      'ENV a=b c="d e" f=\'g\'',
      [
        { key: 'a', value: 'b' },
        { key: 'c', value: '"d e"' },
        { key: 'f', value: "'g'" },
      ],
    ],
    ['ENV a b c', [{ key: 'a', value: 'b c' }]],
    ['ENV a=b\\ c', [{ key: 'a', value: 'b\\ c' }]],
    ['LABEL "a b"="c"', [{ key: '"a b"', value: '"c"' }]],
  ])('%s has pairs', (line, pairs) => {
    expect(only(line)).toMatchObject({ pairs });
  });

  it.each([
    ['CMD ["a", "b c"]', { form: 'exec', words: ['a', 'b c'] }],
    ['CMD a "b"', { form: 'shell', words: ['a "b"'] }],
    ['CMD [ "$x" = y ] && z', { form: 'shell', words: ['[ "$x" = y ] && z'] }],
    ['ENTRYPOINT []', { form: 'exec', words: [] }],
  ])('%s is a command', (line, command) => {
    expect(only(line)).toMatchObject({ command });
  });

  it('reads here-documents of commands and of files', () => {
    const { stages } = parse(
      'FROM x\nRUN <<EOT\necho $A\nEOT\nRUN cat <<-"E" > /x && cat <<F\n\ttabs\n\tE\nplain\nF\nCOPY <<a.txt <<"b.txt" /d/\n1\na.txt\n2\nb.txt\nRUN echo "<<X" $((1<<2))\n',
    );
    const [bare, two, copy, none] = stages[0]!.instructions;
    expect(bare).toMatchObject({ command: { heredocs: [{ name: 'EOT', content: 'echo $A\n', expands: true }] } });
    expect(two).toMatchObject({
      command: {
        heredocs: [
          { name: 'E', content: 'tabs\n', expands: false, stripsTabs: true },
          { name: 'F', content: 'plain\n', expands: true },
        ],
      },
    });
    expect(copy).toMatchObject({
      sources: [],
      destination: '/d/',
      files: [{ content: '1\n' }, { content: '2\n', expands: false }],
    });
    expect(none).toMatchObject({ name: 'RUN' });
  });

  it('reads flags', () => {
    expect(only('COPY --from=0 --chown="a b" --link --exclude=*.md --exclude=x a b /c')).toMatchObject({
      from: '0',
      owner: 'a b',
      link: true,
      exclude: ['*.md', 'x'],
      sources: ['a', 'b'],
      destination: '/c',
    });
    const run = only(
      'RUN --mount=type=cache,target=/c --mount=type=bind,\\"source=a,b\\",target=/d,rw --network=none make --x',
    );
    expect(run).toMatchObject({ network: 'none', command: { words: ['make --x'] } });
    expect(run.name === 'RUN' && run.mounts.map((mount) => [...mount])).toEqual([
      [
        ['type', 'cache'],
        ['target', '/c'],
      ],
      [
        ['type', 'bind'],
        ['source', 'a,b'],
        ['target', '/d'],
        ['rw', undefined],
      ],
    ]);
  });

  it('reads health checks', () => {
    expect(only('HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD ["a"]')).toMatchObject({
      check: { Test: ['CMD', 'a'], Interval: 90e9, Timeout: 500e6, Retries: 3 },
    });
    expect(only('HEALTHCHECK none')).toMatchObject({ check: { Test: ['NONE'] } });
    expect(only('HEALTHCHECK --interval=1s NONE')).toMatchObject({ check: { Test: ['NONE'] } });
  });

  it.each([
    ['FROM x\nBOGUS y', 'dockerfile parse error on line 2: unknown instruction: BOGUS'],
    ['FROM x\nRUNN y', 'dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)'],
    ['FROM x\nenb y', 'dockerfile parse error on line 2: unknown instruction: enb (did you mean env?)'],
    ['RUN x', 'no build stage in current context'],
    ['# only', 'failed to parse Dockerfile: file with no instructions'],
    ['', 'the Dockerfile (Dockerfile) cannot be empty'],
    ['FROM x\nENV x', 'failed to parse Dockerfile: ENV must have two arguments'],
    [
      'FROM x\nLABEL a=b c',
      'failed to parse Dockerfile: Syntax error - can\'t find = in "c". Must be of the form: name=value',
    ],
    ['FROM x\nENV', 'dockerfile parse error on line 2: ENV requires at least one argument'],
    ['FROM x\nENV =b', 'dockerfile parse error on line 2: ENV names can not be blank'],
    ['FROM', 'dockerfile parse error on line 1: FROM requires either one or three arguments'],
    ['FROM x AS', 'dockerfile parse error on line 1: FROM requires either one or three arguments'],
    [
      'FROM x AS 1a',
      'dockerfile parse error on line 1: invalid name for build stage: "1a", name can\'t start with a number or contain symbols',
    ],
    [
      'FROM x\nCOPY a',
      'dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. Destination could not be determined',
    ],
    ['FROM x\nHEALTHCHECK --bogus CMD x', 'dockerfile parse error on line 2: unknown flag: bogus'],
    ['FROM x\nCOPY --chwon=1 a b', 'dockerfile parse error on line 2: unknown flag: chwon (did you mean chown?)'],
    ['FROM x\nCOPY --chown a b', 'dockerfile parse error on line 2: missing a value on flag: chown'],
    ['FROM x\nCOPY --from=a --from=b c d', 'dockerfile parse error on line 2: duplicate flag specified: from'],
    ['FROM x\nCOPY --link=1 c d', 'dockerfile parse error on line 2: expecting boolean value for flag link, not: 1'],
    ['FROM x\nUSER', 'dockerfile parse error on line 2: USER requires exactly one argument'],
    ['FROM x\nUSER --x', 'dockerfile parse error on line 2: USER requires exactly one argument'],
    ['FROM x\nUSER --x y', 'dockerfile parse error on line 2: unknown flag: x'],
    ['FROM x\nWORKDIR --x', 'dockerfile parse error on line 2: WORKDIR requires exactly one argument'],
    ['FROM x\nSTOPSIGNAL --x', 'dockerfile parse error on line 2: STOPSIGNAL requires exactly one argument'],
    ['FROM x\nSHELL --x', 'dockerfile parse error on line 2: unknown flag: x'],
    ['FROM x\n\\\n', 'dockerfile parse error on line 2: unknown instruction: '],
    ['FROM x\nEXPOSE', 'dockerfile parse error on line 2: EXPOSE requires at least one argument'],
    ['FROM x\nSHELL sh', 'dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form'],
    ['FROM x\nHEALTHCHECK FOO', 'dockerfile parse error on line 2: Unknown type "FOO" in HEALTHCHECK (try CMD)'],
    ['FROM x\nHEALTHCHECK CMD', 'dockerfile parse error on line 2: Missing command after HEALTHCHECK CMD'],
    ['FROM x\nHEALTHCHECK --retries=-1 CMD x', 'dockerfile parse error on line 2: --retries cannot be negative (-1)'],
    [
      'FROM x\nHEALTHCHECK --interval=1us CMD x',
      'dockerfile parse error on line 2: Interval "interval" cannot be less than 1ms',
    ],
    ['FROM x\nHEALTHCHECK --interval=1 CMD x', 'dockerfile parse error on line 2: time: missing unit in duration "1"'],
    ['FROM x\nONBUILD FROM y', "dockerfile parse error on line 2: FROM isn't allowed as an ONBUILD trigger"],
    [
      'FROM x\nONBUILD ONBUILD y',
      "dockerfile parse error on line 2: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
    ],
    ['FROM x\nRUN <<E\nnever', 'failed to parse Dockerfile: unterminated heredoc'],
    [
      'FROM x\nCMD ["a", 1]',
      'failed to parse Dockerfile: when using JSON array syntax, arrays must be comprised of strings only',
    ],
    ['# escape=x\nFROM a', "failed to parse Dockerfile: invalid escape token 'x' does not match ` or \\"],
    ['FROM x\nVOLUME [""]', 'dockerfile parse error on line 2: VOLUME specified can not be an empty string'],
  ])('%j is refused', (text, message) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'invalid', message }));
  });
});
