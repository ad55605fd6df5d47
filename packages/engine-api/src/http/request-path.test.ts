import { expect, test } from 'vitest';
import { cleanPath, pathOf } from './request-path.ts';

test('takes paths and whole URLs apart', () => {
  expect(pathOf('/a/b?c=d?e')).toEqual({ path: '/a/b', query: 'c=d?e' });
  expect(pathOf('http://host/v1.45/_ping?x')).toEqual({ path: '/v1.45/_ping', query: 'x' });
  expect(pathOf('http://host')).toEqual({ path: '/', query: '' });
});

test('cleans paths as Go does', () => {
  for (const kept of ['/', '/version', '/containers/a%20b/json', '/images/quay.io/a/b:1/json', '/containers/json/'])
    expect(cleanPath(kept)).toBe(kept);
  expect(cleanPath('//version')).toBe('/version');
  expect(cleanPath('/v1.45//containers/./x/../json')).toBe('/v1.45/containers/json');
  expect(cleanPath('/containers/%2fname/json')).toBe('/containers/name/json');
  expect(cleanPath('/a b//c')).toBe('/a%20b/c');
  expect(cleanPath('/containers/%zz/json')).toBeUndefined();
});
