// The first step of a new job: a package, dropped or picked, and read through once.

import { h, replace } from "../../dom.js";
import { sentTo } from "../../draft.js";
import { makePackage } from "../../peer/worker.js";
import { ofDrop, ofInput, whyNot } from "../../picking.js";
import { button, count, meter, problem } from "../../ui.js";
import { percentText, sizeText } from "../../words.js";

/** The step; `element` is what stands in the page. `onPackage` is told a package, or null while there is none. */
export class PackageStep {
  #reading = new AbortController();

  constructor(room, draft, signal, onPackage) {
    Object.assign(this, { room, draft, signal, onPackage });
    this.folder = h("input", { type: "file", webkitdirectory: true, hidden: true, "aria-label": "Folder",
      onchange: (event) => this.#take(async () => ofInput(event.target)) });
    this.file = h("input", { type: "file", multiple: true, hidden: true, "aria-label": "Zip or files",
      onchange: (event) => this.#take(async () => ofInput(event.target)) });
    this.told = h("div", { role: "status" });
    this.area = h("div.drop", {
      ondragover: (event) => this.#over(event, true), ondragleave: (event) => this.#over(event, false),
      ondrop: (event) => this.#drop(event),
    },
    h("p", {}, "Drop a training package here: the zip that SLEAP exports, or its folder."),
    h("div.tools", {}, button("Choose a zip", () => this.file.click(), { class: "plain" }),
      button("Choose a folder", () => this.folder.click(), { class: "plain" })), this.file, this.folder);
    this.element = h("section.card", { "aria-labelledby": "package-head" },
      h("h3", { id: "package-head" }, "1. Package"), this.area, this.told);
    signal.addEventListener("abort", () => this.#reading.abort());
    if (draft.pkg) this.#tell();
  }

  /** Say something below, until a package is picked. */
  say(...words) {
    if (!this.draft.pkg) replace(this.told, h("p.hint", {}, words));
  }

  #over(event, is) {
    event.preventDefault();
    this.area.classList.toggle("over", is);
  }

  #drop(event) {
    this.#over(event, false);
    const files = ofDrop(event.dataTransfer);
    this.#take(() => files);
  }

  async #take(pick) {
    this.#reading.abort();
    this.#reading = new AbortController();
    const { signal } = this.#reading;
    Object.assign(this.draft, { pkg: null, inspected: null, sentTo: "" });
    this.onPackage(null);
    const bar = meter("Reading the package");
    try {
      const { name, entries } = await pick();
      const why = whyNot(entries);
      if (why) throw new Error(why);
      replace(this.told, h("p", {}, "Reading ", h("b", {}, h("bdi", {}, name)), " …"), bar.element);
      const onHashed = (done, total) => bar.show(done, total, `${sizeText(done)} of ${sizeText(total)} (${percentText(done, total)})`);
      const pkg = await makePackage(entries, { name, onHashed, signal });
      if (signal.aborted) return;
      Object.assign(this.draft, { pkg, sentTo: sentTo(this.room, pkg.manifest.digest) });
      this.#tell();
      this.onPackage(pkg);
    } catch (error) {
      if (!signal.aborted) replace(this.told, problem(error));
    } finally {
      // picked once more, the same files are a change
      this.file.value = this.folder.value = "";
    }
  }

  #tell() {
    const { pkg } = this.draft;
    replace(this.told, h("p.picked", {}, h("b", {}, h("bdi", {}, pkg.name)), ` · ${count(pkg.files.length, "file")}, ${sizeText(pkg.size)}`));
  }
}
