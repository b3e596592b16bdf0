// The playground's page: shows what the server says, as it says it, and sends what is typed.
// The server decides everything; `state` is its last word, and every event replaces a part of it.
// Frames are described in wire.py.

import { card } from "./private.js";
import { draw, figures, left } from "./tape.js";

const $ = (id) => document.getElementById(id);
const make = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};

const state = { run: "", bot: "", limit: 16000, rooms: new Map(), current: "", replyTo: "", socket: null };
const shown = new Map(); // message id -> the elements that show it, for the current room
const pending = new Map(); // ref -> a question that was sent and not answered for yet
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const SUGGESTIONS = [
  "What is the capital of France?",
  "Write a Python function that reverses a string",
  "Give me five tips for a good night's sleep",
];
const FRAME_CHARACTERS = 300_000; // beyond this the server closes the socket instead of answering

// ---------------------------------------------------------------------------------------------------- what is stored

const stored = (key) => {
  try {
    return localStorage.getItem(`tickertape.${key}`) ?? "";
  } catch {
    return "";
  }
};
const store = (key, value) => {
  try {
    localStorage.setItem(`tickertape.${key}`, value);
  } catch {
    // Not kept; the page works all the same.
  }
};

// --------------------------------------------------------------------------------------------------------- the socket

let delay = 500;

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/playground/socket`);
  state.socket = socket;
  socket.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    handlers[event.type]?.(event);
  };
  socket.onopen = () => {
    delay = 500;
  };
  socket.onclose = ({ code }) => {
    connection("connecting", "Reconnecting…");
    giveBack(code === 1009 ? "That was too long to be read at all. Please shorten it." : "");
    setTimeout(connect, delay);
    delay = Math.min(delay * 1.6, 4000);
  };
}

function connection(name, words) {
  $("connection").dataset.state = name;
  $("connection").textContent = words;
  refreshSend();
}

const connected = () => $("connection").dataset.state === "connected";

function send(request) {
  if (!connected()) return false;
  state.socket.send(JSON.stringify({ ...request, name: $("name").value.trim() }));
  return true;
}

const handlers = {
  hello(event) {
    const restarted = state.run && state.run !== event.run;
    Object.assign(state, { run: event.run, bot: event.bot, limit: event.questionCharacters });
    state.rooms = new Map(event.rooms.map((room) => [room.name, received(room)]));
    $("model").textContent = event.model;
    document.documentElement.dataset.ready = "true";
    connection("connected", "Connected");
    if (restarted) notice("The server has restarted, so the conversations begin anew.");
    enter(state.rooms.has(state.current) ? state.current : wantedRoom());
  },
  message({ message, budget }) {
    const room = heard(message.channel, budget);
    if (!room) return;
    const before = room.messages.get(message.id);
    message.at = Date.now() - message.age * 1000;
    room.messages.set(message.id, message);
    if (room.name === state.current) follow(() => show(message));
    else if (message.bot && !before) room.unread += 1;
    announce(before, message);
    refresh();
  },
  gone({ channel, id, budget }) {
    const room = heard(channel, budget);
    room?.messages.delete(id);
    if (channel === state.current) {
      shown.get(id)?.article.remove();
      shown.delete(id);
    }
    if (state.replyTo === id) replyTo("");
    refresh();
  },
  working({ channel, question, on }) {
    const room = state.rooms.get(channel);
    if (on) room?.working.add(question);
    else room?.working.delete(question);
    refresh();
  },
  limited({ channel, budget }) {
    heard(channel, budget);
    refresh();
  },
  asked({ ref }) {
    pending.delete(ref);
  },
  private(event) {
    const sent = pending.get(event.ref);
    pending.delete(event.ref);
    enable("button.retry"); // the response says why no other answer begins
    if (sent?.channel === state.current) showPrivate(event, sent);
  },
  refused({ ref, why }) {
    giveBack(why, ref);
    notice(why);
    enable("button.stop, button.retry");
  },
};

function enable(buttons) {
  for (const button of document.querySelectorAll(buttons)) button.disabled = false;
}

function received(room) {
  const now = Date.now();
  for (const message of room.messages) message.at = now - message.age * 1000;
  return {
    ...room,
    heardAt: performance.now(),
    working: new Set(room.working),
    messages: new Map(room.messages.map((message) => [message.id, message])),
    unread: 0,
  };
}

function heard(name, budget) {
  const room = state.rooms.get(name);
  if (room) Object.assign(room, { budget, heardAt: performance.now() });
  return room;
}

// ------------------------------------------------------------------------------------------------------- the messages

const isLive = (message) => message.controls.includes("stop");

function show(message) {
  const parts = shown.get(message.id) ?? build(message);
  patch(parts.body, message.html);
  if (!message.bot) return;
  const live = isLive(message);
  parts.article.dataset.state = live ? "live" : "done";
  parts.article.setAttribute("aria-busy", String(live));
  parts.stop.hidden = !live;
  if (!live) parts.stop.disabled = false;
  parts.reply.hidden = live;
  parts.retry.hidden = !message.controls.includes("retry");
  parts.retry.disabled = false;
  for (const vote of parts.votes) vote.hidden = !message.controls.includes("feedback");
  showTape(message, parts);
}

function build(message) {
  const article = make("article", { className: message.bot ? "message bot" : "message person" });
  article.dataset.id = message.id;
  const time = new Date(message.at);
  const clock = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  article.setAttribute("aria-label", `${message.author}, ${clock}`);
  const previous = [...shown.keys()].at(-1);
  const continued = message.bot && state.rooms.get(state.current).messages.get(previous)?.question === message.question;
  const body = make("div", { className: "body" });
  const parts = { article, body };
  if (continued && state.rooms.get(state.current).messages.get(previous)?.bot) article.classList.add("continued");
  else article.append(heading(message, clock, time, previous));
  article.append(body);
  if (message.bot) article.append(footer(message, parts));
  shown.set(message.id, parts);
  $("log").append(article);
  return parts;
}

// A response to this page alone; its button or form is answered in the same place.
function showPrivate(event, sent) {
  const respond = (id, values) => {
    const ref = newRef();
    const request = { submit: id, values, channel: sent.channel, reply_to: sent.reply_to, ref };
    if (!send(request)) return false;
    pending.set(ref, { ...request, replaces: section });
    return true;
  };
  const close = () => {
    section.remove();
    $("message").focus();
  };
  const section = card(event, sent.ask ?? "", { send: respond, close });
  follow(() => {
    if (sent.replaces?.isConnected) sent.replaces.replaceWith(section);
    else $("log").append(section);
  }, true);
  refresh();
  $("announcer").textContent = section.querySelector(".body").textContent;
  if (sent.replaces) section.focus();
}

function heading(message, clock, time, previous) {
  const author = make("span", { className: "author", textContent: message.author });
  const header = make("header", {}, author, make("time", { dateTime: time.toISOString(), textContent: clock }));
  const about = state.rooms.get(state.current).messages.get(message.replyTo);
  if (about && about.id !== previous) {
    const words = `${message.bot ? "answers" : "in reply to"} “${excerpt(about.text)}”`;
    header.prepend(make("span", { className: "context", textContent: words }));
  }
  return header;
}

function footer(message, parts) {
  parts.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  parts.svg.setAttribute("aria-hidden", "true");
  parts.figures = make("p", { className: "figures" });
  parts.stop = make("button", { type: "button", className: "small stop", textContent: "Stop" });
  parts.stop.onclick = () => {
    parts.stop.disabled = send({ stop: message.id });
    $("message").focus();
  };
  parts.reply = make("button", { type: "button", className: "small reply", textContent: "Reply" });
  parts.reply.onclick = () => replyTo(message.id);
  parts.retry = make("button", { type: "button", className: "small retry", textContent: "Try again" });
  parts.retry.onclick = () => {
    parts.retry.disabled = press(message, { retry: message.id });
    $("message").focus();
  };
  parts.votes = [vote(message, parts, "up", "Good answer"), vote(message, parts, "down", "Bad answer")];
  const actions = make("div", { className: "actions" }, parts.stop, parts.reply, parts.retry, ...parts.votes);
  return make("footer", { className: "tape" }, make("div", { className: "strip" }, parts.svg), parts.figures, actions);
}

// A thumb, drawn here: not every machine has a font with one.
const THUMB =
  '<svg viewBox="0 0 20 20" width="16" height="16" aria-hidden="true"><path d="M3 9h3v8H3zM8 9l3-7c1.5 0 2.5 1 2.3 2.6L13 8h3.6c1 0 1.6 1 1.4 1.9l-1.4 5.6c-.2.9-1 1.5-1.9 1.5H8z" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round"/></svg>';

function vote(message, parts, name, label) {
  const button = make("button", { type: "button", className: `small vote ${name}`, title: label, innerHTML: THUMB });
  button.setAttribute("aria-label", label);
  button.setAttribute("aria-pressed", "false");
  button.onclick = () => {
    if (!press(message, { vote: name, message: message.id })) return;
    for (const each of parts.votes) each.setAttribute("aria-pressed", String(each === button));
  };
  return button;
}

// A button below an answer; its response, if there is one, is for this page alone.
function press(message, request) {
  const ref = newRef();
  if (!send({ ...request, ref })) return false;
  pending.set(ref, { channel: message.channel, reply_to: message.id, ref });
  return true;
}

// The html is the server's, made of markdown with nothing in it that runs. Blocks that did not change stay as they are,
// so that what a reader has selected, or scrolled, stays too.
function patch(body, html) {
  const wanted = make("template", { innerHTML: html }).content;
  const fresh = [...wanted.children];
  fresh.forEach((block, index) => {
    const old = body.children[index];
    if (!old) {
      body.append(block);
      if (index && !calm.matches) block.animate([{ opacity: 0.3 }, { opacity: 1 }], { duration: 300, easing: "ease-out" });
    } else if (!old.isEqualNode(block)) old.replaceWith(block);
  });
  while (body.children.length > fresh.length) body.lastElementChild.remove();
}

function showTape(message, parts) {
  const room = state.rooms.get(message.channel);
  const { limit } = room.budget.edit;
  const live = isLive(message);
  const edits = left(room.budget.edit, room.heardAt, performance.now());
  parts.figures.textContent = figures(message, live, edits, limit);
  draw(parts.svg, message, live ? (Date.now() - message.at) / 1000 : 0, limit);
}

const excerpt = (text) => {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
};

// Keep to the end of the conversation if the reader is there, also when the box below takes more room; never take them
// away from where they read.
let following = true;
const atEnd = () => $("scroller").scrollHeight - $("scroller").scrollTop - $("scroller").clientHeight < 90;

function follow(change, always = false) {
  following = always || atEnd();
  change();
  keepUp();
}

function keepUp() {
  if (following) $("scroller").scrollTop = $("scroller").scrollHeight;
}

// A screen reader hears that an answer begins, and the answer when it is whole; not each edit.
function announce(before, message) {
  if (!message.bot || message.channel !== state.current) return;
  const live = isLive(message);
  if (live && !before) $("announcer").textContent = `${message.author} is writing an answer.`;
  if (!live && (!before || isLive(before))) {
    const part = message.text.length > 700 ? `${message.text.slice(0, 700)}… (continued in the messages)` : message.text;
    $("announcer").textContent = `${message.author}: ${part}`;
  }
}

// ---------------------------------------------------------------------------------------------------------- the room

const wantedRoom = () => {
  const name = decodeURIComponent(location.hash.slice(1));
  return state.rooms.has(name) ? name : state.rooms.keys().next().value;
};

function enter(name) {
  const room = state.rooms.get(name);
  state.current = name;
  room.unread = 0;
  replyTo("", { focus: false });
  $("room-name").textContent = `#\u200a${name}`;
  $("room-topic").textContent = room.topic;
  $("log").setAttribute("aria-label", `Conversation in ${name}`);
  document.title = `#${name} · Tickertape playground`;
  shown.clear();
  $("log").replaceChildren();
  follow(() => room.messages.forEach(show), true);
  refresh();
}

