// The page: what people see and do. Everything that came over the wire is put in as text
// nodes, never as markup.

import { T, Wire, WireError, newId } from "./wire.js";
import { Conversation, keyOf } from "./conversations.js";
import { $, clock, el, onSubmit, tell, translate, view } from "./page.js";
import { explain, t } from "./words.js";

const friendsEvery = 30_000; // milliseconds; there are no pushes of who is online
const confirmEvery = 500;
const logoutWithin = 3_000;

let me = null; // {id, name}
let active = null; // the conversation on the screen
let catchUps = 0; // how often missed messages were asked for: a later one ends an earlier
let caughtUp = false;
const conversations = new Map(); // by key
const names = new Map(); // of users, by id; null while being asked for
const arrived = new Set(); // conversations with something to confirm

const wire = new Wire(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`, {
  state: (word) => ($("state").textContent = word && t(word)),
  session: begin,
  ended: over,
  push: (frame) => take([frame], true),
  notice: (n) => me && tell([t("notice", n.reason), n.reconnect ? t("comesBack") : ""].join(" ")),
});

// --- the session ---

async function begin(reply) {
  const first = !me;
  if (first) {
    me = { id: reply.USERID, name: reply.name };
    for (const r of JSON.parse(localStorage.getItem(memory()) ?? "[]")) Object.assign(conversation(r.key), r);
  }
  sessionStorage.setItem("sponge", JSON.stringify({ id: me.id, token: reply.token }));
  $("me").textContent = `${me.name} #${me.id}`;
  tell("");
  if (first) {
    $("login").reset();
    $("register").reset();
    follow();
  }
  const run = ++catchUps;
  caughtUp = false;
  try {
    listFriends().catch(report);
    for (let more = true; more; ) {
      const page = await wire.request({ msgType: T.offline });
      if (run !== catchUps) return;
      const last = new Map();
      for (const m of page.messages) last.set(conversation(keyOf(m, me.id)), m.seq);
      take(page.messages, false);
      for (const [c, seq] of last) wire.post({ msgType: T.received, ...c.addressee, seq });
      more = page.more;
    }
    for (const c of conversations.values()) if (c.opened) show(c, await c.open());
    if (run !== catchUps) return;
    caughtUp = true;
    for (const c of conversations.values()) if (c.last > 0) arrived.add(c);
  } catch (error) {
    report(error);
  }
}

// over ends a session that the server does not know any more.
function over(error) {
  end(!error || error.code === 401 ? t("ended") : explain(error));
}

function end(text) {
  sessionStorage.removeItem("sponge");
  me = active = null;
  catchUps++;
  for (const known of [conversations, names, arrived]) known.clear();
  for (const id of ["friends", "groups", "others", "found", "log"]) $(id).replaceChildren();
  for (const id of ["me", "found-count", "announce"]) $(id).textContent = "";
  for (const form of document.forms) form.reset();
  history.replaceState(null, "", location.pathname);
  view("login");
  tell(text);
}

async function logout() {
  const answer = wire.request({ msgType: T.logout }).catch(() => {});
  await Promise.race([answer, new Promise((done) => setTimeout(done, logoutWithin))]);
  wire.close();
  end("");
}

// --- messages ---

// take takes pushes and pages of missed messages; live ones are read out.
function take(frames, live) {
  for (const frame of frames) {
    const c = conversation(keyOf(frame, me.id));
    const message = c.add(frame);
    if (!message) continue;
    const mine = message.from === me.id;
    if (!mine && (c !== active || document.hidden)) c.unread++;
    if (!mine && live && c.online === false) c.online = true; // or it could not have been sent
    if (!mine && live) $("announce").textContent = t("says", nameOf(message.from), message.text.slice(0, 200));
    show(c, [message]);
    arrived.add(c);
    if (c.hole()) c.fill().then((found) => show(c, found), report);
  }
  remember();
}

// What has arrived without a hole is confirmed: it is not offline any more.
setInterval(() => {
  if (!caughtUp) return;
  for (const c of arrived) {
    if (c.hole()) continue;
    arrived.delete(c);
    wire.post({ msgType: T.received, ...c.addressee, seq: c.last });
  }
}, confirmEvery);

function send(c, msg) {
  const frame = { msgType: c.isGroup ? T.groupChat : T.chat, FROMID: me.id, ...c.addressee, msg, sendTime: Date.now() };
  const item = { from: me.id, text: msg, frame, id: newId(), error: null };
  c.unsent.push(item);
  tell("");
  attempt(c, item);
}

async function attempt(c, item) {
  item.error = null;
  show(c, [item]);
  $("scroll").scrollTop = $("scroll").scrollHeight;
  try {
    const { seq, msgId, time } = await wire.request(item.frame, item.id);
    c.unsent.splice(c.unsent.indexOf(item), 1);
    item.node?.remove();
    take([{ ...item.frame, seq, msgId, time }], false);
  } catch (error) {
    item.error = error;
    show(c, [item]);
  }
}

