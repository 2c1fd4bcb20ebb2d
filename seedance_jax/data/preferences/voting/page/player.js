// Plays two clips in step, over and over, and wires the controls below them.

const button = document.getElementById("play");
const slider = document.getElementById("frame");
const number = document.getElementById("number");
const speed = document.getElementById("speed");
const counter = document.getElementById("clips").dataset; // "loops": how often they began again

let videos = [];
let fps = 1;
let frames = 1;
let looping = false; // while both seek; what is gone may never arrive

// Shows the first frame of two clips of the same length and plays them.
export async function start(clips, rate, length) {
  [videos, fps, frames, looping] = [clips, rate, length, false];
  slider.max = frames - 1;
  videos.forEach((video) => video.addEventListener("ended", loop));
  setSpeed();
  await play(true);
}

export function stop() {
  videos.forEach((video) => video.pause());
  videos = [];
}

export function toggle() {
  return play(!playing());
}

// Stops at the frame so many after this one.
export function nudge(count) {
  play(false);
  slider.value = Number(slider.value) + count; // the slider keeps it in range
  seek((Number(slider.value) + 0.5) / fps);
}

const playing = () => videos.some((video) => !video.paused && !video.ended);

async function play(on) {
  button.firstElementChild.textContent = on ? "Pause" : "Play";
  if (!on) return videos.forEach((video) => video.pause());
  if (videos.every((video) => video.ended)) await seek(0);
  await Promise.all(videos.map((video) => video.play().catch(() => {}))); // a clip that is gone
}

function seek(time) {
  const arrivals = videos.map(
    (video) => new Promise((resolve) => video.addEventListener("seeked", resolve, { once: true })),
  );
  videos.forEach((video) => (video.currentTime = time));
  return Promise.all(arrivals);
}

// Both begin again when both are at the end.
async function loop() {
  if (looping || !videos.every((video) => video.ended)) return;
  looping = true;
  counter.loops = Number(counter.loops ?? 0) + 1;
  await play(true);
  looping = false;
}

function setSpeed() {
  videos.forEach((video) => (video.playbackRate = Number(speed.value)));
}

// Called before every repaint: the second clip catches up with the first one, or waits for it, by
// its speed: seeking takes longer than a frame. The slider shows where they are.
function follow() {
  if (videos.length === 2) {
    const [first, second] = videos;
    const lead = (first.currentTime - second.currentTime) * fps;
    const apart = Math.abs(lead) > 0.5 && !first.ended && !second.ended;
    const rate = first.playbackRate * (apart ? (lead > 0 ? 1.25 : 0.8) : 1);
    if (second.playbackRate !== rate) second.playbackRate = rate;
    if (playing()) slider.value = Math.min(Math.floor(first.currentTime * fps), frames - 1);
    number.textContent = `${Number(slider.value) + 1} / ${frames}`;
  }
  requestAnimationFrame(follow);
}

button.addEventListener("click", toggle);
slider.addEventListener("input", () => nudge(0));
speed.addEventListener("change", setSpeed);
requestAnimationFrame(follow);
