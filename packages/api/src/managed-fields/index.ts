export {
  type Applied,
  type ApplyConflict,
  applyConfiguration,
  applyConflictError,
  type FieldManager,
  updateManagedFields,
} from './managed-fields.ts';
