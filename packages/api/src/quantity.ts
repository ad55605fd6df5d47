import { WherryError } from '@wherry/base';

/** How a quantity was written, which decides how it is written back. */
export type QuantityFormat = 'BinarySI' | 'DecimalSI' | 'DecimalExponent';

/** An exact amount in units of 10⁻⁹, the finest that the API keeps. */
export interface Quantity {
  readonly nano: bigint;
  readonly format: QuantityFormat;
}

const nanoOfOne = 1_000_000_000n;
/** Amounts are capped at 2⁶³−1, as upstream does. */
const most = ((1n << 63n) - 1n) * nanoOfOne;
const longestText = 128;

const wrongFormat = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const wrongSuffix = "unable to parse quantity's suffix";
const wrongNumber = 'unable to parse numeric part of quantity';

const shape = /^([+-]?)([0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$/;

const decimalSuffixes: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  '': 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const binarySuffixes: readonly string[] = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

interface Scale {
  readonly format: QuantityFormat;
  readonly ten: number;
  readonly two: number;
}

function scaleOf(suffix: string): Scale | undefined {
  const ten = decimalSuffixes[suffix];
  if (ten !== undefined) return { format: 'DecimalSI', ten, two: 0 };
  const binary = binarySuffixes.indexOf(suffix);
  if (binary > 0) return { format: 'BinarySI', ten: 0, two: binary * 10 };
  if (/^[eE][-+]?[0-9]+$/.test(suffix)) return { format: 'DecimalExponent', ten: Number(suffix.slice(1)), two: 0 };
  return undefined;
}

function divideAwayFromZero(value: bigint, by: bigint): bigint {
  return (value + by - 1n) / by;
}

function fail(message: string): never {
  throw new WherryError('invalid', message);
}

/**
 * Reads a resource quantity (`100m`, `1.5Gi`, `1e3`), exactly, rounding away from zero below 10⁻⁹
 * (apimachinery `resource.ParseQuantity`). Error `invalid` with upstream's text.
 */
export function parseQuantity(text: string): Quantity {
  const parts = text.length > longestText ? null : shape.exec(text);
  if (!parts) fail(wrongFormat);
  const [, sign, number, suffix] = parts as unknown as [string, string, string, string];
  const dot = number.indexOf('.');
  if (dot !== number.lastIndexOf('.')) fail(wrongFormat);
  const scale = scaleOf(suffix);
  if (!scale) fail(wrongSuffix);
  const fraction = dot < 0 ? '' : number.slice(dot + 1);
  const digits = dot < 0 ? number : number.slice(0, dot) + fraction;
  if (digits === '') fail(wrongNumber);

  const mantissa = BigInt(digits) << BigInt(scale.two);
  if (mantissa === 0n) return { nano: 0n, format: scale.format };
  // Beyond these exponents every amount is at the cap or rounds to the smallest one.
  const exponent = Math.max(-200, Math.min(200, scale.ten)) - fraction.length + 9;
  const size =
    exponent >= 0 ? mantissa * 10n ** BigInt(exponent) : divideAwayFromZero(mantissa, 10n ** BigInt(-exponent));
  const capped = size > most ? most : size;
  return { nano: sign === '-' ? -capped : capped, format: scale.format };
}

function decimalText(nano: bigint, exponential: boolean): string {
  if (nano === 0n) return '0';
  let rest = nano;
  let exponent = -9;
  while (exponent < 18 && rest % 1000n === 0n) {
    rest /= 1000n;
    exponent += 3;
  }
  if (exponential) return exponent === 0 ? `${rest}` : `${rest}e${exponent}`;
  return `${rest}${'numXkMGTPE'.charAt((exponent + 9) / 3).replace('X', '')}`;
}

function binaryText(nano: bigint): string {
  const size = nano < 0n ? -nano : nano;
  if (size < 1024n * nanoOfOne) return decimalText(nano, false);
  let rest = divideAwayFromZero(size, nanoOfOne);
  let step = 0;
  while (step < 6 && rest % 1024n === 0n) {
    rest /= 1024n;
    step++;
  }
  return `${nano < 0n ? '-' : ''}${rest}${binarySuffixes[step]!}`;
}

/** The canonical text: the largest suffix that leaves a whole number. */
export function formatQuantity(quantity: Quantity): string {
  return quantity.format === 'BinarySI'
    ? binaryText(quantity.nano)
    : decimalText(quantity.nano, quantity.format === 'DecimalExponent');
}

/** Texts that are canonical already: up to three digits without a trailing zero problem. */
const plainlyCanonical = /^(?:0|[1-9][0-9]{0,2}(?:[mkMGTP]|[KMGTP]i)?)$/;

/** The canonical text of a quantity as JSON may have it, a string or a number. Error `invalid`. */
export function canonicalQuantity(value: string | number): string {
  const text = typeof value === 'number' ? String(value) : value.trim();
  return plainlyCanonical.test(text) ? text : formatQuantity(parseQuantity(text));
}

function asQuantity(value: Quantity | string | number): Quantity {
  return typeof value === 'object' ? value : parseQuantity(String(value));
}

/** Negative, zero or positive as `a` is less than, equal to or more than `b`. */
export function compareQuantity(a: Quantity | string | number, b: Quantity | string | number): number {
  const left = asQuantity(a).nano;
  const right = asQuantity(b).nano;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The sum, in the format of `a` unless that is zero (as upstream's `Add`). */
export function addQuantity(a: Quantity | string | number, b: Quantity | string | number): Quantity {
  const left = asQuantity(a);
  const right = asQuantity(b);
  return { nano: left.nano + right.nano, format: left.nano === 0n ? right.format : left.format };
}

/** The difference, in the format of `a` unless that is zero. */
export function subtractQuantity(a: Quantity | string | number, b: Quantity | string | number): Quantity {
  const right = asQuantity(b);
  return addQuantity(a, { nano: -right.nano, format: right.format });
}

function roundedUp(nano: bigint, unit: bigint): number {
  return Number(nano < 0n ? -divideAwayFromZero(-nano, unit) : divideAwayFromZero(nano, unit));
}

/** Whole units (bytes, cores), rounded away from zero; exact up to 2⁵³. */
export function quantityValue(quantity: Quantity | string | number): number {
  return roundedUp(asQuantity(quantity).nano, nanoOfOne);
}

/** Thousandths (milli-cores), rounded away from zero; exact up to 2⁵³. */
export function quantityMilliValue(quantity: Quantity | string | number): number {
  return roundedUp(asQuantity(quantity).nano, 1_000_000n);
}

/** A quantity of whole units in binary suffixes, e.g. of bytes. */
export function binaryQuantity(units: number): Quantity {
  return { nano: BigInt(Math.ceil(units)) * nanoOfOne, format: 'BinarySI' };
}

/** A quantity of thousandths in decimal suffixes, e.g. of milli-cores. */
export function milliQuantity(thousandths: number): Quantity {
  return { nano: BigInt(Math.ceil(thousandths)) * 1_000_000n, format: 'DecimalSI' };
}

/** Whether JSON may stand where a quantity is asked for. */
export function isQuantity(value: unknown): boolean {
  if (typeof value !== 'string' && typeof value !== 'number') return false;
  try {
    canonicalQuantity(value);
    return true;
  } catch {
    return false;
  }
}
