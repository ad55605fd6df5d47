import { expect, test } from 'vitest';
import { checkLogConfig, logAttributes, logSettings } from './log-config.ts';
import { problemOfExpression, problemOfTag, renderTag } from './log-expressions.ts';

type Options = Readonly<Record<string, string>>;

test.each<[string, Options, string]>([
  ['gelf', {}, 'error looking up logging plugin gelf: plugin "gelf" not found'],
  ['json-file', { nope: '1' }, "unknown log opt 'nope' for json-file log driver"],
  ['local', { env: 'A' }, "unknown log opt 'env' for log driver local"],
  ['json-file', { mode: 'x' }, 'logger: logging mode not supported: x'],
  [
    'json-file',
    { 'max-buffer-size': '1m' },
    "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
  ],
  [
    'local',
    { mode: 'non-blocking', 'max-buffer-size': 'x' },
    "error parsing option max-buffer-size: invalid size: 'x'",
  ],
])('a container with the log driver %s and %j is not made', (Type, Config, message) => {
  expect(() => checkLogConfig({ Type, Config: { ...Config } })).toThrow(message);
});

test('what is wrong in a value is no matter of the creation', () => {
  for (const [name, value] of [
    ['max-size', 'x'],
    ['max-file', '0'],
    ['compress', 'x'],
  ] as const)
    expect(() => checkLogConfig({ Type: 'json-file', Config: { [name]: value } })).not.toThrow();
  expect(() => checkLogConfig({ Type: 'none', Config: { any: 'thing' } })).not.toThrow();
});

test.each<[string, Options, string]>([
  ['json-file', { 'max-size': '-1' }, "invalid size: '-1'"],
  ['json-file', { 'max-size': '0' }, 'max-size must be a positive number'],
  ['json-file', { 'max-file': 'x' }, 'strconv.Atoi: parsing "x": invalid syntax'],
  ['json-file', { 'max-file': '0' }, 'max-file cannot be less than 1'],
  ['json-file', { compress: 'x' }, 'strconv.ParseBool: parsing "x": invalid syntax'],
  [
    'json-file',
    { compress: 'true', 'max-size': '1m' },
    'compress cannot be true when max-file is less than 2 or max-size is not set',
  ],
  ['json-file', { 'env-regex': '(' }, 'error parsing regexp: missing closing ): `(`'],
  ['json-file', { tag: '{{' }, 'template: log-tag:1: unclosed action'],
  ['local', { 'max-size': 'x' }, "invalid value for max-size: x: invalid size: 'x'"],
  ['local', { compress: 'x' }, 'error reading compress log option: strconv.ParseBool: parsing "x": invalid syntax'],
  ['local', { 'max-file': '1' }, 'compression cannot be enabled when max file count is 1'],
])('a start with the log driver %s and %j says why not', (Type, Config, problem) => {
  expect(logSettings({ Type, Config: { ...Config } })).toEqual({ problem });
});

test('sizes are counted by thousands, as docker counts those of logs', () => {
  expect(logSettings({ Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3', compress: 'true' } })).toEqual({
    driver: 'json-file',
    rotation: { maxBytes: 10_000_000, maxFiles: 3 },
  });
  expect(logSettings({ Type: 'json-file', Config: { 'max-size': '1k' } })).toMatchObject({
    rotation: { maxBytes: 1000, maxFiles: 1 },
  });
  expect(logSettings({ Type: 'local', Config: { 'max-file': '1', compress: 'false' } })).toMatchObject({
    rotation: { maxFiles: 1 },
  });
  expect(logSettings({ Type: 'none', Config: {} })).toEqual({ driver: 'none', rotation: undefined });
});

test('attributes by names and by expressions; a wrong expression chooses nothing', () => {
  const labels = { app: 'web', area: 'north', other: 'x' };
  expect(logAttributes({ labels: 'app,gone', 'env-regex': '^E' }, labels, ['E1=a', 'F=b', 'E2=c=d'])).toEqual({
    app: 'web',
    E1: 'a',
    E2: 'c=d',
  });
  expect(logAttributes({ 'labels-regex': '^a' }, labels, [])).toEqual({ app: 'web', area: 'north' });
  expect(logAttributes({ 'labels-regex': '(' }, labels, [])).toEqual({});
});

test('expressions that are none, as Go says it', () => {
  expect(problemOfExpression('a)')).toBe('error parsing regexp: unexpected ): `a)`');
  expect(problemOfExpression('a[b')).toBe('error parsing regexp: missing closing ]: `[b`');
  expect(problemOfExpression('*')).toBe('error parsing regexp: missing argument to repetition operator: `*`');
  expect(problemOfExpression('^ok$')).toBeUndefined();
});

test('tags name fields of the container', () => {
  const facts = {
    id: 'ab'.repeat(32),
    name: 'web',
    imageId: `sha256:${'cd'.repeat(32)}`,
    imageName: 'nginx',
    command: ['sh', '-c', 'x'],
    hostname: 'host',
  };
  expect(renderTag('{{.Name}}/{{ .ID }}', facts)).toBe('web/abababababab');
  expect(renderTag('{{.ImageID}} {{.Command}} {{.ContainerName}}', facts)).toBe('cdcdcdcdcdcd sh -c x /web');
  expect(renderTag('{{upper .Name}}', facts)).toBeUndefined();
  expect(problemOfTag('a {{.Nosuch}}')).toBe(
    'template: log-tag:1:4: executing "log-tag" at <.Nosuch>: can\'t evaluate field Nosuch in type *logger.Info',
  );
  expect(problemOfTag('{{.Name}} {{.FullID}}')).toBeUndefined();
});
