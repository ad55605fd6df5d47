import { expect, test } from 'vitest';
import { parseUserRemap } from './user-remap.ts';

const files = {
  passwd: 'root:x:0:0::/:/bin/sh\nalice:x:1001:1002::/:/bin/sh\n',
  group: 'root:x:0:\nstaff:x:50:\n',
  subuid: 'dockremap:100000:65536\nalice:200000:1000\n1001:300000:65536\nbroken:x:y\n',
  subgid: 'dockremap:100000:65536\nalice:210000:65536\nstaff:400000:65536\n',
};
const alice = [
  { containerId: 0, hostId: 200_000, size: 1000 },
  { containerId: 1000, hostId: 300_000, size: 65_536 },
];

test.each([
  ['default', [{ containerId: 0, hostId: 100_000, size: 65_536 }], 100_000],
  ['alice', alice, 210_000],
  ['1001', alice, 210_000],
  ['alice:staff', alice, 400_000],
  ['1001:50', alice, 400_000],
])('reads %s', (text, uidMappings, hostId) => {
  expect(parseUserRemap(text, files)).toEqual({
    uidMappings,
    gidMappings: [{ containerId: 0, hostId, size: 65_536 }],
  });
});

test.each([
  ['', 'invalid userns remapping specification in ""'],
  ['a:b:c', 'invalid userns remapping specification in "a:b:c"'],
  ['nosuch', `user "nosuch" of the users' remapping is not known here`],
  ['root', 'no subuid ranges found for "root" in /etc/subuid (a line such as root:100000:65536)'],
  ['alice:root', 'no subgid ranges found for "root" in /etc/subgid (a line such as root:100000:65536)'],
])('refuses %j', (text, words) => {
  expect(() => parseUserRemap(text, files)).toThrow(words);
});
