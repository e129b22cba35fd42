// Elements made in code. Whatever stands in them is text: nothing here, and nothing in this page, reads HTML.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element of HTML.
 *
 * @param {string} tag its name, with classes behind dots: "p.quiet".
 * @param {object} [props] attributes; `onclick` and the like are listeners, `true` an attribute without a value, and
 *   null, undefined or false none at all. `style` is an object of CSS properties.
 * @param {...(Node|string|number|null|undefined|false|Array)} children what stands in it; text is text.
 * @returns {HTMLElement}
 */
export function h(tag, props, ...children) {
  const [name, ...classes] = tag.split(".");
  return filled(document.createElement(name), classes, props, children);
}

/** An element of SVG; see `h`. */
export function svg(tag, props, ...children) {
  const [name, ...classes] = tag.split(".");
  return filled(document.createElementNS(SVG, name), classes, props, children);
}

/** Put other children into an element. */
export function replace(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

/** Change what stands in `root`; whatever had the focus in there has it afterwards, if its `data-key` is there again. */
export function keepingFocus(root, change) {
  const active = document.activeElement;
  const key = root.contains(active) ? active.dataset.key : undefined;
  change();
  if (key !== undefined) byKey(key, root)?.focus({ preventScroll: true });
}

/** What bears this `data-key`. */
export const byKey = (key, root = document) => root.querySelector(`[data-key="${CSS.escape(key)}"]`);

function filled(element, classes, props, children) {
  element.classList.add(...classes);
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  element.append(...flat(children));
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "class") element.classList.add(...value.split(" ").filter(Boolean));
  else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
  else if (name === "value") element.value = value;
  else element.setAttribute(name, value === true ? "" : value);
}

function flat(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}
