import { type LabelSelector, labelSelector, type V1LabelSelector } from '@wherry/api';

const made = new WeakMap<V1LabelSelector, LabelSelector>();

/** Whether labels match a LabelSelector: none matches nothing, an empty one everything. Error `invalid` for a bad one. */
export function matchesSelector(
  labels: Readonly<Record<string, string>> | undefined,
  selector: V1LabelSelector | undefined,
): boolean {
  if (selector === undefined) return false;
  let matcher = made.get(selector);
  if (matcher === undefined) {
    matcher = labelSelector(selector);
    // Only what cannot change any more may be remembered.
    if (Object.isFrozen(selector)) made.set(selector, matcher);
  }
  return matcher.matches(labels);
}

/** Whether labels contain all of a plain map, as a Service's selector asks. */
export function matchesLabels(
  labels: Readonly<Record<string, string>> | undefined,
  wanted: Readonly<Record<string, string>>,
): boolean {
  for (const [key, value] of Object.entries(wanted)) if (labels?.[key] !== value) return false;
  return true;
}
