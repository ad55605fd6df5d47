import { describe, expect, it } from 'vitest';
import type { Exchange } from '../http/exchange.ts';
import { bodyOfClient, inspectionForClient } from './older-clients.ts';

const client = (version: number): Exchange => ({ speaks: (minor: number) => version >= minor }) as Exchange;

describe('a container as older clients know it', () => {
  const inspection = {
    Id: '0123456789abcdef',
    NetworkSettings: { Networks: { bridge: { Aliases: null }, back: { Aliases: ['db'] }, front: { Aliases: null } } },
  };

  // docker-compose 1.29 connects a container anew where the alias is not there.
  it('has its short id as an alias in networks of users before 1.45', () => {
    expect(inspectionForClient(client(44), inspection)).toEqual({
      Id: '0123456789abcdef',
      NetworkSettings: {
        Networks: {
          bridge: { Aliases: null },
          back: { Aliases: ['db', '0123456789ab'] },
          front: { Aliases: ['0123456789ab'] },
        },
      },
    });
    expect(inspectionForClient(client(45), inspection)).toEqual(inspection);
  });

  it('makes the mounts below a read-only one writable before 1.44, as they were then', () => {
    const bind = { Type: 'bind', Source: '/a', Target: '/b', ReadOnly: true, BindOptions: {} };
    const optionsFor = (version: number, mount: object): unknown =>
      (
        bodyOfClient(client(version), { HostConfig: { Mounts: [mount] } }) as {
          HostConfig: { Mounts: [{ BindOptions: unknown }] };
        }
      ).HostConfig.Mounts[0].BindOptions;
    expect(optionsFor(43, bind)).toEqual({ ReadOnlyNonRecursive: true });
    expect(optionsFor(44, bind)).toEqual({});
    expect(optionsFor(43, { ...bind, ReadOnly: false })).toEqual({});
  });
});
