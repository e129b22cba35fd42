// What somebody drops on the page or picks: a folder, a zip, or single files, as paths in a package.

import { count } from "./ui.js";

const MOST = 20_000;

/**
 * The files of what was dropped. To be called while the drop is handled: its list is gone a moment later.
 *
 * @param {DataTransfer} dropped what was dropped.
 * @returns {Promise<{name: string, entries: Array<{path: string, file: File}>}>}
 */
export async function ofDrop(dropped) {
  const roots = [...dropped.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const entries = [];
  for (const root of roots) await walk(root, root.name, entries);
  return packed(entries);
}

/** The files of an `<input type="file">`, with or without `webkitdirectory`. */
export const ofInput = (input) =>
  packed([...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file })));

/**
 * Why these files cannot be trained, as far as their names tell; empty where they may.
 *
 * @param {Array<{path: string}>} entries the files. One alone may be a zip, whatever its name is.
 */
export function whyNot(entries) {
  const names = entries.map(({ path }) => path.toLowerCase());
  const labels = names.some((name) => name.endsWith(".slp"));
  const config = names.some((name) => /\.(ya?ml|json)$/.test(name));
  if (!names.length) return "There is no file in it. Drop the package that SLEAP exported, or its unpacked folder.";
  if (names.length === 1 && !labels && !config) return "";
  if (!labels) return "It holds no labels (*.slp). Export the training package again, with its labels.";
  if (!config) return "It holds no training config (*.yaml). In SLEAP, use 'Export training job package', and drop that.";
  return "";
}

/** What a desktop leaves in folders, and is none of the user's. */
export const isClutter = (path) => path.startsWith("__MACOSX/") || path.split("/").at(-1).startsWith(".");

async function walk(entry, path, entries) {
  if (entries.length > MOST) throw new Error(`That is more than ${MOST} files. Drop the package as one zip.`);
  if (entry.isFile) {
    if (isClutter(path)) return;
    entries.push({ path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // it gives a hundred at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const each of some) await walk(each, `${path}/${each.name}`, entries);
  }
}

// a folder that holds all is the package, not a part of it
function packed(found) {
  const roots = new Set(found.map(({ path }) => path.split("/")[0]));
  const [root] = roots;
  const isFolder = roots.size === 1 && found.every(({ path }) => path.includes("/"));
  const entries = (isFolder ? found.map(({ path, file }) => ({ path: path.slice(root.length + 1), file })) : found)
    .filter(({ path }) => !isClutter(path))
    .sort((one, other) => (one.path < other.path ? -1 : 1));
  const name = isFolder || entries.length === 1 ? root : count(entries.length, "file");
  return { name: (name ?? "").slice(0, 256), entries };
}
