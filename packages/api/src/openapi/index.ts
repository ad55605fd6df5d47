export { createOpenApiDocuments, type OpenApiDocument, type OpenApiDocuments } from './documents.ts';
