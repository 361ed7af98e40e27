// One item at a time: show it, take the verdict by click or key, go on. Text never becomes markup.

const QUESTIONS = {
  pairwise: {
    text: "Which reply is better?",
    verdicts: [
      ["a", "The first"],
      ["b", "The second"],
      ["tie", "Equally good"],
      ["both bad", "Both bad"],
    ],
  },
  absolute: {
    text: "What do you think of this reply?",
    verdicts: [
      ["not sensible", "Makes no sense"],
      ["sensible", "Sensible"],
      ["specific", "Sensible and specific"],
    ],
  },
};
const $ = (id) => document.getElementById(id);

let item = null;
let asked = "";
let since = 0;
let busy = false;

function element(tag, { class: names, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  if (names) node.className = names;
  node.append(...children);
  return node;
}

/** Ask the server, and show where the rater stands now; a failure is one line, and nothing is lost. */
async function go(path, body) {
  if (busy) return;
  busy = true;
  try {
    const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) };
    const response = await fetch(path, path === "item" ? {} : post);
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.message ?? `The server refused this (${response.status}).`);
    $("problem").textContent = "";
    show(answer);
  } catch (error) {
    const lost = error instanceof TypeError || error instanceof SyntaxError;
    $("problem").textContent = lost ? "The server does not answer. Start g2r rate again; it goes on here." : error.message;
  } finally {
    busy = false;
  }
}

function show({ rater, done, total, item: next }) {
  item = next;
  $("count").textContent = `${rater}: ${done} of ${total}`;
  Object.assign($("progress"), { value: done, max: total });
  $("undo").disabled = done === 0;
  $("guide").hidden = $("item").hidden = !item;
  $("end").hidden = Boolean(item);
  if (!item) return $("end").querySelector("h2").focus();
  const { text, verdicts } = QUESTIONS[item.kind];
  if (item.kind !== asked) $("guide").open = true;
  asked = item.kind;
  for (const list of document.querySelectorAll("#guide dl")) list.hidden = list.dataset.kind !== item.kind;
  $("turns").replaceChildren(...item.turns.map(turn));
  $("question").textContent = text;
  $("replies").replaceChildren(...item.replies.map(reply));
  $("verdicts").replaceChildren(...verdicts.map(([verdict, label], i) => button(verdict, label, i + 1)));
  $("item").focus({ preventScroll: true });
  scrollTo(0, 0);
  since = performance.now();
}

/** The last turn is the partner's, to whom the reply is said; the speakers take turns. */
function turn(text, place, turns) {
  const partner = (turns.length - place) % 2 === 1;
  const who = element("span", { class: "unseen" }, partner ? "Partner: " : "Speaker: ");
  return element("li", { class: partner ? "partner" : "" }, who, text);
}

function reply(text, place, replies) {
  const name = replies.length > 1 ? ["First reply", "Second reply"][place] : "Reply";
  return element("figure", {}, element("figcaption", {}, name), element("p", {}, text || "(says nothing)"));
}

function button(verdict, label, key) {
  const node = element("button", { type: "button", onclick: () => judge(verdict) }, `${label} `, element("kbd", {}, `${key}`));
  node.dataset.verdict = verdict;
  return node;
}

function judge(verdict) {
  $("guide").open = false;
  const seconds = (performance.now() - since) / 1000;
  return go("judge", { item_id: item.item_id, verdict, seconds: Math.min(seconds, 86_400) });
}

$("undo").addEventListener("click", () => go("undo"));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key.toLowerCase() === "u" && !$("undo").disabled) go("undo");
  const verdict = item && QUESTIONS[item.kind].verdicts[Number(event.key) - 1];
  if (verdict) judge(verdict[0]);
});
go("item");
