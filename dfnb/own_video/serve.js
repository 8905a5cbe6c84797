"use strict";
// Sends the chosen file, says how far it is, and shows the answer, which this page then has alone.

const find = (selector) => document.querySelector(selector);
const form = find("#drop"), input = find("#file"), answer = find("#answer"), keep = find("#keep a");
const visit = `/visit/${form.dataset.token}`;
const ENDED = "This visit has ended and its file is deleted. Reload this page to begin anew.";
let busy = false;

function say(text, done, of, unit) {
  if (find("#state").textContent !== text) find("#state").textContent = text; // screen readers hear each change once
  find("#far").hidden = done === undefined;
  if (done === undefined) return;
  find("#far progress").value = of ? done / of : 0;
  find("#far span").textContent = unit === "%" ? `${Math.round((100 * done) / of)} %` : `${unit} ${done} of ${of}`;
}

function end(text) {
  busy = input.disabled = false;
  input.value = "";
  say(text);
}

function start(files) {
  if (busy || !files.length) return;
  const file = files[0];
  answer.replaceChildren();
  find("#keep").hidden = true;
  if (files.length > 1) return end("One file at a time, please.");
  if (file.size > Number(form.dataset.largest)) {
    return end(`${file.name} has ${Math.ceil(file.size / 1e6)} MB; at most ${form.dataset.megabytes} MB are allowed.`);
  }
  busy = input.disabled = true;
  send(file);
}

function send(file) {
  const request = new XMLHttpRequest(); // unlike fetch, it tells how much has been sent
  request.open("PUT", `${visit}/file?name=${encodeURIComponent(file.name)}`);
  request.responseType = "json";
  request.upload.onprogress = (event) => say(`Sending ${file.name}`, event.loaded, event.total, "%");
  request.onerror = () => end("The connection broke off. Is the program still running?");
  request.onload = () => {
    if (request.status === 202) watch(file.name);
    else end(request.status === 404 ? ENDED : request.response?.reason || `The file was refused (${request.status}).`);
  };
  request.send(file);
}

async function watch(name) {
  try {
    for (;;) {
      const reply = await fetch(`${visit}/progress`);
      if (!reply.ok) return end(ENDED);
      const now = await reply.json();
      if (now.state === "done") return await show(name);
      if (now.state === "failed") return end(now.reason);
      if (now.state === "waiting" && now.before) say(`Waiting: ${now.before} other file${now.before > 1 ? "s" : ""} first`);
      else if (now.state === "looking") say(`Looking for faces in ${name}`, now.looked, now.frames, "frame");
      else if (now.state === "drawing") say("Drawing the answer");
      else say(`Opening ${name}`);
      await new Promise((resolve) => setTimeout(resolve, 400));
    }
  } catch {
    end("The connection broke off. Is the program still running?");
  }
}

async function show(name) {
  const reply = await fetch(`${visit}/answer`);
  if (!reply.ok) return end(ENDED);
  const text = await reply.text();
  const page = new DOMParser().parseFromString(text, "text/html").querySelector("main");
  for (const twice of page.querySelectorAll(":scope > .warning, :scope > header")) twice.remove(); // above already
  answer.replaceChildren(...page.childNodes);
  if (keep.href) URL.revokeObjectURL(keep.href);
  keep.href = URL.createObjectURL(new Blob([text], { type: "text/html" }));
  keep.download = `${name}.html`;
  find("#keep").hidden = false;
  end("Done. The file is deleted; the answer is on this page alone.");
  find("#state").scrollIntoView();
}

input.addEventListener("change", () => start(input.files));
addEventListener("dragover", (event) => { event.preventDefault(); form.classList.add("over"); });
addEventListener("dragleave", () => form.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  form.classList.remove("over");
  start(event.dataTransfer.files);
});
addEventListener("pagehide", () => navigator.sendBeacon(`${visit}/gone`));
addEventListener("pageshow", (event) => event.persisted && location.reload());
