import { silentLogger } from '@wherry/base';
import { listenInNetns, writeNetworkSysctl } from '@wherry/linux';
import { createTestMachine } from '@wherry/testkit';
import { describe, expect, it } from 'vitest';
import { createDnsServer, type DnsServerOptions } from './dns-server.ts';

describe('a DNS server', () => {
  it('takes a port of which UDP and TCP are free when it may choose', async () => {
    await using machine = await createTestMachine();
    // Two ports to choose from, of which somebody has the TCP half of one.
    writeNetworkSysctl('net.ipv4.ip_local_port_range', '40000 40001', machine.netns);
    const taken = await listenInNetns(machine.netns, '127.0.0.1', 40000, (socket) => socket.destroy());
    const options: DnsServerOptions = {
      sources: [],
      addresses: ['127.0.0.1'],
      netns: machine.netns,
      upstream: { servers: [] },
      log: silentLogger,
    };
    try {
      for (let server = 0; server < 8; server++) {
        await using chosen = await createDnsServer({ ...options, port: 0 });
        expect(chosen.port).toBe(40001);
      }
      await expect(createDnsServer({ ...options, port: 40000 })).rejects.toMatchObject({ code: 'conflict' });
      await using other = await createDnsServer({ ...options, port: 40001 });
      expect(other.port).toBe(40001);
    } finally {
      await new Promise((resolve) => taken.close(resolve));
    }
  });
});
