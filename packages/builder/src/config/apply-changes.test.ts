import { describe, expect, it } from 'vitest';
import { applyChanges } from './apply-changes.ts';
import { formatHealthCheck, quoteGoList } from './go-format.ts';
import { exposedPorts } from './ports.ts';

describe('changes of docker commit', () => {
  it('are applied in order', () => {
    const changes = [
      'ENV A=1 B="x y"',
      'ENV A=2',
      'LABEL l=$A',
      'WORKDIR /a',
      'WORKDIR ../b/./c',
      'EXPOSE 80-81/udp $A',
      'VOLUME /v',
      'USER me',
      'CMD echo hi',
      'ENTRYPOINT ["/e"]',
    ];
    expect(applyChanges({ Cmd: ['old'] }, changes)).toEqual({
      Env: ['A=2', 'B=x y'],
      Labels: { l: '2' },
      WorkingDir: '/b/c',
      ExposedPorts: { '80/udp': {}, '81/udp': {}, '2/tcp': {} },
      Volumes: { '/v': {} },
      User: 'me',
      Cmd: ['/bin/sh', '-c', 'echo hi'],
      Entrypoint: ['/e'],
    });
  });

  it('are one file: lines of one, comments and keywords in any case', () => {
    const changes = ['env A=3 C="x y"\nENV D e \\\n f', '# comment', '', 'onbuild RUN x', 'CMD'];
    expect(applyChanges({ Env: ['A=1', 'B=2'], OnBuild: ['RUN y'] }, changes)).toEqual({
      Env: ['A=3', 'B=2', 'C=x y', 'D=e  f'],
      OnBuild: ['RUN y', 'RUN x'],
      Cmd: ['/bin/sh', '-c'],
    });
    expect(applyChanges({ User: 'me' }, [])).toEqual({ User: 'me' });
  });

  it('take the command away with a new entrypoint alone', () => {
    expect(applyChanges({ Cmd: ['old'] }, ['ENTRYPOINT x']).Cmd).toBeNull();
  });

  it.each([
    ['RUN x', 'RUN is not a valid change command'],
    ['from x', 'from is not a valid change command'],
    ['BOGUS x', 'BOGUS is not a valid change command'],
    ['', 'file with no instructions'],
    ['# comment', 'file with no instructions'],
    ['ENV', 'ENV requires at least one argument'],
    ['WORKDIR', 'WORKDIR requires exactly one argument'],
    ['USER', 'USER requires exactly one argument'],
    ['VOLUME', 'VOLUME requires at least one argument'],
    ['LABEL a', 'LABEL must have two arguments'],
    ['STOPSIGNAL x', 'invalid signal: x'],
    ['HEALTHCHECK x', 'Unknown type "X" in HEALTHCHECK (try CMD)'],
    ['HEALTHCHECK --interval=x CMD y', 'time: invalid duration "x"'],
    ['ONBUILD FROM x', "FROM isn't allowed as an ONBUILD trigger"],
    ['ENV x', 'ENV must have two arguments'],
    ['EXPOSE 70000', 'Invalid containerPort: 70000'],
    ['EXPOSE 80/xyz', 'Invalid proto: xyz'],
    ['EXPOSE bad/xyz', 'Invalid containerPort: bad'],
    ['EXPOSE 9-8-9', 'Invalid containerPort: 9-8-9'],
    ['EXPOSE 9-8', 'Invalid containerPort: 9-8'],
  ])('%s is refused', (change, message) => {
    expect(() => applyChanges({}, [change])).toThrow(expect.objectContaining({ code: 'invalid', message }));
  });
});

describe('what Go prints', () => {
  it('of lists', () => {
    expect(quoteGoList(['a b', 'q"\\', '\n\x01', 'é'])).toBe('["a b" "q\\"\\\\" "\\n\\x01" "é"]');
  });

  it('of health checks', () => {
    expect(formatHealthCheck({ Test: ['CMD', 'x'], Interval: 90e9, Timeout: 500e6, Retries: 65 })).toBe(
      `&{["CMD" "x"] "1m30s" "500ms" "0s" "0s" 'A'}`,
    );
    expect(formatHealthCheck({ Test: ['CMD', 'é'], Retries: 233 })).toBe(`&{["CMD" "é"] "0s" "0s" "0s" "0s" 'é'}`);
    expect(formatHealthCheck({ Test: ['NONE'] })).toBe(`&{["NONE"] "0s" "0s" "0s" "0s" '\\x00'}`);
  });

  it('ports of a range are many', () => {
    expect(() => exposedPorts(['a:80'])).toThrow('Invalid hostPort: a');
    expect(() => exposedPorts(['x:80:80'])).toThrow('Invalid ip address: x');
    expect(exposedPorts(['8000-8002', '127.0.0.1:80:90/TCP'])).toEqual(['8000/tcp', '8001/tcp', '8002/tcp', '90/tcp']);
  });
});
