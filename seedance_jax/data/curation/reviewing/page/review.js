// The page of reviews: shows clips, sends decisions.

import * as asking from "./asking.js";

const COUNT = 24;
const COARSE = 256; // clips of fewer pixels a side are shown in squares, not smoothed
const find = (id) => document.getElementById(id);
const kept = ["filter", "shown"]; // fields that outlive the page being loaded again

let start = 0; // of the page, among the rows that were found
let found = 0;
let labels = [];
let current = 0; // the card that keys are of
let asked = 0; // only the last answer is shown
let addresses = []; // of the blobs on the page

// --- talking to the server

const LOST = "The last decision was not taken: try again.";
const call = (path, body) => asking.call(path, body, LOST);

async function attempt(action) {
  tell("");
  try {
    await action();
  } catch (error) {
    tell(error.message);
  }
}

function tell(message) {
  find("error").textContent = message;
  find("error").hidden = !message;
}

function reviewer() {
  const name = find("reviewer").value.trim();
  if (!name) {
    find("reviewer").focus();
    throw new Error("Say who you are first.");
  }
  localStorage.setItem("reviewer", name);
  return name;
}

// --- what is shown

async function load(to = 0) {
  const number = ++asked;
  const query = new URLSearchParams({
    filter: find("filter").value,
    shown: find("shown").value,
    sort: find("sort").value,
    falling: find("falling").checked ? "1" : "",
    start: to,
    count: COUNT,
  });
  const answer = await (await call(`rows?${query}`)).json();
  if (number !== asked) return;
  [start, found] = [to, answer.found];
  offer(answer);
  addresses.forEach((address) => URL.revokeObjectURL(address));
  addresses = [];
  find("clips").replaceChildren(...answer.rows.map(makeCard));
  const last = start + answer.rows.length;
  sayCounts(answer.counts);
  find("previous").disabled = start === 0;
  find("next").disabled = last >= found;
  window.scrollTo(0, 0);
  select(0);
}

function sayCounts({ all, keep, drop }) {
  const last = start + cards().length;
  find("status").textContent =
    `${found ? start + 1 : 0} to ${last} of ${found}; of ${all} clips ${keep} are kept, ${drop} dropped`;
}

function offer(answer) {
  const sort = find("sort");
  if (sort.length === 1) sort.append(...answer.columns.map((name) => new Option(name, name)));
  setLabels(answer.labels);
}

function setLabels(names) {
  labels = names;
  find("labels").replaceChildren(...labels.map((name) => new Option(name, name)));
  const own = labels.slice(0, 9).map((name, number) => `${number + 1} ${name}`);
  find("keys").textContent = own.length ? `Labels by key: ${own.join(", ")}` : "";
}

function makeCard(row) {
  const card = find("card").content.firstElementChild.cloneNode(true);
  card.dataset.row = row.row;
  card.querySelector(".caption").textContent = row.caption;
  card.querySelector(".keep").onclick = () => decide(card, "keep");
  card.querySelector(".drop").onclick = () => decide(card, "drop");
  card.querySelector(".label").onchange = () => decide(card, "keep");
  card.onpointerdown = () => select(cards().indexOf(card));
  update(card, row);
  showFilm(card, row);
  return card;
}

function update(card, row) {
  card.classList.toggle("keep", row.decision === "keep");
  card.classList.toggle("drop", row.decision === "drop");
  card.querySelector(".label").value = row.label;
  const sort = find("sort").value;
  const parts = [row.id];
  if (sort in row.values) parts.push(`${sort} ${row.values[sort] ?? "unknown"}`);
  if (row.reviewer) parts.push(`${row.decision === "keep" ? "kept" : "dropped"} by ${row.reviewer}`);
  card.querySelector(".told").textContent = parts.join(" · ");
}

async function showFilm(card, row) {
  try {
    const address = URL.createObjectURL(await (await call(`clip/${row.row}`)).blob());
    addresses.push(address);
    const film = document.createElement("video");
    Object.assign(film, { src: address, loop: true, muted: true, autoplay: true, playsInline: true });
    film.ariaLabel = row.caption;
    film.classList.toggle("coarse", Math.max(row.width, row.height) < COARSE);
    film.onerror = () => tell(`This browser cannot show the clip ${row.id}.`);
    card.querySelector(".film").replaceChildren(film);
  } catch (error) {
    tell(error.message);
  }
}

// --- what is decided

const cards = () => [...find("clips").children];

function select(number) {
  const all = cards();
  current = Math.max(0, Math.min(number, all.length - 1));
  all.forEach((card, place) => card.classList.toggle("current", place === current));
  all[current]?.scrollIntoView({ block: "nearest" });
}

function decide(card, decision, label = card.querySelector(".label").value) {
  return attempt(async () => {
    const sent = { reviewer: reviewer(), row: Number(card.dataset.row), decision, label };
    const row = await (await call("decide", sent)).json();
    update(card, row);
    sayCounts(row.counts);
    if (row.label && !labels.includes(row.label)) setLabels([...labels, row.label]);
    if (cards()[current] === card) select(current + 1);
  });
}

function undo() {
  return attempt(async () => {
    const row = await (await call("undo", { reviewer: reviewer() })).json();
    sayCounts(row.counts);
    const place = cards().findIndex((card) => Number(card.dataset.row) === row.row);
    if (place < 0) return tell(`The decision on ${row.id} is taken back.`);
    update(cards()[place], row);
    select(place);
  });
}

function columnsShown() {
  const all = cards();
  return all.filter((card) => card.offsetTop === all[0].offsetTop).length || 1;
}

const page = (step) => attempt(() => load(Math.max(0, start + step * COUNT)));
const KEYS = {
  k: () => decide(cards()[current], "keep"),
  d: () => decide(cards()[current], "drop"),
  l: () => cards()[current].querySelector(".label").focus(),
  u: undo,
  n: () => !find("next").disabled && page(1),
  p: () => !find("previous").disabled && page(-1),
  ArrowRight: () => select(current + 1),
  ArrowLeft: () => select(current - 1),
  ArrowDown: () => select(current + columnsShown()),
  ArrowUp: () => select(current - columnsShown()),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") return document.activeElement.blur();
  if (event.target.matches("input:not([type=checkbox]), select")) {
    if (event.target.matches(".label") && event.key === "Enter") event.target.blur();
    return;
  }
  const label = labels[Number(event.key) - 1];
  if (!cards().length || !(event.key in KEYS || label)) return;
  event.preventDefault();
  if (label) decide(cards()[current], "keep", label);
  else KEYS[event.key]();
});

find("chosen").onsubmit = (event) => {
  event.preventDefault();
  document.activeElement.blur();
  kept.forEach((id) => sessionStorage.setItem(id, find(id).value));
  attempt(() => load());
};
find("previous").onclick = () => page(-1);
find("next").onclick = () => page(1);
find("undo").onclick = undo;
find("reviewer").value = localStorage.getItem("reviewer") ?? "";
kept.forEach((id) => (find(id).value = sessionStorage.getItem(id) ?? find(id).value));
["shown", "sort", "falling"].forEach((id) => {
  find(id).onchange = () => find("chosen").requestSubmit();
});
attempt(() => load());
