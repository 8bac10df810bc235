"use strict";

fetch("/api/versions")
  .then((answer) => answer.json())
  .then(({ versions }) => {
    const documented = versions.filter(({ status }) => status !== "retired");
    window.ui = SwaggerUIBundle({
      urls: documented.map(({ version, openapi }) => ({ name: version, url: openapi })),
      "urls.primaryName": documented.at(-1).version,
      dom_id: "#swagger-ui",
      deepLinking: true,
      persistAuthorization: false,
      validatorUrl: null,
      presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
      layout: "StandaloneLayout",
    });
  })
  .catch((reason) => {
    document.getElementById("swagger-ui").textContent = `The API's versions did not load: ${reason}`;
  });
