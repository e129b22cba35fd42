// A tab of a room on a page of its own.

import { get, path } from "../../api.js";
import { h, replace } from "../../dom.js";
import { loading, problem } from "../../ui.js";

/** The view of one tab: `mountTab(root, room, signal)`. */
export const alone = (name, mountTab) => ({
  title: () => name,
  async mount(root, { room }, signal) {
    const slot = h("div", {}, loading("the room"));
    root.append(slot);
    try {
      const found = await get(path`rooms/${room}`, { signal });
      replace(slot);
      slot.append(h("h1", {}, h("bdi", {}, found.name)));
      mountTab(slot, found, signal);
    } catch (error) {
      if (!signal.aborted) replace(slot, problem(error));
    }
  },
});