function refresh() {
  const room = state.rooms.get(state.current);
  if (!room) return;
  $("empty").hidden = room.messages.size > 0 || $("log").childElementCount > 0;
  showChannels();
  showMeters(room);
  showWorking(room);
  $("newest").hidden = atEnd();
}

function showChannels() {
  const list = $("channels");
  if (list.children.length !== state.rooms.size) {
    const buttons = [...state.rooms.keys()].map((name) => {
      const button = make("button", { type: "button" }, make("span", { textContent: name }));
      button.dataset.channel = name;
      button.onclick = () => {
        history.replaceState(null, "", `#${encodeURIComponent(name)}`);
        enter(name);
      };
      return make("li", {}, button);
    });
    list.replaceChildren(...buttons);
  }
  for (const button of list.querySelectorAll("button")) {
    const room = state.rooms.get(button.dataset.channel);
    button.setAttribute("aria-current", String(room.name === state.current));
    const badge = button.querySelector(".new");
    if (!room.unread) badge?.remove();
    else if (badge) badge.textContent = room.unread;
    else button.append(make("span", { className: "new", textContent: room.unread, title: "New answers" }));
  }
}

function showMeters(room) {
  const now = performance.now();
  for (const [verb, name] of [["edit", "Edits"], ["post", "Posts"]]) {
    const report = room.budget[verb];
    const current = left(report, room.heardAt, now);
    const meter = $(`meter-${verb}`) ?? addMeter(verb, report.limit);
    meter.classList.toggle("spent", current.left === 0);
    const over = report.refused ? ` (${report.refused} refused)` : "";
    const words = `${name} ${current.left} of ${report.limit}${over}`;
    if (meter.firstChild.textContent !== words) meter.firstChild.textContent = words;
    [...meter.lastChild.children].forEach((pip, index) => pip.classList.toggle("off", index >= current.left));
  }
}

