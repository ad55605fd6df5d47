import { describe, expect, it } from 'vitest';
import { hijackedRequest } from '../streams/hijacked-paths.ts';
import { Router } from './router.ts';

const handle = (): void => undefined;
const router = new Router([
  { method: 'GET', path: '/images/json', handle },
  { method: 'GET', path: '/images/{name:.*}/json', handle },
  { method: 'GET', path: '/exec/{id}/json', handle },
]);

describe('routes', () => {
  it.each([
    ['/images/json', '/images/json', {}],
    ['/v1.45/images/json', '/images/json', {}],
    ['/images/quay.io/a/b:1/json', '/images/{name:.*}/json', { name: 'quay.io/a/b:1' }],
    ['/images/a%2Fb/json', '/images/{name:.*}/json', { name: 'a/b' }],
    ['/exec/x/json', '/exec/{id}/json', { id: 'x' }],
  ])('find %s', (path, route, parameters) => {
    expect(router.find('GET', path)).toMatchObject({ route: { path: route }, parameters });
  });

  it.each(['/', '/images', '/exec/a/b/json', '/v1.45', '/images/json/', '/vx/images/json', '/images/%ff/json'])(
    'do not find %s',
    (path) => {
      expect(router.find('GET', path)).toBeUndefined();
    },
  );

  it('know which connections leave HTTP', () => {
    const leaving = ['/containers/a/attach?x=1', '/v1.45/exec/e/start', '/session', '/v1.45/grpc'];
    for (const path of leaving) expect(hijackedRequest('POST', path)).toBe(true);
    expect(hijackedRequest('GET', '/containers/a/attach/ws')).toBe(true);
    for (const path of ['/containers/a/start', '/containers/a/attach/ws', '/containers/a/wait?b=/attach']) {
      expect(hijackedRequest('POST', path)).toBe(false);
    }
  });
});