// show puts messages in their places, if their conversation is on the screen, and keeps
// the eye where it is: at the end, or at what it reads.
function show(c, items) {
  if (c !== active) return;
  const box = $("scroll");
  const fromEnd = box.scrollHeight - box.scrollTop;
  const atEnd = fromEnd - box.clientHeight < 40;
  for (const item of items) {
    const node = messageNode(c, item);
    let before = $("log").lastElementChild;
    while (before && before.seq > node.seq) before = before.previousElementSibling;
    if (item.seq && before?.seq === item.seq) continue; // shown by who was faster
    if (item.node) item.node.replaceWith(node);
    else if (before) before.after(node);
    else $("log").prepend(node);
    if (!item.seq) item.node = node;
  }
  $("older").hidden = !c.more || c.seqs.length === 0;
  $("empty").hidden = $("log").childElementCount > 0;
  box.scrollTop = atEnd ? box.scrollHeight : items[0]?.seq < c.last ? box.scrollHeight - fromEnd : box.scrollTop;
}

function messageNode(c, item) {
  const mine = item.from === me.id;
  const node = el("li", { className: mine ? "mine" : "theirs" });
  node.seq = item.seq ?? Infinity;
  const from = el("span", { className: c.isGroup && !mine ? "from" : "unseen" }, nameOf(item.from));
  from.dataset.user = item.from;
  from.dir = "auto";
  node.append(from, el("p", { dir: "auto" }, item.text));
  if (item.error) {
    node.classList.add("failed");
    node.append(el("small", {}, explain(item.error)));
    if (item.error.again) node.append(el("button", { type: "button", className: "plain", onclick: () => attempt(c, item) }, t("retry")));
  } else if (!item.seq) {
    node.append(el("small", {}, t("sending")));
  } else {
    node.append(el("time", { dateTime: new Date(item.time).toISOString() }, clock(item.time)));
  }
  return node;
}

// --- conversations and people ---

function conversation(key) {
  if (!conversations.has(key)) conversations.set(key, new Conversation(key, wire));
  return conversations.get(key);
}

const memory = () => `sponge.conversations.${me.id}`;

// remember keeps the list of conversations on this machine, as the wire has none.
function remember() {
  const list = [...conversations.values()].map(({ key, name, unread }) => ({ key, name, unread }));
  localStorage.setItem(memory(), JSON.stringify(list));
  listAll();
}

// nameOf asks for a name that is not known, once, and puts it where the number stood.
function nameOf(id) {
  if (id === me.id) return t("you");
  if (!names.has(id)) {
    names.set(id, null);
    wire.request({ msgType: T.search, keyword: String(id), limit: 1 }).then(({ users }) => {
      const name = users.find((u) => u.USERID === id)?.name;
      if (!name) return;
      names.set(id, name);
      for (const node of document.querySelectorAll(`[data-user="${id}"]`)) node.textContent = name;
      listAll();
    }, () => names.delete(id));
  }
  return names.get(id) ?? t("user", id);
}

const titleOf = (c) => (c.isGroup ? c.name || t("group", c.id) : c.id === me.id ? me.name : nameOf(c.id));

async function listFriends() {
  const { friends } = await wire.request({ msgType: T.friends });
  for (const f of friends) {
    names.set(f.USERID, f.name);
    conversation(`u:${f.USERID}`).online = f.online;
  }
  remember();
}

// listAll brings the three lists of conversations up to date, in place, so that the focus stays.
function listAll() {
  const lists = { friends: [], groups: [], others: [] };
  let unread = 0;
  for (const c of conversations.values()) {
    if (c === active && !document.hidden) c.unread = 0;
    unread += c.unread;
    lists[c.isGroup ? "groups" : c.online === null ? "others" : "friends"].push(side(c));
  }
  for (const [id, nodes] of Object.entries(lists)) {
    const now = $(id).children;
    if (nodes.length === 0) $(id).replaceChildren(el("li", { className: "hint" }, t("none")));
    else if (nodes.length !== now.length || nodes.some((n, i) => n !== now[i])) $(id).replaceChildren(...nodes);
  }
  $("others-section").hidden = lists.others.length === 0;
  document.title = unread ? `(${unread}) Sponge` : "Sponge";
  if (active) $("title").textContent = `${titleOf(active)} #${active.id}`;
}

function side(c) {
  c.item ??= el("li", {}, el("button", { type: "button", className: "entry", onclick: () => (location.hash = c.key) }));
  const button = c.item.firstChild;
  if (c === active) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
  const parts = [el("bdi", { className: "name" }, titleOf(c)), el("span", { className: "id" }, `#${c.id}`)];
  if (c.online !== null) {
    const dot = el("span", { className: c.online ? "dot on" : "dot" });
    parts.unshift(dot, el("span", { className: "unseen" }, t(c.online ? "online" : "away")));
  }
  if (c.unread) parts.push(el("span", { className: "badge", title: t("unread", c.unread) }, String(c.unread)));
  button.replaceChildren(...parts);
  return c.item;
}

