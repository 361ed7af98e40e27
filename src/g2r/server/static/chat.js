// The conversation and what a person can do with it: say, prefer another reply, ban one, begin anew.

import { element, milliseconds, showNothing, showReply } from "./panel.js";
import { post } from "./server.js";

const CANDIDATES = 8;
const TURNS_SENT = 200;
const NO_ADMIN = "This server takes no bans: it was started without G2R_ADMIN_KEY.";
const narrow = matchMedia("(max-width: 52rem)");
const $ = (id) => document.getElementById(id);

/** Turns in order: {you, text, node}; the bot's also keep answer, asked, said, last and why, their button. */
let turns = [];
let shown = null;
let busy = false;
let adminKey = null; // in memory alone
const banned = new Set();

// Saying

async function send(text) {
  if (busy || !text.trim()) return;
  complain("");
  const own = add({ you: true, text });
  if (await ask(spoken())) return;
  take(own);
  if (!$("message").value) $("message").value = text;
}

/** Ask for a reply to `asked` and add it, or put it in the place of `old`; false if there was no answer. */
async function ask(asked, old = null) {
  const conversation = turns;
  setBusy(true);
  try {
    const answer = await post("reply", { turns: asked, candidates: CANDIDATES });
    if (conversation === turns) receive(answer, asked, old);
    return true;
  } catch (problem) {
    if (conversation === turns) complain(problem.message);
    return conversation !== turns;
  } finally {
    setBusy(false);
  }
}

function receive(answer, asked, old) {
  const reply = old ?? add({ you: false });
  Object.assign(reply, { answer, asked });
  say(reply, answer.text, answer.response_id);
  if (!narrow.matches || old) show(reply);
}

/** What was said so far, as the server wants it; a silence is no turn. */
function spoken() {
  return turns.map((turn) => turn.text).filter(Boolean).slice(-TURNS_SENT);
}

function add(turn) {
  $("welcome").hidden = true;
  const who = element("span", { class: "unseen" }, turn.you ? "You: " : "Bot: ");
  turn.words = element("span", {}, turn.text ?? "");
  turn.node = element("div", { class: `turn ${turn.you ? "you" : "bot"}` },
    element("div", { class: "text" }, who, turn.words));
  if (!turn.you) {
    turn.why = element("button", { type: "button", class: "why", onclick: () => open(turn) });
    turn.node.append(turn.why);
  }
  turns.push(turn);
  for (const other of turns) other.last = other === turn;
  $("log").append(turn.node);
  $("log").scrollTop = $("log").scrollHeight;
  return turn;
}

function take(turn) {
  turns = turns.filter((other) => other !== turn);
  turn.node.remove();
  $("welcome").hidden = turns.length > 0;
}

function say(reply, text, id) {
  Object.assign(reply, { text, said: id });
  reply.words.textContent = text || "The bot has no fitting reply.";
  reply.node.classList.toggle("silent", !text);
  reply.why.replaceChildren(`${milliseconds(reply.answer.timings_ms.total)} · `, element("u", {}, "Why this reply"));
  $("log").scrollTop = $("log").scrollHeight;
}

// The panel

function show(reply) {
  shown = reply;
  for (const { why } of turns) if (why) why.ariaPressed = String(why === reply.why);
  $("panel-problem").textContent = "";
  showReply(reply, banned, {
    prefer: (candidate) => prefer(reply, candidate),
    ban: (candidate) => change(reply, candidate, "ban"),
    unban: (candidate) => change(reply, candidate, "unban"),
  });
}

function open(reply) {
  show(reply);
  cover(true);
  $("panel-title").focus();
  $("panel").scrollTop = 0;
}

function close() {
  cover(false);
  (shown?.why ?? $("message")).focus();
}

/** On a phone the panel covers the chat, which can then be neither seen nor reached. */
function cover(covered) {
  $("panel").classList.toggle("open", covered);
  for (const part of document.querySelectorAll("body > header, main, .skip")) part.inert = covered && narrow.matches;
}

function prefer(reply, candidate) {
  if (busy) return;
  const later = turns.slice(turns.indexOf(reply) + 1);
  later.forEach(take);
  reply.last = true;
  say(reply, candidate.text, candidate.response_id);
  show(reply);
  announce(`The bot now says: ${candidate.text}${later.length ? `. ${later.length} later messages were taken back.` : ""}`);
  cover(false);
  $("message").focus();
}

// Banning

/** Ban a candidate, or allow it again; the bot answers anew where it said what is banned now. */
async function change(reply, candidate, action) {
  if (busy || !(await changed(candidate.response_id, action))) return;
  if (action === "ban") banned.add(candidate.response_id);
  else banned.delete(candidate.response_id);
  announce(`${action === "ban" ? "Banned" : "Allowed again"}: ${candidate.text}`);
  show(reply);
  const gone = action === "ban" && reply.said === candidate.response_id;
  if (gone && reply.last) await ask(reply.asked, reply);
  $("panel-title").focus();
}

/** Ask the server for the change, and the person for the key until it fits; false if nothing was changed. */
async function changed(id, action) {
  let complaint = "";
  for (;;) {
    const key = adminKey ?? (await askKey(complaint));
    if (key === null) return false;
    try {
      await post(`admin/bank/${action}`, { response_id: id, reason: "web chat" }, key);
      adminKey = key;
      return true;
    } catch (problem) {
      if (problem.status !== 401) {
        const closed = problem.status === 404 && !problem.message.includes(id);
        $("panel-problem").textContent = closed ? NO_ADMIN : problem.message;
        return false;
      }
      adminKey = null;
      complaint = "The server refused this key.";
    }
  }
}

/** Ask for the admin key; null if the person would rather not. */
function askKey(complaint) {
  const dialog = $("key-dialog");
  $("key").value = "";
  $("key-problem").textContent = complaint;
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue || null);
    dialog.returnValue = "";
    dialog.showModal();
  });
}

// The page

/** Say what went wrong, in one line, where the person is looking. */
function complain(text) {
  const covered = narrow.matches && $("panel").classList.contains("open");
  $(covered ? "panel-problem" : "problem").textContent = text;
}

function announce(text) {
  $("status").textContent = text;
}

function setBusy(now) {
  busy = now;
  $("log").ariaBusy = String(now);
}

function restart() {
  turns = [];
  shown = null;
  for (const node of document.querySelectorAll(".turn")) node.remove();
  $("welcome").hidden = false;
  complain("");
  showNothing();
  announce("New conversation");
  $("message").focus();
}

function submit() {
  const field = $("message");
  if (busy) return;
  const text = field.value;
  field.value = "";
  send(text);
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
$("message").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
for (const opener of document.querySelectorAll(".opener")) {
  opener.addEventListener("click", () => {
    $("message").focus();
    send(opener.textContent);
  });
}
$("restart").addEventListener("click", restart);
$("close").addEventListener("click", close);
$("panel").addEventListener("keydown", (event) => {
  if (event.key === "Escape" && narrow.matches) close();
});
$("key-dialog").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("key-dialog").close($("key").value);
});
$("key-cancel").addEventListener("click", () => $("key-dialog").close(""));
narrow.addEventListener("change", () => cover($("panel").classList.contains("open")));
