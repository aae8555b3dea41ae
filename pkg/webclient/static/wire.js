// The wire: one WebSocket to /ws, made again whenever it is lost. It knows
// frames, replies, sessions and reconnecting; it must not know the page.

export const T = {
  ping: 0, login: 1, register: 2, logout: 3, chat: 4, received: 5, befriend: 6, friends: 8, groupChat: 9,
  joinGroup: 10, createGroup: 12, offline: 14, search: 15, history: 16, notice: 98, unreadable: 100,
};

const maxFrame = 64 << 10; // bytes
const pingEvery = 25_000; // milliseconds, as are all below
const stepBack = 500, maxBack = 30_000; // between attempts to connect
const closeWithin = 10_000; // after a notice, until the connection is given up
const maxTries = 6; // of a frame that the server asks to be sent again

/** A reply that is a failure. again: the same frame with the same id may succeed later. */
export class WireError extends Error {
  constructor(type, { code, error = "", field = "" }) {
    super(error || `code ${code}`);
    Object.assign(this, { type, code, field, again: [429, 500, 503, 504].includes(code) });
  }
}

/** An id for a frame, unique without the server's help. (randomUUID is only there with TLS.) */
export const newId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

/**
 * The connection of one person. The handlers: state(word), session(reply) after each
 * login, also a resumed one, ended(error) when the session is over, push(frame),
 * notice(frame).
 */
export class Wire {
  #url;
  #on;
  #socket = null;
  #login = null; // {frame, resolve, reject} until answered, then {frame} to resume with
  #ready = false; // logged in on this socket, and no notice came
  #waiting = new Map(); // id → request that is not answered, in the order they were made
  #attempt = 0; // to connect, since it last worked
  #timer = 0; // of the next attempt
  #notice = null;
  #heard = true; // anything, since the last ping

  constructor(url, handlers) {
    this.#url = url;
    this.#on = handlers;
    setInterval(() => this.#ping(), pingEvery);
    addEventListener("online", () => this.#timer && this.#connect());
  }

  /** Logs in; secret is {password} or {token}. Resolves with 101; from then on the session is kept. */
  login(USERID, secret) {
    return new Promise((resolve, reject) => {
      this.#login = { frame: { msgType: T.login, USERID, ...secret, confirm: true }, resolve, reject };
      if (this.#socket?.readyState === WebSocket.OPEN) this.#begin();
      else this.#connect();
    });
  }

  /**
   * Sends a frame and resolves with its reply, or rejects with a WireError. It survives
   * reconnects: what is not answered is sent again with the same id, which has no second effect.
   */
  request(frame, id = newId()) {
    const text = JSON.stringify({ ...frame, id });
    const bytes = new TextEncoder().encode(text).length;
    if (bytes > maxFrame) return Promise.reject(new WireError(frame.msgType, { code: 413 }));
    return new Promise((resolve, reject) => {
      const request = { id, type: frame.msgType, text, bytes, tries: 0, resolve, reject };
      this.#waiting.set(id, request);
      this.#write(request);
      if (!this.#socket && !this.#timer) this.#connect();
    });
  }

  /** Sends a frame that is answered only if it fails, if there is a session now. */
  post(frame) {
    if (this.#ready) this.#socket.send(JSON.stringify(frame));
  }

  /** Forgets the session and everything that was not answered. */
  close() {
    this.#login = null;
    for (const r of this.#waiting.values()) r.reject(new WireError(r.type, { code: 401 }));
    this.#waiting.clear();
    this.#drop();
    this.#stopTimer();
    this.#on.state("");
  }

  #connect() {
    this.#stopTimer();
    this.#drop();
    this.#on.state("connecting");
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#heard = true;
      this.#begin();
    };
    socket.onmessage = (e) => this.#take(e.data);
    socket.onclose = () => this.#lost();
  }

  // begin says what a new connection begins with: the login, or what needs none.
  #begin() {
    if (!this.#login) return this.#writeAll();
    const id = newId();
    this.#login.id = id;
    this.#socket.send(JSON.stringify({ ...this.#login.frame, id }));
  }

  #writeAll() {
    this.#on.state(this.#ready ? "online" : "");
    for (const r of this.#waiting.values()) this.#write(r);
  }

  #write(r) {
    if (this.#socket?.readyState !== WebSocket.OPEN || this.#notice) return;
    if (this.#ready || (r.type === T.register && !this.#login)) this.#socket.send(r.text);
  }

  #take(data) {
    this.#heard = true;
    const frame = JSON.parse(data);
    if (frame.msgType === T.notice) return this.#noticed(frame);
    if (frame.msgType === T.chat || frame.msgType === T.groupChat) return this.#on.push(frame);
    if (this.#login && frame.id === this.#login.id && frame.msgType === 100 + T.login) return this.#loggedIn(frame);
    // What is too large to be read has no id: the largest is to blame, and must not be sent again.
    const tooLarge = frame.msgType === T.unreadable && frame.code === 413;
    const request = tooLarge ? [...this.#waiting.values()].sort((a, b) => b.bytes - a.bytes)[0] : this.#waiting.get(frame.id);
    if (!request) return; // a pong, or the answer to a repeat
    const error = frame.code !== 0 && new WireError(request.type, frame);
    if (error?.again && frame.code !== 500 && ++request.tries < maxTries) {
      return setTimeout(() => this.#waiting.has(request.id) && this.#write(request), this.#backoff(request.tries));
    }
    this.#waiting.delete(request.id);
    if (error) request.reject(error);
    else request.resolve(frame);
  }

  #loggedIn(frame) {
    const { frame: asked, resolve, reject } = this.#login;
    if (frame.code === 0) {
      this.#login = { frame: { msgType: T.login, USERID: frame.USERID, token: frame.token, confirm: true } };
      this.#ready = true;
      this.#attempt = 0;
      this.#writeAll();
      resolve?.(frame);
      return this.#on.session(frame);
    }
    const error = new WireError(T.login, frame);
    if (error.again && "token" in asked) return this.#lost(); // the session may well be good: try again
    this.close();
    if (reject) reject(error);
    else this.#on.ended(error);
  }

  #noticed(frame) {
    this.#notice = frame;
    this.#ready = false;
    this.#on.notice(frame);
    const socket = this.#socket; // the server answers what it has, then closes
    setTimeout(() => this.#socket === socket && this.#lost(), closeWithin);
  }

  #lost() {
    const notice = this.#notice;
    this.#drop();
    if (notice?.reconnect === false) {
      this.close();
      return this.#on.ended(null);
    }
    if (!this.#login && this.#waiting.size === 0) return this.#on.state("");
    const asked = notice && (notice.after || 0) * (1 + Math.random() / 2) + Math.random() * stepBack;
    const wait = asked ?? this.#backoff(++this.#attempt);
    this.#on.state("offline");
    this.#stopTimer();
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  // backoff is random, so that a server that comes back is not met by all at once.
  #backoff(n) {
    return (0.5 + Math.random() / 2) * Math.min(maxBack, stepBack * 2 ** (n - 1));
  }

  #ping() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    if (!this.#heard) return this.#lost(); // a dead network does not say so
    this.#heard = false;
    this.#socket.send(JSON.stringify({ msgType: T.ping }));
  }

  #drop() {
    if (this.#socket) {
      this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close();
    }
    this.#socket = this.#notice = null;
    this.#ready = false;
  }

  #stopTimer() {
    clearTimeout(this.#timer);
    this.#timer = 0;
  }
}
