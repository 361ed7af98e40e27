// The description of the API, drawn from openapi.json beside this page. Nothing is sent but that one request.

const METHODS = ["get", "post", "put", "patch", "delete"];

/** An element with children: texts stay texts, so nothing of the description is read as HTML. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** The schema that a reference names, else the schema itself. */
function resolve(schema, api) {
  const name = schema.$ref?.split("/").pop();
  return name ? api.components.schemas[name] : schema;
}

/** A type in a few words: "list of text", "number or null", "ErrorBody". */
function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {})}`;
  if (schema.type === "object" && schema.additionalProperties) return `object of ${typeOf(schema.additionalProperties)}`;
  return schema.type === "string" ? "text" : schema.type ?? "anything";
}

function limitsOf(schema) {
  const limits = { minimum: "at least", maximum: "at most", minLength: "characters, at least", maxLength: "characters, at most", minItems: "entries, at least", maxItems: "entries, at most" };
  const told = Object.keys(limits).filter((key) => key in schema).map((key) => `${limits[key]} ${schema[key]}`);
  if (schema.default !== undefined && schema.default !== null) told.push(`default ${JSON.stringify(schema.default)}`);
  return told.join("; ");
}

/** A table of named values: fields of an object, or parameters. */
function table(label, rows) {
  const heads = ["Name", "Type", "Meaning"].map((text) => make("th", { scope: "col" }, text));
  const body = rows.map(({ name, schema, required, description }) =>
    make("tr", {},
      make("th", { scope: "row" }, make("code", {}, name), required ? " (required)" : ""),
      make("td", {}, typeOf(schema)),
      make("td", {}, description ?? schema.description ?? "", " ", make("span", { class: "muted" }, limitsOf(schema)))));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...body)));
}

function fields(schema, api) {
  const { properties = {}, required = [] } = resolve(schema, api);
  return Object.entries(properties).map(([name, value]) => ({ name, schema: value, required: required.includes(name) }));
}

/** The fields of a body, and those of the objects in it, each object once. */
function shape(label, schema, api, seen = new Set()) {
  const rows = fields(schema, api);
  if (!rows.length) return [make("p", {}, typeOf(schema))];
  const name = typeOf(schema);
  seen.add(name);
  const inner = rows.flatMap((row) => [row.schema, row.schema.items, ...(row.schema.anyOf ?? [])])
    .map((found) => found?.items ?? found)
    .filter((found) => found?.$ref && !seen.has(typeOf(found)));
  return [
    make("h4", {}, label, make("span", { class: "muted" }, ` ${name}`)),
    table(`${label}: ${name}`, rows),
    ...inner.filter((found) => !seen.has(typeOf(found))).flatMap((found) => shape("Each", found, api, seen)),
  ];
}

function exampleOf(schema, api) {
  const body = {};
  for (const { name, schema: field, required } of fields(schema, api)) {
    if (field.examples) body[name] = field.examples[0];
    else if (required) body[name] = { array: [], integer: 1, number: 1, boolean: true }[field.type] ?? "...";
  }
  return body;
}

function curl(method, path, operation, api) {
  const parts = [`curl ${new URL(path.slice(1), document.baseURI)}`];
  if (operation.security) parts.push(`-H "Authorization: Bearer $G2R_ADMIN_KEY"`);
  const schema = operation.requestBody?.content["application/json"]?.schema;
  if (schema) parts.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(exampleOf(schema, api))}'`);
  else if (method !== "get") parts.push(`-X ${method.toUpperCase()}`);
  return make("pre", { tabindex: "0", "aria-label": "Example for curl" }, parts.join(" \\\n  "));
}

function call(method, path, operation, api) {
  const id = operation.operationId;
  const section = make("section", { id, "aria-labelledby": `${id}-name` },
    make("h3", { id: `${id}-name` }, make("code", {}, `${method.toUpperCase()} ${path}`)),
    ...(operation.description ?? operation.summary ?? "").split("\n\n").map((text) => make("p", {}, text)),
    curl(method, path, operation, api));
  if (operation.parameters?.length) {
    section.append(make("h4", {}, "Parameters"), table(`Parameters of ${path}`, operation.parameters));
  }
  const asked = operation.requestBody?.content["application/json"]?.schema;
  if (asked) section.append(...shape("Body", asked, api));
  const told = operation.responses["200"]?.content?.["application/json"]?.schema;
  if (told && Object.keys(told).length) section.append(...shape("Answer", told, api));
  const refused = Object.keys(operation.responses).filter((status) => status !== "200");
  section.append(make("p", { class: "muted" }, `May be refused with ${refused.join(", ")}; then the answer is an ErrorBody: {"error": {"message", "type", "param", "code"}}.`));
  return section;
}

function draw(api) {
  document.title = `${api.info.title}: API`;
  document.querySelector("#title").textContent = `${api.info.title} ${api.info.version}: API`;
  document.querySelector("#about").textContent = api.info.description ?? "";
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((name) => methods[name])) {
      const group = methods[method].tags?.[0] ?? "others";
      groups.set(group, [...(groups.get(group) ?? []), [method, path, methods[method]]]);
    }
  }
  const links = make("ul");
  const main = document.querySelector("#api");
  for (const [group, calls] of groups) {
    main.append(make("h2", {}, group));
    for (const [method, path, operation] of calls) {
      links.append(make("li", {}, make("a", { href: `#${operation.operationId}` }, `${method.toUpperCase()} ${path}`)));
      main.append(call(method, path, operation, api));
    }
  }
  document.querySelector("#contents").append(links);
  main.setAttribute("aria-busy", "false");
}

try {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  draw(await answer.json());
} catch (error) {
  document.querySelector("#problem").textContent = `The description cannot be shown (${error.message}). It is at /openapi.json.`;
}
