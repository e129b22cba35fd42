// Takes the secret of the link out of the address, where no server and no history keeps it, into the form.
"use strict";

const field = document.getElementById("code");
const secret = location.hash.slice(1);

if (secret) {
  field.value = secret;
  history.replaceState(null, "", location.pathname);
}
if (field.value) {
  document.getElementById("code-field").hidden = true;
  document.getElementById("password").focus();
}
