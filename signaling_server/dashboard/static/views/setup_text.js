// What there is to know about sleap-rtc, for who has never used it: what it is, rooms, roles, tokens, secrets, ways to connect.

import { TOKEN, command, workerLine } from "../commands.js";
import { h } from "../dom.js";
import { link } from "../router.js";
import { servicePage } from "../top.js";
import { copyable, table } from "../ui.js";

/**
 * All of it.
 *
 * @param {string} server the service's address, for commands.
 * @param {string} room the room's id, or what stands for it.
 * @returns {Node[]}
 */
export const explained = (server, room) => [
  reference(server, room), product(), rooms(), roles(), tokens(server), secrets(), modes(server, room), next(room),
];

const section = (heading, ...content) => h("section.card", {}, h("h2", {}, heading), content);

// a line that is too long is broken between words, and not within "--room"
const typed = (line) => h("code", {}, line.split(" ").flatMap((word, at) => [at > 0 && " ", h("span", {}, word)]));

const points = (pairs) => h("ul", {}, pairs.map(([word, text]) => h("li", {}, h("strong", {}, word), " ", text)));

const reference = (server, room) => section("Commands at a glance", h("div.worded", {}, table("Commands", ["You want to", "You type"], [
  ["Log in", command("login", [], server)],
  ["Create a room", command("room create", ["--name", "My lab"], server)],
  ["Join a room", command("room join", ["--code", "INVITE_CODE"], server)],
  ["Create a worker token", command("token create", ["--room", room, "--name", "gpu-1"], server)],
  ["Start a worker", workerLine(server)],
  ["Submit a training job", command("train", ["--room", room, "--pkg-path", "package.zip"], server)],
].map(([want, line]) => [want, typed(line)]))));

const product = () => section("What is sleap-rtc?",
  h("p", {}, "It trains and runs SLEAP's models on a GPU that is not in your machine. A ", h("strong", {}, "client"), " sends a job, from SLEAP's own " +
    "package or from files; a ", h("strong", {}, "worker"), " on the machine with the GPU runs it, shows how it goes and sends the models back."),
  h("p", {}, "The two talk to each other directly, encrypted, over WebRTC: the way in which browsers make video calls. This ",
    h("strong", {}, "service"), " only helps them find each other. Your videos, labels and models do not pass through it, and no port has to be opened."));

const rooms = () => section("Rooms",
  h("p", {}, "A room is a workspace that people and workers share."),
  points([
    ["For its members only.", "Nobody else finds its workers, or learns that the room exists."],
    ["Models are shared.", "What is trained in a room can be listed, fetched and used by every member of it."],
    ["It ends by itself.", "After 30 days, unless it was made for longer. Its owner can extend it at any time."],
  ]));

const roles = () => section("Owner and member",
  h("div.columns", {},
    h("div", {}, h("h3", {}, "The owner"), h("ul", {},
      ["creates, renames, extends and deletes the room", "makes invites", "makes, replaces and revokes worker tokens",
        "sees to the room's secret", "removes members, and can hand the room over"].map((text) => h("li", {}, text)))),
    h("div", {}, h("h3", {}, "A member"), h("ul", {},
      ["sees the room's workers, and connects to them", "sends jobs for training and for inference", "uses the room's models",
        "manages nothing, and may leave"].map((text) => h("li", {}, text))))),
  h("p", {}, "Become a member with an invite of the owner: ", h("a", { href: link("join") }, "join with a code"), "."));

const tokens = (server) => section("Worker tokens",
  h("p", {}, "A token, also called API key, is what a machine shows to enter a room as a worker."),
  points([
    ["For one room.", "It opens this one, and allows nothing but being a worker there."],
    ["Named.", "A worker is called as its token is, for example lab-gpu-1, unless it has a name of its own. One token may serve several machines."],
    ["Bounded.", "It ends after 7 days, unless it was made for longer. You can replace it while its workers go on."],
    ["Revocable.", "Revoked, it disconnects its workers at once."],
  ]),
  copyable(workerLine(server, TOKEN)));

const secrets = () => section("Room secrets",
  h("p", {}, "A secret is optional, and is for who does not want to trust the service. Worker and client prove to each other that both have it, without " +
    "showing it, before anything of a job is sent. It is shared among members and workers, by another way than this service, which never sees it."));

const modes = (server, room) => section("Three ways to connect", h("div.worded", {}, table("Ways to connect", ["Way", "How it works", "Best for"], [
  ["Session string", [h("p", {}, "A worker without a token prints a line. Whoever has that line trains on it; nobody needs an account."),
    typed("sleap-rtc train --session-string SESSION")], "a single worker, or a first try"],
  ["A room, choosing yourself", [h("p", {}, "The command lists the workers that are online, and you pick one."),
    typed(command("train", ["--room", room], server))], "several workers, when you want to say which"],
  ["A room, automatically", [h("p", {}, "A free worker is taken before a busy one, then the one with the most GPU memory."),
    typed(command("train", ["--room", room, "--auto-select"], server))], "scripts, and whenever any GPU will do"],
])));

const next = (room) => section("Where to go from here",
  h("ul", {},
    room.startsWith("r_") && h("li", {}, h("a", { href: link("rooms", room, "workers") }, "Deploy a worker"), " that starts by itself and outlives upgrades."),
    room.startsWith("r_") && h("li", {}, h("a", { href: link("rooms", room, "invites") }, "Invite your colleagues"), " to the room."),
    h("li", {}, h("code", {}, "sleap-rtc doctor"), " tries everything out on a machine, and says what is wrong and what to do."),
    h("li", {}, h("code", {}, "sleap-rtc demo"), " shows all of it on one machine, with a video that it makes up."),
    h("li", {}, "Every command explains itself: ", h("code", {}, "sleap-rtc train --help"), "."),
    h("li", {}, h("a", servicePage("docs"), "The service's programming interface"), ", for scripts of your own.")));
