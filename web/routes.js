// Shows the description of all routes, which the server writes in OpenAPI, to people. Everything on the page comes from
// that document; nothing here knows a route.

import { address } from "./api.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
// Structures refer to each other, and could in circles.
const DEEPEST = 5;

const ACCESS = {
  "account": ["Needs the account.", "Everybody may use this: the server has no account."],
  "monitor": ["Needs the account, or what the server demands of monitors.", "Monitors may use this."],
  "account-or-this-machine": ["Needs the account.", "Only programs on the server's machine may use this: the server has no account."],
};

/** An element with properties and children; text is never read as HTML. */
function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

const code = (text) => element("code", {}, text);

/** Texts of the document put names between backticks. */
function prose(text) {
  return (text ?? "").split("`").map((part, n) => (n % 2 === 1 ? code(part) : part));
}

/** What `value` stands for: itself, or the part of the document to which its `$ref` leads. */
function resolve(value, components) {
  const [, group, name] = /^#\/components\/(\w+)\/(.+)$/.exec(value?.$ref ?? "") ?? [];
  return name === undefined ? (value ?? {}) : (components[group]?.[name] ?? {});
}

/** What a value of `schema` is, in a few words: `whole number, 1 to 1000, default 100`. */
function kind(schema, components) {
  const { title, type, oneOf, anyOf, allOf, items, enum: values, minimum, maximum, format, default: usual } = resolve(schema, components);
  if (title) return title;
  if (allOf) return "object";
  const either = oneOf ?? anyOf;
  const types = [type ?? []].flat();
  const names = { integer: "whole number", string: "text", boolean: "true or false", object: "object", array: "list" };
  const words = either
    ? [...new Set(either.map((one) => kind(one, components)))]
    : types.map((one) => (one === "string" && format === "date-time" ? "time" : (names[one] ?? one)));
  const parts = [words.join(" or ") || "any value"];
  if (types.includes("array") && items) parts[0] = `list of ${kind(items, components)}`;
  if (values) parts.push(`one of ${values.map((value) => (value === "" ? "nothing" : value)).join(", ")}`);
  if (minimum !== undefined && maximum !== undefined) parts.push(`${minimum} to ${maximum}`);
  else if (minimum !== undefined) parts.push(`${minimum} or more`);
  if (usual !== undefined) parts.push(`default ${usual}`);
  return parts.join(", ");
}

/** The structures in `schema` that have fields: itself, what its list holds, or its alternatives. */
function structures(schema, components) {
  const found = resolve(schema, components);
  if (found.items) return structures(found.items, components);
  if (found.additionalProperties?.$ref) return structures(found.additionalProperties, components);
  const alternatives = found.oneOf ?? found.anyOf ?? found.allOf;
  if (alternatives) return alternatives.flatMap((one) => structures(one, components));
  return found.properties ? [found] : [];
}

/** A field of two alternatives: the first describes it, and it has the values of both. */
function merged(one, other) {
  return one?.enum && other.enum ? { ...one, enum: [...one.enum, ...other.enum] } : (one ?? other);
}

/** The fields of a value of `schema` as a list; null if it has none. */
function fields(schema, components, depth = 0) {
  const known = new Map();
  for (const { properties } of structures(schema, components)) {
    for (const [name, field] of Object.entries(properties)) known.set(name, merged(known.get(name), field));
  }
  if (known.size === 0 || depth === DEEPEST) return null;
  const rows = [...known].map(([name, field]) => {
    // What may be null is described beside the null.
    const { description = field.oneOf?.[0].description ?? resolve(field, components).description } = field;
    const about = description ? [". ", ...prose(description)] : [];
    return element("li", {}, code(name), ` ${kind(field, components)}`, ...about, fields(field, components, depth + 1));
  });
  return element("ul", { className: "fields" }, ...rows);
}

function entries(title, rows) {
  if (rows.length === 0) return [];
  const made = rows.map(([name, note, ...rest]) =>
    element("div", {}, element("dt", {}, code(name), element("div", { className: "kind" }, note)), element("dd", {}, ...rest)));
  return [element("h3", {}, title), element("dl", { className: "entries" }, ...made)];
}

