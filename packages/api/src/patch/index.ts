export { applyJsonPatch } from './json-patch.ts';
export { applyMergePatch, createMergePatch, sameJson } from './merge-patch.ts';
export { applyStrategicMergePatch } from './strategic-merge.ts';
