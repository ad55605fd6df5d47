import { isIPv4, isIPv6 } from 'node:net';

/** Words a regular-expression rule as upstream does, with examples. */
function regexText(message: string, pattern: string, ...examples: readonly string[]): string {
  const shown = examples.map((e) => `'${e}', `).join(' or ');
  return `${message} (e.g. ${shown}regex used for validation is '${pattern}')`;
}

const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const subdomain = '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*';
const label1035 = '[a-z]([-a-z0-9]*[a-z0-9])?';
const qualified = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const labelPattern = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const subdomainPattern = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const label1035Pattern = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const qualifiedPattern = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const configKeyPattern = /^[-._a-zA-Z0-9]+$/;
const cIdentifierPattern = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** `must be no more than N bytes` */
export function maxLengthText(max: number): string {
  return `must be no more than ${max} bytes`;
}

/** `must be between A and B, inclusive` */
export function rangeText(low: number, high: number): string {
  return `must be between ${low} and ${high}, inclusive`;
}

/** Problems with a DNS label (RFC 1123), at most 63 bytes. */
export function dnsLabelProblems(value = ''): string[] {
  const problems: string[] = [];
  if (Buffer.byteLength(value) > 63) problems.push(maxLengthText(63));
  if (!labelPattern.test(value)) {
    problems.push(
      subdomainPattern.test(value)
        ? 'must not contain dots'
        : regexText(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
            label,
            'my-name',
            '123-abc',
          ),
    );
  }
  return problems;
}

/** Problems with a DNS subdomain (RFC 1123), at most 253 bytes. */
export function dnsSubdomainProblems(value = ''): string[] {
  const problems: string[] = [];
  if (Buffer.byteLength(value) > 253) problems.push(maxLengthText(253));
  if (!subdomainPattern.test(value)) {
    problems.push(
      regexText(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        subdomain,
        'example.com',
      ),
    );
  }
  return problems;
}

/** Problems with a DNS label that starts with a letter (RFC 1035). */
export function dns1035LabelProblems(value = ''): string[] {
  const problems: string[] = [];
  if (Buffer.byteLength(value) > 63) problems.push(maxLengthText(63));
  if (!label1035Pattern.test(value)) {
    problems.push(
      regexText(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
        label1035,
        'my-name',
        'abc-123',
      ),
    );
  }
  return problems;
}

const qualifiedText =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/** Problems with a key of a label, annotation or finalizer: `[prefix/]name`. */
export function qualifiedNameProblems(value = ''): string[] {
  const parts = value.split('/');
  if (parts.length > 2) {
    return [
      `a qualified name ${regexText(qualifiedText, qualified, 'MyName', 'my.name', '123-abc')} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const problems: string[] = [];
  const name = parts.at(-1)!;
  if (parts.length === 2) {
    const prefix = parts[0]!;
    if (prefix === '') problems.push('prefix part must be non-empty');
    else problems.push(...dnsSubdomainProblems(prefix).map((p) => `prefix part ${p}`));
  }
  if (name === '') problems.push('name part must be non-empty');
  else if (name.length > 63) problems.push(`name part ${maxLengthText(63)}`);
  if (!qualifiedPattern.test(name)) {
    problems.push(`name part ${regexText(qualifiedText, qualified, 'MyName', 'my.name', '123-abc')}`);
  }
  return problems;
}

/** Problems with a label's value. */
export function labelValueProblems(value = ''): string[] {
  const problems: string[] = [];
  if (value.length > 63) problems.push(maxLengthText(63));
  if (value !== '' && !qualifiedPattern.test(value)) {
    problems.push(
      regexText(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        `(${qualified})?`,
        'MyValue',
        'my_value',
        '12345',
      ),
    );
  }
  return problems;
}

function parentFolderProblems(value: string): string[] {
  if (value === '.') return ["must not be '.'"];
  if (value === '..') return ["must not be '..'"];
  return value.startsWith('..') ? ["must not start with '..'"] : [];
}

/** Problems with a key of a ConfigMap's or Secret's data. */
export function configKeyProblems(value = ''): string[] {
  const problems: string[] = [];
  if (value.length > 253) problems.push(maxLengthText(253));
  if (!configKeyPattern.test(value)) {
    problems.push(
      regexText(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        '[-._a-zA-Z0-9]+',
        'key.name',
        'KEY_NAME',
        'key-name',
      ),
    );
  }
  return [...problems, ...parentFolderProblems(value)];
}

/** Problems with the name of an environment variable: printable ASCII without `=` (KEP-4369). */
export function environmentNameProblems(value = ''): string[] {
  if (value === '') return ['environment variable name must be non-empty'];
  return /^[ -<>-~]+$/.test(value)
    ? []
    : ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

/** Problems with a C identifier. */
export function cIdentifierProblems(value = ''): string[] {
  return cIdentifierPattern.test(value)
    ? []
    : [
        regexText(
          "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
          '[A-Za-z_][A-Za-z0-9_]*',
          'my_name',
          'MY_NAME',
          'MyName',
        ),
      ];
}

/** Problems with the name of a port (RFC 6335 service name). */
export function portNameProblems(value = ''): string[] {
  const problems: string[] = [];
  if (value.length > 15) problems.push(maxLengthText(15));
  if (!/^[-a-z0-9]+$/.test(value)) {
    problems.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  }
  if (!/[a-z]/.test(value)) problems.push('must contain at least one letter (a-z)');
  if (value.includes('--')) problems.push('must not contain consecutive hyphens');
  if (value.startsWith('-') || value.endsWith('-')) problems.push('must not begin or end with a hyphen');
  return problems;
}

/** Problems with a port number. */
export function portNumberProblems(value = 0): string[] {
  return Number.isInteger(value) && value >= 1 && value <= 65535 ? [] : [rangeText(1, 65535)];
}

/** Problems with an IP address of either family. */
export function ipAddressProblems(value = ''): string[] {
  return isIPv4(value) || isIPv6(value) ? [] : ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'];
}

/** Problems with a CIDR block. */
export function cidrProblems(value = ''): string[] {
  const [address = '', bits = '', ...rest] = value.split('/');
  const most = isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1;
  const good = rest.length === 0 && /^(0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= most;
  return good ? [] : ['must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'];
}

/** Problems with a name that stands as one segment of a URL's path (RBAC objects). */
export function pathSegmentProblems(value = '', prefix = false): string[] {
  if (!prefix && (value === '.' || value === '..')) return [`may not be '${value}'`];
  return ['/', '%'].filter((c) => value.includes(c)).map((c) => `may not contain '${c}'`);
}

/**
 * A `generateName` ends where the random suffix begins, so a trailing dash is no mistake there.
 */
export function maskTrailingDash(name: string): string {
  return name.length > 1 && name.endsWith('-') ? `${name.slice(0, -2)}a` : name;
}

/** `metadata.name` as a DNS label. */
export function validateLabelName(name: string, prefix: boolean): string[] {
  return dnsLabelProblems(prefix ? maskTrailingDash(name) : name);
}

/** `metadata.name` as a DNS subdomain: the default of most kinds. */
export function validateSubdomainName(name: string, prefix: boolean): string[] {
  return dnsSubdomainProblems(prefix ? maskTrailingDash(name) : name);
}

/** `metadata.name` of Services. */
export function validateServiceName(name: string, prefix: boolean): string[] {
  return dns1035LabelProblems(prefix ? maskTrailingDash(name) : name);
}
