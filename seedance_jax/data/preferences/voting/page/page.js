// The voting page: shows a ballot, sends the answers.

import * as asking from "./asking.js";
import { nudge, start, stop, toggle } from "./player.js";

const ANSWERS = [
  ["first", "Clip 1", "1"],
  ["tie", "Same", "t"],
  ["second", "Clip 2", "2"],
  ["cannot_tell", "Cannot tell", "x"],
];
const GIVEN = { image: "Given first frame", last_image: "Given last frame" };
const COARSE = 256; // clips of fewer pixels a side are shown in squares, not smoothed
const find = (id) => document.getElementById(id);

let ballot = null;
let shownAt = 0;
let busy = false; // one thing at a time
let addresses = []; // of the blobs on the page

// --- talking to the server

const LOST = "What you chose is still here: try again.";
const call = (path, body) => asking.call(path, body, LOST);

async function attempt(action) {
  const buttons = document.querySelectorAll("button");
  if (busy) return;
  busy = true;
  buttons.forEach((button) => (button.disabled = true));
  tell("");
  try {
    await action();
  } catch (error) {
    if (error.stale) await open(ballot.voter).catch(() => {});
    tell(error.message);
  }
  buttons.forEach((button) => (button.disabled = false));
  busy = false;
}

function tell(message) {
  find("error").textContent = message;
  find("error").hidden = !message;
}

async function open(voter) {
  await show(await (await call(`ballot?voter=${encodeURIComponent(voter)}`)).json());
}

function send() {
  const answers = chosen();
  const missing = groups().find((group) => !(group.dataset.axis in answers));
  if (missing) {
    tell(`No answer yet: ${missing.querySelector("b").textContent}`);
    return enter(missing);
  }
  attempt(async () => {
    const seconds = (performance.now() - shownAt) / 1000;
    const reply = await call("vote", { ticket: ballot.ticket, answers, seconds });
    await show(await reply.json());
  });
}

function undo() {
  if (!ballot) return;
  attempt(async () => {
    await show(await (await call("undo", { voter: ballot.voter })).json());
    find("status").textContent = "Your last vote is taken back.";
  });
}

// --- what is shown

async function show(next) {
  ballot = next;
  sessionStorage.setItem("voter", next.voter);
  localStorage.setItem("voter", next.voter);
  document.querySelectorAll(".voter").forEach((place) => (place.textContent = next.voter));
  document.querySelectorAll(".undo").forEach((button) => (button.hidden = !next.done));
  const place = next.ticket ? "ballot" : "end";
  ["start", "ballot", "end"].forEach((id) => (find(id).hidden = id !== place));
  clear();
  if (!next.ticket) return find("end").querySelector("h1").focus();
  find("bar").max = next.total;
  find("bar").value = next.done;
  find("count").textContent = `${next.done + 1} of ${next.total}`;
  find("prompt").textContent = next.prompt;
  find("questions").replaceChildren(...Object.entries(next.questions).map(makeQuestion));
  window.scrollTo(0, 0);
  find("prompt").focus({ preventScroll: true });
  const before = Object.entries(next.answers ?? {}); // of a vote that was taken back
  before.forEach(([axis, answer]) => choose(axis, answer));
  if (before.length) enter(groups()[0]);
  markCurrent();
  find("status").textContent = `Pair ${next.done + 1} of ${next.total}: ${next.prompt}`;
  await Promise.all([showClips(next), showGiven(next)]);
  shownAt = performance.now();
}

function clear() {
  stop();
  addresses.forEach((address) => URL.revokeObjectURL(address));
  addresses = [];
  find("given").replaceChildren();
  document.querySelectorAll(".frame").forEach((frame) => frame.replaceChildren());
}

function makeQuestion([axis, question]) {
  const group = document.createElement("fieldset");
  group.dataset.axis = axis;
  const legend = group.appendChild(document.createElement("legend"));
  const words = axis.replace("_", " ");
  legend.appendChild(document.createElement("b")).textContent =
    words[0].toUpperCase() + words.slice(1);
  legend.append(" ");
  legend.appendChild(document.createElement("span")).textContent = question;
  const options = group.appendChild(document.createElement("div"));
  options.className = "options";
  for (const [value, text, key] of ANSWERS) {
    const label = options.appendChild(document.createElement("label"));
    const input = label.appendChild(document.createElement("input"));
    Object.assign(input, { type: "radio", name: axis, value, ariaKeyShortcuts: key });
    input.setAttribute("aria-label", text);
    label.append(text);
    label.appendChild(document.createElement("kbd")).textContent = key.toUpperCase();
  }
  return group;
}

