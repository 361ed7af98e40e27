// The side panel: which candidates a reply was chosen from, why, and how long it took. Text never becomes markup.

const PARTS = ["fits what was said", "was written for a similar context"];
const CONTEXTS_SHOWN = 3;

/** A new element with properties, class names under `class`, and children: nodes or plain text. */
export function element(tag, { class: names, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  if (names) node.className = names;
  node.append(...children);
  return node;
}

export const milliseconds = (ms) => `${ms < 10 ? ms.toFixed(2) : ms.toFixed(0)} ms`;

/**
 * Fill the panel for one reply.
 *
 * @param reply what the bot said: `answer` (of POST /reply), `asked` (the turns), `said` (a response id), `last`
 * @param banned ids of the responses banned from this page
 * @param actions `prefer`, `ban` and `unban`, each of a candidate
 */
export function showReply(reply, banned, actions) {
  const { answer } = reply;
  document.getElementById("nothing").hidden = true;
  document.getElementById("facts").replaceChildren(...facts(reply));
  const best = Math.max(...answer.candidates.map((candidate) => candidate.score), 1e-9);
  const items = answer.candidates.map((candidate) => item(candidate, { reply, banned, best, actions }));
  document.getElementById("candidates").replaceChildren(...items);
}

/** Empty the panel, for a new conversation. */
export function showNothing() {
  document.getElementById("nothing").hidden = false;
  for (const id of ["facts", "candidates"]) document.getElementById(id).replaceChildren();
}

function facts({ answer, asked }) {
  const times = answer.timings_ms;
  const figures = [["Time", milliseconds(times.total)]];
  if (answer.score !== null) figures.push(["Score", answer.score.toFixed(3)]);
  if (answer.confidence != null) figures.push(["Confidence", `${Math.round(100 * answer.confidence)} %`]);
  const phases = Object.keys(times).filter((phase) => phase !== "total" && phase !== "queue");
  if (times.queue) phases.push("queue");
  const nodes = [
    element("p", {}, `In reply to “${asked.at(-1)}”`),
    element("dl", { class: "figures" }, ...figures.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
    bar(phases.map((phase) => times[phase]), times.total),
    legend(phases.map((phase) => `${phase} ${milliseconds(times[phase])}`)),
  ];
  if (answer.abstained) {
    const fallback = answer.text ? " What it said is its fallback, from outside the bank." : "";
    nodes.push(element("p", { class: "abstained" }, `No candidate was good enough, so the bot abstained.${fallback}`));
  }
  if (answer.candidates.length) nodes.push(element("h3", {}, "Candidates"));
  if (answer.candidates.some((candidate) => parts(candidate).length > 1)) nodes.push(legend(PARTS));
  return nodes;
}

function item(candidate, { reply, banned, best, actions }) {
  const said = candidate.response_id === reply.said;
  const gone = banned.has(candidate.response_id);
  const line = element("div", { class: "line" }, element("p", {}, candidate.text));
  if (said || gone) line.append(element("span", { class: "mark" }, gone ? "banned" : "said"));
  line.append(element("span", { class: "score", title: "score" }, candidate.score.toFixed(3)));
  const node = element("li", { class: gone ? "banned" : said ? "said" : "" },
    line, bar(parts(candidate), best), origin(candidate, reply.answer.bank_version));
  node.append(buttons(candidate, { reply, said, gone, actions }));
  return node;
}

function buttons(candidate, { reply, said, gone, actions }) {
  const named = (label, names, action) => {
    const button = element("button", { type: "button", class: names, onclick: () => action(candidate) }, label);
    button.ariaLabel = `${label}: ${candidate.text}`;
    return button;
  };
  const row = element("div", { class: "actions" });
  const prefer = reply.last ? "Say this instead" : "Go back and say this";
  if (!said && !gone) row.append(named(prefer, "prefer", actions.prefer));
  row.append(gone ? named("Allow again", "unban", actions.unban) : named("Ban", "ban", actions.ban));
  return row;
}

function origin(candidate, bankVersion) {
  const contexts = candidate.contexts.slice(0, CONTEXTS_SHOWN).map(written);
  const more = candidate.contexts.length - contexts.length;
  if (more > 0) contexts.push(`and ${more} more`);
  const rows = [
    ["Fits", number(candidate.response_score)],
    ["Similar", number(candidate.context_score)],
    ["Rated", candidate.rating == null ? "" : `${candidate.rating.toFixed(1)} of 10`],
    ["Written for", contexts],
    ["Written by", candidate.sources.join(", ")],
    ["Tags", candidate.tags.join(", ")],
    ["Response id", candidate.response_id],
    ["Bank version", bankVersion],
  ];
  const list = element("dl");
  for (const [name, value] of rows.filter(([, value]) => value.length)) {
    list.append(element("dt", {}, name), element("dd", {}, ...[value].flat()));
  }
  const summary = element("summary", {}, `by ${candidate.sources.join(", ") || "unknown"}`);
  return element("details", { class: "origin" }, summary, list);
}

/** What a candidate's score is the sum of; a second stage's rating is no sum. */
function parts({ score, rating, response_score, context_score }) {
  const summed = rating == null ? [response_score, context_score].filter((part) => part != null) : [];
  return summed.length ? summed : [score];
}

/** A context that the candidate was written for, turn by turn, with the judge's rating of the two together. */
const written = ({ turns, judge }) =>
  element("blockquote", {}, ...turns.map((turn) => element("p", {}, turn)),
    ...(judge == null ? [] : [element("small", {}, `judged ${judge.toFixed(0)} of 10`)]));

const number = (value) => (value == null ? "" : value.toFixed(3));

/** A bar whose coloured parts are shares of `whole`. */
function bar(parts, whole) {
  const strips = parts.map((part) => {
    const strip = element("i");
    strip.style.width = `${(100 * Math.max(0, part)) / (whole || 1)}%`;
    return strip;
  });
  const node = element("div", { class: "bar" }, ...strips);
  node.ariaHidden = "true";
  return node;
}

const legend = (labels) => element("ul", { class: "legend" }, ...labels.map((label) => element("li", {}, label)));
