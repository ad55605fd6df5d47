import type { Heredoc } from './heredocs.ts';

interface Written {
  /** Line of the Dockerfile. */
  readonly line: number;
  /** As it is written, on one line. */
  readonly code: string;
}

export interface Pair {
  readonly key: string;
  readonly value: string;
}

/** `ARG NAME` has no value of its own. */
export interface OptionalPair {
  readonly key: string;
  readonly value: string | undefined;
}

/** A command in shell form (one string, for the stage's shell) or exec form. */
export interface CommandLine {
  readonly form: 'shell' | 'exec';
  readonly words: readonly string[];
  readonly heredocs: readonly Heredoc[];
}

/** Docker's `HealthConfig`; times in nanoseconds. */
export interface HealthCheck {
  readonly Test: readonly string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

export interface CopyInstruction extends Written {
  readonly name: 'COPY' | 'ADD';
  readonly sources: readonly string[];
  /** Files whose content stands in the Dockerfile. */
  readonly files: readonly Heredoc[];
  readonly destination: string;
  readonly from: string | undefined;
  readonly owner: string | undefined;
  readonly mode: string | undefined;
  readonly link: boolean;
  readonly parents: boolean;
  readonly exclude: readonly string[];
  /** Of a URL's content: `sha256:…`; of a repository: its commit. */
  readonly checksum: string | undefined;
  /** ADD: whether archives are unpacked; default: local ones are, downloaded ones are not. */
  readonly unpack: boolean | undefined;
  /** ADD of a repository: with git's own files. */
  readonly keepsGitFolder: boolean;
}

/** `RUN --mount=`, its values not expanded yet. */
export type MountOptions = ReadonlyMap<string, string | undefined>;

export interface RunInstruction extends Written {
  readonly name: 'RUN';
  readonly command: CommandLine;
  readonly mounts: readonly MountOptions[];
  readonly network: 'default' | 'none' | 'host' | undefined;
  readonly security: 'sandbox' | 'insecure' | undefined;
}

export interface FromInstruction extends Written {
  readonly name: 'FROM';
  readonly base: string;
  readonly alias: string | undefined;
  readonly platform: string | undefined;
}

/** An instruction that changes the image's config alone. */
export type ConfigInstruction = Written &
  (
    | { readonly name: 'ENV'; readonly pairs: readonly Pair[] }
    | { readonly name: 'LABEL'; readonly pairs: readonly Pair[]; readonly literal?: boolean }
    | { readonly name: 'MAINTAINER'; readonly text: string }
    | { readonly name: 'CMD' | 'ENTRYPOINT'; readonly command: CommandLine }
    | { readonly name: 'SHELL'; readonly words: readonly string[] }
    | { readonly name: 'EXPOSE'; readonly ports: readonly string[] }
    | { readonly name: 'VOLUME'; readonly paths: readonly string[] }
    | { readonly name: 'STOPSIGNAL' | 'USER'; readonly text: string }
    | { readonly name: 'HEALTHCHECK'; readonly check: HealthCheck }
    | { readonly name: 'ONBUILD'; readonly trigger: string }
  );

export type ArgInstruction = Written & { readonly name: 'ARG'; readonly pairs: readonly OptionalPair[] };
export type WorkdirInstruction = Written & { readonly name: 'WORKDIR'; readonly text: string };

/** What stands in a stage. */
export type StageInstruction =
  | ConfigInstruction
  | ArgInstruction
  | WorkdirInstruction
  | CopyInstruction
  | RunInstruction;

export type Instruction = StageInstruction | FromInstruction;

export const instructionNames = [
  'ADD',
  'ARG',
  'CMD',
  'COPY',
  'ENTRYPOINT',
  'ENV',
  'EXPOSE',
  'FROM',
  'HEALTHCHECK',
  'LABEL',
  'MAINTAINER',
  'ONBUILD',
  'RUN',
  'SHELL',
  'STOPSIGNAL',
  'USER',
  'VOLUME',
  'WORKDIR',
] as const satisfies readonly Instruction['name'][];
