// The settings of a training that are often changed, by sleap-nn's own keys; what is left empty stays as the package says.

import { h } from "../../dom.js";
import { field } from "../../ui.js";
import { MODEL_NAME } from "./model_words.js";

const TRAIN = "trainer_config.train_data_loader.batch_size";
const VALIDATE = "trainer_config.val_data_loader.batch_size";
const FIELDS = [
  { id: "max-epochs", label: "Epochs, at most", keys: ["trainer_config.max_epochs"], of: "max_epochs", min: 1, step: 1 },
  { id: "batch-size", label: "Batch size", keys: [TRAIN, VALIDATE], of: "batch_size", min: 1, step: 1 },
  { id: "lr", label: "Learning rate", keys: ["trainer_config.optimizer.lr"], of: "learning_rate", min: 0, step: "any" },
  { id: "min-steps", label: "Steps per epoch, at least", keys: ["trainer_config.min_train_steps_per_epoch"], of: "min_steps", min: 1, step: 1 },
  { id: "scale", label: "Input scale", keys: ["data_config.preprocessing.scale"], of: "scale", min: 0, step: "any" },
  { id: "devices", label: "GPUs", keys: [], of: "devices", min: 1, step: 1 },
];

/** The options of the job, as the protocol's TrainOptions has them. */
export function optionsOf({ values, registerAs }) {
  const overrides = FIELDS.filter(({ id }) => values[id] !== undefined).flatMap(({ id, keys }) =>
    keys.map((key) => ({ key, value: values[id] })));
  const options = { kind: "train", overrides };
  if (values.devices !== undefined) options.devices = values.devices;
  if (registerAs) options.register_as = registerAs;
  return options;
}

/**
 * The fields of the settings.
 *
 * @param {object} draft its `values` and `registerAs` are changed.
 * @param {function()} onChange called when one was changed, and all are in order.
 */
export function settings(draft, onChange) {
  const form = h("form", { onsubmit: (event) => event.preventDefault() });
  const note = (id, input) => {
    if (!form.reportValidity()) return;
    const text = input.value.trim();
    if (text === "") delete draft.values[id];
    else draft.values[id] = Number(text);
    onChange();
  };
  const name = h("input", { id: "register-as", value: draft.registerAs, ...MODEL_NAME,
    onchange: () => {
      if (!form.reportValidity()) return;
      draft.registerAs = name.value.trim();
      onChange();
    } });
  form.append(
    h("div.grid", {}, FIELDS.map(({ id, label, of, min, step }) => field(label, h("input", {
      id, type: "number", min, step, inputmode: "decimal", value: draft.values[id] ?? "",
      placeholder: draft.before ? asPackage(draft.before, of) : "", onchange: (event) => note(id, event.target),
    })))),
    field("Name of the model in this room", name, "Optional: it becomes NAME@1, NAME@2 …, and everybody in the room finds it."));
  return form;
}

function asPackage(runs, of) {
  const values = [...new Set(runs.map((run) => run[of]).filter((value) => value !== null && value !== undefined))];
  return values.length > 1 ? `${values.join(", ")} (they differ)` : (values[0] ?? "");
}
