import {
  decodeGo,
  type GoStruct,
  goBool,
  goInteger,
  goString,
  goStringMap,
  goStrings,
  goTime,
  parseGoJson,
  WherryError,
} from '@wherry/base';
import { type ImageConfig, isDigest } from '@wherry/oci';

/** As many as overlayfs stacks (`OVL_MAX_STACK`). */
export const mostLayers = 500;

const command = { kind: 'list', type: 'strslice.StrSlice', of: goString, text: true } as const;
const set = (type: string) => ({ kind: 'map', type, of: { kind: 'struct', type: 'struct {}', fields: {} } }) as const;
const duration = goInteger('time.Duration');

const healthType: GoStruct = {
  kind: 'struct',
  type: 'container.HealthConfig',
  fields: {
    Test: goStrings,
    Interval: duration,
    Timeout: duration,
    StartPeriod: duration,
    StartInterval: duration,
    Retries: goInteger('int'),
  },
};

const settingsType: GoStruct = {
  kind: 'struct',
  type: 'container.Config',
  fields: {
    Hostname: goString,
    Domainname: goString,
    User: goString,
    AttachStdin: goBool,
    AttachStdout: goBool,
    AttachStderr: goBool,
    ExposedPorts: set('nat.PortSet'),
    Tty: goBool,
    OpenStdin: goBool,
    StdinOnce: goBool,
    Env: goStrings,
    Cmd: command,
    Healthcheck: healthType,
    ArgsEscaped: goBool,
    Image: goString,
    Volumes: set('map[string]struct {}'),
    WorkingDir: goString,
    Entrypoint: command,
    NetworkDisabled: goBool,
    MacAddress: goString,
    OnBuild: goStrings,
    Labels: goStringMap,
    StopSignal: goString,
    StopTimeout: goInteger('int'),
    Shell: command,
  },
};

const historyType: GoStruct = {
  kind: 'struct',
  type: 'image.History',
  fields: { created: goTime, author: goString, created_by: goString, comment: goString, empty_layer: goBool },
};

const v1Texts = [
  'id',
  'parent',
  'comment',
  'container',
  'docker_version',
  'author',
  'architecture',
  'variant',
  'os',
] as const;

/** dockerd's `image.Image`, whose words its users know. */
const imageType: GoStruct = {
  kind: 'struct',
  type: 'image.Image',
  embedded: { name: 'V1Image', fields: [...v1Texts, 'created', 'container_config', 'config'] },
  fields: {
    ...Object.fromEntries(v1Texts.map((name) => [name, goString])),
    created: goTime,
    container_config: settingsType,
    config: settingsType,
    rootfs: {
      kind: 'struct',
      type: 'image.RootFS',
      fields: { type: goString, diff_ids: { kind: 'list', type: '[]layer.DiffID', of: goString } },
    },
    history: { kind: 'list', type: '[]v1.History', of: historyType },
    'os.version': goString,
    'os.features': goStrings,
  },
};

/** An image's config as it is stored, every member of the type that it has in dockerd. Throws `corrupt` in its words. */
export function parseRawConfig(content: Buffer): Readonly<Record<string, unknown>> {
  const value = parseGoJson(content.toString('utf8'), 'document');
  decodeGo(value, imageType);
  return Object.fromEntries(
    Object.entries((value ?? {}) as object).map(([name, member]) => [
      name,
      name === 'config' || name === 'container_config' ? withLists(member) : member,
    ]),
  );
}

/** An image's config. Throws `corrupt`. */
export function parseConfig(content: Buffer): ImageConfig {
  return configOf(parseRawConfig(content));
}

/** What is known of a config as it is stored. Throws `corrupt`. */
export function configOf(value: Readonly<Record<string, unknown>>): ImageConfig {
  const ids = (value.rootfs as { diff_ids?: readonly string[] | null } | null | undefined)?.diff_ids ?? [];
  if (ids.length > mostLayers) throw new WherryError('corrupt', `the image config has more than ${mostLayers} layers`);
  const odd = ids.find((id) => !isDigest(id));
  if (odd !== undefined) throw new WherryError('corrupt', `the image config has the diff id ${JSON.stringify(odd)}`);
  return { ...value, rootfs: { type: 'layers', diff_ids: ids } } as unknown as ImageConfig;
}

/** Very old images say a command as one text. */
function withLists(settings: object | null): object | null {
  if (settings === null) return null;
  const isCommand = (name: string): boolean => name === 'Cmd' || name === 'Entrypoint';
  return Object.fromEntries(
    Object.entries(settings).map(([name, member]) => [
      name,
      isCommand(name) && typeof member === 'string' ? [member] : member,
    ]),
  );
}