function addMeter(verb, limit) {
  const pips = make("div", { className: "pips", ariaHidden: "true" });
  for (let index = 0; index < limit; index += 1) pips.append(make("i"));
  const meter = make("div", { id: `meter-${verb}`, className: "meter" }, make("span"), pips);
  $("meters").append(meter);
  return meter;
}

function showWorking(room) {
  const count = room.working.size;
  $("working").hidden = count === 0;
  const words = count > 1 ? `${state.bot} is working on ${count} answers` : `${state.bot} is thinking`;
  if (count && $("working-text").textContent !== words) $("working-text").textContent = words;
}

// --------------------------------------------------------------------------------------------------------- the composer

const newRef = () => crypto.randomUUID?.() ?? String(Math.random());

function ask() {
  const text = $("message").value;
  if (!text.trim() || !connected()) return;
  if (text.length > FRAME_CHARACTERS) {
    notice(`That is ${text.length.toLocaleString()} characters, far more than fit. Please shorten it.`);
    return;
  }
  const ref = newRef();
  const question = { ask: text, channel: state.current, reply_to: state.replyTo, ref };
  if (!send(question)) return;
  pending.set(ref, question);
  $("message").value = "";
  notice("");
  replyTo("");
  fit();
  follow(() => {}, true);
}

// What was sent and not taken is put back, unless something new was typed meanwhile.
function giveBack(why, ref) {
  const lost = ref === undefined ? [...pending.values()].at(-1) : pending.get(ref);
  if (ref === undefined) pending.clear();
  else pending.delete(ref);
  if (lost?.ask && !$("message").value) {
    $("message").value = lost.ask;
    replyTo(lost.reply_to, { focus: false });
    fit();
  }
  if (lost && why) notice(why);
}

