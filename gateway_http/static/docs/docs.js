"use strict";

// The token stays in this page's memory: nothing is stored, and nothing but this origin is asked.
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
  filter: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
});
