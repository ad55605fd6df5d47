import { WherryError } from '@wherry/base';

/** A number, or a percentage such as `25%` (apimachinery `intstr.IntOrString`). */
export type IntOrPercent = number | string;

/**
 * The number meant by `value` out of `total`: numbers as they are, percentages scaled and rounded up
 * or down (`intstr.GetScaledValueFromIntOrPercent`). Error `invalid` for other text.
 */
export function scaledValue(value: IntOrPercent, total: number, roundUp: boolean): number {
  if (typeof value === 'number') return value;
  const percent = /^([+-]?[0-9]{1,9})%$/.exec(value);
  if (!percent)
    throw new WherryError('invalid', `invalid value for IntOrString: invalid type: string is not a percentage`);
  const share = (Number(percent[1]) * total) / 100;
  return roundUp ? Math.ceil(share) : Math.floor(share);
}