async function load(path) {
  const address = URL.createObjectURL(await (await call(path)).blob());
  addresses.push(address);
  return address;
}

async function showGiven({ ticket, given }) {
  const figures = given.map(async (name, place) => {
    const figure = document.createElement("figure");
    const caption = GIVEN[name] ?? `Given ${name.replace("frames", "frame")}`;
    Object.assign(figure.appendChild(new Image()), {
      src: await load(`given/${ticket}/${place}`),
      alt: caption,
    });
    figure.appendChild(document.createElement("figcaption")).textContent = caption;
    return figure;
  });
  find("given").replaceChildren(...(await Promise.all(figures)));
}

async function showClips({ ticket, width, height, num_frames, fps }) {
  const moving = num_frames > 1;
  find("clips").classList.toggle("wide", width > 1.2 * height);
  find("controls").hidden = !moving;
  const sources = await Promise.all([0, 1].map((place) => load(`clip/${ticket}/${place}`)));
  const shown = sources.map((src, place) => {
    const element = document.createElement(moving ? "video" : "img");
    element.setAttribute("aria-label", `Clip ${place + 1}`);
    element.classList.toggle("coarse", Math.max(width, height) < COARSE);
    element.style.setProperty("--aspect", width / height);
    if (moving) Object.assign(element, { muted: true, playsInline: true, preload: "auto" });
    element.src = src;
    return element;
  });
  document.querySelectorAll(".frame").forEach((frame, place) => frame.replaceChildren(shown[place]));
  await Promise.all(shown.map((element) => ready(element, moving)));
  if (moving) await start(shown, fps, num_frames);
}

function ready(element, moving) {
  return new Promise((resolve, reject) => {
    element.addEventListener(moving ? "loadedmetadata" : "load", resolve, { once: true });
    element.addEventListener("error", () => {
      const error = new Error("This browser cannot show the clip (H.264 in mp4); try another one.");
      tell(error.message); // also when it comes late
      reject(error);
    });
  });
}

// --- answers

const groups = () => [...find("questions").children];
const chosen = () => Object.fromEntries(new FormData(find("answers")));
const unanswered = () => groups().find((group) => !(group.dataset.axis in chosen()));
const current = () => document.activeElement?.closest("fieldset") ?? unanswered();

function choose(axis, answer) {
  const inputs = [...document.querySelectorAll(`input[name="${axis}"]`)];
  const input = inputs.find(({ value }) => value === answer);
  if (input) input.checked = true;
}

function enter(group) {
  const target = group?.querySelector("input:checked") ?? group?.querySelector("input");
  (target ?? find("send")).focus();
  markCurrent();
}

function markCurrent() {
  groups().forEach((group) => group.classList.toggle("current", group === current()));
}

function answerByKey(answer) {
  const group = current();
  if (!group) return;
  choose(group.dataset.axis, answer);
  enter(group.nextElementSibling ?? unanswered());
}

const KEYS = {
  p: toggle,
  ",": () => nudge(-1),
  ".": () => nudge(1),
  enter: send,
  ...Object.fromEntries(ANSWERS.map(([answer, , key]) => [key, () => answerByKey(answer)])),
};

function onKey(event) {
  const key = event.key.toLowerCase();
  const { target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (!ballot || !find("start").hidden) return;
  if (key === "enter" && target.tagName === "BUTTON") return; // it does what the button does
  const action = key === "u" ? undo : ballot.ticket && KEYS[key];
  if (!action) return;
  event.preventDefault();
  action();
}

// --- beginning

function greet() {
  clear();
  ballot = null;
  sessionStorage.removeItem("voter");
  ["start", "ballot", "end"].forEach((id) => (find(id).hidden = id !== "start"));
  find("name").value = localStorage.getItem("voter") ?? "";
  find("name").focus();
}

find("start").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(() => open(find("name").value));
});
find("answers").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
find("answers").addEventListener("change", markCurrent);
find("answers").addEventListener("focusin", markCurrent);
document.querySelectorAll(".undo").forEach((button) => button.addEventListener("click", undo));
document.querySelectorAll(".leave").forEach((button) => button.addEventListener("click", greet));
document.addEventListener("keydown", onKey);
const voter = sessionStorage.getItem("voter");
if (voter) attempt(() => open(voter)).then(() => ballot ?? greet());
else greet();
