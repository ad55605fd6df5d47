import { badRequestError, field, invalidError } from '@wherry/api';
import type { DeletionOptions } from '../pipeline/delete.ts';
import type { FieldValidation } from '../pipeline/request.ts';
import type { IncludeObject } from './table.ts';

/** The query of a request; absent parameters are ''. */
export class Query {
  readonly #parameters: URLSearchParams | undefined;

  constructor(text: string) {
    this.#parameters = text === '' ? undefined : new URLSearchParams(text);
  }

  get(name: string): string {
    return this.#parameters?.get(name) ?? '';
  }

  has(name: string): boolean {
    return this.#parameters?.has(name) ?? false;
  }

  all(name: string): string[] {
    return this.#parameters?.getAll(name) ?? [];
  }

  /** A Go boolean; anything unreadable is an error 400. */
  flag(name: string): boolean {
    const text = this.get(name);
    if (text === '') return this.has(name) && name === 'watch';
    if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true;
    if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text)) return false;
    throw badRequestError(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
  }

  /** A whole number, or `undefined` when it is not given. Error 400. */
  integer(name: string): number | undefined {
    const text = this.get(name);
    if (text === '') return undefined;
    const value = Number(text);
    if (/^[+-]?\d+$/.test(text) && Number.isSafeInteger(value)) return value;
    throw badRequestError(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  }

  dryRun(kind: string): boolean {
    const values = this.all('dryRun').filter((value) => value !== '');
    const wrong = values.find((value) => value !== 'All');
    if (wrong !== undefined) {
      throw invalidError({ group: 'meta.k8s.io', kind }, '', [field.notSupported('dryRun', wrong, ['All'])]);
    }
    return values.length > 0;
  }

  fieldValidation(kind: string): FieldValidation {
    const text = this.get('fieldValidation');
    if (text === '') return 'Warn';
    if (text === 'Strict' || text === 'Warn' || text === 'Ignore') return text;
    throw invalidError({ group: 'meta.k8s.io', kind }, '', [
      field.notSupported('fieldValidation', text, ['', 'Ignore', 'Strict', 'Warn']),
    ]);
  }

  includeObject(): IncludeObject {
    const text = this.get('includeObject');
    if (text === '' || text === 'Metadata') return 'Metadata';
    if (text === 'Object' || text === 'None') return text;
    throw badRequestError(`unrecognized includeObject value: ${JSON.stringify(text)}`);
  }

  deletion(): DeletionOptions {
    const policy = this.get('propagationPolicy');
    return {
      gracePeriodSeconds: this.integer('gracePeriodSeconds'),
      ...(policy === '' ? {} : { propagationPolicy: policy }),
      ...(this.has('orphanDependents') ? { orphanDependents: this.flag('orphanDependents') } : {}),
    };
  }
}