function parameterRow({ name, in: place, required, description, schema }, components) {
  const where = { path: "in the address", header: "a header of the request" }[place] ?? (required ? "required" : "");
  return [name, where, ...prose(description), element("div", { className: "kind" }, kind(schema, components))];
}

function answerRow([status, answer], components) {
  const { description, content = {} } = resolve(answer, components);
  const types = Object.keys(content).join(", ");
  const bodies = Object.values(content).filter(({ schema }) => !schema?.$ref?.endsWith("/Error"));
  return [status, types, ...prose(description), ...bodies.map(({ schema }) => fields(schema, components))];
}

/** What a row shows once it is open. */
function inside(path, method, operation, methods, components, hasAccount) {
  const { description, parameters = [], requestBody, responses } = operation;
  const isPlain = method === "get" && !path.includes("{") && !parameters.some(({ required }) => required);
  const [withAccount, without] = ACCESS[operation["x-access"]] ?? ["", ""];
  const body = requestBody?.content?.["application/json"]?.schema;
  const notes = [
    ...(description ? [element("p", {}, ...prose(description))] : []),
    element("p", {}, hasAccount ? withAccount : without, operation["x-endless"] ? " The answer has no end." : ""),
    element("p", {}, "The address has the methods ", methods.map((name) => name.toUpperCase()).join(", "), "."),
    ...(isPlain ? [element("p", {}, element("a", { href: address(path) }, "Open it"))] : []),
  ];
  return [
    ...notes,
    ...entries("Parameters", parameters.map((parameter) => parameterRow(parameter, components))),
    ...(body ? entries("Body", [["application/json", kind(body, components), ...prose(requestBody.description), fields(body, components)]]) : []),
    ...entries("Answers", Object.entries(responses).map((answer) => answerRow(answer, components))),
  ];
}

function row(path, method, item, components, hasAccount) {
  const operation = item[method];
  const methods = ["get", "head", "post", "put", "patch", "delete", "options"].filter((name) => item[name]);
  const summary = element("summary", {},
    element("span", { className: "method" }, method.toUpperCase()),
    element("code", { className: "path" }, path),
    element("span", { className: "summary-text" }, operation.summary));
  const made = element("details", { className: "route" }, summary);
  made.dataset.method = method;
  made.dataset.words = `${method} ${path} ${operation.summary} ${operation.tags}`.toLowerCase();
  const fill = () => made.append(element("div", { className: "inside" }, ...inside(path, method, operation, methods, components, hasAccount)));
  made.addEventListener("toggle", fill, { once: true });
  return made;
}

function group({ name, description }, paths, components, hasAccount) {
  const rows = Object.entries(paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]?.tags.includes(name)).map((method) => row(path, method, item, components, hasAccount)));
  return element("section", {}, element("h2", {}, name), element("p", {}, ...prose(description)), ...rows);
}

/** Shows the rows that have all words of `text`, and the groups that have such a row. */
function find(text, groups) {
  const words = text.toLowerCase().split(/\s+/);
  for (const section of groups.children) {
    const rows = [...section.querySelectorAll(".route")];
    for (const one of rows) one.hidden = !words.every((word) => one.dataset.words.includes(word));
    section.hidden = rows.every((one) => one.hidden);
  }
}

async function main() {
  const groups = document.querySelector("#groups");
  const response = await fetch(address("api/openapi.json"));
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  const { tags, paths, components } = await response.json();
  const hasAccount = components.securitySchemes?.account !== undefined;
  groups.append(...tags.map((tag) => group(tag, paths, components, hasAccount)));
  const input = document.querySelector("#find");
  input.addEventListener("input", () => find(input.value, groups));
  find(input.value, groups);
}

main().catch((error) => {
  document.querySelector("#problem").textContent = `Cannot show the routes: ${error.message}. Load the page again.`;
});
