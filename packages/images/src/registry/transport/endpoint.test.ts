import { expect, it } from 'vitest';
import { endpointOf } from './endpoint.ts';

it('refuses ports that are none in the words of Go', async () => {
  await expect(endpointOf('127.0.0.1:99999', {})).rejects.toThrow(
    'Get "http://127.0.0.1:99999/v2/": dial tcp: address 99999: invalid port',
  );
  await expect(endpointOf('registry.example:65536', {})).rejects.toThrow('Get "https://registry.example:65536/v2/"');
  const { bases } = await endpointOf('registry.example:65535', {});
  expect(bases.map(({ href }) => href)).toEqual(['https://registry.example:65535/v2/']);
});
