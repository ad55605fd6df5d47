/** One finding of validation, as upstream words it (apimachinery `field.Error`). */
export interface FieldError {
  readonly type:
    | 'Required'
    | 'Invalid'
    | 'TypeInvalid'
    | 'NotSupported'
    | 'Forbidden'
    | 'Duplicate'
    | 'NotFound'
    | 'TooLong'
    | 'TooMany'
    | 'Internal';
  /** `spec.containers[0].name`; map keys as `data[key]`. */
  readonly field: string;
  /** The value found; printed as JSON. Left out for Required and Forbidden. */
  readonly value?: unknown;
  readonly detail?: string | undefined;
}

const words: Record<FieldError['type'], string> = {
  Required: 'Required value',
  Invalid: 'Invalid value',
  TypeInvalid: 'Invalid value',
  NotSupported: 'Unsupported value',
  Forbidden: 'Forbidden',
  Duplicate: 'Duplicate value',
  NotFound: 'Not found',
  TooLong: 'Too long',
  TooMany: 'Too many',
  Internal: 'Internal error',
};

/** The `reason` of a Status cause for each type. */
export const causeReasons: Record<FieldError['type'], string> = {
  Required: 'FieldValueRequired',
  Invalid: 'FieldValueInvalid',
  TypeInvalid: 'FieldValueTypeInvalid',
  NotSupported: 'FieldValueNotSupported',
  Forbidden: 'FieldValueForbidden',
  Duplicate: 'FieldValueDuplicate',
  NotFound: 'FieldValueNotFound',
  TooLong: 'FieldValueTooLong',
  TooMany: 'FieldValueTooMany',
  Internal: 'InternalError',
};

/** The part after the field: `Invalid value: "x": must be …`. */
export function fieldErrorBody(error: FieldError): string {
  const bare =
    error.type === 'Required' || error.type === 'Forbidden' || error.type === 'TooLong' || error.type === 'Internal';
  const head =
    bare || error.value === undefined ? words[error.type] : `${words[error.type]}: ${JSON.stringify(error.value)}`;
  return error.detail ? `${head}: ${error.detail}` : head;
}

/** `spec.x: Invalid value: "y": must be …` */
export function fieldErrorText(error: FieldError): string {
  return `${error.field}: ${fieldErrorBody(error)}`;
}

export const field = {
  required: (path: string, detail = ''): FieldError => ({ type: 'Required', field: path, detail }),
  invalid: (path: string, value: unknown, detail: string): FieldError => ({
    type: 'Invalid',
    field: path,
    value,
    detail,
  }),
  notSupported: (path: string, value: unknown, supported: readonly string[]): FieldError => ({
    type: 'NotSupported',
    field: path,
    value,
    detail: `supported values: ${supported.map((v) => JSON.stringify(v)).join(', ')}`,
  }),
  forbidden: (path: string, detail: string): FieldError => ({ type: 'Forbidden', field: path, detail }),
  duplicate: (path: string, value: unknown): FieldError => ({ type: 'Duplicate', field: path, value }),
  notFound: (path: string, value: unknown): FieldError => ({ type: 'NotFound', field: path, value }),
  tooLong: (path: string, max: number): FieldError => ({
    type: 'TooLong',
    field: path,
    detail: `may not be more than ${max} bytes`,
  }),
  tooMany: (path: string, value: number, max: number): FieldError => ({
    type: 'TooMany',
    field: path,
    value,
    detail: `must have at most ${max} items`,
  }),
};
