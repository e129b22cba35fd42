// From the address behind the # to a view. A view is left before the next one is shown.

/**
 * Show the view that belongs to the address, now and whenever it changes.
 *
 * @param {Array<[string, object]>} routes patterns such as "rooms/:room/:tab", and the view of each: a module with
 *   `mount(root, params, signal)` and `title(params)`.
 * @param {HTMLElement} root where views are shown; it gets the focus, so that what is new is read out.
 * @param {function(string, object): void} onShown told the path and the params.
 */
export function startRouter(routes, root, onShown) {
  let leaving = new AbortController();
  let first = true;
  const show = () => {
    leaving.abort();
    leaving = new AbortController();
    // a dialog belongs to the view that opened it
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    const path = decodedPath();
    const [view, params] = matching(routes, path);
    setTitle(view.title(params));
    root.replaceChildren();
    view.mount(root, params, leaving.signal);
    if (!first) root.focus({ preventScroll: true });
    if (!first) scrollTo(0, 0);
    first = false;
    onShown(path, params);
  };
  addEventListener("hashchange", show);
  show();
}

/** The address of a view: link("rooms", id, "jobs"). */
export const link = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

/** Go to a view. */
export const go = (...parts) => {
  location.hash = link(...parts);
};

/** What the tab of the browser says. */
export const setTitle = (text) => {
  document.title = `${text} · sleap-rtc`;
};

function decodedPath() {
  const raw = location.hash.startsWith("#/") ? location.hash.slice(2) : "";
  return raw.split("?")[0];
}

function matching(routes, path) {
  const parts = path.split("/").filter(Boolean).map(decoded);
  for (const [pattern, view] of routes) {
    const names = pattern.split("/");
    if (names.length !== parts.length) continue;
    if (!names.every((name, at) => name.startsWith(":") || name === parts[at])) continue;
    const found = names.map((name, at) => [name.slice(1), parts[at]]).filter((_, at) => names[at].startsWith(":"));
    return [view, Object.fromEntries(found)];
  }
  return [routes[0][1], {}];
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
