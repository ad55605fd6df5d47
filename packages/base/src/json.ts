/** Freezes a JSON value and everything in it; what is frozen already is taken as frozen to the ground. */
export function freezeJson<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const key of Object.keys(value)) freezeJson((value as Record<string, unknown>)[key]);
  return value;
}

/** A copy of a JSON value that may be changed. Members that are `undefined` are left out, as JSON does. */
export function copyJson<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(copyJson) as T;
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[key];
    if (member === undefined) continue;
    // Assigning it would set the prototype.
    if (key === '__proto__')
      Object.defineProperty(copy, key, {
        value: copyJson(member),
        enumerable: true,
        writable: true,
        configurable: true,
      });
    else copy[key] = copyJson(member);
  }
  return copy as T;
}

/** Whether two JSON values are the same; a member that is `undefined` equals one that is not there. */
export function equalJson(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  if (Array.isArray(left) || Array.isArray(right)) {
    if (!Array.isArray(left) || !Array.isArray(right) || left.length !== right.length) return false;
    return left.every((item, index) => equalJson(item, right[index]));
  }
  for (const [key, value] of Object.entries(left)) if (!equalJson(value, own(right, key))) return false;
  for (const [key, value] of Object.entries(right))
    if (value !== undefined && own(left, key) === undefined) return false;
  return true;
}

/** `__proto__` and its like are there only when the object itself has them. */
function own(object: object, key: string): unknown {
  return Object.hasOwn(object, key) ? (object as Record<string, unknown>)[key] : undefined;
}
