// The dashboard's views stand behind the # of the address, which no form sends: it waits in this tab until one is logged in.
// It may hold an invite, so it is taken out of the address, where histories would keep it.
"use strict";

if (location.hash.startsWith("#/")) {
  sessionStorage.setItem("sleap-rtc:place", location.hash);
  history.replaceState(null, "", location.pathname + location.search);
}