// follow opens the conversation that the address names, so that "back" works as everywhere.
async function follow() {
  if (!me) return;
  const key = location.hash.slice(1);
  const id = Number(key.slice(2));
  const was = active;
  const box = $("composer").msg;
  if (was) was.draft = box.value;
  active = /^[ug]:[1-9]\d*$/.test(key) && Number.isSafeInteger(id) ? conversation(key) : null;
  view(active ? "chat" : "list");
  $("composer").hidden = $("head").hidden = !active;
  box.value = active?.draft ?? "";
  $("title").textContent = "";
  $("empty").textContent = t(active ? "empty" : "choose");
  $("log").replaceChildren();
  for (const item of active?.unsent ?? []) item.node = null;
  remember();
  $("empty").hidden = false;
  $("older").hidden = true;
  if (!active) return was?.item?.firstChild.focus();
  const c = active;
  show(c, [...c.messages.values(), ...c.unsent]);
  $("scroll").scrollTop = $("scroll").scrollHeight;
  if (matchMedia("(pointer: fine)").matches) box.focus();
  try {
    show(c, await c.open());
    if (c === active) $("scroll").scrollTop = $("scroll").scrollHeight;
    arrived.add(c);
    remember();
  } catch (error) {
    if (error.code === 404) conversations.delete(c.key);
    if (c === active) report(error);
  }
}

function report(error) {
  if (!(error instanceof WireError)) throw error;
  if (me) tell(explain(error));
}

// --- what people do ---

onSubmit("login", ({ user, password }) => wire.login(Number(user.value), { password: password.value }));

onSubmit("register", async ({ name, password }) => {
  const { USERID } = await wire.request({ msgType: T.register, name: name.value, password: password.value });
  await wire.login(USERID, { password: password.value });
  tell(t("registered", USERID), "good");
});

onSubmit("search", async ({ keyword }) => {
  const { users } = await wire.request({ msgType: T.search, keyword: keyword.value, limit: 50 });
  $("found-count").textContent = t("found", users.length);
  $("found").replaceChildren(...users.map(({ USERID, name }) => {
    names.set(USERID, name);
    const open = el("button", { type: "button", className: "entry", onclick: () => (location.hash = `u:${USERID}`) },
      el("bdi", { className: "name" }, name), el("span", { className: "id" }, `#${USERID}`));
    const add = el("button", { type: "button", className: "plain", onclick: () => befriend(USERID, name, add) }, t("add"));
    add.setAttribute("aria-label", `${t("add")}: ${name}`);
    const known = USERID === me.id || typeof conversations.get(`u:${USERID}`)?.online === "boolean";
    return el("li", {}, open, ...(known ? [] : [add]));
  }));
});

async function befriend(U2, name, button) {
  button.disabled = true;
  try {
    await wire.request({ msgType: T.befriend, U2 });
    button.remove();
    tell(t("added", name), "good");
    await listFriends();
  } catch (error) {
    button.disabled = false;
    report(error);
  }
}

onSubmit("join", async ({ group }, form) => {
  const GROUPID = Number(group.value);
  try {
    enter(await wire.request({ msgType: T.joinGroup, GROUPID }), form);
  } catch (error) {
    if (error.code === 409) location.hash = `g:${GROUPID}`; // the list is this machine's: it may lack the group
    throw error;
  }
});

onSubmit("create", async ({ name, description }, form) => {
  enter(await wire.request({ msgType: T.createGroup, name: name.value, description: description.value }), form);
});

function enter({ GROUPID, name }, form) {
  form.reset();
  conversation(`g:${GROUPID}`).name = name;
  tell(t("joined", name, GROUPID), "good");
  location.hash = `g:${GROUPID}`;
}

$("composer").addEventListener("submit", (e) => {
  e.preventDefault();
  const box = e.target.msg;
  if (active && box.value.trim()) send(active, box.value);
  box.value = "";
  box.focus();
});

$("composer").msg.addEventListener("keydown", (e) => {
  if (e.key === "Escape") return active?.item?.firstChild.focus();
  if (e.key !== "Enter" || e.shiftKey || e.isComposing || e.keyCode === 229) return; // 229: Safari, while composing
  e.preventDefault();
  e.target.form.requestSubmit();
});

$("older").onclick = async (e) => {
  const c = active;
  e.target.disabled = true;
  await c.older().then((found) => show(c, found), report);
  e.target.disabled = false;
  $("scroll").focus();
};
$("back").onclick = () => (location.hash = "");
$("dismiss").onclick = () => tell("");
$("logout").onclick = logout;
addEventListener("hashchange", follow);
document.addEventListener("visibilitychange", () => me && !document.hidden && remember());
setInterval(() => me && caughtUp && !document.hidden && listFriends().catch(report), friendsEvery);

translate();
const kept = JSON.parse(sessionStorage.getItem("sponge") ?? "null");
if (kept) {
  view("list");
  wire.login(kept.id, { token: kept.token }).catch(over);
}