function replyTo(id, { focus = true } = {}) {
  const message = state.rooms.get(state.current)?.messages.get(id);
  state.replyTo = message ? id : "";
  $("replying").hidden = !message;
  if (message) $("replying-text").textContent = `Replying to “${excerpt(message.text)}”`;
  if (focus) $("message").focus();
}

function notice(words) {
  $("notice").textContent = words;
  $("notice").hidden = !words;
}

// The box grows with what is typed, up to what style.css allows.
function fit() {
  const box = $("message");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight}px`;
  const length = box.value.length;
  $("count").hidden = length < state.limit * 0.8;
  $("count").textContent = `${length.toLocaleString()} of ${state.limit.toLocaleString()} characters`;
  $("count").classList.toggle("over", length > state.limit);
  refreshSend();
}

function refreshSend() {
  $("send").disabled = !connected() || !$("message").value.trim();
}

// ------------------------------------------------------------------------------------------------------------ the theme

const THEMES = ["", "light", "dark"];
const THEME_WORDS = { "": "as the system", light: "light", dark: "dark" };

function nextTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? "";
  // From the system's theme to its opposite first: a press that changes nothing looks broken.
  const order = dark ? ["", "light", "dark"] : ["", "dark", "light"];
  setTheme(order[(order.indexOf(now) + 1) % THEMES.length]);
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  store("theme", theme);
  $("theme").setAttribute("aria-label", `Theme: ${THEME_WORDS[theme]}`);
  $("theme").title = `Theme: ${THEME_WORDS[theme]}`;
}

// --------------------------------------------------------------------------------------------------------------- start

function start() {
  $("composer").onsubmit = (event) => {
    event.preventDefault();
    ask();
  };
  $("message").oninput = fit;
  $("message").onkeydown = (event) => {
    // While an input method composes (Japanese, Chinese), Enter takes its suggestion and sends nothing.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      ask();
    }
    if (event.key === "Escape" && state.replyTo) replyTo("");
  };
  $("replying-cancel").onclick = () => replyTo("");
  $("working-stop").onclick = () => {
    const question = [...(state.rooms.get(state.current)?.working ?? [])].at(-1);
    if (question) send({ stop: question });
  };
  $("newest").onclick = () => follow(() => {}, true);
  $("scroller").onscroll = () => {
    following = atEnd();
    $("newest").hidden = following;
  };
  new ResizeObserver(keepUp).observe($("scroller"));
  $("theme").onclick = nextTheme;
  setTheme(document.documentElement.dataset.theme ?? "");
  $("name").value = stored("name");
  $("name").onchange = () => store("name", $("name").value.trim());
  const suggestions = SUGGESTIONS.map((words) => {
    const button = make("button", { type: "button", textContent: words });
    button.onclick = () => {
      $("message").value = words;
      fit();
      $("message").focus();
    };
    return make("li", {}, button);
  });
  $("suggestions").append(...suggestions);
  addEventListener("hashchange", () => state.rooms.size && enter(wantedRoom()));
  // What a window has left comes back with time alone, and a live tape goes on: both are redrawn four times a second.
  setInterval(tick, 250);
  fit();
  connect();
}

function tick() {
  const room = state.rooms.get(state.current);
  if (!room || document.hidden) return;
  showMeters(room);
  for (const [id, parts] of shown) {
    const message = room.messages.get(id);
    if (message.bot && isLive(message)) showTape(message, parts);
  }
}

start();
