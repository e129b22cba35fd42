// Command lines and files to copy, with everything filled in. Text of others in them is quoted.

const DEFAULT_SERVER = "http://127.0.0.1:8000";
const THIS_MACHINE = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** Stands where a token is to be put. */
export const TOKEN = "YOUR_TOKEN";

/** A word of a command line, quoted for the shell where it has to be. */
export const quoted = (text) =>
  /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

/** A value of a TOML file; JSON writes text as TOML reads it, but for one character. */
const tomlText = (text) => JSON.stringify(text).replaceAll("\u007f", "\\u007f");

/** The option that leads to this service, with a space before it; nothing where commands find it by themselves. */
const serverWords = (server) => (server === DEFAULT_SERVER ? "" : ` --server ${quoted(server)}`);

/** Whether the service's address leads nowhere on other machines. */
export const onlyHere = (server) => THIS_MACHINE.has(new URL(server).hostname);

/** A command: `command("room join", ["--code", code], server)`. */
export const command = (verb, words, server) =>
  `sleap-rtc ${[verb, ...words.map(quoted)].join(" ")}${serverWords(server)}`;

/** How a worker is started where nobody else uses the machine. */
export const workerLine = (server, token = TOKEN) => command("worker", ["--api-key", token], server);

/** The same, with the token where no list of processes shows it. */
export const workerVariable = (server, token = TOKEN) =>
  `SLEAP_RTC_API_KEY=${token} sleap-rtc worker${serverWords(server)}`;

const variables = (server, token) => `SLEAP_RTC_SERVER=${server}\nSLEAP_RTC_API_KEY=${token}`;

const envFile = (server, token) => `(umask 077; cat > worker.env) <<'EOF'\n${variables(server, token)}\nEOF`;

/** What is typed on a GPU machine that was reached by SSH: once, and whenever the worker is to run. */
export const ssh = (server, token = TOKEN) => ({
  reach: "ssh YOU@GPU-MACHINE",
  install: "python3 -m venv ~/sleap-rtc\n~/sleap-rtc/bin/pip install sleap-rtc",
  run: `export ${variables(server, token).replace("\n", "\nexport ")}\n~/sleap-rtc/bin/sleap-rtc worker`,
});

const UNIT = `[Unit]
Description=sleap-rtc worker
Wants=network-online.target
After=network-online.target

[Service]
User=sleap
EnvironmentFile=/etc/sleap-rtc/worker.env
ExecStart=/opt/sleap-rtc/bin/sleap-rtc worker
KillMode=process
Restart=on-failure
RestartSec=10

[Install]
WantedBy=multi-user.target`;

/** The same as a service of the machine (docs/deploy.md): a training outlives the worker's restart. */
export const systemd = (server, token = TOKEN) => ({
  install: `sudo apt install bubblewrap python3-venv
sudo useradd --system --create-home sleap
sudo python3 -m venv /opt/sleap-rtc
sudo /opt/sleap-rtc/bin/pip install sleap-rtc`,
  variables: `${envFile(server, token)}
sudo install -D --mode=600 worker.env /etc/sleap-rtc/worker.env && rm worker.env`,
  unit: `sudo tee /etc/systemd/system/sleap-rtc-worker.service > /dev/null <<'EOF'\n${UNIT}\nEOF`,
  run: `sudo systemctl daemon-reload
sudo systemctl enable --now sleap-rtc-worker
journalctl --unit sleap-rtc-worker --follow`,
});

/** The same in a container, built in a clone of the repository (Dockerfile.worker). */
export const docker = (server, token = TOKEN) => ({
  build: "docker build -f Dockerfile.worker -t sleap-rtc-worker .",
  variables: envFile(server, token),
  run: `docker run --detach --name sleap-worker --restart unless-stopped \\
    --gpus all --init --network host --shm-size 4g --stop-timeout 86400 \\
    --env-file worker.env --volume sleap-worker:/data \\
    sleap-rtc-worker worker --drain`,
  logs: "docker logs --follow sleap-worker",
});

/** A `sleap-rtc.toml` for this room; what is not known yet stands there as a comment. */
export function configuration(server, room, token) {
  const key = token ? `api_key = ${tomlText(token)}` : '# api_key = "slp_…"';
  return `# Default room for commands
default_room = ${tomlText(room)}
# The signaling service
server = ${tomlText(server)}

# Worker configuration
[worker]
${key}
name = "lab-gpu-1"

# Room secrets (optional)
[secrets]
# ${tomlText(room)} = "slrs_…"

# Client configuration
[client]
auto_select = true
`;
}
