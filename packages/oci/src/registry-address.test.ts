import { describe, expect, it } from 'vitest';
import { parseInsecureRegistry, parseRegistryMirror } from './registry-address.ts';

describe('the URL of a mirror', () => {
  it.each([
    ['http://mirror.example', 'http://mirror.example/'],
    ['https://mirror.example:5000/', 'https://mirror.example:5000/'],
    ['https://mirror.example/team', 'https://mirror.example/team/'],
    ['http://[::1]:5000', 'http://[::1]:5000/'],
  ])('%s is kept as %s', (text, kept) => {
    expect(parseRegistryMirror(text)).toBe(kept);
  });

  it.each([
    ['mirror.example', 'invalid mirror: unsupported scheme "" in "mirror.example"'],
    ['mirror.example:5000', 'invalid mirror: unsupported scheme "mirror.example" in "mirror.example:5000"'],
    ['ftp://mirror.example', 'invalid mirror: unsupported scheme "ftp" in "ftp://mirror.example"'],
    ['https://', 'invalid mirror: "https://" is not a valid URI'],
    ['https://a/?q=x', 'invalid mirror: query or fragment at end of the URI "https://a/?q=x"'],
    ['https://a/#x', 'invalid mirror: query or fragment at end of the URI "https://a/#x"'],
    ['https://bob:secret@a/', 'invalid mirror: username/password not allowed in URI "https://bob:xxxxx@a/"'],
  ])('%s is refused', (text, words) => {
    expect(() => parseRegistryMirror(text)).toThrow(expect.objectContaining({ message: words }));
  });
});

describe('an insecure registry', () => {
  it.each([
    ['registry.lan', 'registry.lan'],
    ['registry.lan:5000', 'registry.lan:5000'],
    ['127.0.0.1:8080', '127.0.0.1:8080'],
    ['2001:db8::1', '2001:db8::1'],
    ['[2001:db8::1]:80', '[2001:db8::1]:80'],
    ['HTTP://registry.lan', 'registry.lan'],
    ['https://registry.lan:5000', 'registry.lan:5000'],
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['fd00::/8', 'fd00::/8'],
  ])('%s is kept as %s', (text, kept) => {
    expect(parseInsecureRegistry(text)).toBe(kept);
  });

  it.each([
    ['svn://registry.lan', "insecure registry svn://registry.lan should not contain '://'"],
    ['-registry', 'invalid index name (-registry). Cannot begin or end with a hyphen'],
    ['registry-.lan', 'insecure registry registry-.lan is not valid: invalid host "registry-.lan"'],
    ['registry.lan:500000', 'insecure registry registry.lan:500000 is not valid: invalid port "500000"'],
    ['[fe80::]/64', 'insecure registry [fe80::]/64 is not valid: invalid host "[fe80::]/64"'],
    [
      '1200::ab:13:8080:1:2:3:4:5',
      'insecure registry 1200::ab:13:8080:1:2:3:4:5 is not valid: invalid host "1200::ab:13:8080:1:2:3:4:5"',
    ],
    ['10.0.0.0/33', 'insecure registry 10.0.0.0/33 is not valid: invalid host "10.0.0.0/33"'],
    ['a b', 'insecure registry a b is not valid: invalid host "a b"'],
  ])('%s is refused', (text, words) => {
    expect(() => parseInsecureRegistry(text)).toThrow(expect.objectContaining({ message: words }));
  });
});
