// A service and a worker in one, inside the page that is tested: `Liar` stands in for the browser's WebSocket, links
// come about over real connections, and one part of what both say is a lie.
//
// A case names the lie: `welcome`, `sdp`, `hello` and `proof` edit what is said, `context` what the proof covers,
// `opened` does something with the open control channel, and `proven` with the proven link.

const { hex, join, sha256, u32, unhex, utf8 } = await import("/dashboard/static/peer/bytes.js");
const { workerIdOf } = await import("/dashboard/static/peer/ids.js");
const { pack } = await import("/dashboard/static/peer/frames.js");

const ROOM = "r_12345678";
const SUITE = "hkdf-sha256+hmac-sha256+ed25519";
const framed = (...parts) => join(parts.flatMap((part) => [u32(part.length), part]));
const fingerprint = (sdp) => unhex(/a=fingerprint:sha-256 (.*)/.exec(sdp)[1].trim().replaceAll(":", "").toLowerCase());
const newKey = async () => {
  const { privateKey, publicKey } = await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"]);
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
  return {
    raw,
    id: await workerIdOf(raw),
    sign: async (bytes) => hex(await crypto.subtle.sign("Ed25519", privateKey, bytes)),
  };
};

async function noSecretKey(role) {
  const material = await crypto.subtle.importKey("raw", new Uint8Array(32), "HKDF", false, ["deriveBits"]);
  const salt = await sha256(join([utf8("sleap-rtc room"), utf8(ROOM)]));
  const bits = await crypto.subtle.deriveBits(
    { name: "HKDF", hash: "SHA-256", salt, info: utf8(`${role} proof`) },
    material,
    256,
  );
  return crypto.subtle.importKey("raw", bits, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
}

// the other end of a link: what arrives waits until it is read
class End {
  constructor(channel) {
    this.channel = channel;
    this.read = [];
    this.waiting = null;
    channel.binaryType = "arraybuffer";
    this.unread = [];
    channel.onmessage = ({ data }) => {
      this.read.push(data);
      this.unread.push(data);
      this.waiting?.();
      const refused = typeof data === "string" && data.startsWith('{"type":"error"') && !this.proven;
      if (refused) channel.close();
    };
  }
  async next() {
    while (!this.unread.length) await new Promise((resolve) => (this.waiting = resolve));
    return this.unread.shift();
  }
  // the next message of a type, others left out
  async heard(type) {
    for (;;) {
      const message = JSON.parse(await this.next());
      if (message.type === type) return message;
    }
  }
  // the first message of a type, whenever it came
  async seen(type) {
    for (;;) {
      const texts = this.read.filter((data) => typeof data === "string");
      const found = texts.map((text) => JSON.parse(text)).find((message) => message.type === type);
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  say(message) {
    this.channel.send(typeof message === "object" && !ArrayBuffer.isView(message) ? JSON.stringify(message) : message);
  }
}

async function answered(sdp, edit = (text) => text) {
  const pc = new RTCPeerConnection();
  const channel = pc.createDataChannel("sleap-rtc", { negotiated: true, id: 0 });
  const end = new End(channel);
  await pc.setRemoteDescription({ type: "offer", sdp });
  await pc.setLocalDescription();
  if (pc.iceGatheringState !== "complete")
    await new Promise(
      (resolve) => (pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && resolve()),
    );
  const opened = new Promise((resolve) => {
    if (channel.readyState === "open") resolve();
    else channel.onopen = resolve;
  });
  return { pc, end, opened, own: pc.localDescription.sdp, sdp: edit(pc.localDescription.sdp) };
}

function liar(lie, key) {
  const self = { ends: [], connections: [] };
  self.Socket = class {
    constructor() {
      setTimeout(() =>
        this.tell({
          type: "welcome",
          nonce: "00".repeat(32),
          principal: { user: "u_12345678", name: "ada", role: "client", room: ROOM, session: "p_12345678" },
          ...lie.welcome,
        }),
      );
    }
    tell(message) {
      this.onmessage?.({ data: JSON.stringify(message) });
    }
    send(text) {
      const message = JSON.parse(text);
      if (message.type === "workers") this.tell({ type: "worker_list", re: message.id, workers: [] });
      else if (message.type === "offer") this.meet(message);
      else if (message.type === "candidate" && message.candidate)
        self.connections
          .at(-1)
          ?.then(({ pc }) => pc.addIceCandidate({ candidate: message.candidate.candidate, sdpMLineIndex: 0 }));
    }
    close() {
      this.onclose?.({ code: 1000 });
    }
    async meet({ link, sdp }) {
      const made = answered(sdp, lie.sdp);
      self.connections.push(made);
      const { pc, end, opened, own, sdp: said } = await made;
      self.ends.push(end);
      this.tell({ type: "answer", link, sdp: said });
      await opened;
      if (lie.opened && (await lie.opened(end, pc)) !== "go on") return;
      const hello = {
        type: "hello",
        v: 1,
        suite: SUITE,
        worker_id: key.id,
        worker_pub: hex(key.raw),
        secrets: [],
        nonce: "11".repeat(32),
        abilities: ["train"],
        ...lie.hello,
      };
      const helloText = JSON.stringify(hello);
      end.say(lie.helloText ? lie.helloText(helloText) : helloText);
      const first = await end.next();
      const client = JSON.parse(first);
      if (client.type !== "proof.client") return;
      const context = {
        room: ROOM,
        user: "u_12345678",
        link,
        fpClient: fingerprint(sdp),
        fpWorker: fingerprint(own),
        ...lie.context,
      };
      const covered = framed(
        utf8("sleap-rtc/p2p-auth/1"),
        utf8(SUITE),
        utf8(context.room),
        u32(0),
        utf8(key.id),
        key.raw,
        utf8(context.user),
        utf8(context.link),
        context.fpClient,
        context.fpWorker,
        unhex("11".repeat(32)),
        unhex(JSON.parse(client.hello).nonce),
        await sha256(framed(utf8(helloText), utf8(client.hello))),
      );
      const mac = hex(await crypto.subtle.sign("HMAC", await noSecretKey("worker"), covered));
      const signature = await (lie.signer ?? key).sign(join([utf8("sleap-rtc worker/1"), covered]));
      const proof = { type: "proof.worker", mac, signature, ...lie.proof };
      end.say(lie.proofText ? lie.proofText(first) : proof);
      end.proven = true;
      await lie.proven?.(worker(end));
    }
  };
  return self;
}

// what a proven worker that misbehaves has: the control channel, and the one lane that the page opens
function worker(end) {
  return {
    end,
    async lane() {
      const { id, lane, sdp } = await end.heard("lane.open");
      const made = await answered(sdp);
      end.say({ type: "lane.answer", re: id, sdp: made.sdp });
      for (;;) {
        const message = await Promise.race([made.opened, end.heard("lane.candidate")]);
        if (message?.type !== "lane.candidate") return { number: lane, end: made.end };
        await made.pc.addIceCandidate({ candidate: message.candidate.candidate, sdpMLineIndex: 0 });
      }
    },
  };
}

const twice = (sdp) => sdp.replace(/(a=fingerprint:.*\r\n)/, "$1$1");
const other = await newKey();
const nested = `${'{"type":"hello","x":'}${"[".repeat(30)}${"]".repeat(30)}}`;

// what a page that downloads is told, and what it asks for of a file: its parts are so many zeros each
const part = new Uint8Array(32768);
const partHash = await sha256(part);
const parts = join([u32(part.length), partHash, u32(part.length), partHash]);
const entry = { path: "../../e<vil>.zip", size: 2 * part.length, chunks: hex(await sha256(parts)) };

// answers a page's download, with what a case says instead
async function offer(
  { end, lane },
  { manifest = { files: [entry] }, list = parts, file = () => part, frames = (pieces) => pieces } = {},
) {
  const over = await lane();
  const send = (stream, bytes) => {
    for (const each of frames([[stream, 0, bytes, true]])) over.end.say(pack(...each));
  };
  const { stream } = await end.heard("manifest.get");
  send(stream, utf8(JSON.stringify(manifest)));
  send((await end.heard("chunks.get")).stream, list);
  for (;;) {
    const { stream: number, offset, size } = await end.heard("file.get");
    send(number, join(Array.from({ length: size / part.length }, (_, at) => file(offset / part.length + at))));
  }
}

// what a proven worker does, and how the page's link or its request ends: `ask` is what the page wants of it
const list = (remote) => remote.jobs();
const download = async (remote) => {
  const { name, blob } = await remote.download("z_12345678");
  return { name, bytes: hex(await sha256(new Uint8Array(await blob.arrayBuffer()))) };
};
const over = (act) => async (worker) => act((await worker.lane()).end, worker.end);
const summary = {
  job: "j_12345678",
  name: "\u001b]52;c;aGk=\u0007fly\u202e<img src=x>",
  state: "done",
  submitted: 1,
  owner: "ada",
};
const MISBEHAVIOURS = {
  "bytes on the control channel": ["link", "protocol", list, ({ end }) => end.say(new Uint8Array(4))],
  "no JSON": ["link", "protocol", list, ({ end }) => end.say("{")],
  "no message": ["link", "protocol", list, ({ end }) => end.say("[]")],
  "an id that is none": ["link", "protocol", list, ({ end }) => end.say('{"type":"x","id":-1}')],
  "text on a lane": ["link", "protocol", list, over((lane) => lane.say("text"))],
  "no frame on a lane": ["link", "protocol", list, over((lane) => lane.say(new Uint8Array(15)))],
  "a frame for a stream that nobody opened": [
    "link",
    "protocol",
    list,
    over((lane) => lane.say(pack(9, 0, part, true))),
  ],
  "a stream of the page's own numbers": [
    "link",
    "protocol",
    list,
    over((_, end) => end.say({ type: "manifest.get", transfer: "j_12345678", stream: 1, lane: 0, window: 9 })),
  ],
  "a window beyond all": [
    "link",
    "protocol",
    list,
    over((_, end) => end.say({ type: "manifest.get", transfer: "j_12345678", stream: 2, lane: 0, window: 2 ** 40 })),
  ],
  "lanes without number": ["link", "protocol", list, ({ end }) => end.say({ type: "lane.wanted", lanes: 1e9 })],
  "a lane of its own": [
    "request",
    null,
    list,
    async ({ end }) => {
      const { id } = await end.heard("job.list");
      end.say({ type: "lane.open", id: 7, lane: 1, sdp: "" });
      const { error } = await end.heard("error");
      end.say({ type: "job.listed", re: id, jobs: [{ ...summary, owner: error.code }] });
    },
  ],
  "a goodbye for ever": [
    "closed",
    "forbidden",
    list,
    ({ end }) =>
      end.say({ type: "bye", id: 3, reason: "x", error: { code: "forbidden", sentence: "Not \u001b[1myou." } }),
  ],
  "a lane that ends while the page writes": [
    "request",
    "lane_lost",
    async (remote) => remote.submit("j_12345678", await peer.makePackage([{ path: "a", file: new File(["a"], "a") }])),
    async ({ end, lane }) => {
      const { number } = await lane();
      const { send } = RTCDataChannel.prototype;
      RTCDataChannel.prototype.send = function (data) {
        if (typeof data !== "string") throw new DOMException("it is closing", "InvalidStateError");
        send.call(this, data);
      };
      const { id } = await end.seen("job.submit");
      end.say({ type: "manifest.get", transfer: "j_12345678", stream: 2, lane: number, window: 65536 });
      const { reason } = await end.seen("stream.reset");
      RTCDataChannel.prototype.send = send;
      end.say({ type: "error", re: id, error: reason });
    },
  ],
  "another answer": [
    "request",
    "protocol",
    list,
    async ({ end }) => end.say({ type: "ok", re: (await end.heard("job.list")).id }),
  ],
  "a list of nothing": [
    "request",
    "protocol",
    list,
    async ({ end }) => end.say({ type: "job.listed", re: (await end.heard("job.list")).id, jobs: [null] }),
  ],
  "a list without end": [
    "request",
    null,
    list,
    async ({ end }) => {
      for (;;) end.say({ type: "job.listed", re: (await end.heard("job.list")).id, jobs: [summary], more: true });
    },
  ],
  "an honest download": ["request", null, download, (worker) => offer(worker)],
  "two files where one was asked for": [
    "request",
    "protocol",
    download,
    (worker) => offer(worker, { manifest: { files: [entry, entry] } }),
  ],
  "a size beyond all": [
    "request",
    "protocol",
    download,
    (worker) => offer(worker, { manifest: { files: [{ ...entry, size: 2 ** 60 }] } }),
  ],
  "a list of other parts": [
    "request",
    "protocol",
    download,
    (worker) => offer(worker, { list: join([u32(65536), partHash]) }),
  ],
  "parts that are too many": [
    "link",
    "protocol",
    download,
    (worker) => offer(worker, { list: new Uint8Array(36 * 50) }),
  ],
  "a part that is damaged each time": [
    "request",
    "transfer",
    download,
    (worker) => offer(worker, { file: (at) => (at ? new Uint8Array(32768).fill(1) : part) }),
  ],
  "more than was asked for": [
    "link",
    "protocol",
    download,
    (worker) => offer(worker, { file: () => join([part, part]) }),
  ],
  "parts out of order": [
    "link",
    "protocol",
    download,
    (worker) => offer(worker, { frames: ([[stream, , bytes]]) => [[stream, 5, bytes, true]] }),
  ],
  crumbs: [
    "link",
    "protocol",
    download,
    (worker) =>
      offer(worker, {
        frames: ([[stream, , bytes]]) =>
          Array.from(bytes.subarray(0, 100), (_, at) => [stream, at, bytes.subarray(at, at + 1), false]),
      }),
  ],
};

// ends in a refusal before anything but the page's proof was sent; the code that it has
const REFUSED = {
  "another room": [
    "forbidden",
    {
      welcome: {
        principal: { user: "u_12345678", name: "ada", role: "client", room: "r_87654321", session: "p_12345678" },
      },
    },
  ],
  "two fingerprints": ["protocol", { sdp: twice }],
  "a fingerprint of another kind beside it": [
    "protocol",
    { sdp: (sdp) => sdp.replace(/(a=fingerprint:)/, `a=fingerprint:sha-1 ${Array(20).fill("AA").join(":")}\r\n$1`) },
  ],
  "sound beside the data": ["protocol", { sdp: (sdp) => `${sdp}m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n` }],
  "a description that is too long": ["protocol", { sdp: (sdp) => sdp + "a=x\r\n".repeat(4000) }],
  "another key": ["authentication", { hello: { worker_pub: hex(other.raw) } }],
  "another worker": ["authentication", { hello: { worker_pub: hex(other.raw), worker_id: other.id } }],
  "a secret that the page does not have": [
    "authentication",
    { hello: { secrets: [{ epoch: 1, id: "00".repeat(8) }] } },
  ],
  "another version": ["protocol", { hello: { v: 2 } }],
  "another suite": ["protocol", { hello: { suite: "none" } }],
  "a hello that is nested too deep": ["protocol", { helloText: () => nested }],
  "a hello in bytes": ["protocol", { helloText: (text) => utf8(text) }],
  "no hello": ["protocol", { helloText: () => '{"type":"ok"}' }],
  "another hello than it signed": ["authentication", { helloText: (text) => text.replace('"train"', '"root"') }],
  "a proof of another connection": ["authentication", { context: { fpWorker: new Uint8Array(32) } }],
  "a proof for another client": ["authentication", { context: { fpClient: new Uint8Array(32) } }],
  "a proof of another link": ["authentication", { context: { link: "l_87654321" } }],
  "a proof for another user": ["authentication", { context: { user: "u_87654321" } }],
  "a proof in another room": ["authentication", { context: { room: "r_87654321" } }],
  "the signature of another key": ["authentication", { signer: other }],
  "another MAC": ["authentication", { proof: { mac: "00".repeat(32) } }],
  "half a signature": ["protocol", { proof: { signature: "00".repeat(32) } }],
  "success without proof": ["protocol", { proofText: () => ({ type: "ok" }) }],
  "the page's own words": ["protocol", { proofText: (first) => first }],
  silence: ["unreachable", { opened: () => "say nothing" }],
  "a second channel": ["protocol", { opened: (end, pc) => void pc.createDataChannel("another") }],
  "more than hellos and proofs take": [
    "protocol",
    {
      opened: (end) => {
        for (let at = 0; at < 30; at += 1) end.say("x".repeat(60_000));
      },
    },
  ],
  "a refusal": [
    "busy",
    { helloText: () => JSON.stringify({ type: "error", error: { code: "busy", sentence: "Not \u001b[31mnow." } }) },
  ],
};

async function meets(peer, lie, use) {
  const key = await newKey();
  const self = liar(lie, key);
  const real = globalThis.WebSocket;
  globalThis.WebSocket = self.Socket;
  try {
    const times = { connect: 5000, proof: 1500, first: 50, most: 200, dead: 3000, ping: 300, bye: 100, poll: 1e6 };
    const pins = { get: () => null, set: () => {} };
    const room = new peer.Room(ROOM, { times, pins });
    try {
      return await use(room, key.id, self);
    } finally {
      room.close();
      for (const made of self.connections) (await made).pc.close();
    }
  } finally {
    globalThis.WebSocket = real;
  }
}

async function refusals(peer) {
  const results = {};
  for (const [name, [code, lie]] of Object.entries({ "an honest worker": [null, {}], ...REFUSED })) {
    results[name] = await meets(peer, lie, async (room, id, self) => {
      const found = await room.connect(id).then(
        (remote) => remote.close(),
        (error) => error,
      );
      const said = self.ends
        .flatMap((end) => end.read)
        .filter((data) => typeof data === "string")
        .map((data) => JSON.parse(data).type);
      return {
        code: found?.code ?? null,
        sentence: found?.message ?? "",
        expected: code,
        said: code ? said : [],
        links: self.ends.length,
      };
    });
  }
  return results;
}

async function misbehaviours(peer) {
  const results = {};
  for (const [name, [what, code, ask, act]] of Object.entries(MISBEHAVIOURS)) {
    let turn = 0;
    // only the first link misbehaves: a page that redials must not be told the same again before we have looked
    const lie = {
      proven: (worker) => {
        turn += 1;
        return turn > 1 ? undefined : act(worker);
      },
    };
    results[name] = await meets(peer, lie, async (room, id) => {
      const remote = await room.connect(id);
      const ends = [];
      const ended = new Promise((resolve) =>
        remote.onState((state, reason) => {
          ends.push([state, reason]);
          if (state !== "ready") resolve();
        }),
      );
      const asked = ask(remote).then(
        (value) => ({ code: null, value }),
        (error) => ({ code: error.code, sentence: error.message }),
      );
      const late = new Promise((resolve) => setTimeout(() => resolve({ code: "nothing came of it" }), 8000));
      const found = await Promise.race([what === "request" ? asked : ended, late]);
      const state = remote.state;
      await remote.close();
      return { ...(found ?? {}), what, expected: code, state, reason: ends[0]?.[1] ?? "" };
    });
  }
  return results;
}
